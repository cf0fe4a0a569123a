"""Choosing classes by name, WordNet id, group or position; they are counted 0..K-1 in the order of choice."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence

from data.report import printable
from models.errors import PhotograftError
from models.names.wordnet import imagenet_numbers, split_id

ClassChoice = str | int | Sequence[str | int]

_POSITION = re.compile(r"position:\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?")
_IMAGENET = re.compile(r"imagenet:\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?")
_NUMBERS = re.compile(r"\d+(\s*-\s*\d+)?")


def choose_classes(
    choice: ClassChoice | None, *, ids: Sequence[str], names: Sequence[str], groups: Sequence[str], where: str
) -> list[int]:
    """Positions of the chosen classes, in the order of choice, each once.

    A class is meant by its folder's name, its name, its number in the shards or its WordNet id, in this order: what is
    there to the letter wins. A number alone is such a name and never a position; positions are written "position:3".

    Args:
        choice: None for all; a name, WordNet id or group name; a position or an inclusive range of them,
            "position:151-293", from 0 in the order of `ids`; "imagenet:151-268", those classes that are there of this
            range in the order of ImageNet's 1000; several of these with commas between, or a list of them.
        ids: a folder name or number per class (for ImageNet the sorted synsets).
        names: a name per class.
        groups: a group name per class ("" = none).
        where: the data's place, for messages.

    Raises:
        PhotograftError: an unknown class (the nearest names are given), one name for several classes, or a position
            out of range.
    """
    if choice is None:
        return list(range(len(names)))
    chooser = _Chooser(ids, names, groups, where)
    chosen: dict[int, None] = {}
    for entry in chooser.entries(choice):
        chosen.update(dict.fromkeys(chooser.positions(entry)))
    if not chosen:
        raise PhotograftError(
            f"no class chosen from {printable(where)}: name at least one, or leave `classes` out for all"
        )
    return list(chosen)


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).lower().replace("_", " ").split())


def _synset(id_: str) -> tuple[str, ...]:
    """WordNet id and name of `n02085620-Chihuahua`; nothing of another folder."""
    parts = split_id(id_)
    return tuple(map(_plain, parts)) if all(parts) else ()


class _Chooser:
    """What the classes of one data set are called."""

    def __init__(self, ids: Sequence[str], names: Sequence[str], groups: Sequence[str], where: str) -> None:
        self.ids, self.names, self.groups, self.where = ids, names, groups, printable(where)
        self.exact: dict[str, set[int]] = {}
        self.loose: dict[str, set[int]] = {}
        for position, (id_, name) in enumerate(zip(ids, names, strict=True)):
            for spelling in (id_, name):
                self.exact.setdefault(spelling, set()).add(position)
            for spelling in (_plain(name), *_synset(id_)):
                self.loose.setdefault(spelling, set()).add(position)

    def entries(self, choice: ClassChoice) -> list[str]:
        """The single entries of a choice: commas divide what is no name as a whole."""
        entries: list[str] = []
        if isinstance(choice, bytes) or not isinstance(choice, Sequence | int):
            raise PhotograftError(f"classes is {printable(repr(choice), 60)}: give a name or a list of names")
        for entry in [choice] if isinstance(choice, str | int) else choice:
            if isinstance(entry, bool) or not isinstance(entry, str | int):
                raise PhotograftError(f"classes holds {entry!r}: put names in quotes, they are text")
            text = str(entry)
            if self._named(text) or self._named(text.strip()):
                entries.append(text if text in self.exact else text.strip())
            else:
                entries.extend(part.strip() for part in text.split(",") if part.strip())
        return entries

    def positions(self, entry: str) -> list[int]:
        """The classes that an entry means."""
        named = self._named(entry)
        if len(named) > 1:
            called = ", ".join(printable(self.ids[position]) for position in sorted(named)[:5])
            raise PhotograftError(
                f"{printable(entry)!r} is the name of {len(named)} classes in {self.where}: choose by folder,"
                f" WordNet id or number ({called})"
            )
        if named:
            return list(named)
        span = _POSITION.fullmatch(entry)
        if span:
            first, last = int(span[1]), int(span[2] or span[1])
            if first > last or last >= len(self.names):
                raise PhotograftError(
                    f"{entry} does not fit {self.where}: it has classes at positions 0-{len(self.names) - 1}"
                )
            return list(range(first, last + 1))
        if _IMAGENET.fullmatch(entry):
            return self._in_imagenet(entry)
        members = [k for k, group in enumerate(self.groups) if group and _plain(group) == _plain(entry)]
        if members:
            return members
        raise self._unknown(entry)

    def _in_imagenet(self, entry: str) -> list[int]:
        """Those of a range of ImageNet's 1000 classes that are there, by the WordNet ids of their folders."""
        span = _IMAGENET.fullmatch(entry)
        assert span is not None
        first, last = int(span[1]), int(span[2] or span[1])
        if first > last or last >= len(imagenet_numbers()):
            raise PhotograftError(f"{entry}: ImageNet has the classes 0-999, and a range counts upwards")
        numbers = {k: imagenet_numbers().get(split_id(id_)[0], -1) for k, id_ in enumerate(self.ids)}
        found = sorted((k for k, number in numbers.items() if first <= number <= last), key=lambda k: numbers[k])
        if not found:
            synsets = list(imagenet_numbers())
            raise PhotograftError(
                f"{entry} finds none of the {len(self.ids)} classes in {self.where}: their folders would be"
                f" called {synsets[first]}{f' to {synsets[last]}' if last > first else ''}"
            )
        return found

    def _named(self, entry: str) -> set[int]:
        return self.exact.get(entry) or self.loose.get(_plain(entry)) or set()

    def _unknown(self, entry: str) -> PhotograftError:
        shown = printable(entry)
        if _NUMBERS.fullmatch(entry):
            padded = (
                [id_ for id_ in self.ids if id_.isdecimal() and int(id_[:9]) == int(entry[:9])]
                if entry.isdecimal()
                else []
            )
            hint = (
                f'the folder {padded[0]} is meant by "{padded[0]}", in quotes'
                if padded
                else f"for a position, counted from 0, write position:{shown} (it has classes at positions"
                f" 0-{len(self.names) - 1})"
            )
            return PhotograftError(f"no class in {self.where} is called {shown}: {hint}")
        groups = [group for group in self.groups if group]
        readable = {_plain(name): name for name in [*groups, *self.names]}
        near = difflib.get_close_matches(_plain(entry)[:200], readable, n=3, cutoff=0.4)
        listed = " or ".join(repr(printable(readable[match])) for match in near)
        hint = (
            f"did you mean {listed}?" if near else f"it has {', '.join(repr(printable(n)) for n in self.names[:3])} ..."
        )
        return PhotograftError(f"unknown class {shown!r} in {self.where} ({len(self.names)} classes): {hint}")
