"""Hashes of what a result depends on: numbers, networks, and the program itself."""

import hashlib
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from models.zoo import Model

NETWORKS = ("generator", "encoder", "discriminator", "auxiliary", "projected")
CODE_AND_WEIGHTS = (".py", ".safetensors")


def digest(tensors: Iterable[Tensor]) -> str:
    """sha256 of shapes, types and values."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def digests(model: Model) -> dict[str, str]:
    """Name of each network that the model has -> the digest of its weights."""
    networks = {name: getattr(model, name) for name in NETWORKS}
    return {name: digest(n.state_dict().values()) for name, n in networks.items() if isinstance(n, nn.Module)}


def code_digest(*rooms: str, suffixes: Collection[str] = CODE_AND_WEIGHTS) -> str:
    """sha256 of source and weights in folders of the project: what was kept by others is made anew.

    Read once in a process, which goes on with what it has loaded.
    """
    return _code_digest(rooms, tuple(suffixes))


@cache
def _code_digest(rooms: tuple[str, ...], suffixes: tuple[str, ...]) -> str:
    root, found = Path(__file__).parents[1], hashlib.sha256()
    for room in rooms:
        for path in sorted(path for path in (root / room).rglob("*") if path.suffix in suffixes):
            found.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return found.hexdigest()
