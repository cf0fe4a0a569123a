"""From a place to training and validation pictures, with the chosen classes counted 0..K-1."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from data.catalogue import open_catalogue
from data.classes import ClassChoice, choose_classes
from data.corrupt import check_max_corrupt
from data.names import renamed
from data.pictures import LabelledPictures
from data.records import Catalogue, Record
from data.report import class_table, printable, say_to_stderr
from data.values import ValueRange, check_range, is_number
from models.errors import PhotograftError
from models.progress import phase
from models.terminal import Say


def open_pictures(
    root: str | Path,
    *,
    split: Literal["train", "val"] = "train",
    classes: ClassChoice | None = None,
    min_images: int = 0,
    val_root: str | Path | None = None,
    val_fraction: float = 0.05,
    picture: str | None = None,
    labels: str | None = None,
    value_range: ValueRange | None = None,
    max_corrupt: float | None = None,
    names: str | None = None,
    say: Say = say_to_stderr,
) -> LabelledPictures:
    """One split of the pictures at `root`; see `open_splits` for the arguments and errors."""
    train, val = open_splits(
        root,
        classes=classes,
        min_images=min_images,
        val_root=val_root,
        val_fraction=val_fraction,
        picture=picture,
        labels=labels,
        value_range=value_range,
        max_corrupt=max_corrupt,
        names=names,
        say=say,
    )
    return train if split == "train" else val


def open_splits(
    root: str | Path,
    *,
    classes: ClassChoice | None = None,
    min_images: int = 0,
    val_root: str | Path | None = None,
    val_fraction: float = 0.05,
    picture: str | None = None,
    labels: str | None = None,
    value_range: ValueRange | None = None,
    max_corrupt: float | None = None,
    names: str | None = None,
    say: Say = say_to_stderr,
) -> tuple[LabelledPictures, LabelledPictures]:
    """Training and validation pictures with the same classes and labels; the validation set may be empty.

    Args:
        root: folder or shards, see `open_catalogue`.
        classes: names, WordNet ids, groups or positions such as "position:151-293"; None for all. See
            `choose_classes`.
        min_images: drop classes with fewer training pictures.
        val_root, val_fraction, picture, labels: see `open_catalogue`.
        value_range: the values of black and white in pictures of more than 8 bits, see `decode_picture`.
        max_corrupt: how many pictures, and how many shards, may be damaged before it is an error: a share below 1 (of
            pictures at least ten), a count from 1 on, 0 for none. None: any number of pictures, but no shard.
        names: a file with a line FOLDER,NAME for classes, see `data.names.read_names`.
        say: is told, line by line, what was taken for what, what is left out, and which classes were chosen.

    Raises:
        PhotograftError: nothing there, unknown class, a chosen class without pictures, or no class left; more damaged
            shards than `max_corrupt`, or a file of names that cannot be used.
    """
    if not is_number(val_fraction) or not 0.0 <= val_fraction < 1.0:
        raise PhotograftError(f"val_fraction is {val_fraction!r:.60}: give a number from 0 up to (not including) 1")
    if not is_number(min_images):
        raise PhotograftError(f"min_images is {min_images!r:.60}: give a whole number")
    black_and_white, limit = check_range(value_range), check_max_corrupt(max_corrupt)
    with phase("reading classes"):
        catalogue = open_catalogue(
            root, val_root=val_root, val_fraction=val_fraction, picture=picture, labels=labels, max_corrupt=limit
        )
    if names is not None:
        catalogue.names, note = renamed(catalogue.ids, catalogue.names, names)
        catalogue.notes.append(note)
    chosen = choose_classes(
        classes, ids=catalogue.ids, names=catalogue.names, groups=catalogue.groups, where=catalogue.where
    )
    kept, few = _large_enough(catalogue, chosen, str(root), min_images, strict=classes is not None)
    train, val = (
        _select(catalogue, records, kept, black_and_white, limit) for records in (catalogue.train, catalogue.val)
    )
    for line in [*catalogue.notes, *few, *_one_class(catalogue, classes)]:
        say(line)
    sizes = f"training pictures: {len(train):,}, validation pictures: {len(val):,}"
    say(f"{printable(catalogue.where)}: classes: {len(kept):,}, {sizes}")
    for line in class_table(train.class_names, train.counts.tolist(), val.counts.tolist()):
        say(line)
    return train, val


def _large_enough(
    catalogue: Catalogue, chosen: Sequence[int], root: str, min_images: int, *, strict: bool
) -> tuple[list[int], list[str]]:
    """The chosen classes that have pictures enough, and a line on the others.

    Args:
        catalogue: of all classes.
        chosen: their positions.
        root: for messages.
        min_images: training pictures that a class needs.
        strict: they were chosen by name, and one without pictures is an error.
    """
    counts = np.bincount([record.cls for record in catalogue.train], minlength=len(catalogue.ids))
    empty = [catalogue.names[k] for k in chosen if counts[k] == 0]
    if strict and empty and min_images < 1:
        raise PhotograftError(
            f"no training pictures of {printable(empty[0])!r} in {printable(root)}: add some, or leave the class out"
        )
    kept = [k for k in chosen if counts[k] >= max(1, min_images)]
    if not kept:
        raise PhotograftError(
            f"no class in {root} has {min_images} training pictures (the largest has {counts[chosen].max()}): "
            "lower min_images"
        )
    few = [k for k in chosen if 0 < counts[k] < min_images]
    left = f"left out, classes with fewer pictures than {min_images} (min_images): {len(few):,}, first: "
    return kept, [left + printable(catalogue.names[few[0]])] if few else []


def _one_class(catalogue: Catalogue, classes: ClassChoice | None) -> list[str]:
    """A line where all that is there is one class, which nobody has chosen: root may be one folder too deep."""
    if len(catalogue.ids) != 1 or classes is not None or not os.path.isdir(catalogue.where):
        return []
    name, top = printable(catalogue.names[0]), os.path.realpath(catalogue.where)
    folder = os.path.realpath(catalogue.train[0].path)
    if folder == top:  # the pictures lie directly in it
        above = printable(os.path.dirname(top))
        return [f"one class only, {name}: if this is one class's own folder, give the folder above as root, {above}"]
    beside = printable(os.path.dirname(folder))
    return [f"one class only, {name}: there is nothing to change it into; other classes would be folders in {beside}"]


def _select(
    catalogue: Catalogue,
    records: Sequence[Record],
    kept: Sequence[int],
    value_range: ValueRange | None,
    max_corrupt: float | None,
) -> LabelledPictures:
    label_of = {number: label for label, number in enumerate(kept)}
    chosen = [record for record in records if record.cls in label_of]
    names = [catalogue.groups[number] or "all" for number in kept]
    group_names = list(dict.fromkeys(names))
    return LabelledPictures(
        chosen,
        np.array([label_of[record.cls] for record in chosen], dtype=np.int64),
        class_names=[catalogue.names[number] for number in kept],
        groups=[group_names.index(name) for name in names],
        group_names=group_names,
        value_range=value_range,
        max_corrupt=max_corrupt,
        class_ids=[catalogue.ids[number] for number in kept],
    )
