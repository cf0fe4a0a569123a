"""Contact sheets of a run: fifty photos each, beside what they became, as they lie on the disk."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch

from infer.editor.results import ResultFolder
from infer.folders.items import Item
from infer.photo.photo import Pixels
from infer.photo.read import read_photo
from infer.pictures.convert import png
from infer.pictures.sheet import sheet, tile
from models.errors import PhotograftError
from models.progress import counted
from models.writing import Writer

SHEET = 50  # photos
_SIDE = 128  # px, of a tile

T = TypeVar("T")


def write_sheets(out: Path, items: Sequence[Item], files: Mapping[str, Iterable[str]]) -> list[Path]:
    """Write contact_sheet_NNN.png for every fifty photos; those without results have no row, but their number.

    Args:
        out: the run's folder.
        items: its photos.
        files: their results, by the photos' names.

    Raises:
        PhotograftError: one cannot be written.
    """
    rows = [(item.name.as_posix(), item.path, _results(out, files.get(item.name.as_posix(), ()))) for item in items]
    written = []
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        tiles = counted(pool.map(_tiles, rows), "contact sheets", len(rows), unit="photos")
        for number, part in enumerate(_parts(zip(rows, tiles, strict=True)), 1):
            drawn = [(name, row) for (name, _, _), row in part if row]
            if drawn:
                picture = png(sheet([row for _, row in drawn], (), [name for name, _ in drawn], size=_SIDE))
                name = f"contact_sheet_{number:03d}"
                written += ResultFolder(out).write(name, partial(_file, picture))
    return written


def _file(picture: Writer, name: str) -> dict[str, Writer]:
    return {f"{name}.png": picture}


def _parts(rows: Iterator[T]) -> Iterator[list[T]]:
    return iter(lambda: list(islice(rows, SHEET)), [])


def _results(out: Path, files: Iterable[str]) -> list[Path]:
    """The pictures among a photo's results: those that a recipe beside them is of."""
    stems = {Path(name).with_suffix("") for name in files if name.endswith(".json")}
    return [out / name for name in files if Path(name).with_suffix("") in stems and not name.endswith(".json")]


def _tiles(row: tuple[str, Path, list[Path]]) -> list[Pixels]:
    _, photo, results = row
    try:
        return [tile(read_photo(path).pixels, _SIDE) for path in (photo, *results)] if results else []
    except PhotograftError:  # somebody has changed it meanwhile
        return []
