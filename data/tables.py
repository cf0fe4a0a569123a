"""Tables of two columns that people write for a data set: CSV in UTF-8, as `n02123045,tabby` or `"a, b",both`."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from typing import NamedTuple

from data.records import read_ordinary
from data.report import printable
from models.errors import PhotograftError

MAX_FILE = 2**26  # bytes


class Pair(NamedTuple):
    """A line: its number from 1 on, where that is in words, and its two cells."""

    number: int
    where: str
    first: str
    second: str


def read_pairs(path: str, form: str, per: str) -> Iterator[Pair]:
    """The lines of a table. Empty ones, and those that begin with #, are left out.

    Args:
        path: of the file; a ~ is one's own folder.
        form: what lines look like, such as "FOLDER,NAME".
        per: what each is written for, such as "every class".

    Raises:
        PhotograftError: a file that cannot be read, a line that is not of this form, or none at all.
    """
    shown, empty = printable(path), True
    try:
        text = read_ordinary(os.path.expanduser(path), MAX_FILE).decode("utf-8-sig")
    except OSError as error:
        raise PhotograftError(f"{shown} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PhotograftError(f"{shown} is no text in UTF-8: write a line {form} for {per}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            empty, where = False, f"{shown}, line {number}"
            yield Pair(number, where, *_cells(line, where, form))
    if empty:
        raise PhotograftError(f"{shown} holds no line: write {form} for {per}")


def _cells(line: str, where: str, form: str) -> tuple[str, str]:
    try:
        cells = [
            cell.strip() for cell in next(csv.reader(io.StringIO(line.strip()), strict=True, skipinitialspace=True))
        ]
    except (csv.Error, StopIteration):
        cells = []
    if len(cells) != 2 or not all(cells):
        hint = ", with quotes around what holds a comma" if len(cells) > 2 else ""
        raise PhotograftError(f"{where} is {printable(line.strip(), 60)!r}: expected {form}{hint}")
    return cells[0], cells[1]
