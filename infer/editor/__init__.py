"""Load, set a photo, project, edit, save: what is done to one photo, its recipes and its results."""

from infer.editor.editor import Editor

__all__ = ["Editor"]
