"""The 1000 classes of ImageNet (ILSVRC 2012): WordNet ids and English names, in the order of the sorted ids.

`imagenet.csv` holds them, a line ID,NAME for each. The ids are those of the challenge (Russakovsky et al.
2015), the names those of torchvision's weights (BSD-3-Clause), each once: "crane" is the machine, "crane bird" is not.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

_TABLE = Path(__file__).with_name("imagenet.csv")
_SPELT = re.compile(r"(n\d{8})(?:[-_ ]+(.+))?")  # n02123045, n02123045-tabby


@functools.cache
def imagenet() -> dict[str, str]:
    """WordNet id -> English name; the position in it is the class's number in ImageNet."""
    lines = _TABLE.read_text(encoding="utf-8").splitlines()
    return dict(line.split(",", 1) for line in lines)


@functools.cache
def imagenet_numbers() -> dict[str, int]:
    """WordNet id -> number in ImageNet, 0 to 999."""
    return {synset: number for number, synset in enumerate(imagenet())}


@functools.cache
def _ids() -> tuple[dict[str, str], dict[str, str]]:
    """By name to the letter; and as `plain` has it where one alone has it: "Cardigan" is a dog, "cardigan" is not."""
    exact = {name: synset for synset, name in imagenet().items()}
    counts = Counter(map(plain, exact))
    return exact, {plain(name): synset for name, synset in exact.items() if counts[plain(name)] == 1}


def plain(name: str) -> str:
    """A name in small letters, with single spaces for what divides words."""
    return " ".join(name.lower().replace("-", " ").replace("_", " ").split())


def split_id(name: str) -> tuple[str, str]:
    """WordNet id and rest of a folder's name: n02123045-tiger_cat -> (n02123045, tiger_cat); "" for what it has not."""
    found = _SPELT.fullmatch(name)
    return (found[1], found[2] or "") if found else ("", name)


def id_of(name: str) -> str:
    """The WordNet id that a class's name begins with or that it is ImageNet's English name for; "" if neither."""
    exact, loose = _ids()
    return split_id(name)[0] or exact.get(name) or loose.get(plain(name), "")


def english(folder: str) -> str:
    """ImageNet's English name for a bare WordNet id of its classes; anything else as it is."""
    return imagenet().get(folder, folder)


def english_names(folders: Sequence[str]) -> list[str]:
    """A name for every folder: the English one of a bare WordNet id, unless another folder has it."""
    names = [english(folder) for folder in folders]
    counts = Counter(names)
    return [name if counts[name] == 1 else folder for name, folder in zip(names, folders, strict=True)]
