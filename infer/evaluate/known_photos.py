"""Whole photos to measure on, with what is known of them: where the heads are, which breed and species."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.labels import parse_json
from data.records import read_ordinary
from data.report import printable
from data.scenes import Scene, read_scenes
from infer.evaluate.edit_measures import Head
from infer.photo.photo import Photo
from infer.photo.read import read_photo
from models.errors import PhotograftError

BOXES = "boxes.jsonl"
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif"))
_LARGEST = 2**26  # bytes of a list of boxes


@dataclass(frozen=True)
class KnownPhoto:
    """A photo and what is known of it.

    Attributes:
        name: of the file, or the sample.
        source: the file, or a scene that is in memory already.
        heads: their boxes in photo pixels; None: not known; empty: there is none.
        breed, species: None where not known.
    """

    name: str
    source: Path | Scene
    heads: tuple[Head, ...] | None = None
    breed: str | None = None
    species: str | None = None

    def read(self) -> Photo:
        """The photo. Raises PhotograftError for an unreadable one."""
        if isinstance(self.source, Path):
            return read_photo(self.source)
        return Photo(None, np.ascontiguousarray(self.source.pixels), "PNG")


def known_photos(folder: Path) -> list[KnownPhoto]:
    """All photos of a folder in the order of their names.

    The folder holds photos with a `boxes.jsonl`, one object a line: `photo`, `box` ([x, y, width, height] of a head in
    pixels; a photo with several heads has several lines) and if they are known `breed` and `species`; or shards of
    scenes `*val*.tar` (see `data.scenes`); or photos of which nothing is known.

    Raises:
        PhotograftError: no folder, nothing in it, a broken list, or a photo that is missing.
    """
    if not folder.is_dir():
        raise PhotograftError(f"{folder} is no folder: give one with photos")
    if (folder / BOXES).is_file():
        return _listed(folder)
    if any(folder.glob("*val*.tar")):
        return [_of_scene(scene) for scene in read_scenes(folder, "val")]
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not photos:
        raise PhotograftError(f"{folder} has neither photos nor shards of scenes (*val*.tar): give another folder")
    return [KnownPhoto(path.name, path) for path in photos]


def _listed(folder: Path) -> list[KnownPhoto]:
    try:
        text = read_ordinary(str(folder / BOXES), _LARGEST).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PhotograftError(f"{folder / BOXES} cannot be read: {error}") from error
    found: dict[str, KnownPhoto] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        one = _of_line(folder, line, f"{folder / BOXES}, line {number}")
        before = found.get(one.name)
        heads = (*(before.heads or ()), *(one.heads or ())) if before else one.heads
        found[one.name] = KnownPhoto(one.name, one.source, heads, one.breed, one.species)
    if not found:
        raise PhotograftError(f"{folder / BOXES} is empty: write a line for each photo")
    return [found[name] for name in sorted(found)]


def _of_line(folder: Path, line: str, where: str) -> KnownPhoto:
    try:
        facts = parse_json(line.encode())
    except ValueError as error:
        raise PhotograftError(f"{where}: no JSON ({printable(str(error))})") from error
    name, box = (facts.get("photo"), facts.get("box")) if isinstance(facts, dict) else (None, None)
    if not isinstance(name, str) or Path(name).name != name:
        raise PhotograftError(f"{where}: give the name of a photo in the folder as `photo`")
    head = _head(box)
    if head is None:
        raise PhotograftError(f"{where}: `box` must be four numbers x, y, width, height, the last two above 0")
    path = folder / name
    if not path.is_file():
        raise PhotograftError(f"{where}: {printable(name)} is not in the folder")
    breed, species = (facts.get(key) if isinstance(facts.get(key), str) else None for key in ("breed", "species"))
    return KnownPhoto(name, path, (head,), breed, species)


def _head(box: Any) -> Head | None:
    if not isinstance(box, list) or len(box) != 4 or not all(type(value) in (int, float) for value in box):
        return None
    x, y, w, h = map(float, box)
    return (x, y, w, h) if np.isfinite([x, y, w, h]).all() and min(w, h) > 0 else None


def _of_scene(scene: Scene) -> KnownPhoto:
    height, width = scene.pixels.shape[:2]
    boxes = (scene.boxes * [width, height, width, height]).tolist()
    heads = tuple((x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes)
    return KnownPhoto(scene.name, scene, heads, None, scene.species)
