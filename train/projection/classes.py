"""Which of a generator's classes the data's classes are."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from models.errors import PhotograftError
from models.names.published import is_assumed
from models.names.wordnet import english, plain
from models.registry import suggest
from models.zoo import Model


def generator_labels(model: Model, names: Sequence[str], ids: Sequence[str] = ()) -> Tensor:  # -> [len(names)] int64
    """A generator's class for every class of the data: by WordNet id where both have one, else by name; by position
    where nobody has named the generator's.

    Names are compared as a whole: a training must not take a mountain lion's class for a lion. A bare WordNet id also
    has ImageNet's English name: weights of earlier versions hold ids where the data have names now.

    Args:
        model: the generator's.
        names: of the data's classes.
        ids: their folders' names, which may hold a WordNet id that the names have not.

    Raises:
        PhotograftError: a class that the generator does not know or has twice, or another number of classes without
            names.
    """
    pairs = [*zip(names, ids or names, strict=True)]
    known = any(name != f"class {i}" for i, name in enumerate(model.class_names))
    if is_assumed(model.names_from):  # the data's own names may be other words for the same classes
        known = any(_known(model, name, folder) for name, folder in pairs)
    if known:
        return torch.tensor([_generator_label(model, name, folder) for name, folder in pairs])
    if len(names) != len(model.class_names):
        raise PhotograftError(
            f"the data have {len(names)} classes and the generator {len(model.class_names)} without names:"
            " choose the same classes in the same order with --data.classes"
        )
    return torch.arange(len(names))


def _known(model: Model, name: str, folder: str) -> list[int]:
    """The generator's classes that a class of the data may be."""
    (own, word), (below, other) = _parts(name), _parts(folder)
    wanted, words = own or below, {word, other} - {""}
    found = []
    for number, (synset, known) in enumerate(map(_parts, model.class_names)):
        if wanted == synset if wanted and synset else known in words:
            found.append(number)
    return found


def _generator_label(model: Model, name: str, folder: str) -> int:
    found = _known(model, name, folder)
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
    found = re.fullmatch(r"(n\d{8})( .+)?", plain(name))
    if found is None:
        return "", plain(name)
    known = english(found[1])
    return found[1], (found[2] or "").strip() or (plain(known) if known != found[1] else "")
