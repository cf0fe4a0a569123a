"""Many photos in one run: found, edited by one process or several, and gone on with after a break."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infer.folders.items import Beside
    from infer.folders.library import edit_folder
    from infer.folders.options import FolderOptions, Work

__all__ = ["Beside", "FolderOptions", "Work", "edit_folder"]
_HOMES = {"Beside": "items", "FolderOptions": "options", "Work": "options", "edit_folder": "library"}


def __getattr__(name: str) -> Any:
    """What is offered here is imported when it is asked for: other modules of this package do not wait for it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
