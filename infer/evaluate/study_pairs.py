"""The pairs of a human study: two pictures each, what made them, and what is asked. Lists as CSV or as JSON lines."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infer.evaluate.report_files import csv_table
from infer.photo.read import read_photo
from infer.progress import Progress, untold
from models.errors import PhotograftError
from models.layers.resampling import resize_pixels
from models.reading import read_text
from models.schema import PathText, Schema, Text, check, parse_json

MORE_REAL = "Which picture is more real?"
WHICH_PHOTO = "Which picture is the photo?"
PHOTO = "photo"  # a rival that is one
SHOWN = 768  # px, the longer side of a picture on the page
_MOST = 100_000  # pairs

Picture = NDArray[np.uint8]


class _Row(Schema):
    """A line of a list; what is missing is the default."""

    first: PathText
    second: PathText
    method: Text = "first"
    rival: Text = "second"
    source: Text = ""
    target: Text = ""
    question: Text = ""


@dataclass(frozen=True)
class Pair:
    """Two pictures and what is asked about them.

    Attributes:
        first, second: the pictures; rates say how often the first was chosen.
        method, rival: what made the first and the second.
        source, target: the photo's class and the edit's, or "".
        question: that is asked.
    """

    first: Path
    second: Path
    method: str = "first"
    rival: str = "second"
    source: str = ""
    target: str = ""
    question: str = MORE_REAL


COLUMNS = tuple(field.name for field in fields(Pair))


def read_pairs(path: Path, question: str = MORE_REAL) -> list[Pair]:
    """A list of pairs: CSV with a header, or JSON lines (`.jsonl`), with the columns of `Pair`.

    Only `first` and `second` are needed; paths are relative to the list's folder.

    Args:
        path: of the list.
        question: of rows that have none.

    Raises:
        PhotograftError: a list that is no such one or is empty, or pictures that are not there.
    """
    rows = _json_rows(path) if path.suffix.lower() == ".jsonl" else _csv_rows(path)
    if not 1 <= len(rows) <= _MOST:
        raise PhotograftError(f"{path} holds {len(rows):,} pairs: 1 to {_MOST:,} can be asked")
    pairs = []
    for row in rows:
        found = row.model_dump() | {"question": row.question or question}
        found |= {side: path.parent / found[side] for side in ("first", "second")}
        pairs.append(Pair(**found))
    missing = dict.fromkeys(p for pair in pairs for p in (pair.first, pair.second) if not p.is_file())
    if missing:
        first = next(iter(missing))
        raise PhotograftError(
            f"{path}: {len(missing)} of its pictures not found, the first is {first}: check the paths"
        )
    return pairs


def _csv_rows(path: Path) -> list[_Row]:
    reader = csv.reader(io.StringIO(read_text(path, "list of pairs").removeprefix("\ufeff")), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise PhotograftError(f"{path}, line {reader.line_num}: no CSV ({error})") from error
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or len(set(header)) < len(header) or not {"first", "second"} <= set(header):
        wrong = f"{unknown[0]!r} is no column" if unknown else "`first` and `second` are needed, each column once"
        raise PhotograftError(f"{path}: {wrong}: the header names some of {', '.join(COLUMNS)}")
    found = []
    for number, row in rows:
        if len(row) != len(header):
            raise PhotograftError(f"{path}, line {number}: {len(row)} columns, and the header has {len(header)}")
        given = {name: cell for name, cell in zip(header, row, strict=True) if cell}
        found.append(check(_Row, given, f"{path}, line {number}"))
    return found


def _json_rows(path: Path) -> list[_Row]:
    lines = enumerate(read_text(path, "list of pairs").splitlines(), 1)
    return [parse_json(_Row, line, f"{path}, line {number}") for number, line in lines if line.strip()]


def pairs_csv(pairs: Iterable[Pair], folder: Path) -> str:
    """A list of pairs as CSV, with paths relative to the folder that it will lie in."""
    rows = [[str(value) for value in asdict(pair).values()] for pair in pairs]
    for row in rows:
        row[:2] = [Path(cell).relative_to(folder).as_posix() for cell in row[:2]]
    return csv_table([COLUMNS, *rows])


def digest(pairs: Sequence[Pair], *, decode: bool = False, progress: Progress = untold) -> str:
    """sha256 of what pairs say and show, wherever the files lie.

    Args:
        pairs: of a study.
        decode: see that every picture can be shown.
        progress: told of progress.

    Raises:
        PhotograftError: a picture that cannot be read, or a pair of the same picture twice.
    """
    pictures: dict[Path, str] = {}
    found = hashlib.sha256()
    for number, pair in enumerate(pairs):
        progress("reading pictures", number, len(pairs))
        for path in (pair.first, pair.second):
            if path not in pictures:
                pictures[path] = _picture_digest(path, decode)
        first, second = pictures[pair.first], pictures[pair.second]
        if first == second:
            raise PhotograftError(f"pair {number + 1}: {pair.first} and {pair.second} are the same picture")
        words = [pair.method, pair.rival, pair.source, pair.target, pair.question]
        found.update(json.dumps([first, second, *words]).encode())
    progress("reading pictures", len(pairs), len(pairs))
    return found.hexdigest()


def _picture_digest(path: Path, decode: bool) -> str:
    try:
        if decode:
            read_photo(path)
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise PhotograftError(f"{path}: cannot be read ({error.strerror or error})") from error


def shown(pair: Pair) -> tuple[Picture, Picture]:
    """Both pictures upright as they are shown, uint8 [H,W,3]: as large as each other, at most 768 px.

    So neither its size nor its sharpness on the screen tells which is which: the longer sides become those of the
    larger picture.

    Raises:
        PhotograftError: a picture that cannot be read.
    """
    first, second = (read_photo(path).pixels for path in (pair.first, pair.second))
    longest = min(SHOWN, max(*first.shape[:2], *second.shape[:2]))
    return _sized(first, longest), _sized(second, longest)


def at_most(pixels: Picture, longest: int) -> Picture:
    """A picture [H,W,3], made smaller where its longer side is above so many px."""
    return _sized(pixels, min(longest, max(pixels.shape[:2])))


def _sized(pixels: Picture, longest: int) -> Picture:
    scale = longest / max(pixels.shape[:2])
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return pixels if scale == 1 else np.ascontiguousarray(resize_pixels(pixels, height, width))
