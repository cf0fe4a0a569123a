"""Which photos a run edits, and what lies beside them for each: a mask, a box, targets."""

import csv
import glob
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from data.folders import PICTURES, is_hidden, scan
from data.report import Tally
from infer.editor.steps import ChangeClass, Step
from infer.photo.box import Box
from models.errors import PhotograftError
from models.reading import read_text
from models.schema import Count, Name, Share, Text, check, parse_json, short

Target = tuple[str, float | None]
"""A class, and its strength if it has one of its own."""


@dataclass(frozen=True)
class Item:
    """A photo of a run.

    Attributes:
        path: of the file.
        name: its path in the folder that was given, which results have too.
        groups: the edits it gets, each a list of steps.
        box: the square to edit; None: the head is found.
        error: why it cannot be edited.
    """

    path: Path
    name: PurePosixPath
    groups: tuple[tuple[Step, ...], ...] = ()
    box: Box | None = None
    error: str | None = None


def is_many(text: str | Path) -> bool:
    """Whether a name on the command line is of many photos: a folder, or a pattern that is no file."""
    return os.path.isdir(text) or (glob.has_magic(str(text)) and not os.path.lexists(text))


@dataclass(frozen=True)
class Beside:
    """What lies beside photos.

    Attributes:
        masks: a folder of painted masks, matched by path or name without the ending.
        invert: edit what masks leave out.
        boxes: JSON lines with a square for each photo, see `read_boxes`.
        targets: a CSV with classes for each photo, see `read_targets`.
    """

    masks: Path | None = None
    invert: bool = False
    boxes: Path | None = None
    targets: Path | None = None

    @property
    def lists(self) -> list[Path]:
        """The files."""
        return [path for path in (self.boxes, self.targets) if path is not None]


NOTHING = Beside()


def find_items(
    names: Iterable[str | Path], edits: Sequence[Sequence[Step]], out: Path, beside: Beside, limit: int | None = None
) -> list[Item]:
    """The photos of a run with their edits.

    Args:
        names: folders, patterns and files, see `find_photos`.
        edits: of all photos that have no targets of their own.
        out: for results.
        beside: what lies beside photos.
        limit: so many photos at most.

    Raises:
        PhotograftError: no photos, a list that does not fit them, or a `limit` below 1.
    """
    items = find_photos(names, out)
    targets = {} if beside.targets is None else read_targets(beside.targets, items)
    boxes = {} if beside.boxes is None else read_boxes(beside.boxes, items)
    items = with_targets(with_boxes(items, boxes), edits, targets)
    if beside.masks is not None:
        items = with_masks(items, beside.masks, invert=beside.invert)
    return items[: check(Count | None, limit, "limit")]


def find_photos(names: Iterable[str | Path], out: Path) -> list[Item]:
    """The photos of folders (with all below them), patterns (`**` is any folder) and files, each once, in order.

    Args:
        names: of the command line.
        out: a folder for results, whose pictures are left out.

    Raises:
        PhotograftError: a folder or pattern without photos, or two photos whose results would have one place.
    """
    found: dict[Path, Item] = {}
    for name in names:
        pairs = _found(str(name), out)
        if not pairs:
            raise PhotograftError(f"{name}: no photos are found there")
        for path, below in pairs:
            found.setdefault(path, Item(path, PurePosixPath(below)))
    taken: dict[PurePosixPath, Path] = {}
    for item in found.values():
        if (other := taken.setdefault(item.name, item.path)) != item.path:
            raise PhotograftError(f"{other} and {item.path} would have results of one name: edit them in two runs")
    return list(found.values())


def _found(text: str, out: Path) -> list[tuple[Path, str]]:
    """Paths, and the same below the folder or the fixed part of the pattern."""
    if os.path.isdir(text):
        inside = str(out) if out.is_dir() else None
        return [(Path(text, name), name) for name in scan(text, Tally(), without=inside).names()]
    if not is_many(text):
        return [(Path(text), Path(text).name)]
    parts = Path(text).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root, results = Path(*parts[:fixed]), out.resolve()
    paths = sorted(Path(path) for path in glob.glob(text, recursive=True) if os.path.isfile(path))
    return [
        (path, path.relative_to(root).as_posix())
        for path in paths
        if not is_hidden(path.name) and results not in path.resolve().parents and _is_picture(path)
    ]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES or path.suffix.lower() in (".heic", ".heif")


# ---------------------------------------------------------------------- what is beside them


