"""Our one weights format: a safetensors file whose metadata says what network it holds.

Metadata keys: `photograft` (format version), `kind` and `family` (registry), `config` (JSON, keywords of the class),
`info` (JSON: class names, groups, provenance, whatever the writer wants to say).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

import torch
from pydantic import ConfigDict, Field
from safetensors.torch import save
from torch import Tensor

from models.base import Configurable
from models.errors import PhotograftError
from models.reading import TensorFile, open_tensors
from models.registry import KINDS
from models.schema import Index, Name, Positive, Schema, Share, parse_json
from models.writing import Writer, write_file

FORMAT = "1"
LONGEST = 2**22  # of the texts in a header, in characters
T = TypeVar("T")
PerClass = Annotated[list[T], Field(default_factory=list, max_length=100_000, fail_fast=True)]


class Info(Schema):
    """What a weights file says about itself; a writer may add to it.

    Attributes:
        class_names, groups, distribution: of each class, see `models.zoo.Model`; empty where nobody said.
        group_names: of the groups.
        images_seen: real pictures that all trainings behind the weights have seen.
        learning_rate: of projection with these auxiliary networks.
    """

    model_config = ConfigDict(extra="allow")

    class_names: PerClass[Name]
    groups: PerClass[Index]
    group_names: PerClass[Name]
    distribution: PerClass[Share]
    images_seen: Annotated[int, Field(ge=0, le=2**62)] = 0
    learning_rate: Positive | None = None

    def check_classes(self, count: int, path: Path) -> None:
        """Raise PhotograftError unless what it says of classes is of so many."""
        for what, values in (
            ("class names", self.class_names),
            ("groups", self.groups),
            ("shares", self.distribution),
        ):
            if values and len(values) != count:
                raise PhotograftError(f"{path} is damaged: {len(values)} {what} for {count} classes")
        if self.groups and max(self.groups) >= max(len(self.group_names), 1):
            raise PhotograftError(f"{path} is damaged: groups without a name")
        if self.distribution and not 0.99 < sum(self.distribution) < 1.01:
            raise PhotograftError(f"{path} is damaged: the classes' shares sum to {sum(self.distribution):.4g}, not 1")


@dataclass(frozen=True)
class NetworkFile:
    """What a weights file says about itself, without its tensors."""

    path: Path
    kind: str
    family: str
    config: dict[str, Any]
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def known(self) -> Info:
        """What `info` says of what every file may say."""
        return Info(**self.info)


def sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file as float32 (integers as they are).

    Raises:
        PhotograftError: missing or damaged file, NaN or infinite weights.
    """
    return open_tensors(path).read()


def read_header(path: Path) -> NetworkFile:
    """What the file holds. Raises PhotograftError if it is not one of ours."""
    return _header(open_tensors(path))


def _header(file: TensorFile) -> NetworkFile:
    path, metadata = file.path, file.metadata
    if metadata.get("photograft") != FORMAT or metadata.get("kind") not in KINDS:
        raise PhotograftError(f"{path} holds no Photograft network: convert it first (infer.py convert)")
    missing = [key for key in ("family", "config", "info") if key not in metadata]
    if missing or any(len(metadata[key]) > LONGEST for key in ("family", "config", "info")):
        what = f"has no {missing[0]}" if missing else "is too long"
        raise PhotograftError(f"{path} is damaged: its description {what}")
    config = parse_json(dict[str, Any], metadata["config"], f"{path} is damaged: config")
    info = parse_json(dict[str, Any], metadata["info"], f"{path} is damaged: info")
    parse_json(Info, metadata["info"], f"{path} is damaged: info")
    return NetworkFile(path, metadata["kind"], metadata["family"], config, info)


def empty_network(path: Path) -> tuple[Any, NetworkFile, TensorFile]:
    """A network without memory (on the "meta" device), with what its file says: the file's tensors fit it.

    Raises:
        PhotograftError: a damaged file, or tensors of other names and shapes than the config asks for.
    """
    file = open_tensors(path)
    header = _header(file)
    with torch.device("meta"):
        try:
            network = KINDS[header.kind].create(header.family, **header.config)
        except PhotograftError as error:
            raise PhotograftError(f"{path} is damaged: {error}") from error
        load_state(network, file.described, path)
    return network, header, file


def load_network(path: Path, kind: str) -> tuple[Any, NetworkFile]:
    """Rebuild a network of this kind from its file: strict, frozen, float32, in evaluation mode.

    Raises:
        PhotograftError: wrong kind, damaged file, tensors that do not fit the config, NaN weights.
    """
    _, header, file = empty_network(path)
    if header.kind != kind:
        raise PhotograftError(f"{path} holds a {header.kind}, not a {kind}")
    network = KINDS[kind].create(header.family, **header.config)
    load_state(network, file.read(), path)
    return network.freeze(), header


def load_state(network: Configurable, state: Mapping[str, Tensor], path: Path) -> None:
    """Strict load with a one-line error. Frozen feature networks keep their own weights: they are not in the file."""
    own = network.state_dict()
    for key in own.keys() & state.keys():
        if own[key].is_floating_point() != state[key].is_floating_point():
            raise PhotograftError(f"{path} does not fit its network: {key} is of type {state[key].dtype}")
    frozen = {key: value for key, value in own.items() if _is_frozen_part(network, key)}
    try:
        network.load_state_dict({**frozen, **state})
    except RuntimeError as error:
        reason = " ".join(line.strip() for line in str(error).split("\n")[1:3])
        raise PhotograftError(f"{path} does not fit its network: {reason:.300}") from error


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
    """Writes what `save_network` does, for a set of files. It raises PhotograftError for weights beyond the dtype."""
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
        for key, value in state.items():
            if value.is_floating_point() and not bool(value.isfinite().all()):
                held = bool(network.state_dict()[key].isfinite().all())
                why = f"too large for {dtype}: use float32" if held else "NaN or infinite: they are unusable"
                raise PhotograftError(f"{kind}: weights {key!r:.80} are {why}")
        stream.write(save(state, metadata))

    return write
