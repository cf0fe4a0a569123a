"""Files written whole or not at all: every file that a command leaves goes through here.

A set of files that belong together is written beside its place first, synced, and renamed when all of it is there. What
had these names before stays until then, and comes back if the renaming fails. Sets of two processes do not mix.
"""

import contextlib
import hashlib
import os
import shutil
import sys
import time
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

from models.errors import PhotograftError
from models.terminal import breakable, steers, unbroken

if sys.platform != "win32":
    import fcntl

Writer = Callable[[BinaryIO], Any]
"""Writes a file's content into a binary stream."""
PATIENCE = 60.0  # seconds that a process waits for another's files
_LONGEST = 255 - 32  # bytes: of a file system's names, less the longest ending and number that ours get
_LEAST = 64  # bytes of them that are the stem's where both are too long
_STALE = 600.0  # seconds
_URI = "file://"
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}


# ---------------------------------------------------------------------- names


def file_name(stem: str, *words: str) -> str:
    """One component of a path, without its ending, from text that may come from anywhere: `STEM_WORD_WORD`.

    Separators, control characters, bytes that are not UTF-8 and what other systems reserve become hyphens; of words
    all but letters, digits, dots and underscores. It does not begin with a dot. Where it is too long for a file system,
    the stem is cut and ends in a hash of itself; words stay whole as long as 64 bytes are left for the stem.
    """
    head = _hyphened(stem, lambda c: not steers(c) and c not in '<>:"/\\|?*').lstrip(". ")
    tail = "".join(f"_{_hyphened(word, lambda c: c.isalnum() or c in '._-' or _is_mark(c))}" for word in words)
    tail = _cut(tail, max(_LONGEST - _LEAST, _LONGEST - len(head.encode())))
    name = (_cut(head, _LONGEST - len(tail.encode())) or "unnamed") + tail
    return f"_{name}" if name.split(".")[0].upper() in _RESERVED else name


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _hyphened(text: str, allowed: Callable[[str], bool]) -> str:
    """Runs of what is not allowed become a hyphen."""
    out: list[str] = []
    last = True
    for character in text:
        fits = allowed(character)
        if fits or last:
            out.append(character if fits else "-")
        last = fits
    return "".join(out)


def _cut(text: str, room: int) -> str:
    """At most so many bytes, of which the last ones tell cut texts apart."""
    content = text.encode()
    if len(content) <= room:
        return text
    return f"{content[: room - 9].decode(errors='ignore')}-{hashlib.sha256(content).hexdigest()[:8]}"


def path_text(path: Path) -> str:
    """An absolute path as text for a file; where its bytes are no UTF-8, which JSON cannot hold, as file://."""
    try:
        str(path).encode()
        return str(path)
    except UnicodeEncodeError:
        return path.as_uri()


def path_of(text: str) -> Path:
    """The path of `path_text`."""
    return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(_URI))) if text.startswith(_URI) else text)


# ---------------------------------------------------------------------- files


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
    if len(jobs) == 1:  # renaming one file needs no lock
        _write_all(jobs)
    elif jobs:
        write_chosen(next(iter(jobs)).parent, lambda: jobs)


def write_chosen(
    folder: Path, choose: Callable[[], Mapping[Path, Writer]], done: Callable[[], object] = lambda: None
) -> None:
    """As `write_files`, with jobs whose names are chosen while no other process writes a set into this folder.

    Args:
        folder: of all the files.
        choose: gives the jobs.
        done: is called when they are there; no signal that ends the command comes between.

    Raises:
        PhotograftError: as `write_files` does, or another process does not let go of the folder for a minute.
    """
    with _telling(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        _write_all(choose(), done)


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A path to write a file to, which takes the place of `path` when the block ends, and is gone if it fails.

    Raises:
        PhotograftError: the file system refuses.
    """
    temporary = _beside(path)
    with unbroken():
        try:
            with breakable(), _telling(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary.touch()  # not every library says that a folder is not writable
                temporary.unlink()
                yield temporary
            with _telling(path):
                os.replace(temporary, path)
        finally:
            _remove(temporary)


def _write_all(jobs: Mapping[Path, Writer], done: Callable[[], object] = lambda: None) -> None:
    """A signal ends the writing at once, but neither the renaming nor what takes half a set away again."""
    fresh = {path: _beside(path) for path in jobs}
    earlier: dict[Path, Path] = {}
    with unbroken():
        try:
            with breakable():
                _write_beside(jobs, fresh, earlier)
            _place(fresh, earlier)
            done()
        finally:
            _remove(*fresh.values(), *earlier.values())


def _write_beside(jobs: Mapping[Path, Writer], fresh: Mapping[Path, Path], earlier: dict[Path, Path]) -> None:
    """Write all files, and keep those whose names they will take."""
    for path, writer in jobs.items():
        with _telling(path):
            _write(fresh[path], path, writer)
    for path in jobs if len(jobs) > 1 else ():
        with _telling(path):
            if os.path.lexists(path):
                earlier[path] = _beside(path)
                _copy(path, earlier[path])


def _place(fresh: Mapping[Path, Path], earlier: Mapping[Path, Path]) -> None:
    """Rename all files, or none."""
    placed: list[Path] = []
    try:
        for path, temporary in fresh.items():
            with _telling(path):
                placed.append(path)  # before it is: where signals are not held, one may come between
                os.replace(temporary, path)
    except BaseException:
        for path in placed:
            with contextlib.suppress(OSError):
                if path in earlier:
                    os.replace(earlier[path], path)
                elif not fresh[path].exists():
                    path.unlink()
        raise


def _remove(*temporaries: Path) -> None:
    for temporary in temporaries:
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
        os.link(path, to, follow_symlinks=False)
    except (OSError, NotImplementedError):  # no hard links on this file system
        shutil.copy2(path, to, follow_symlinks=False)


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file, synced; the half line of a process that was killed is ended first.

    Raises:
        PhotograftError: the file system refuses.
    """
    with unbroken(), _telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(end - 1, 0))
            torn = stream.read(1) not in (b"", b"\n")
            stream.write((b"\n" if torn else b"") + line.encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())


def remove_half(folder: Path) -> None:
    """Take away the half files of sets that killed processes were writing, while no other process writes one."""
    if folder.is_dir():
        with _alone_in(folder):
            _remove(*folder.glob(".photograft-*.tmp"))


def remove_stale(folder: Path) -> None:
    """Take away the half files of commands that were killed: those that nobody has written to for ten minutes."""
    for path in folder.glob(".photograft-*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE:
                path.unlink()


def _beside(path: Path) -> Path:
    return path.with_name(f".photograft-{uuid.uuid4().hex}.tmp")


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """No other process is in such a block for this folder; where the file system has no locks nothing is waited for."""
    if sys.platform == "win32" or not os.access(folder, os.R_OK):
        yield
        return
    with _telling(folder):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        latest = time.monotonic() + PATIENCE
        while not _locked(descriptor):
            if time.monotonic() > latest:
                raise PhotograftError(f"{folder}: another process is writing there: try again, or choose another --out")
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)  # and with it the lock


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks here
        pass
    return True


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise PhotograftError(f"{path}: cannot be written ({reason}): choose a writable folder with space") from error


def text(content: str) -> Writer:
    """Writes UTF-8 text; what is no character becomes an escape."""
    return lambda stream: stream.write(content.encode(errors="backslashreplace"))
