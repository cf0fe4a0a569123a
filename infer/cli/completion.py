"""What a shell proposes for words of ours: names of models and classes, read without loading a network."""

import typer

from models.errors import PhotograftError
from models.zoo import DEFAULT, ZOO, read_classes


def model_names(incomplete: str) -> list[tuple[str, str]]:
    """Models that begin so, with what they are."""
    return [(name, entry.summary) for name, entry in ZOO.items() if name.startswith(incomplete)]


def class_names(context: typer.Context, incomplete: str) -> list[str]:
    """Classes that begin so, of the model that the command line names; hyphens for spaces, which shells divide at."""
    try:
        names = read_classes(context.params.get("model") or DEFAULT).class_names
    except PhotograftError:
        return []
    return [name for name in (name.replace(" ", "-") for name in names) if name.startswith(incomplete.lower())]
