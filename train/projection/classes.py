"""Which of a generator's classes the data's classes are."""

import re

import torch
from torch import Tensor

from models.errors import PhotograftError
from models.registry import suggest
from models.zoo import Model


def generator_labels(model: Model, names: list[str]) -> Tensor:  # -> [len(names)] int64
    """A generator's class for every class of the data: by WordNet id where both have one, else by name; by position
    where the generator names none.

    Names are compared as a whole: a training must not take a mountain lion's class for a lion.

    Raises:
        PhotograftError: a class that the generator does not know or has twice, or another number of classes without
            names.
    """
    if any(name != f"class {i}" for i, name in enumerate(model.class_names)):
        return torch.tensor([_generator_label(model, name) for name in names])
    if len(names) != len(model.class_names):
        raise PhotograftError(
            f"the data have {len(names)} classes and the generator {len(model.class_names)} without names:"
            " choose the same classes in the same order with --data.classes"
        )
    return torch.arange(len(names))


def _generator_label(model: Model, name: str) -> int:
    wanted, word = _parts(name)
    found = []
    for number, known in enumerate(map(_parts, model.class_names)):
        if wanted == known[0] if wanted and known[0] else word and word == known[1]:
            found.append(number)
    if len(found) == 1:
        return found[0]
    if found:
        raise PhotograftError(f"the data's class {name!r} could be any of the generator's classes {found}")
    raise PhotograftError(
        f"the generator does not know the data's class {name!r}{suggest(name, model.class_names)}"
        " (--data.classes chooses classes; folders may be named NAME, WORDNET-ID or WORDNET-ID-NAME)"
    )


def _parts(name: str) -> tuple[str, str]:
    """WordNet id and name of a class, "" for what it has not: n02123045-tiger_cat -> (n02123045, tiger cat)."""
    plain = " ".join(name.lower().replace("-", " ").replace("_", " ").split())
    synset = re.fullmatch(r"(n\d{8})( .+)?", plain)
    return (synset[1], (synset[2] or "").strip()) if synset else ("", plain)
