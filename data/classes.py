"""Choosing classes by name, WordNet id, number or range; the chosen ones are counted 0..K-1 in the order of choice."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from models.errors import PhotograftError

ClassChoice = str | int | Sequence[str | int]


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())


def _aliases(ids: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """Every spelling of a class; the first class wins: name, folder, WordNet id and name of `n02085620-Chihuahua`."""
    table: dict[str, int] = {}
    for spellings in (names, ids):
        for number, spelling in enumerate(spellings):
            table.setdefault(spelling, number)
    for number, (id_, name) in enumerate(zip(ids, names, strict=True)):
        table.setdefault(_plain(name), number)
        synset = re.fullmatch(r"(n\d{8})[-_ ]+(.+)", id_)
        for spelling in synset.groups() if synset else ():
            table.setdefault(_plain(spelling), number)
    return table


def choose_classes(
    choice: ClassChoice | None, *, ids: Sequence[str], names: Sequence[str], groups: Sequence[str], where: str
) -> list[int]:
    """Numbers of the chosen classes, in the order of choice, each once.

    Args:
        choice: None for all; a number; a name, WordNet id, group name or inclusive range "151-293"; several of these
            with commas between, or a list of them.
        ids: a folder name or number per class (ranges count in this order; for ImageNet that of the sorted synsets).
        names: a name per class.
        groups: a group name per class ("" = none).
        where: the data's place, for messages.

    Raises:
        PhotograftError: an unknown class (the nearest names are given), or a number out of range.
    """
    if choice is None:
        return list(range(len(names)))
    table = _aliases(ids, names)
    entries = _entries(choice, table)
    chosen: dict[int, None] = {}
    for entry in entries:
        chosen.update(dict.fromkeys(_numbers(entry, table, groups, len(names), names, where)))
    if not chosen:
        raise PhotograftError(f"no class chosen from {where}: name at least one, or leave `classes` out for all")
    return list(chosen)


def _entries(choice: ClassChoice, table: dict[str, int]) -> list[str]:
    given: Sequence[str | int] = [choice] if isinstance(choice, str | int) else choice
    entries: list[str] = []
    for entry in map(str, given):
        whole = entry in table or _plain(entry) in table
        entries.extend([entry.strip()] if whole else [part.strip() for part in entry.split(",") if part.strip()])
    return entries


def _numbers(
    entry: str, table: dict[str, int], groups: Sequence[str], total: int, names: Sequence[str], where: str
) -> list[int]:
    span = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", entry)
    if span:
        first, last = int(span[1]), int(span[2] or span[1])
        if first > last or last >= total:
            raise PhotograftError(f"class range {entry} does not fit {where}: it has classes 0-{total - 1}")
        return list(range(first, last + 1))
    number = table.get(entry, table.get(_plain(entry)))
    if number is not None:
        return [number]
    members = [k for k, group in enumerate(groups) if group and _plain(group) == _plain(entry)]
    if members:
        return members
    readable = {_plain(name): name for name in [*(group for group in groups if group), *names]}
    near = [repr(readable[match]) for match in difflib.get_close_matches(_plain(entry), readable, n=3, cutoff=0.4)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(map(repr, names[:3]))} ..."
    raise PhotograftError(f"unknown class {entry!r} in {where} ({total} classes): {hint}")
