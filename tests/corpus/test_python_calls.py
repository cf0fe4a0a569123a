# ruff: noqa: F811 (a fixture of another folder)
"""Values of wrong kinds in Python: a line each, as on the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from infer.editor.editor import Editor
from infer.photo.box import Box
from models.errors import PhotograftError
from tests.infer.conftest import CAT, tiny  # noqa: F401

BOX = Box(120, 30, 160, 160)
Call = Callable[[Any], object]
AREA = np.ones((16, 16), np.float32)


def latent(editor: Editor) -> Tensor:
    assert editor.projection is not None
    return editor.projection.latent


def known(editor: Editor, **options: Any) -> object:
    return editor.set_projection(latent(editor), 1, **options)


SETTING: dict[str, tuple[Call, str]] = {
    "a photo that is a number": (lambda editor: editor.set_photo(5), "a path, an array or a Photo"),
    "a photo in floats": (lambda editor: editor.set_photo(CAT / 255), "uint8 RGB"),
    "a tuple for a box": (lambda editor: editor.set_photo(CAT, (120, 30, 160, 160)), "a box is a Box"),
    "parts of pixels": (lambda editor: editor.set_photo(CAT, Box(1.5, 2, 50, 50)), "whole numbers"),  # type: ignore[arg-type]
    "a box that is no number": (lambda editor: editor.set_photo(CAT, Box(float("nan"), 2, 50, 50)), "whole numbers"),  # type: ignore[arg-type]
    "a class by number": (lambda editor: editor.project(source=3, steps=0), "must be a name"),
    "an edit before a projection": (lambda editor: editor.edit("lion"), "call project first"),
}
EDITING: dict[str, tuple[Call, str]] = {
    "no layers": (lambda editor: editor.edit("lion", mask="box", layers=[]), "no layer is chosen"),
    "a mask of 0..255": (lambda editor: editor.edit("lion", mask=np.full(CAT.shape[:2], 255)), "divide"),
    "a mask of NaN": (lambda editor: editor.edit("lion", mask=np.full(CAT.shape[:2], np.nan)), "must lie in 0..1"),
    "a latent in words": (lambda editor: editor.set_projection("x", 1), "latent must be a Tensor"),  # type: ignore[arg-type]
    "no latent": (lambda editor: editor.set_projection(None, 1), "latent must be a Tensor"),  # type: ignore[arg-type]
    "an origin that is a number": (lambda editor: known(editor, origin=5), "origin must be a Tensor"),
    "an origin of NaN": (
        lambda editor: known(editor, origin=latent(editor) * float("nan")),
        "origin of a latent must be",
    ),
    "a delta that is a number": (lambda editor: known(editor, delta=5), "delta must be a Delta"),
    "a name of no folder": (lambda editor: editor.save("a\0b"), "a path"),
    "no folder": (lambda editor: editor.save(None), "the folder for results"),  # type: ignore[arg-type]
    "a small picture to paste": (lambda editor: editor.paste(editor.target()[..., ::2, ::2], AREA), "picture must be"),
    "two pictures to paste": (lambda editor: editor.paste(editor.target().repeat(2, 1, 1, 1), AREA), "picture must be"),
    "a picture of NaN": (lambda editor: editor.paste(editor.target() * float("nan"), AREA), "picture must be finite"),
    "an array to paste": (lambda editor: editor.paste(CAT, AREA), "picture must be"),  # type: ignore[arg-type]
    "an area that is no square": (lambda editor: editor.paste(editor.target(), AREA[:5]), "area must be"),
    "an area of bytes": (lambda editor: editor.paste(editor.target(), AREA.astype(np.uint8)), "area must be"),  # type: ignore[arg-type]
    "an area of NaN": (lambda editor: editor.paste(editor.target(), AREA * np.float32("nan")), "0..1"),
    "an area beyond 1": (lambda editor: editor.paste(editor.target(), AREA * 255), "0..1"),
    "a strength in words": (lambda editor: editor.edit("lion", mask="box", strength="all"), "must be in 0..1"),
}


@pytest.mark.parametrize("name", [*SETTING, *EDITING])
def test_a_value_of_a_wrong_kind_is_refused(tiny: Path, name: str) -> None:
    editor = Editor.from_pretrained(str(tiny)).set_photo(CAT, BOX)
    if name in EDITING:
        editor.project("black cat", preset="fast")
    call, words = (SETTING | EDITING)[name]
    with pytest.raises(PhotograftError, match=words):
        call(editor)
    assert editor.box == BOX
    assert editor.edits == []
