"""Names that a file gives to classes: `--data.names FILE`, a table of two columns, FOLDER,NAME."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Sequence

from data.records import read_ordinary
from data.report import printable
from models.errors import PhotograftError

MAX_FILE = 2**24  # bytes


def read_names(path: str) -> dict[str, str]:
    """Folder -> name, from a CSV file in UTF-8: `n02123045,tabby` or `"a, b",both` on every line.

    Empty lines, and lines that begin with #, are left out. For shards the first column is the class's number.

    Raises:
        PhotograftError: a file that cannot be read, a line that is not of this form, or a folder or name twice.
    """
    shown = printable(path)
    try:
        text = read_ordinary(os.path.expanduser(path), MAX_FILE).decode("utf-8-sig")
    except OSError as error:
        raise PhotograftError(f"{shown} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PhotograftError(f"{shown} is no text in UTF-8: write a line FOLDER,NAME for every class") from error
    found: dict[str, str] = {}
    names: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        folder, name = _cells(line, f"{shown}, line {number}")
        if folder in found:
            raise PhotograftError(f"{shown}, line {number}: folder {printable(folder)} is named twice")
        if name in names:
            raise PhotograftError(
                f"{shown}, line {number}: {printable(name)!r} is the name of line {names[name]}'s folder already"
            )
        found[folder] = name
        names[name] = number
    if not found:
        raise PhotograftError(f"{shown} names no class: write a line FOLDER,NAME for every class")
    return found


def _cells(line: str, where: str) -> tuple[str, str]:
    try:
        cells = [
            cell.strip() for cell in next(csv.reader(io.StringIO(line.strip()), strict=True, skipinitialspace=True))
        ]
    except (csv.Error, StopIteration):
        cells = []
    if len(cells) != 2 or not all(cells):
        hint = ", with quotes around what holds a comma" if len(cells) > 2 else ""
        raise PhotograftError(f"{where} is {printable(line.strip(), 60)!r}: expected FOLDER,NAME{hint}")
    return cells[0], cells[1]


def renamed(ids: Sequence[str], names: Sequence[str], path: str) -> tuple[list[str], str]:
    """The classes' names with those of a file, and a line on what it named.

    Args:
        ids: a folder's name, or a class's number, per class.
        names: the names so far.
        path: see `read_names`.

    Raises:
        PhotograftError: see `read_names`; or no such class at all, or two classes of one name.
    """
    given = read_names(path)
    if not set(given) & set(ids):
        raise PhotograftError(
            f"{printable(path)} names {printable(next(iter(given)))} and others, none of which is a class here (such as"
            f" {printable(ids[0])}): its first column holds the folders' names"
        )
    found = [given.get(id_, name) for id_, name in zip(ids, names, strict=True)]
    twice = [name for name, count in Counter(found).items() if count > 1]
    if twice:
        folders = [printable(id_) for id_, name in zip(ids, found, strict=True) if name == twice[0]]
        raise PhotograftError(
            f"{printable(path)}: {printable(twice[0])!r} would be the name of {' and '.join(folders[:3])}: choose"
            " another"
        )
    unknown = [folder for folder in given if folder not in set(ids)]
    left = f"; it names {len(unknown):,} that are not there, first: {printable(unknown[0])}" if unknown else ""
    return found, f"{printable(path)} names {len(given) - len(unknown):,} of {len(ids):,} classes{left}"
