"""Load, set a photo, project, edit, save: what is done to one photo, its recipes and its results."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infer.editor.editor import Editor

__all__ = ["Editor"]


def __getattr__(name: str) -> Any:
    """`Editor` is imported when it is asked for: other modules of this package do not wait for it."""
    if name != "Editor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from infer.editor.editor import Editor

    return Editor
