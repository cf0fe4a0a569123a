"""Named arrays of a foreign network, taken one by one until none is left: strict loads of formats that are not ours."""

import fnmatch
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.errors import PhotograftError
from models.reading import check_finite


class Arrays:
    """The arrays of one network in a file; each must be taken or skipped, and `finish` holds the reader to it.

    Args:
        values: name -> numpy array or tensor.
        path: of the file, for what goes wrong.
    """

    def __init__(self, values: Mapping[str, Any], path: Path) -> None:
        self._values, self.path = values, path
        self._left = set(values)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def shape(self, name: str, ndim: int | None = None) -> tuple[int, ...]:
        """Shape of an array. Raises PhotograftError if it is missing, empty or not of so many dimensions."""
        if name not in self._values:
            raise PhotograftError(f"{self.path}: {name!r} is missing")
        shape = getattr(self._values[name], "shape", None)
        if shape is None or 0 in shape or (ndim is not None and len(shape) != ndim):
            what = "no array" if shape is None else str(list(shape))
            raise PhotograftError(f"{self.path}: {name!r} is {what}, not an array of {ndim or 'some'} dimensions")
        return tuple(int(n) for n in shape)

    def take(self, name: str, *shape: int) -> Tensor:
        """An array as float32, of exactly this shape (any if none is given).

        Raises:
            PhotograftError: missing, of another shape, not of numbers, NaN or infinite.
        """
        found = self.shape(name)
        if shape and found != shape:
            raise PhotograftError(f"{self.path}: {name!r} is {list(found)}, which does not fit: {list(shape)} expected")
        value = self._values[name]
        if isinstance(value, Tensor) and (value.is_floating_point() or value.dtype == torch.int64):
            tensor = value.detach().float()
        elif isinstance(value, np.ndarray | np.number) and value.dtype.kind in "fiu":
            with np.errstate(over="ignore"):  # numbers beyond float32 become infinite, which is refused below
                tensor = torch.from_numpy(np.array(value, np.float32))
        else:
            raise PhotograftError(f"{self.path}: {name!r} is not an array of numbers")
        check_finite({name: tensor}, self.path)
        self._left.discard(name)
        return tensor

    def skip(self, *patterns: str) -> None:
        """Leave out arrays on purpose: whatever matches one of these (`*` stands for anything)."""
        for pattern in patterns:
            self._left.difference_update(fnmatch.filter(self._left, pattern))

    def finish(self) -> None:
        """Raise PhotograftError if any array was neither taken nor skipped: nothing is ignored silently."""
        if self._left:
            raise PhotograftError(f"{self.path}: unknown arrays: {some(sorted(self._left))}")


def some(names: Iterable[str], count: int = 4) -> str:
    """A few names of many, for an error line."""
    listed = list(names)
    more = f" and {len(listed) - count} more" if len(listed) > count else ""
    return ", ".join(repr(name[:80]) for name in listed[:count]) + more
