"""Pickles of others, read without executing anything: NVIDIA's `.pkl`, and torch files that weights_only refuses.

Tensors, arrays and plain containers are rebuilt; every other object becomes a `Foreign` record (`pickle_machine`).
"""

import io
import math
import re
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from models.checkpoints.archives import MAX_BYTES, Archive, Unreadable, brief_error
from models.checkpoints.pickle_machine import Budget, Builder, DamagedPickle, Foreign, Global, Machine
from models.errors import PhotograftError

__all__ = ["Foreign", "Global", "read_pickle", "read_torch"]

MAX_NESTING = 4  # of torch files within pickles

DTYPES: dict[str, torch.dtype] = {
    **{"Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16},
    **{"Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8},
    **{"Bool": torch.bool, "ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128},
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
ERRORS = (ValueError, LookupError, TypeError, OverflowError, EOFError, RuntimeError, MemoryError)


def read_pickle(path: Path) -> Any:
    """The value of a pickle (protocols 0 to 5), as data.

    Arrays are numpy arrays, tensors are on the CPU, classes and functions are `Global`, objects are `Foreign`.

    Raises:
        PhotograftError: missing, empty, truncated, damaged or oversized file, or one that is no pickle.
    """
    return _read(path, _run)


def read_torch(path: Path) -> Any:
    """The value of a torch file, in the zip format or the one before it, as data; see `read_pickle`."""
    return _read(path, _load_torch)


class _Bounded(io.BufferedIOBase):
    """A file of which no more is asked for than it holds: a length in it could be of any size."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(self._size - self._file.tell(), 0)
        return self._file.read(left if size is None or size < 0 else min(size, left))

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._file.readline(-1 if size is None else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _read(path: Path, load: Callable[[BinaryIO, Budget], Any]) -> Any:
    if not path.is_file():
        raise PhotograftError(f"weights file not found: {path}")
    size = path.stat().st_size
    if not 0 < size <= MAX_BYTES:
        raise PhotograftError(f"{path} is empty or larger than {MAX_BYTES >> 30} GiB: it holds no weights")
    try:
        with path.open("rb") as stream:
            return load(_Bounded(stream, size), Budget(size))  # type: ignore[arg-type]
    except OSError as error:
        raise PhotograftError(f"cannot read {path}: {error.strerror or error}") from error
    except Unreadable as error:
        raise PhotograftError(f"{path} {error}") from error
    except ERRORS as error:
        raise PhotograftError(
            f"{path} is damaged or no file of weights ({brief_error(error)}): download it again"
        ) from error


def _run(stream: BinaryIO, budget: Budget, persistent: Callable[[Any], Any] | None = None, nesting: int = 0) -> Any:
    """One pickle, whose storages may themselves be torch files, `nesting` deep already."""

    def load_from_bytes(data: Any) -> Any:
        if not isinstance(data, bytes) or nesting == MAX_NESTING:
            raise DamagedPickle("a storage is no torch file")
        return _load_torch(io.BytesIO(data), budget, nesting + 1)

    def tensor(*args: Any) -> Tensor:
        made = _tensor(*args)
        if not made.is_meta:  # whoever takes it makes it of its own: one storage may not become thousands of tensors
            budget.copy(made.numel() * made.itemsize)
        return made

    def typed(function: Any, cls: Any, args: Any, state: Any) -> Tensor:
        """A tensor of a class of its own, or with attributes."""
        if not isinstance(function, Global) or function.name not in TENSORS or not isinstance(args, tuple):
            raise DamagedPickle("a tensor is of an unknown class")
        made: Tensor = _parameter(builders[function.name](*args))
        return made

    builders: dict[str, Builder] = dict.fromkeys(TENSORS, tensor)
    builders |= {**BUILDERS, "torch.storage._load_from_bytes": load_from_bytes, TYPED: typed}
    return Machine(builders, budget, persistent, {np.ndarray: _set_array}).run(stream)


# plain Python


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8"):
        raise DamagedPickle("bytes are encoded in an unknown way")
    return text.encode(encoding)


def _ordered_dict(pairs: Any = ()) -> OrderedDict[Any, Any]:
    result: OrderedDict[Any, Any] = OrderedDict()
    for key, value in _list(pairs):
        if not isinstance(key, str | int):
            raise DamagedPickle("a key of an ordered dictionary is no text")
        result[key] = value
    return result


def _list(items: Any = ()) -> list[Any]:
    if not isinstance(items, list | tuple):
        raise DamagedPickle("a container is made of something else than a list")
    return list(items)


def _set(items: Any = ()) -> set[Any]:
    if not all(isinstance(item, str | int | float | bytes) for item in _list(items)):
        raise DamagedPickle("a set holds more than texts and numbers")
    return set(items)


def _reconstructor(cls: Any, base: Any, state: Any) -> Foreign:
    """An object of a class written in Python, in protocols 0 and 1."""
    if not isinstance(cls, Global):
        raise DamagedPickle("an object has no class")
    return Foreign(cls.name, () if state is None else (state,))


# numpy


def _dtype(described: Any) -> np.dtype[Any]:
    """Type of numbers or text of what a pickled `numpy.dtype` became."""
    if not isinstance(described, Foreign) or described.name != "numpy.dtype" or not described.args:
        raise DamagedPickle("an array has no type")
    name, state = described.args[0], described.state
    if not isinstance(name, str) or not re.fullmatch(r"b1|[iu][1248]|f[248]|c(8|16)|[SU][1-9]\d{0,5}", name):
        what = repr(name[:20]) if isinstance(name, str) else "an unknown one"
        raise DamagedPickle(f"an array is of type {what}, not of numbers")
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
    return np.dtype(name).newbyteorder(">" if order == ">" else "<" if order == "<" else "=")


def _bytes(data: Any) -> bytes:
    """Raw bytes, which Python 2 wrote as text."""
    if isinstance(data, str):
        return data.encode("latin1")
    if not isinstance(data, bytes | bytearray):
        raise DamagedPickle("an array has no bytes")
    return bytes(data)


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > 16 or not all(type(n) is int and n >= 0 for n in shape):
        raise DamagedPickle("an array or tensor has an impossible shape")
    return shape


def _empty_array(cls: Any, shape: Any, code: Any) -> "np.ndarray[Any, Any]":
    if cls != Global("numpy.ndarray"):
        raise DamagedPickle("an array is of a class of its own")
    return np.zeros(0, np.uint8)


def _set_array(array: "np.ndarray[Any, Any]", state: Any) -> None:
    if not isinstance(state, tuple) or len(state) != 5:
        raise DamagedPickle("an array has no values")
    _, shape, dtype, fortran, data = state
    type_, raw = _dtype(dtype), _bytes(data)
    if math.prod(_shape(shape)) * type_.itemsize != len(raw):
        raise DamagedPickle("an array has more or fewer values than its shape says")
    array.__setstate__((1, shape, type_, fortran is True, raw))  # type: ignore[arg-type]


def _scalar(dtype: Any, data: Any) -> Any:
    return np.frombuffer(_bytes(data), _dtype(dtype), 1)[0]


def _array_of_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> "np.ndarray[Any, Any]":
    order = "F" if order == "F" else "C"
    return np.frombuffer(_bytes(data), _dtype(dtype)).reshape(_shape(shape), order=order).copy(order=order)


# torch


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """A tensor of its storage, a tensor [numel]; what follows are gradients and hooks."""
    if not isinstance(storage, Tensor) or storage.ndim != 1 or type(offset) is not int or offset < 0:
        raise DamagedPickle("a tensor has no storage")
    if math.prod(_shape(size)) > len(storage):  # an expanded tensor could unfold to any size
        raise DamagedPickle("a tensor has more values than its storage")
    if len(_shape(stride)) != len(size):
        raise DamagedPickle("a tensor's strides do not fit its shape")
    end = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
    if 0 not in size and end > len(storage):
        raise DamagedPickle("a tensor reaches beyond its storage")
    return storage.as_strided(size, stride, offset)


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise DamagedPickle("a parameter is no tensor")
    return data


TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
TYPED = "torch._tensor._rebuild_from_type_v2"
NUMPY: dict[str, Builder] = {"multiarray._reconstruct": _empty_array, "multiarray.scalar": _scalar}
BUILDERS: Mapping[str, Builder] = {
    "_codecs.encode": _encode,
    "collections.OrderedDict": _ordered_dict,
    **{f"{module}._reconstructor": _reconstructor for module in ("copyreg", "copy_reg")},
    **{f"{module}.set": _set for module in ("builtins", "__builtin__")},
    **{f"{module}.frozenset": lambda items=(): frozenset(_set(items)) for module in ("builtins", "__builtin__")},
    **{f"{module}.list": _list for module in ("builtins", "__builtin__")},
    **{f"{module}.bytes": lambda: b"" for module in ("builtins", "__builtin__")},
    **{f"numpy.{core}.{name}": f for core in ("core", "_core") for name, f in NUMPY.items()},
    **{f"numpy.{core}.numeric._frombuffer": _array_of_buffer for core in ("core", "_core")},
    **dict.fromkeys(("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"), _parameter),
}


# torch files


def _load_torch(stream: BinaryIO, budget: Budget, nesting: int = 0) -> Any:
    if stream.read(4) == b"PK\x03\x04":
        return _load_zip(stream, budget, nesting)
    stream.seek(0)
    return _load_legacy(stream, budget, nesting)


def _storage_id(pid: Any, fields: int) -> tuple[str, torch.dtype, int]:
    """(key, type, values) of `('storage', class, key, device, values, view)`; the last only before the zip format."""
    if not isinstance(pid, tuple) or len(pid) != fields or pid[0] != "storage" or not isinstance(pid[1], Global):
        raise DamagedPickle("it refers to something else than a storage")
    match = re.fullmatch(r"torch(?:\.cuda)?\.(\w+)Storage", pid[1].name)
    dtype = torch.uint8 if pid[1].name == "torch.storage.UntypedStorage" else DTYPES.get(match[1] if match else "")
    key, numel = pid[2], pid[4]
    if dtype is None or not isinstance(key, str) or type(numel) is not int or numel < 0:
        raise DamagedPickle("a storage is of an unknown type")
    if fields == 6 and pid[5] is not None:
        raise DamagedPickle("a storage is part of another one")
    return key, dtype, numel


def _load_zip(stream: BinaryIO, budget: Budget, nesting: int) -> Any:
    archive = Archive(stream)
    if nesting:
        budget.copy(archive.size)
    else:
        budget = Budget(archive.size)
    main = next((name for name in archive.names if name == "data.pkl" or name.endswith("/data.pkl")), None)
    if main is None:
        raise DamagedPickle("the archive holds no data.pkl")
    root = main.removesuffix("data.pkl")
    if f"{root}byteorder" in archive.names and archive.read(f"{root}byteorder") != b"little":
        raise DamagedPickle("its bytes are in big-endian order")
    storages: dict[str, Tensor] = {}

    def persistent(pid: Any) -> Tensor:
        key, dtype, numel = _storage_id(pid, 5)
        if key not in storages:
            storages[key] = _values(archive.read(f"{root}data/{key}"), dtype, numel)
        return storages[key]

    return _run(io.BytesIO(archive.read(main)), budget, persistent, nesting)


def _values(data: bytes, dtype: torch.dtype, numel: int) -> Tensor:
    """Storage [numel] of its bytes, exactly as many."""
    if len(data) != numel * dtype.itemsize:
        raise DamagedPickle("a storage has more or fewer values than it says")
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)


def _load_legacy(stream: BinaryIO, budget: Budget, nesting: int) -> Any:
    """Magic number, version, machine, the pickle, the storages' keys, the storages.

    The storages come last, and their types stand in the pickle: so it is read once without values, and once with them.
    """
    for expected in (LEGACY_MAGIC, LEGACY_PROTOCOL):
        found = _run(stream, budget)
        if not isinstance(found, int) or found != expected:
            raise DamagedPickle("it is no torch file")
    machine = _run(stream, budget)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise DamagedPickle("its bytes are in big-endian order")
    start = stream.tell()
    types: dict[str, tuple[torch.dtype, int]] = {}

    def without_values(pid: Any) -> Tensor:
        key, dtype, numel = _storage_id(pid, 6)
        types.setdefault(key, (dtype, numel))
        return torch.empty(numel, dtype=dtype, device="meta")

    _run(stream, budget, without_values, nesting)
    storages: dict[str, Tensor] = {}
    for key in _list(_run(stream, budget)):
        if not isinstance(key, str) or key not in types or key in storages:
            raise DamagedPickle("its list of storages is not that of its tensors")
        dtype, numel = types[key]
        (count,) = struct.unpack("<q", stream.read(8).ljust(8, b"\0"))
        if count != numel:
            raise DamagedPickle("a storage has more or fewer values than it says")
        storages[key] = _values(stream.read(min(numel * dtype.itemsize, MAX_BYTES)), dtype, numel)
    if storages.keys() != types.keys():
        raise DamagedPickle("its list of storages is not that of its tensors")
    stream.seek(start)
    return _run(stream, budget, lambda pid: storages[_storage_id(pid, 6)[0]], nesting)