def with_targets(
    items: Sequence[Item],
    groups: Sequence[Sequence[Step]],
    targets: Mapping[PurePosixPath, Sequence[Target]],
) -> list[Item]:
    """Each photo with its own targets (class, strength), else the groups of all.

    Raises:
        PhotograftError: own targets beside groups of several steps or of several classes.
    """
    like = groups[0][0] if groups else ChangeClass("-")
    if not isinstance(like, ChangeClass) or (targets and (len(groups) > 1 or any(len(group) > 1 for group in groups))):
        raise PhotograftError("--targets gives each photo its classes: leave --to out, or give one for all others")
    done: list[Item] = []
    for item in items:
        own: list[tuple[Step, ...]] = [
            (replace(like, to=to, strength=like.strength if strength is None else strength),)
            for to, strength in targets.get(item.name, ())
        ]
        chosen = tuple(own) or tuple(tuple(group) for group in groups)
        done.append(replace(item, groups=chosen, error=None if chosen else "no target is said for it"))
    return done


def with_masks(items: Sequence[Item], folder: Path, *, invert: bool = False) -> list[Item]:
    """Each photo with its mask: the file of its stem in the same folder below, else directly in `folder`.

    A photo without one, or with several, is not edited. Raises PhotograftError if there is no folder.
    """
    if not folder.is_dir():
        raise PhotograftError(f"{folder}: is no folder with masks")
    by_stem = defaultdict(list)
    for name in scan(str(folder), Tally()).names():
        by_stem[PurePosixPath(name).with_suffix("")].append(folder / name)
    done = []
    for item in items:
        stem = item.name.with_suffix("")
        masks = by_stem.get(stem) or by_stem.get(PurePosixPath(stem.name)) or []
        if len(masks) != 1:
            what = "no mask" if not masks else f"{len(masks)} masks"
            done.append(replace(item, error=item.error or f"{what} of its stem in {folder}"))
            continue
        groups = tuple(tuple(_masked(step, masks[0], invert) for step in group) for group in item.groups)
        done.append(replace(item, groups=groups))
    return done


def _masked(step: Step, mask: Path, invert: bool) -> Step:
    return replace(step, region=mask, invert=invert) if isinstance(step, ChangeClass) else step


def with_boxes(items: Sequence[Item], boxes: Mapping[PurePosixPath, Box]) -> list[Item]:
    """Each photo with the box that was said for it."""
    return [replace(item, box=boxes.get(item.name)) for item in items]


def read_boxes(path: Path, items: Sequence[Item]) -> dict[PurePosixPath, Box]:
    """Boxes of JSON lines such as `{"photo": "a/cat.jpg", "box": "120,30,160,160"}`; the name, or the stem, will do.

    Raises:
        PhotograftError: a line that is no such thing, or of no or several photos.
    """
    known, found = _by_name(items), dict[PurePosixPath, Box]()
    for number, line in enumerate(read_text(path, "list of boxes").splitlines(), 1):
        if line.strip():
            where = f"{path}, line {number}"
            said: dict[str, Any] = parse_json(dict[str, Text | list[int]], line, where)
            if set(said) != {"photo", "box"} or not isinstance(said["photo"], str):
                raise PhotograftError(f'{where}: write {{"photo": "NAME", "box": "X,Y,W,H"}}')
            box = said["box"]
            text = box if isinstance(box, str) else ",".join(map(str, box))
            found[_one(known, said["photo"], where).name] = Box.parse(text)
    return found


def read_targets(path: Path, items: Sequence[Item]) -> dict[PurePosixPath, list[Target]]:
    """Targets of a CSV with the columns photo, to and, if they like, strength; several rows are several edits.

    Raises:
        PhotograftError: other columns, a row that is no such thing, or of no or several photos.
    """
    known = _by_name(items)
    found: dict[PurePosixPath, list[Target]] = defaultdict(list)
    rows = csv.DictReader(io.StringIO(read_text(path, "table of targets").removeprefix("\ufeff")))
    columns = set(rows.fieldnames or ())
    if not {"photo", "to"} <= columns <= {"photo", "to", "strength"}:
        raise PhotograftError(f"{path}: its columns must be photo,to or photo,to,strength")
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        item, text = _one(known, row["photo"] or "", where), (row.get("strength") or "").strip()
        try:
            strength = float(text) if text else None
        except ValueError:
            raise PhotograftError(f"{where}: strength is {short(text)}: give a number in 0..1") from None
        check(Share | None, strength, f"{where}: strength")
        found[item.name].append((check(Name, (row["to"] or "").strip(), f"{where}: to"), strength))
    return dict(found)


def _by_name(items: Sequence[Item]) -> dict[str, list[Item]]:
    known: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        for name in {item.name.as_posix(), item.name.name, item.name.stem}:
            known[name].append(item)
    return known


def _one(known: Mapping[str, Sequence[Item]], name: str, where: str) -> Item:
    found = known.get(PurePosixPath(name.strip()).as_posix(), ())
    if len(found) != 1:
        what = "no photo is" if not found else f"{len(found)} photos are"
        raise PhotograftError(f"{where}: {what} called {short(name)}")
    return found[0]
