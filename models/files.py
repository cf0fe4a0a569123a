"""Our one weights format: a safetensors file whose metadata says what network it holds.

Metadata keys: `photograft` (format version), `kind` and `family` (registry), `config` (JSON, keywords of the class),
`info` (JSON: class names, groups, provenance, whatever the writer wants to say).
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from models.base import Configurable
from models.errors import PhotograftError
from models.registry import KINDS
from models.writing import Writer, write_file

FORMAT = "1"


@dataclass(frozen=True)
class NetworkFile:
    """What a weights file says about itself, without its tensors."""

    path: Path
    kind: str
    family: str
    config: dict[str, Any]
    info: dict[str, Any] = field(default_factory=dict)


def sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file as float32 (integers as they are).

    Raises:
        PhotograftError: missing or damaged file, NaN or infinite weights.
    """
    _require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise PhotograftError(f"{path} is not a safetensors file or is damaged: {error}") from error
    tensors = {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}
    check_finite(tensors, path)
    return tensors


def check_finite(tensors: dict[str, Tensor], path: Path) -> None:
    """Raise PhotograftError, naming the tensor, if any weight is NaN or infinite."""
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise PhotograftError(f"{path}: weights {key!r} hold NaN or infinite values: the file is unusable")


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise PhotograftError(f"weights file not found: {path}")


def read_header(path: Path) -> NetworkFile:
    """What the file holds. Raises PhotograftError if it is not one of ours."""
    _require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise PhotograftError(f"{path} is not a safetensors file or is damaged: {error}") from error
    if metadata.get("photograft") != FORMAT or metadata.get("kind") not in KINDS:
        raise PhotograftError(f"{path} holds no Photograft network: convert it first (infer.py convert)")
    try:
        config, info = json.loads(metadata["config"]), json.loads(metadata["info"])
        return NetworkFile(path, metadata["kind"], metadata["family"], config, info)
    except (KeyError, ValueError) as error:
        raise PhotograftError(f"{path} is damaged: its description cannot be read ({error})") from error


def load_network(path: Path, kind: str) -> tuple[Any, NetworkFile]:
    """Rebuild a network of this kind from its file: strict, frozen, float32, in evaluation mode.

    Raises:
        PhotograftError: wrong kind, damaged file, tensors that do not fit the config, NaN weights.
    """
    header = read_header(path)
    if header.kind != kind:
        raise PhotograftError(f"{path} holds a {header.kind}, not a {kind}")
    network = KINDS[kind].create(header.family, **header.config)
    load_state(network, read_tensors(path), path)
    return network.freeze(), header


def load_state(network: Configurable, state: dict[str, Tensor], path: Path) -> None:
    """Strict load with a one-line error. Frozen feature networks keep their own weights: they are not in the file."""
    own = {key: value for key, value in network.state_dict().items() if _is_frozen_part(network, key)}
    try:
        network.load_state_dict({**own, **state})
    except RuntimeError as error:
        reason = " ".join(line.strip() for line in str(error).split("\n")[1:3])
        raise PhotograftError(f"{path} does not fit its network: {reason}") from error


def _is_frozen_part(network: Configurable, key: str) -> bool:
    return key.split(".", 1)[0] in network.frozen_parts


def save_network(
    path: Path, network: Configurable, kind: str, info: dict[str, Any] | None = None, dtype: torch.dtype = torch.float32
) -> None:
    """Write a network whole or not at all. Frozen feature networks are left out.

    Raises:
        PhotograftError: it cannot be written.
    """
    write_file(path, network_writer(network, kind, info, dtype))


def network_writer(
    network: Configurable, kind: str, info: dict[str, Any] | None = None, dtype: torch.dtype = torch.float32
) -> Writer:
    """Writes what `save_network` does, for a set of files."""
    metadata = {
        "photograft": FORMAT,
        "kind": kind,
        "family": KINDS[kind].name_of(network),
        "config": json.dumps(network.config),
        "info": json.dumps(info or {}),
    }

    def write(stream: BinaryIO) -> None:
        state = {
            key: value.detach().to(dtype if value.is_floating_point() else value.dtype).contiguous().clone()
            for key, value in network.state_dict().items()
            if not _is_frozen_part(network, key)
        }
        stream.write(save(state, metadata))

    return write
