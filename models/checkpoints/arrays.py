"""Named arrays of a foreign network, taken one by one until none is left: strict loads of formats that are not ours."""

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from models.base import Configurable
from models.errors import PhotograftError
from models.files import load_state
from models.reading import check_finite

RESOLUTIONS = 10  # 4 to 2048 px, twice what any published file holds
SHARING, FREE = 4, 1 << 20  # names per value of an array, and values that are not looked at
N = TypeVar("N", bound=Configurable)


class Arrays:
    """The arrays of one network in a file; each must be taken or skipped, and `finish` holds the reader to it.

    Args:
        values: name -> numpy array or tensor.
        path: of the file, for what goes wrong.
        spelled: name here -> the file's own name of the same array, where its layout was brought into another one.
            Errors speak of the file's names.
    """

    def __init__(self, values: Mapping[str, Any], path: Path, spelled: Mapping[str, str] | None = None) -> None:
        self._values, self.path, self._spelled = values, path, spelled or {}
        self._check_shared()
        self._left = set(values)

    def _check_shared(self) -> None:
        """Raise PhotograftError if a few arrays stand for many: a network of them would need far more memory."""
        tensors = [value for value in self._values.values() if isinstance(value, Tensor)] if self._in_memory() else []
        distinct = {
            storage.data_ptr(): storage.nbytes() // tensor.element_size()
            for tensor, storage in ((tensor, tensor.untyped_storage()) for tensor in tensors)
        }
        if sum(tensor.numel() for tensor in tensors) > SHARING * (sum(distinct.values()) + FREE):
            raise PhotograftError(f"{self.path}: its arrays are few, under many names: they are no network's")

    def _in_memory(self) -> bool:
        return isinstance(self._values, dict)

    def told(self, name: str) -> str:
        """An array's name in the file, quoted and cut."""
        return repr(self._spelled.get(name, name)[:80])

    def missing(self, name: str) -> PhotograftError:
        """The error for an array that is not there."""
        return PhotograftError(f"{self.path}: {self.told(name)} is missing")

    def misfit(self, name: str, expected: Iterable[int] | None = None) -> PhotograftError:
        """The error for an array whose shape is not what the others ask for."""
        if name in self._spelled:  # shapes here may not be those of the file
            return PhotograftError(f"{self.path}: {self.told(name)} does not fit the other arrays in shape")
        found = list(getattr(self._values.get(name), "shape", ()))
        wanted = " the other arrays" if expected is None else f": {list(expected)} expected"
        return PhotograftError(f"{self.path}: {self.told(name)} is {found}, which does not fit{wanted}")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def shape(self, name: str, ndim: int | None = None) -> tuple[int, ...]:
        """Shape of an array. Raises PhotograftError if it is missing, empty or not of so many dimensions."""
        if name not in self._values:
            raise self.missing(name)
        shape = getattr(self._values[name], "shape", None)
        if shape is None or 0 in shape or (ndim is not None and len(shape) != ndim):
            what = "no array" if shape is None else str(list(shape))
            wanted = "not an array that holds something" if ndim is None else f"not an array of {ndim} dimensions"
            raise PhotograftError(f"{self.path}: {self.told(name)} is {what}, {wanted}")
        return tuple(int(n) for n in shape)

    def take(self, name: str, *shape: int) -> Tensor:
        """An array as float32, of exactly this shape (any if none is given).

        Raises:
            PhotograftError: missing, of another shape, not of numbers, NaN or infinite.
        """
        found = self.shape(name)
        if shape and found != shape:
            raise self.misfit(name, shape)
        value = self._values[name]
        if isinstance(value, Tensor) and (value.is_floating_point() or value.dtype == torch.int64):
            tensor = value.detach().float()
        elif isinstance(value, np.ndarray | np.number) and value.dtype.kind in "fiu":
            with np.errstate(over="ignore"):  # numbers beyond float32 become infinite, which is refused below
                tensor = torch.from_numpy(np.array(value, np.float32))
        else:
            raise PhotograftError(f"{self.path}: {self.told(name)} is not an array of numbers")
        check_finite({self._spelled.get(name, name): tensor}, self.path)
        self._left.discard(name)
        return tensor

    def ranked(self, name: str, ndim: int) -> Tensor:
        """An array of so many dimensions as float32. Raises as `shape` and `take` do."""
        return self.take(name, *self.shape(name, ndim))

    def number(self, name: str) -> float:
        """An array of one number. Raises as `take` does."""
        tensor = self.take(name)
        if tensor.numel() != 1:
            raise PhotograftError(f"{self.path}: {self.told(name)} is {list(tensor.shape)}, not one number")
        return float(tensor)

    def skip(self, *patterns: str) -> None:
        """Leave out arrays on purpose: whatever matches one of these (`*` stands for anything)."""
        for pattern in patterns:
            self._left.difference_update(fnmatch.filter(self._left, pattern))

    def finish(self) -> None:
        """Raise PhotograftError if any array was neither taken nor skipped: nothing is ignored silently."""
        if self._left:
            names = sorted(self._spelled.get(name, name) for name in self._left)
            raise PhotograftError(f"{self.path}: unknown arrays: {some(names)}")


Placed = Mapping[str, tuple[str, Tensor]]
"""Our name of a weight -> the name of the array that it was made of, and its value."""


def fitted(make: Callable[[], N], placed: Placed, arrays: Arrays) -> N:
    """The network of these weights, frozen; none is built before its shapes are known to be theirs.

    Raises:
        PhotograftError: sizes that no network has, a weight that is missing or does not fit.
    """
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in make().state_dict().items()}
    for key, shape in shapes.items():
        if key not in placed:
            raise PhotograftError(f"{arrays.path}: an array is missing, from which {key!r} would be made")
        name, value = placed[key]
        if value.shape != shape:
            as_stored = name in arrays and value.shape == arrays.shape(name)  # and so of the file's layout
            raise arrays.misfit(name, shape if as_stored else None)
    network = make()
    load_state(network, {key: value for key, (_, value) in placed.items()}, arrays.path)
    network.freeze()
    return network


def some(names: Iterable[str], count: int = 4) -> str:
    """A few names of many, for an error line."""
    listed = list(names)
    more = f" and {len(listed) - count} more" if len(listed) > count else ""
    return ", ".join(repr(name[:80]) for name in listed[:count]) + more
