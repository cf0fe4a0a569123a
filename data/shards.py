"""Tar shards in webdataset's naming: the members `KEY.jpg`, `KEY.cls`, `KEY.json` are one sample.

A shard is indexed once with the standard library's `tarfile` and then read by offset, not streamed with webdataset: a
stream has no random access, and its shuffle buffer cannot be restored exactly. Names in a tar are keys and never become
paths.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from data.folders import PICTURES, UNREAD, is_hidden
from data.records import MAX_PICTURE
from data.report import Tally, printable
from models.errors import PhotograftError

_BROKEN = (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, MemoryError, RecursionError)
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz", b"BZh": "bzip2", b"PK\x03\x04": "zip"}


class DamagedShard(PhotograftError):
    """A tar that is truncated, or none: of many shards some may be left out."""


class Member(NamedTuple):
    """`size` bytes at `offset` of a tar, called `name` in it."""

    name: str
    offset: int
    size: int


Sample = dict[str, Member]
"""Suffix in small letters (".jpg", ".seg.png") -> member."""


def read_index(path: str, tally: Tally) -> dict[str, Sample]:
    """Key -> sample, in the tar's order. Links to earlier members are what they lead to.

    Args:
        path: an uncompressed tar.
        tally: learns which members belong to no sample.

    Raises:
        DamagedShard: not a tar, truncated or damaged.
        PhotograftError: no ordinary file, or a member twice.
    """
    samples: dict[str, Sample] = {}
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise PhotograftError(f"{printable(path)} is no ordinary file: a shard must be a .tar on disk")
        total = found.st_size
        with open(path, "rb") as raw, tarfile.open(fileobj=raw, mode="r:") as tar:
            for info in tar:
                tar.members = []  # type: ignore[attr-defined]  # or all of them would be kept
                if info.size < 0 or info.offset_data + info.size > total:
                    raise tarfile.ReadError(f"{printable(info.name, 40)} is said to have {info.size:,} bytes")
                _add(samples, info, path, tally)
            _check_end(raw, tar.offset, path, tally)
    except _BROKEN as error:
        raise DamagedShard(
            f"{printable(path)} is truncated or not an uncompressed tar ({_reason(path, error)}): fetch it again"
        ) from error
    return samples


def read_member(raw: BinaryIO, member: Member, limit: int = MAX_PICTURE) -> bytes:
    """A member's bytes.

    Raises:
        OSError: more than `limit`.
    """
    if member.size > limit:
        raise OSError(f"{printable(member.name)} has {member.size:,} bytes, more than the {limit:,} that are read")
    raw.seek(member.offset)
    return raw.read(member.size)


def _add(samples: dict[str, Sample], info: tarfile.TarInfo, path: str, tally: Tally) -> None:
    where = f"{os.path.basename(path)}/{info.name}"
    if info.isdir():
        return
    key, suffix = _split(info.name)
    if not key:
        tally.add("hidden or system members of shards", where)
        return
    if info.isreg() and not info.issparse():
        member = Member(info.name, info.offset_data, info.size)
    elif info.islnk() or info.issym():
        base = posixpath.dirname(info.name) if info.issym() else ""
        target_key, target_suffix = _split(posixpath.join(base, info.linkname))
        target = samples.get(target_key, {}).get(target_suffix)
        if target is None:
            tally.add("links in shards that lead nowhere", where)
            return
        member = target._replace(name=info.name)
    else:
        tally.add("members of shards that are no ordinary files", where)
        return
    sample = samples.setdefault(key, {})
    if suffix in sample:
        raise PhotograftError(
            f"{printable(path)} has {printable(info.name)!r} twice: give every sample a key of its own"
        )
    sample[suffix] = member


def _split(name: str) -> tuple[str, str]:
    """(key, suffix): a key ends at the first dot of the last part; no key for what is hidden."""
    name = posixpath.normpath(name)
    folder, base = posixpath.split(name)
    if any(is_hidden(part) and part != ".." for part in name.split("/")):
        return "", ""
    key, _, suffix = base.partition(".")
    return posixpath.join(folder, key), "." + suffix.lower()


def _check_end(raw: BinaryIO, offset: int, path: str, tally: Tally) -> None:
    """`tarfile` takes any block that it does not understand for the end."""
    raw.seek(offset)
    rest = raw.read(2**20)
    if not rest:
        tally.tell(f"{printable(path)} has no end mark: it may have been cut between two members")
    elif rest.strip(b"\0"):
        raise DamagedShard(
            f"{printable(path)} is truncated or damaged at byte {offset:,}, or holds several tars: fetch it again, or"
            " write one tar"
        )


def _reason(path: str, error: BaseException) -> str:
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError:
        head = b""
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")
    return f"it is {kind}" if kind else printable(str(error) or type(error).__name__)


def pictures_of(
    path: str, samples: dict[str, Sample], wanted: str | None, tally: Tally
) -> Iterator[tuple[str, Sample, Member]]:
    """The samples that have a picture, each with its key and its picture.

    Args:
        path: of the shard.
        samples: from `read_index`.
        wanted: which member is the picture, as a suffix ("jpg") or several in the order of choice ("jpg,png"); None
            for the only one that a sample has.
        tally: learns which samples have none.

    Raises:
        PhotograftError: a sample has several pictures and none is wanted.
    """
    order = [f".{suffix.strip().lower().lstrip('.')}" for suffix in (wanted or "").split(",") if suffix.strip()]
    for key, sample in samples.items():
        where = f"{os.path.basename(path)}/{key}"
        plain = [suffix for suffix in sample if suffix in PICTURES]
        found = plain or [suffix for suffix in sample if _last(suffix) in PICTURES]
        if order:
            found = [suffix for suffix in order if suffix in sample][:1]
        if len(found) > 1:
            listed = ", ".join(map(printable, found))
            raise PhotograftError(
                f"{printable(path)}: sample {printable(key)} has {len(found)} pictures ({listed}): say which to train"
                f" on, such as picture: {printable(found[0][1:])}"
            )
        for suffix in sample:
            if _last(suffix) in PICTURES and suffix not in found:
                tally.add("other pictures of samples", where, kind=suffix)
        if found:
            yield key, sample, sample[found[0]]
            continue
        unread = next((suffix for suffix in sample if _last(suffix) in UNREAD), "")
        reason = f"samples without a picture {wanted}" if order else "samples without a picture that can be read"
        tally.add(reason, where, kind=unread)


def _last(suffix: str) -> str:
    return "." + suffix.rpartition(".")[2]
