"""Load, set a photo, project, edit, save: what is done to one photo, its recipes and its results."""

from infer.editor.editor import Editor
from infer.editor.points import Sample
from infer.editor.steps import Blend, ChangeClass, Transfer

__all__ = ["Blend", "ChangeClass", "Editor", "Sample", "Transfer"]
