"""Sets of classes that published networks were trained on, and tables of names that a user gives.

A file of another project seldom names its classes. Three numbers of classes are known well enough to be taken for a
published set: 143, the dogs and cats of Suzuki et al. (ImageNet's 151 to 293, in order: their code
subtracts 151 from its number); 102, the flowers of Oxford (Nilsback and Zisserman 2008) in their official order;
1000, ImageNet. What is taken so is always said, and `STEM.names.csv` beside the weights overrides it.
"""

from __future__ import annotations

import csv
import functools
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import PhotograftError
from models.names.wordnet import english, id_of, imagenet, imagenet_numbers, split_id
from models.reading import read_text
from models.schema import Name, check, short

_FLOWERS = Path(__file__).with_name("flowers.csv")
_DOGS_AND_CATS = slice(151, 294)  # of ImageNet's 1000
_MOST = 2**22  # bytes of a table: 100,000 classes
_ASSUMED = "assumed from the number of classes"
SUFFIX = ".names.csv"  # of the table beside a model's files


@dataclass(frozen=True)
class ClassNames:
    """What the classes of a network are called, in the order of its labels.

    Attributes:
        names: each once.
        ids: a WordNet id for each, "" where there is none.
        source: where the names come from, for people.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    source: str


@functools.cache
def published() -> dict[str, ClassNames]:
    """The known sets by name: imagenet, dogs-cats, flowers."""
    table = [*imagenet().items()]
    flowers = tuple(_FLOWERS.read_text(encoding="utf-8").splitlines())
    found = {
        "imagenet": (table, "ImageNet's 1000"),
        "dogs-cats": (table[_DOGS_AND_CATS], "the 143 dogs and cats of ImageNet, 151 to 293"),
        "flowers": ([("", name) for name in flowers], "the 102 flowers of Oxford in their official order"),
    }
    return {
        key: ClassNames(tuple(name for _, name in rows), tuple(synset for synset, _ in rows), title)
        for key, (rows, title) in found.items()
    }


def assumed(count: int) -> ClassNames | None:
    """The published set of so many classes; None where there is none."""
    for names in published().values():
        if len(names.names) == count:
            return ClassNames(names.names, names.ids, f"{_ASSUMED}: {names.source}")
    return None


def is_assumed(source: str) -> bool:
    """Whether names of this source are nobody's but those of a published set of as many classes."""
    return source.startswith(_ASSUMED)


def unnamed(count: int) -> ClassNames:
    """Names for classes that nobody has named: "class 0" and so on."""
    return ClassNames(tuple(f"class {i}" for i in range(count)), ("",) * count, "")


def given(said: str | Path, count: int) -> ClassNames:
    """Names that a user gives: of a published set, or of a table with a line for each class in the order of labels.

    Args:
        said: imagenet, dogs-cats, flowers or a CSV file in UTF-8, whose lines are `NAME`, `WORDNET-ID,NAME` or
            `WORDNET-ID` (of ImageNet). Empty lines and lines that begin with # are left out.
        count: of the network's classes.

    Raises:
        PhotograftError: an unreadable table, another number of names, or a name twice.
    """
    known = published().get(str(said))
    if known is None:
        known = _read(Path(said).expanduser())
    if len(known.names) != count:
        raise PhotograftError(f"{said} names {len(known.names):,} classes, and the network has {count:,}")
    return known


def _read(path: Path) -> ClassNames:
    rows: list[tuple[str, str]] = []
    lines = read_text(path, "table of names", _MOST).removeprefix("\ufeff").splitlines()
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            rows.append(_row(line, f"{path}, line {number}"))
    if not rows:
        raise PhotograftError(f"{path} names no class: write a line NAME or WORDNET-ID,NAME for each")
    twice = [name for name, times in Counter(name for _, name in rows).items() if times > 1]
    if twice:
        raise PhotograftError(f"{path}: {short(twice[0])} is the name of several classes: choose another for each")
    return ClassNames(tuple(name for _, name in rows), tuple(synset for synset, _ in rows), str(path))


def _row(line: str, where: str) -> tuple[str, str]:
    """WordNet id, or "", and name."""
    try:
        cells = [cell.strip() for cell in next(csv.reader(io.StringIO(line), strict=True, skipinitialspace=True))]
    except (csv.Error, StopIteration):
        cells = []
    if len(cells) == 1 and cells[0]:
        synset = id_of(cells[0])
        return synset, check(Name, english(cells[0]) if cells[0] == synset else cells[0], where)
    if len(cells) != 2 or not cells[1] or split_id(cells[0]) != (cells[0], ""):
        raise PhotograftError(
            f"{where} is {short(line.strip())}: expected NAME or WORDNET-ID,NAME, with quotes around what holds a comma"
        )
    return cells[0], check(Name, cells[1], where)


@functools.lru_cache(maxsize=8)
def ids_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """A WordNet id for each name that has one: that it begins with, or of which it is ImageNet's English name."""
    return tuple(map(id_of, names))


def numbers_in_imagenet(ids: Sequence[str]) -> list[str]:
    """ImageNet's number of each WordNet id as text, "" for others."""
    return [str(imagenet_numbers()[synset]) if synset in imagenet_numbers() else "" for synset in ids]
