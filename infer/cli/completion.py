"""What a shell proposes for words of ours: names of models and classes, read without loading a network."""

import re

import typer

from models.errors import PhotograftError
from models.hub.address import is_address, parse
from models.hub.kept import kept
from models.zoo import DEFAULT, ZOO, read_classes

_SYNSET = re.compile("n[0-9]{1,8}")


def model_names(incomplete: str) -> list[tuple[str, str]]:
    """Models that begin so, with what they are."""
    return [(name, entry.summary) for name, entry in ZOO.items() if name.startswith(incomplete)]


def class_names(context: typer.Context, incomplete: str) -> list[str]:
    """Classes that begin so, of the model that the command line names; hyphens for spaces, which shells divide at.

    What begins as a WordNet id does is completed to one: n020.
    """
    try:
        model = context.params.get("model") or DEFAULT
        if is_address(model) and kept(parse(model)) is None:  # nothing is fetched for a shell
            return []
        known = read_classes(model)
    except PhotograftError:
        return []
    ids = [synset for synset in known.class_ids if synset] if _SYNSET.fullmatch(incomplete) else []
    names = [name.replace(" ", "-") for name in known.class_names]
    return [name for name in (*names, *ids) if name.lower().startswith(incomplete.lower())]
