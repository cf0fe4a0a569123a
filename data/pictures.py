"""Labelled pictures with random access, whose unreadable ones are named and replaced."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from data.corrupt import SAFE, allowed, too_many
from data.records import Record
from data.report import printable
from data.transforms import UnreadablePicture, decode_picture, prepare_picture
from data.values import ValueRange
from models.errors import PhotograftError

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
        class_ids: K folders' names, or numbers in shards: what the names were before they were put into English.
        groups: a group number per class.
        group_names: the groups' names (one, "all", when the data does not tell).
        value_range: see `data.transforms.decode_picture`.
        max_corrupt: how many may be unreadable, see `data.corrupt.allowed`.
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
        max_corrupt: float | None = None,
        class_ids: Sequence[str] | None = None,
    ) -> None:
        assert len(records) == len(labels) and len(groups) == len(class_names)
        self.records = list(records)
        self.labels = labels
        self.class_names = list(class_names)
        self.class_ids = self.class_names if class_ids is None else list(class_ids)
        self.groups = list(groups)
        self.group_names = list(group_names)
        self.value_range, self.max_corrupt = value_range, max_corrupt
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
        """Keep the names of unreadable pictures in `corrupt`, and warn: of the first ones by name, then of how many.

        Raises:
            PhotograftError: they are more than `max_corrupt` allows.
        """
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
            if total > allowed(self.max_corrupt, len(self), safe=SAFE):
                hint = "mend them or take them away"
                raise too_many("pictures", self.corrupt, len(self), self.max_corrupt, hint)

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
