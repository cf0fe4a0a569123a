"""Our one weights format: a safetensors file whose metadata says what network it holds, see `models.header`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import save
from torch import Tensor

from models.base import Configurable
from models.errors import PhotograftError
from models.header import FORMAT, NetworkFile, parse_header
from models.reading import sha256 as sha256
from models.registry import KINDS
from models.tensors import TensorFile, open_tensors
from models.writing import Writer, write_file


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file as float32 (integers as they are).

    Raises:
        PhotograftError: missing or damaged file, NaN or infinite weights.
    """
    return open_tensors(path).read()


def empty_network(path: Path) -> tuple[Any, NetworkFile, TensorFile]:
    """A network without memory (on the "meta" device), with what its file says: the file's tensors fit it.

    Raises:
        PhotograftError: a damaged file, or tensors of other names and shapes than the config asks for.
    """
    file = open_tensors(path)
    header = parse_header(path, file.metadata)
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
    """Strict load with a one-line error, also for negative variances. Frozen feature networks keep their own weights:
    they are not in the file."""
    own = network.state_dict()
    for key in own.keys() & state.keys():
        if own[key].is_floating_point() != state[key].is_floating_point():
            raise PhotograftError(f"{path} does not fit its network: {key} is of type {state[key].dtype}")
    for key, value in state.items():
        if key.endswith("running_var") and not value.is_meta and bool((value < 0).any()):
            raise PhotograftError(f"{path} holds negative variances of batch norm: its pictures would be NaN")
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
