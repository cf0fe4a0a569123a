"""Labelled pictures with random access, from class folders or tar shards, with the chosen classes counted 0..K-1."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from data.catalogue import open_catalogue
from data.classes import ClassChoice, choose_classes
from data.records import Catalogue, Record
from data.report import class_table, printable, say_to_stderr
from data.transforms import UnreadablePicture, decode_picture, prepare_picture
from data.values import ValueRange, check_range, is_number
from models.errors import PhotograftError
from models.terminal import Say

__all__ = ["LabelledPictures", "Prepared", "open_pictures", "open_splits"]

NAMED = 10  # unreadable pictures that are named each
Prepared = tuple[NDArray[np.uint8], bool, int, tuple[int, ...]]


class LabelledPictures(torch.utils.data.Dataset[tuple[NDArray[np.uint8], int]]):
    """Map-style dataset: `pictures[i]` is (uint8 [H,W,3] RGB, label), at the picture's own size.

    A corrupt picture is replaced by the next readable one of its class (of any class when there is none), so the
    replacement is always the same. It is named once in a warning and kept in `corrupt`.

    Attributes:
        records: where each picture is.
        labels: int64 [N] in 0..K-1.
        class_names: K names.
        groups: a group number per class.
        group_names: the groups' names (one, "all", when the data does not tell).
        value_range: see `data.transforms.decode_picture`.
        corrupt: names of the unreadable pictures met so far.
    """

    def __init__(
        self,
        records: Sequence[Record],
        labels: NDArray[np.int64],
        *,
        class_names: Sequence[str],
        groups: Sequence[int],
        group_names: Sequence[str],
        value_range: ValueRange | None = None,
    ) -> None:
        assert len(records) == len(labels) and len(groups) == len(class_names)
        self.records = list(records)
        self.labels = labels
        self.class_names = list(class_names)
        self.groups = list(groups)
        self.group_names = list(group_names)
        self.value_range = value_range
        self.corrupt: list[str] = []
        self._reported: set[int] = set()
        self._replaced: dict[int, int] = {}  # unreadable picture -> the one in its place: looked for once
        self._told = 0

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int]:
        bad: list[int] = []
        for number in self._candidates(index):
            try:
                image = self._decode(number)
            except (UnreadablePicture, OSError):
                bad.append(number)
                continue
            self._replaced |= dict.fromkeys(bad, number)
            self.report(bad)
            return np.asarray(image, dtype=np.uint8), int(self.labels[number])
        raise self._nothing_readable()

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pictures per class, int64 [K]."""
        return np.bincount(self.labels, minlength=self.num_classes).astype(np.int64)

    def prepare(self, index: int, *, resolution: int, crop: str) -> Prepared:
        """Picture `index`, or its replacement, through `prepare_picture`.

        Returns:
            (uint8 [S,S,3], movable, label, numbers of the unreadable pictures passed over). It reports nothing: in a
            worker process the report would be lost, so the caller hands the numbers to `report` in the main process.

        Raises:
            PhotograftError: no picture of the set can be read, or the values of one have no stated range.
        """
        bad: list[int] = []
        for number in self._candidates(index):
            try:
                data = self.records[number].read()
                pixels, movable = prepare_picture(data, resolution=resolution, crop=crop, value_range=self.value_range)
            except (UnreadablePicture, OSError):
                bad.append(number)
                continue
            except PhotograftError as error:
                raise self._of(number, error) from error
            self._replaced |= dict.fromkeys(bad, number)
            return pixels, movable, int(self.labels[number]), tuple(bad)
        raise self._nothing_readable()

    def report(self, numbers: Sequence[int]) -> None:
        """Keep the names of unreadable pictures in `corrupt`, and warn: of the first ones by name, then of how many."""
        for number in numbers:
            if number in self._reported:
                continue
            self._reported.add(number)
            self.corrupt.append(self.records[number].key)
            total = len(self.corrupt)
            if total <= NAMED or total.bit_count() == 1:
                warnings.warn(
                    f"unreadable picture {printable(self.corrupt[-1])}: another one takes its place ({total} so far;"
                    f" {self._reason(number)})",
                    stacklevel=2,
                )

    def report_total(self) -> None:
        """Warn of the number of unreadable pictures if they were not all named and it has grown since the last time."""
        total = len(self.corrupt)
        if total > max(NAMED, self._told):
            warnings.warn(f"{total:,} of {len(self):,} pictures are unreadable, others took their places", stacklevel=2)
            self._told = total

    def _decode(self, number: int) -> Image.Image:
        try:
            return decode_picture(self.records[number].read(), value_range=self.value_range)
        except PhotograftError as error:
            raise self._of(number, error) from error

    def _of(self, number: int, error: PhotograftError) -> PhotograftError:
        return PhotograftError(f"{printable(self.records[number].key)}: {error}")

    def _reason(self, number: int) -> str:
        try:
            self._decode(number)
        except (UnreadablePicture, OSError, PhotograftError) as error:
            return printable(str(error))
        return "it can be read now"

    def _candidates(self, index: int) -> Iterator[int]:
        """A picture and what may take its place, each once; what is known to be unreadable is passed over."""
        tried: set[int] = set()
        for number in self._in_order(index):
            known = self._replaced.get(number, number)
            if known not in tried:
                tried.add(known)
                yield known

    def _in_order(self, index: int) -> Iterator[int]:
        yield index
        same = self.labels == self.labels[index]
        members, others = np.flatnonzero(same), np.flatnonzero(~same)
        yield from map(int, np.roll(members, -int(np.searchsorted(members, index)) - 1))
        yield from map(int, np.roll(others, -int(np.searchsorted(others, members[0]))))  # one for the whole class

    def _nothing_readable(self) -> PhotograftError:
        first = f"{printable(self.records[0].key)}, {self._reason(0)}"
        return PhotograftError(f"none of the {len(self):,} pictures can be read (first: {first})")


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
        say: is told, line by line, what was taken for what, what is left out, and which classes were chosen.

    Raises:
        PhotograftError: nothing there, unknown class, a chosen class without pictures, or no class left.
    """
    if not is_number(val_fraction) or not 0.0 <= val_fraction < 1.0:
        raise PhotograftError(f"val_fraction is {val_fraction!r:.60}: give a number from 0 up to (not including) 1")
    if not is_number(min_images):
        raise PhotograftError(f"min_images is {min_images!r:.60}: give a whole number")
    black_and_white = check_range(value_range)
    catalogue = open_catalogue(root, val_root=val_root, val_fraction=val_fraction, picture=picture, labels=labels)
    chosen = choose_classes(
        classes, ids=catalogue.ids, names=catalogue.names, groups=catalogue.groups, where=catalogue.where
    )
    counts = np.bincount([record.cls for record in catalogue.train], minlength=len(catalogue.ids))
    empty = [catalogue.names[k] for k in chosen if counts[k] == 0]
    if classes is not None and empty and min_images < 1:
        raise PhotograftError(
            f"no training pictures of {printable(empty[0])!r} in {printable(str(root))}: add some, or leave the class"
            " out"
        )
    kept = [k for k in chosen if counts[k] >= max(1, min_images)]
    if not kept:
        raise PhotograftError(
            f"no class in {root} has {min_images} training pictures (the largest has {counts[chosen].max()}): "
            "lower min_images"
        )
    train = _select(catalogue, catalogue.train, kept, black_and_white)
    val = _select(catalogue, catalogue.val, kept, black_and_white)
    for line in catalogue.notes:
        say(line)
    few = [k for k in chosen if 0 < counts[k] < min_images]
    if few:
        first = printable(catalogue.names[few[0]])
        say(f"left out, classes with fewer pictures than {min_images} (min_images): {len(few):,}, first: {first}")
    sizes = f"training pictures: {len(train):,}, validation pictures: {len(val):,}"
    say(f"{printable(catalogue.where)}: classes: {len(kept):,}, {sizes}")
    for line in class_table(train.class_names, train.counts.tolist(), val.counts.tolist()):
        say(line)
    return train, val


def _select(
    catalogue: Catalogue, records: Sequence[Record], kept: Sequence[int], value_range: ValueRange | None
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
    )
