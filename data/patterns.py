"""Tar shards by folder, file or pattern, and which of them are for training."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterable, Sequence

from data.folders import TRAIN, VAL, is_hidden, scan
from data.report import Tally, printable
from models.errors import PhotograftError

MAX_SHARDS = 100_000


def find_shards(root: str, tally: Tally) -> tuple[list[str], list[str]]:
    """(training shards, validation shards) at a folder, a file or a pattern; both empty when it is not about tars.

    Raises:
        PhotograftError: a shard is missing, a pattern names too many, or a folder holds class folders too.
    """
    if os.path.isdir(root):
        return _in_folder(root, tally)
    if root.lower().endswith(".tar"):
        train = expand(root)
        folder, pattern = os.path.split(root)
        val_pattern = os.path.join(folder, pattern.replace("train", "val"))
        if val_pattern != root:
            return train, expand(re.sub(r"\{[^{}]*\}", "*", val_pattern))
        kinds = set(map(_word, train))
        return _divided(train, tally) if kinds & set(TRAIN) and kinds & set(VAL) else (train, [])
    return [], []


def _in_folder(root: str, tally: Tally) -> tuple[list[str], list[str]]:
    tars = _tars(root)
    if not tars:
        with os.scandir(root) as entries:
            folders = {entry.name.lower(): entry.path for entry in entries if entry.is_dir()}
        found = {word: _tars(folders[word]) for word in (*TRAIN, *VAL) if word in folders}
        train, val = _first(found, TRAIN), _first(found, VAL)
        for path in train[:1] + val[:1]:
            _count_beside(os.path.dirname(path), tally)
        return train, val
    _count_beside(root, tally)
    train, val = _divided(tars, tally)
    if not train:
        raise PhotograftError(
            f"{printable(root)} holds {len(tars)} shards and none for training: name these *-train*.tar"
        )
    return train, val


def _count_beside(folder: str, tally: Tally) -> None:
    """Pictures beside shards are left out; folders of them are another reading of the data."""
    beside = scan(folder, Tally())
    if beside.holding():
        raise PhotograftError(
            f"{printable(folder)} holds tar shards and folders of pictures ({printable(next(iter(beside.holding())))}):"
            f" give {printable(folder)}/*.tar for the shards, or move these elsewhere"
        )
    if beside.found:
        tally.add("pictures beside the shards", next(iter(beside.pictures), folder), count=beside.found)


def _divided(tars: Sequence[str], tally: Tally) -> tuple[list[str], list[str]]:
    """(training shards, validation shards) by the words in their names; those without one are for training."""
    kinds: dict[str, list[str]] = {}
    for path in tars:
        kinds.setdefault(_word(path), []).append(path)
    train, val = _first(kinds, (*TRAIN, "")), _first(kinds, VAL)
    used = {*train, *val}
    for path in tars:
        if path not in used:
            tally.add("shards that are no split in use", os.path.basename(path))
    return train, val


def _word(path: str) -> str:
    parts = re.split(r"[-_. ]|(?<=[a-z])(?=\d)", os.path.basename(path).lower())
    return next((word for word in (*TRAIN, *VAL) if word in parts), "")


def _tars(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            e.path for e in entries if e.name.lower().endswith(".tar") and not is_hidden(e.name) and not e.is_dir()
        )


def _first(found: dict[str, list[str]], words: Iterable[str]) -> list[str]:
    return next((found[word] for word in words if found.get(word)), [])


def expand(pattern: str) -> list[str]:
    """Existing files of a pattern with `{000..009}`, `{a,b}` and `*`, sorted.

    Raises:
        PhotograftError: a shard that the braces name is missing, or there are more than `MAX_SHARDS`.
    """
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = [_choice(part, pattern) if number % 2 else [part] for number, part in enumerate(parts)]
    total = 1
    for choice in choices:
        total *= len(choice)
    if total > MAX_SHARDS:
        raise PhotograftError(
            f"{printable(pattern)} names {total:,} shards, more than {MAX_SHARDS:,}: correct the pattern"
        )
    found: list[str] = []
    for path in map("".join, itertools.product(*choices)):
        matches = [path] if os.path.lexists(path) else sorted(glob.glob(path))
        if not matches and len(parts) > 1:
            raise PhotograftError(
                f"missing shard {printable(path)} of {printable(pattern)}: complete the download or correct the pattern"
            )
        found.extend(matches)
    for path in found:
        if not os.path.exists(path):
            raise PhotograftError(f"{printable(path)} is a link that leads nowhere: complete the download")
    return sorted(set(found))


def _choice(text: str, pattern: str) -> list[str]:
    """What a pair of braces stands for."""
    span = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if not span:
        return text.split(",")
    digits, total = len(span[1]), int(span[2][:20]) - int(span[1][:20]) + 1
    if total < 1 or total > MAX_SHARDS or max(map(len, span.groups())) > 18:
        raise PhotograftError(
            f"{printable(pattern)}: {{{printable(text, 40)}}} must count upwards, at most {MAX_SHARDS:,} shards"
        )
    return [str(number).zfill(digits) for number in range(int(span[1]), int(span[2]) + 1)]
