"""Where pictures lie, and reading bytes without trusting what lies there."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

MAX_PICTURE = 2**29  # bytes of an encoded picture; more is no picture to train on


@dataclass(frozen=True, slots=True)
class Record:
    """Where one picture's bytes are: the file `path/name` (size -1), or `size` bytes at `offset` of the file `path`."""

    path: str
    name: str
    cls: int
    offset: int = 0
    size: int = -1

    @property
    def key(self) -> str:
        """Short name for messages and for the hash split: CLASS/NAME.jpg or SHARD.tar/KEY.webp."""
        return f"{os.path.basename(self.path)}/{self.name}"

    def read(self) -> bytes:
        """The encoded picture.

        Raises:
            OSError: the file has gone, is no ordinary file, cannot be read, or is far too large for a picture.
        """
        if self.size < 0:
            return read_ordinary(os.path.join(self.path, self.name), MAX_PICTURE)
        if self.size > MAX_PICTURE:
            raise OSError(f"{self.size:,} bytes are too many for a picture")
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass
class Catalogue:
    """All classes and pictures found at `where`; `Record.cls` counts in `ids`, `names` and `groups`.

    `ids` are folder names or class numbers, `names` are for people, `groups` holds a name per class ("" = not known),
    `notes` are lines on what was taken for what and on what was left out, `held` tells that there is a validation set.
    """

    where: str
    ids: list[str]
    names: list[str]
    groups: list[str]
    train: list[Record] = field(default_factory=list)
    val: list[Record] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    held: bool = False


def read_ordinary(path: str, limit: int) -> bytes:
    """A whole file of at most `limit` bytes.

    Raises:
        OSError: a pipe or a device (which may never end), or too large.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError("no ordinary file")
    if found.st_size > limit:
        raise OSError(f"{found.st_size:,} bytes are more than the {limit:,} that are read")
    with open(path, "rb") as file:
        return file.read()
