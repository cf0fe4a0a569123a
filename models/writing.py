"""Files written whole or not at all: every file that a command leaves goes through here.

A set of files that belong together is written beside its place first, synced, and renamed when all of it is there. What
had these names before stays until then, and comes back if the renaming fails.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from models.errors import PhotograftError

Writer = Callable[[BinaryIO], Any]
"""Writes a file's content into a binary stream."""


def write_file(path: str | Path, writer: Writer) -> None:
    """One file, whole or not at all; see `write_files`."""
    write_files({Path(path): writer})


def write_files(jobs: Mapping[Path, Writer]) -> None:
    """Write all files or none of them; missing folders are made.

    Args:
        jobs: what each path's file shall hold. An earlier file of that name is replaced when everything is written.

    Raises:
        PhotograftError: the file system refuses (no space, no permission, a folder of that name). Earlier files are
            as they were then, and no temporary file is left. So it is for whatever else a writer raises.
    """
    fresh = {path: _beside(path) for path in jobs}
    earlier: dict[Path, Path] = {}
    placed: list[Path] = []
    try:
        for path, writer in jobs.items():
            with _telling(path):
                _write(fresh[path], path, writer)
        for path in jobs if len(jobs) > 1 else ():
            with _telling(path):
                if path.exists():
                    earlier[path] = _beside(path)
                    _copy(path, earlier[path])
        for path in jobs:
            with _telling(path):
                os.replace(fresh[path], path)
                placed.append(path)
    except BaseException:
        for path in placed:
            with contextlib.suppress(OSError):
                if path in earlier:
                    os.replace(earlier[path], path)
                else:
                    path.unlink()
        raise
    finally:
        for temporary in (*fresh.values(), *earlier.values()):
            with contextlib.suppress(OSError):  # a parent that is no folder: the first error says so
                temporary.unlink(missing_ok=True)


def _write(temporary: Path, path: Path, writer: Writer) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise PhotograftError(f"{path}: cannot be written, a folder has this name: rename it or choose another name")
    with temporary.open("xb") as stream:
        writer(stream)
        stream.flush()
        os.fsync(stream.fileno())


def _copy(path: Path, to: Path) -> None:
    try:
        os.link(path, to)
    except OSError:  # no hard links on this file system
        shutil.copy2(path, to)


def _beside(path: Path) -> Path:
    return path.with_name(f".photograft-{uuid.uuid4().hex}.tmp")


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise PhotograftError(f"{path}: cannot be written ({reason}): choose a writable folder with space") from error
