"""Rolled heads: edited upright, put back as they were; recipes and panels say so, masks lie where they were painted."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data

from infer.editor.editor import Editor
from infer.editor.output import framed
from infer.editor.recipe_file import read_recipe
from infer.editor.steps import ChangeClass
from infer.photo import turning
from infer.photo.box import Box
from infer.photo.location import locate
from infer.photo.place import Place
from infer.photo.turning import Upright, located
from models.errors import PhotograftError
from models.perception.pose import Roll
from models.zoo import Model, load_model
from tests.infer.conftest import ellipse

CAT: NDArray[np.uint8] = data.cat()
TURNED = np.ascontiguousarray(np.rot90(CAT, -1))  # by 90 degrees clockwise
BOX = Box(120, 30, 160, 160)
TURNED_BOX = Box(CAT.shape[0] - 30 - 160, 120, 160, 160)


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load_model(str(tiny))


def _painted() -> NDArray[np.float32]:
    mask = np.zeros(CAT.shape[:2], np.float32)
    mask[60:160, 140:200] = 1
    return mask


def _edited(model: Model, photo: NDArray[np.uint8], box: Box, mask: NDArray[np.float32], roll: float) -> Any:
    editor = Editor(model, ellipse).set_photo(photo, box, roll=roll).project("black cat", steps=2)
    return editor, editor.edit("lion", mask=mask)


def test_a_turned_photo_gets_the_same_edit(model: Model) -> None:
    plain, expected = _edited(model, CAT, BOX, _painted(), 0)
    mask = np.ascontiguousarray(np.rot90(_painted(), -1))
    editor, found = _edited(model, TURNED, TURNED_BOX, mask, 90)
    assert torch.equal(editor.target(), plain.target())
    np.testing.assert_array_equal(found.image, expected.image)
    off = np.abs(np.rot90(found.pixels, 1).astype(int) - expected.pixels)
    assert off.mean() < 0.1  # the window is not the whole photo
    assert off.max() < 30
    assert (found.pixels != TURNED).any()
    np.testing.assert_array_equal(found.pixels[mask == 0], TURNED[mask == 0])


@pytest.mark.parametrize("roll", [90.0, 40.0])
def test_bytes_outside_the_square_are_the_photos(model: Model, roll: float) -> None:
    editor = Editor(model, ellipse).set_photo(CAT, BOX, roll=roll).project("black cat", steps=1)
    result = editor.edit("lion")
    inside = np.zeros(CAT.shape[:2], np.float32)
    upright = editor.upright
    assert upright is not None
    cv2.fillPoly(inside, [upright.corners().round().astype(np.int32)], 1)
    far = cv2.dilate(inside, np.ones((5, 5), np.uint8)) == 0
    np.testing.assert_array_equal(result.pixels[far], CAT[far])
    assert (result.pixels != CAT)[inside > 0].any()
    pasted, mask = editor.paste(
        torch.zeros(1, 3, model.generator.resolution, model.generator.resolution), np.ones((8, 8), np.float32)
    )
    assert pasted.shape == CAT.shape
    assert mask.shape == (160, 160)
    np.testing.assert_array_equal(pasted[far], CAT[far])
    np.testing.assert_array_equal(editor.edit([ChangeClass("lion", strength=0.0)]).pixels, CAT)


def test_recipes_say_the_roll_and_those_without_replay(model: Model, tmp_path: Path) -> None:
    editor, edit = _edited(model, CAT, BOX, _painted(), 33)
    (written,) = editor.save(tmp_path / "out", lossless=True)
    path = written.with_suffix(".json")
    content = json.loads(path.read_text())
    assert content["source"]["roll"] == 33
    assert content["source"]["box"] == str(BOX)
    recipe = read_recipe(path)
    again = Editor(model, ellipse).restore(recipe, editor.photo)
    assert again.upright == editor.upright
    np.testing.assert_array_equal(
        again.edit(recipe.steps, method=recipe.method, scale=recipe.scale).pixels, edit.pixels
    )
    plain, edit = _edited(model, CAT, BOX, _painted(), 0)
    (written,) = plain.save(tmp_path / "plain", lossless=True)
    path = written.with_suffix(".json")
    assert "roll" not in json.loads(path.read_text())["source"]
    content["source"]["roll"] = 200
    path.write_text(json.dumps(content))
    with pytest.raises(PhotograftError, match="roll"):
        read_recipe(path)


def test_a_recipe_without_a_roll_stays_without(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, edit = _edited(model, CAT, BOX, _painted(), 0)
    (written,) = plain.save(tmp_path, lossless=True)
    recipe = read_recipe(written.with_suffix(".json"))
    monkeypatch.setattr("infer.editor.opening.automatic_roll", lambda pixels, box: 90.0)
    again = Editor(model, ellipse).restore(recipe, plain.photo)
    assert again.upright is None
    np.testing.assert_array_equal(
        again.edit(recipe.steps, method=recipe.method, scale=recipe.scale).pixels, edit.pixels
    )


def test_roll_is_automatic_said_and_can_be_turned_off(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    sure = {0.0: 0.5, 90.0: 0.8, -47.0: 0.6}
    monkeypatch.setattr(turning, "seen_roll", lambda pixels, box: Roll(87.0, 0.95))
    monkeypatch.setattr(turning, "located", lambda pixels, square, roll: sure[roll])
    said: list[str] = []
    editor = Editor(model, ellipse, said.append).set_photo(CAT, BOX)
    assert editor.upright == Upright(BOX, 90.0, CAT.shape[:2])
    assert said == ["the head in the box is turned by 90 degrees"]
    assert editor.box != BOX
    assert editor.placed == BOX
    assert Editor(model, ellipse).set_photo(CAT, BOX, roll="off").upright is None
    for unsure in (Roll(87.0, 0.3), Roll(8.0, 0.99), Roll(-12.0, 0.99)):
        monkeypatch.setattr(turning, "seen_roll", lambda pixels, box, unsure=unsure: unsure)
        assert editor.set_photo(CAT, BOX).upright is None
    monkeypatch.setattr(turning, "seen_roll", lambda pixels, box: Roll(-47.4, 0.95))
    assert editor.set_photo(CAT, BOX).upright == Upright(BOX, -47.0, CAT.shape[:2])
    sure[-47.0] = 0.5  # the locator is no surer then
    assert editor.set_photo(CAT, BOX).upright is None


def test_the_locator_is_surer_of_an_upright_head() -> None:
    side = np.ascontiguousarray(np.rot90(CAT, -1))
    head = locate(CAT).box
    turned = Box(CAT.shape[0] - head.y - head.h, head.x, head.w, head.h)
    assert located(CAT, head, 0.0) > 0.4
    assert located(CAT, head, 0.0) == located(side, turned, 90.0)
    assert located(CAT, Box(0, 200, 60, 60), 0.0) == 0


def test_masks_outside_of_the_turned_square_are_refused(model: Model) -> None:
    """A corner of the upright square is none of the square that is turned by 45 degrees."""
    mask = np.zeros(CAT.shape[:2], np.float32)
    mask[31:36, 121:126] = 1
    Editor(model, ellipse).set_photo(CAT, BOX).resolve([ChangeClass("lion", mask)])
    editor = Editor(model, ellipse).set_photo(CAT, BOX, roll=45)
    with pytest.raises(PhotograftError, match="the mask lies outside the edited square 120,30,160,160"):
        editor.resolve([ChangeClass("lion", mask)])


def test_the_panel_draws_the_square_turned() -> None:
    grey = np.full((200, 300, 3), 90, np.uint8)
    box = Box(100, 50, 100, 100)
    turned = framed(grey, box, (), Upright(box, 45.0, (200, 300)))
    plain = framed(grey, box)
    assert (plain[51, 101] != 90).any()
    assert (turned[51, 101] == 90).all()
    assert (turned[99:103, 218:224] != 90).any()  # a corner, 71 px from the middle


@pytest.mark.parametrize("text", ["much", "1e3", "9999", "", "nan"])
def test_bad_rolls_are_refused(text: str) -> None:
    with pytest.raises(PhotograftError, match="roll"):
        Place.parse(None, None, False, text)
    assert Place.parse(None, None, False, "-12.5").roll == -12.5
