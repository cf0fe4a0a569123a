"""What one photo changes in a generator: its noise maps, and tuned weights as far as they are kept.

A delta is small (differences in float16, those of weights as factors of low rank), lies in a file beside the recipe,
and is applied to a copy: the model itself never changes.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os.path import exists
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from models.base import Generator
from models.errors import PhotograftError
from models.layers.resampling import keep_kernels
from models.tensors import open_tensors
from models.writing import Writer, write_file

FORMAT = "1"
_LEFT, _RIGHT = ":left", ":right"  # ends of keys in a file; no name of a tensor has a colon


@dataclass(frozen=True)
class Delta:
    """Differences to tensors of a generator, by their names in its `state_dict`.

    Attributes:
        whole: float16, in the tensor's own shape.
        factors: float16 [O,r] and [r,D], whose product is the difference to a tensor [O,...] of O * D elements.
    """

    whole: Mapping[str, Tensor] = field(default_factory=dict)
    factors: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def between(cls, generator: Generator, tensors: Mapping[str, Tensor], rank: int | None = None) -> "Delta":
        """From a generator to other values of some of its tensors.

        Args:
            generator: is left alone.
            tensors: of as many elements as the generator's of that name.
            rank: keep so many singular values of each difference [O,D]; None: the whole difference.
        """
        own, whole, factors = generator.state_dict(), {}, {}
        for name, value in tensors.items():
            difference = (value.detach().float().reshape(own[name].shape) - own[name].float()).cpu()
            if rank is None or difference.ndim < 2:
                whole[name] = difference.half()
                continue
            factors[name] = _factors(difference.flatten(1), rank)
        return cls(whole, factors)

    def __or__(self, other: "Delta") -> "Delta":
        """Both together; of a tensor that both change the other's difference counts."""
        mine = {*other.whole, *other.factors}
        return Delta(
            {name: t for name, t in self.whole.items() if name not in mine} | dict(other.whole),
            {name: t for name, t in self.factors.items() if name not in mine} | dict(other.factors),
        )

    def __bool__(self) -> bool:
        return bool(self.whole or self.factors)

    @property
    def size(self) -> int:
        """In bytes, without a file's header."""
        return sum(t.numel() * t.element_size() for t in self.tensors().values())

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Raise PhotograftError unless every difference has the size of the tensor of its name."""
        sizes = {name: t.numel() for name, t in self.whole.items()}
        sizes |= {name: len(left) * right.shape[1] for name, (left, right) in self.factors.items()}
        for name, size in sizes.items():
            own = tensors.get(name)
            if own is None or not own.is_floating_point() or own.numel() != size:
                raise PhotograftError(f"the delta does not fit this generator ({name:.80}): project the photo again")

    def _differences(self) -> Iterator[tuple[str, Tensor]]:
        yield from ((name, t.float()) for name, t in self.whole.items())
        yield from ((name, left.float() @ right.float()) for name, (left, right) in self.factors.items())

    @torch.no_grad()
    def applied(self, generator: Generator) -> Generator:
        """A frozen copy of the generator with the differences added.

        Raises:
            PhotograftError: a delta of another generator.
        """
        changed = copy.deepcopy(generator)
        tensors = changed.state_dict()  # of the copy: they share its memory
        self.check(tensors)  # before factors are multiplied
        for name, difference in self._differences():
            tensors[name] += difference.to(tensors[name]).view_as(tensors[name])
        keep_kernels(changed)
        return changed.freeze()

    def tensors(self) -> dict[str, Tensor]:
        """All of it by the names that a file has; see `from_tensors`."""
        parts = dict(self.whole)
        for name, (left, right) in self.factors.items():
            parts |= {name + _LEFT: left, name + _RIGHT: right}
        return parts

    def save(self, path: Path, fingerprint: str) -> None:
        """Write what `writer` writes, whole or not at all. Raises PhotograftError if it cannot be written."""
        write_file(path, self.writer(fingerprint))

    def writer(self, fingerprint: str) -> Writer:
        """Writes a safetensors file.

        Args:
            fingerprint: of the generator, see `Model.fingerprint`.
        """
        metadata = {"photograft_delta": FORMAT, "generator": fingerprint}
        tensors = {name: t.contiguous() for name, t in self.tensors().items()}
        return lambda stream: stream.write(_ordered(save(tensors, metadata)))


def _factors(difference: Tensor, rank: int) -> tuple[Tensor, Tensor]:  # [O,D] -> [O,r], [r,D]
    """The nearest product of this rank, in float16. The left singular vectors are eigenvectors of D D^T, which is small
    where D is long: a fifth of the time of an SVD, and of the largest values the same to float16."""
    wide = difference.double()
    values, vectors = torch.linalg.eigh(wide @ wide.T)  # ascending
    u = vectors[:, -rank:].flip(1)
    # shared between the factors: float16 holds neither very small nor very large numbers
    root = values[-rank:].flip(0).clamp_min(0).sqrt().sqrt()
    right = (u.T @ wide) / root.clamp_min(torch.finfo(torch.float16).tiny)[:, None]
    return (u * root).half().contiguous(), right.half().contiguous()


def _ordered(content: bytes) -> bytes:
    """A safetensors file with its metadata in order: they are written in a random one, and equal deltas are equal
    files."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    return (
        content[:8]
        + json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(end - 8)
        + content[end:]
    )


def load_delta(path: Path, fingerprint: str) -> Delta:
    """Read what `Delta.save` wrote.

    Args:
        path: of the file.
        fingerprint: of the generator to which it shall be applied.

    Raises:
        PhotograftError: a file that is missing, damaged, no delta, or of another generator.
    """
    if not exists(path):
        raise PhotograftError(f"{path} is missing: put it back beside the recipe, or project the photo again")
    file = open_tensors(path, "delta")
    if file.metadata.get("photograft_delta") != FORMAT:
        raise PhotograftError(f"{path} holds no delta of a projection: project the photo again")
    if file.metadata.get("generator") != fingerprint:
        raise PhotograftError(f"{path} was made with other weights: project the photo again")
    return from_tensors(file.read(single=False), path)


def from_tensors(tensors: dict[str, Tensor], path: Path) -> Delta:
    """The delta of `Delta.tensors`. Raises PhotograftError, naming the file, for factors that do not fit."""
    whole, factors = dict(tensors), {}
    for name in [key.removesuffix(_LEFT) for key in tensors if key.endswith(_LEFT)]:
        left, right = whole.pop(name + _LEFT), whole.pop(name + _RIGHT, None)
        if right is None or left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
            raise PhotograftError(f"{path} is damaged: the factors of {name} do not fit")
        factors[name] = (left, right)
    return Delta(whole, factors)
