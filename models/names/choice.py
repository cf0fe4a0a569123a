"""Which class of a model a word means: the one place where names, WordNet ids and numbers are understood."""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.errors import PhotograftError
from models.names.published import ids_of
from models.names.wordnet import imagenet, imagenet_numbers
from models.registry import suggest
from models.schema import short

IMAGENET = re.compile(r"imagenet:\s*([0-9]{1,9})", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,9}")
_SYNSET = re.compile(r"n[0-9]{8}")
_UNNAMED = re.compile(r"class (0|[1-9][0-9]{0,8})")  # as classes were called whose file names none


def class_number(text: str, names: Sequence[str], ids: Sequence[str], model: str) -> int:
    """The class that a word means.

    A name to the letter wins. Else "n02085620" is a WordNet id and "imagenet:151" a number of ImageNet's 1000, each of
    one of the model's classes; then come names but for case and hyphens, and the model's own numbers: a bare number is
    never ImageNet's. At last one word of a name will do.

    Args:
        text: as it was asked for.
        names: of the model's classes.
        ids: a WordNet id for each, "" where unknown; none at all: those of the names.
        model: its name, for messages.

    Raises:
        PhotograftError: no such class, with the nearest ones; or a word or number that may mean several.
    """
    if names.count(text) == 1:
        return names.index(text)
    ids = ids if len(ids) == len(names) else ids_of(tuple(names))
    wanted = _plain(text)
    found = _by_id(text.strip(), names, ids, model)
    plain = [_plain(known) for known in names]
    found = found or [i for i, known in enumerate(plain) if known == wanted]
    if not found and _NUMBER.fullmatch(wanted):
        found = [i for i, known in enumerate(plain) if _NUMBER.fullmatch(known) and int(known) == int(wanted)]
        if wanted == str(int(wanted)) and int(wanted) < len(plain) and int(wanted) not in found:
            found.append(int(wanted))  # beside a class that is called "007" it is not clear what "7" means
    if not found and (unnamed := _UNNAMED.fullmatch(wanted)) and int(unnamed[1]) < len(names):
        found = [int(unnamed[1])]
    found = found or [i for i, known in enumerate(plain) if wanted and wanted in known.split()]
    if len(found) == 1:
        return found[0]
    if found:
        shown = [names[i] for i in found[:12]]
        shown = [f"{name} ({i})" if shown.count(name) > 1 else name for i, name in zip(found, shown, strict=False)]
        more = ", ..." if len(found) > 12 else ""
        raise PhotograftError(f"class {short(text)} could be any of: {', '.join(shown)}{more}")
    if wanted.isascii() and wanted.isdecimal() and wanted == (wanted.lstrip("0") or "0"):
        raise PhotograftError(f"unknown class {short(text)}: {_out_of_range(wanted, names, ids, model)}")
    raise PhotograftError(f"unknown class {short(text)}{suggest(wanted, names)} (infer.py classes lists all)")


def _by_id(text: str, names: Sequence[str], ids: Sequence[str], model: str) -> list[int]:
    """The classes of a WordNet id or of a number of ImageNet's; none for another word.

    Raises:
        PhotograftError: an id or a number that the model does not have.
    """
    if number := IMAGENET.fullmatch(text):
        if int(number[1]) >= len(imagenet()):
            raise PhotograftError(f"unknown class {short(text)}: ImageNet has the classes 0-999")
        synset = [*imagenet()][int(number[1])]
    elif _SYNSET.fullmatch(text.lower()):
        synset = text.lower()
    else:
        return []
    found = [i for i, known in enumerate(ids) if known == synset]
    if not found and text not in map(_plain, names):
        what = f"it is {imagenet()[synset]} ({synset}), which" if synset in imagenet() else "it is one that"
        raise PhotograftError(f"unknown class {short(text)}: {what} model {model} does not have")
    return found


def _out_of_range(number: str, names: Sequence[str], ids: Sequence[str], model: str) -> str:
    """What to say of a number that is none of the model's."""
    said = f"model {model} has the classes 0-{len(names) - 1}"
    synset = [*imagenet()][int(number)] if len(number) < 4 else ""
    if synset in imagenet_numbers() and synset in ids:
        label = ids.index(synset)
        return f"{said}; ImageNet's {number} is {short(names[label])}, class {label} here: write imagenet:{number}"
    return f"{said} (infer.py classes lists all)"


def _plain(name: str) -> str:
    """A name without case, and with spaces for the hyphens between its words; "-1" stays what it is."""
    return " ".join(re.sub(r"(?<=\w)[-_ ]+(?=\w)", " ", name.lower()).split())
