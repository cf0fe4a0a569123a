"""Zip archives of others, and the arrays in them: looked at before anything is unpacked.

What an archive declares is compared with its size first; an array's header is compared with the bytes that follow it.
"""

import io
import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

MAX_BYTES = 8 << 30  # of a file, and of what an archive unpacks to: three times the largest published training state
RATIO, FREE = 10, 256 << 20  # bytes that may be unpacked per byte of an archive, and in any case
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ENCRYPTED = 0x1 | 0x40
HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Unreadable(ValueError):
    """What a file is instead of one that can be read, and what to do: an error line without the file's name."""


class Archive:
    """A zip archive whose members can be read one by one.

    Args:
        file: a path, or a stream that can be searched and stays open.

    Raises:
        Unreadable: damaged, encrypted, packed in an unknown way, a name twice, far more inside than its size allows.
    """

    def __init__(self, file: Path | BinaryIO) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except Exception as error:  # a damaged or hostile zip can raise nearly anything
            if isinstance(error, NotImplementedError):
                raise Unreadable(f"is a damaged archive, or of a later version ({error}): download it again") from error
            raise Unreadable("is a damaged archive, or cut off before its end: download it again") from error
        members = self._zip.infolist()
        self.names = [member.filename for member in members if not member.is_dir()]
        self.size = sum(member.file_size for member in members)
        packed = file.stat().st_size if isinstance(file, Path) else file.seek(0, io.SEEK_END)
        _check(members, self.size, packed)

    def read(self, name: str) -> bytes:
        """A member's bytes. Raises Unreadable if they are damaged or missing."""
        try:
            return self._zip.read(name)
        except Exception as error:  # see above
            raise Unreadable(f"is damaged at {name[:80]!r} ({brief_error(error)}): download it again") from error


def _check(members: list[zipfile.ZipInfo], size: int, packed: int) -> None:
    for member in members:
        if member.flag_bits & ENCRYPTED:
            raise Unreadable("is an encrypted archive: unpack it with its password first")
        if member.compress_type not in METHODS:
            raise Unreadable(f"is packed in an unknown way (method {member.compress_type}): pack it as an ordinary zip")
    name, count = Counter(member.filename for member in members).most_common(1)[0] if members else ("", 0)
    if count > 1:
        raise Unreadable(f"holds {name[:80]!r} twice: it is damaged, download it again")
    if size > min(MAX_BYTES, RATIO * packed + FREE):
        raise Unreadable(f"unpacks to more than its size allows ({size:,} bytes of {packed:,}): it holds no weights")


def brief_error(error: Exception) -> str:
    """A library's first line, or the error's name."""
    return str(error).split("\n")[0][:120] or type(error).__name__


class ArrayArchive(Mapping[str, Any]):
    """The arrays of an `.npz` by name: names at once, each array when it is asked for.

    Args:
        path: of the file. Raises Unreadable as `Archive` does; so does asking for an array that is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._archive = Archive(path)
        members = self._archive.names
        self._members = {name.removesuffix(".npy"): name for name in members}
        self._read: dict[str, Any] = {}
        if len(self._members) < len(members):
            raise Unreadable("holds an array twice: it is damaged, download it again")

    def __getitem__(self, name: str) -> Any:
        if name not in self._read:
            self._read[name] = parse_array(self._archive.read(self._members[name]), name)
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def parse_array(data: bytes, name: str) -> "np.ndarray[Any, Any]":
    """The array of an `.npy` file's bytes; of numbers or text, never of objects.

    Raises:
        Unreadable: no `.npy`, a header that makes no sense, other values than it says, a type that holds no numbers.
    """
    stream = io.BytesIO(data)
    try:
        read_header = HEADER_READERS[np.lib.format.read_magic(stream)]
        shape, fortran, dtype = read_header(stream, max_header_size=len(data))
        start, count = stream.tell(), math.prod(shape)
        sizes_fit = all(type(n) is int and n >= 0 for n in shape) and count * dtype.itemsize == len(data) - start
    except Exception as error:  # numpy evaluates the header as Python's literals, which fails in many ways
        raise Unreadable(f"is damaged: {name[:80]!r} has a header that makes no sense: download it again") from error
    if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None:
        raise Unreadable(f"is no file of weights: {name[:80]!r} is not an array of numbers, but of {str(dtype)[:60]}")
    if not sizes_fit or len(shape) > 16:
        raise Unreadable(f"is damaged: {name[:80]!r} has more or fewer values than its header says: download it again")
    return np.frombuffer(data, dtype, count, start).reshape(shape, order="F" if fortran else "C")
