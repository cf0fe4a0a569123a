"""Load, set a photo, project, edit, save: what is done to one photo, its recipes and its results."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infer.editor.editor import Editor
    from infer.editor.points import Sample
    from infer.editor.steps import Blend, ChangeClass, Transfer

__all__ = ["Blend", "ChangeClass", "Editor", "Sample", "Transfer"]
_HOMES = {"Editor": "editor", "Sample": "points", "Blend": "steps", "ChangeClass": "steps", "Transfer": "steps"}


def __getattr__(name: str) -> Any:
    """What is offered here is imported when it is asked for: other modules of this package do not wait for it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
