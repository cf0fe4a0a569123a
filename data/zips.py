"""Zips as StyleGAN's tools write them: stored pictures and a `dataset.json` with their labels, read by offset."""

from __future__ import annotations

import os
import posixpath
import stat
import struct
import zipfile
import zlib
from collections import Counter
from typing import BinaryIO

from data.folders import PICTURES, UNREAD, is_hidden
from data.labels import MAX_FILE, parse_dataset_json, parse_json
from data.records import Record
from data.report import Tally, printable
from models.errors import PhotograftError

_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, struct.error, MemoryError)
_HEADER = struct.Struct("<4s22xHH")  # a file's own header: mark, ..., lengths of its name and of the extra field


def read_zip(path: str, labels: str, tally: Tally) -> list[tuple[Record, int]]:
    """The pictures that the file `labels` of a zip lists, each with its class's number.

    Args:
        path: the zip.
        labels: name of the list in it, "dataset.json".
        tally: learns what is left out.

    Raises:
        PhotograftError: not a whole zip, no such list, or pictures that are compressed or encrypted.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise PhotograftError(f"{printable(path)} is no ordinary file")
        with open(path, "rb") as raw, zipfile.ZipFile(raw) as archive:
            known = _labels(archive, path, labels)
            repeated = [name for name, count in Counter(archive.namelist()).items() if count > 1]
            if repeated:
                raise PhotograftError(
                    f"{printable(path)} has {printable(repeated[0])} twice: give every picture a name of its own"
                )
            infos = [info for info in archive.infolist() if not info.is_dir() and info.filename != labels]
            found = [_record(raw, path, info) for info in infos if _is_picture(info.filename, tally)]
    except _BROKEN as error:
        raise PhotograftError(f"{printable(path)} cannot be read as a zip: {printable(str(error))}") from error
    pairs: list[tuple[Record, int]] = []
    for record in found:
        number = known.pop(record.name, None)
        if number is None:
            tally.add(f"pictures that {labels} does not list", record.name)
        else:
            pairs.append((record, number))
    for name in known:
        tally.add(f"pictures that {labels} lists and that are not there", name)
    return pairs


def _labels(archive: zipfile.ZipFile, path: str, labels: str) -> dict[str, int]:
    where = f"{printable(path)}/{printable(labels)}"
    if labels not in archive.namelist():
        raise PhotograftError(f"{where} is not there: unpack the zip for class folders, or name its list of labels")
    with archive.open(labels) as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise PhotograftError(f"{where} has more than the {MAX_FILE:,} bytes that are read")
    return parse_dataset_json(parse_json(data), where)


def _is_picture(name: str, tally: Tally) -> bool:
    suffix = posixpath.splitext(name)[1].lower()
    if any(is_hidden(part) for part in name.split("/")):
        tally.add("hidden or system files and folders", name)
    elif suffix in UNREAD:
        tally.add("pictures in formats that are not read: convert them", name, kind=suffix)
    elif suffix not in PICTURES:
        tally.add("files that are no pictures", name, kind=suffix or "without suffix")
    return suffix in PICTURES and not any(is_hidden(part) for part in name.split("/"))


def _record(raw: BinaryIO, path: str, info: zipfile.ZipInfo) -> Record:
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
        raise PhotograftError(
            f"{printable(path)}: {printable(info.filename)} is compressed or encrypted and cannot be reached by itself:"
            " unpack the zip"
        )
    raw.seek(info.header_offset)
    mark, name_length, extra_length = _HEADER.unpack(raw.read(_HEADER.size))
    offset = info.header_offset + _HEADER.size + name_length + extra_length
    if mark != b"PK\x03\x04" or offset + info.file_size > os.fstat(raw.fileno()).st_size:
        raise zipfile.BadZipFile(f"{info.filename} is damaged")
    return Record(path, info.filename, 0, offset, info.file_size)
