"""Contact sheets of a run: fifty photos each, beside what they became, as they lie on the disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infer.editor.results import ResultFolder
from infer.folders.items import Item
from infer.photo.photo import Pixels
from infer.photo.read import read_photo
from infer.pictures.convert import png
from infer.pictures.sheet import sheet, tile
from models.errors import PhotograftError

SHEET = 50  # photos
_SIDE = 128  # px, of a tile


@dataclass(frozen=True)
class SheetRow:
    """A photo on a sheet; without files it has no row, but its number."""

    item: Item
    files: tuple[Path, ...]


def sheet_row(item: Item, out: Path, files: Sequence[str]) -> SheetRow:
    """The pictures among a photo's results: those that a recipe beside them is of."""
    stems = {Path(name).with_suffix("") for name in files if name.endswith(".json")}
    results = [name for name in files if Path(name).with_suffix("") in stems and not name.endswith(".json")]
    return SheetRow(item, tuple(out / name for name in results))


def write_sheet(out: Path, rows: Sequence[SheetRow], *, number: int) -> Path | None:
    """Write contact_sheet_NNN.png; None if there is nothing to show.

    Raises:
        PhotograftError: it cannot be written.
    """
    name = f"contact_sheet_{number:03d}"
    drawn = [(row.item.name.as_posix(), tiles) for row in rows if row.files and (tiles := _tiles(row))]
    if not drawn:
        return None
    picture = png(sheet([tiles for _, tiles in drawn], (), [name for name, _ in drawn], size=_SIDE))
    return ResultFolder(out).write(name, lambda free: {f"{free}.png": picture})[0]


def _tiles(row: SheetRow) -> list[Pixels]:
    try:
        return [tile(read_photo(path).pixels, _SIDE) for path in (row.item.path, *row.files)]
    except PhotograftError:  # somebody has changed it meanwhile
        return []
