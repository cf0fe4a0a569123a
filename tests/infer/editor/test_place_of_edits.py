"""Several heads, none, and guesses: what the editor takes, says, draws and writes into recipes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from infer.editor.editor import Editor
from infer.editor.output import framed
from infer.editor.recipe_file import read_recipe
from infer.photo import location
from infer.photo.box import Box
from infer.photo.location import FoundHead
from infer.photo.place import NothingFound, Which
from models.errors import PhotograftError
from models.perception.locator import Head
from models.zoo import Model, load_model
from tests.infer.conftest import ellipse

PHOTO = np.random.default_rng(0).integers(0, 256, (240, 400, 3), dtype=np.uint8)
NEAR, FAR = Head(90, 60, 80, 80, 0.8), Head(240, 80, 50, 50, 0.7)


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load_model(str(tiny))


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> list[Head]:
    """What the locator finds in every picture; both lie on the animal."""
    found = [NEAR, FAR]

    class Locator:
        def heads(self, pixels: NDArray[np.uint8], *, least: float = 0.0) -> list[Head]:
            return list(found) if pixels.shape == PHOTO.shape else []

    monkeypatch.setattr(location, "load_locator", Locator)
    return found


def _centre(box: Box) -> tuple[float, float]:
    return box.x + box.w / 2, box.y + box.h / 2


def test_heads_are_listed_and_numbered(model: Model, heads: list[Head]) -> None:
    said: list[str] = []
    editor = Editor(model, ellipse, said.append).set_photo(PHOTO)
    assert [head.confidence for head in editor.heads] == [0.8, 0.7]
    assert (editor.box, editor.located, editor.confidence) == (editor.heads[0].box, "head", 0.8)
    assert _centre(editor.box) == pytest.approx((130, 102), abs=2)
    (line,) = said
    assert line.startswith("2 heads are found: 1 at ")
    assert "(confidence 0.80), 2 at " in line
    assert "number 1 is edited, --which chooses another" in line


@pytest.mark.parametrize(("which", "x"), [(1, 130), (2, 265), ("largest", 130), (None, 130)])
def test_a_head_is_chosen(model: Model, heads: list[Head], which: Which, x: float) -> None:
    heads[1] = FAR._replace(confidence=0.75)
    editor = Editor(model, ellipse).set_photo(PHOTO, which=which)
    assert _centre(editor.box)[0] == pytest.approx(x, abs=2)


def test_a_head_that_there_is_not_changes_nothing(model: Model, heads: list[Head]) -> None:
    editor = Editor(model, ellipse).set_photo(PHOTO, which=2)
    before = editor.box
    with pytest.raises(PhotograftError, match="only 2 heads are found, there is no --which 3"):
        editor.set_photo(PHOTO, which=3)
    with pytest.raises(PhotograftError, match="not both"):
        editor.set_photo(PHOTO, Box(0, 0, 50, 50), which=1)
    assert editor.box == before
    assert len(editor.heads) == 2


def test_one_head_is_said_with_its_confidence(model: Model, heads: list[Head]) -> None:
    del heads[1]
    said: list[str] = []
    Editor(model, ellipse, said.append).set_photo(PHOTO)
    assert said[0].startswith("a head is found at ")
    assert said[0].endswith("(confidence 0.80)")


def test_nothing_found_is_not_edited(model: Model, heads: list[Head]) -> None:
    heads.clear()
    said: list[str] = []
    editor = Editor(model, ellipse, said.append)
    with pytest.raises(NothingFound, match="no head is found on the animal: say where it is with --box"):
        editor.set_photo(PHOTO)
    assert editor.photo is None
    nothing = Editor(model, lambda pixels: np.zeros(pixels.shape[:2], np.float32))
    with pytest.raises(NothingFound, match="no animal is found"):
        nothing.set_photo(PHOTO)
    nothing.set_photo(PHOTO, anywhere=True)
    assert (nothing.box, nothing.located, nothing.confidence, nothing.heads) == (
        Box(80, 0, 240, 240),
        "centre",
        None,
        (),
    )
    editor.set_photo(PHOTO, anywhere=True)
    assert (editor.located, editor.heads) == ("animal", ())
    assert "a head is found" not in " ".join(said)
    assert "guess" in said[-1]


def test_recipes_say_how_sure_the_place_was_and_old_ones_replay(
    model: Model, heads: list[Head], tmp_path: Path
) -> None:
    editor = Editor(model, ellipse).set_photo(PHOTO, which=2).project("black cat", steps=1)
    edited = editor.edit("lion")
    editor.save(tmp_path)
    (path,) = tmp_path.glob("*.json")
    content: dict[str, Any] = json.loads(path.read_text())
    assert (content["source"]["located_by"], content["source"]["confidence"]) == ("head", 0.7)
    restored = Editor(model, ellipse).restore(read_recipe(path), editor.photo)
    assert (restored.box, restored.confidence) == (editor.box, 0.7)
    del content["source"]["confidence"]  # as it was before
    path.write_text(json.dumps(content))
    heads.clear()  # a recipe holds its square: nothing is sought
    recipe = read_recipe(path)
    old = Editor(model, ellipse).restore(recipe, editor.photo)
    assert (old.box, old.confidence) == (editor.box, None)
    np.testing.assert_array_equal(old.edit(recipe.steps, method=recipe.method).pixels, edited.pixels)
    assert "confidence" not in json.loads(_said(old, tmp_path / "again"))["source"]


def _said(editor: Editor, folder: Path) -> str:
    editor.save(folder)
    (path,) = folder.glob("*.json")
    return path.read_text()


@pytest.mark.parametrize("bad", [-0.1, 1.5, "high"])
def test_a_confidence_outside_its_bounds_is_refused(
    model: Model, heads: list[Head], tmp_path: Path, bad: object
) -> None:
    editor = Editor(model, ellipse).set_photo(PHOTO).project("black cat", steps=0)
    editor.edit("lion")
    content = json.loads(_said(editor, tmp_path))
    content["source"]["confidence"] = bad
    (path,) = tmp_path.glob("*.json")
    path.write_text(json.dumps(content))
    with pytest.raises(PhotograftError, match="confidence"):
        read_recipe(path)


def test_the_mask_of_the_search_is_that_of_the_edit(model: Model, heads: list[Head]) -> None:
    seen: list[tuple[int, ...]] = []

    def segmenter(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(pixels.shape)
        return ellipse(pixels)

    found = Editor(model, segmenter).set_photo(PHOTO)
    np.testing.assert_array_equal(found.segmented(), Editor(model, ellipse).set_photo(PHOTO, found.box).segmented())
    assert seen == [PHOTO.shape]


def test_several_heads_are_drawn_with_numbers() -> None:
    plain = np.zeros((200, 300, 3), np.uint8)
    one, two = (FoundHead(Box(x, 50, 80, 80), 0.9) for x in (20, 180))
    alone = framed(plain, one.box, (one,))
    np.testing.assert_array_equal(alone, framed(plain, one.box))
    both = framed(plain, one.box, (one, two))
    inside = np.s_[55:125, 185:255]
    assert both[inside].any()  # the other's number
    assert not alone[inside].any()
    assert (both[50:130, 180:260] != alone[50:130, 180:260]).any(axis=2).sum() > 200
    other = framed(plain, two.box, (one, two))
    assert (other != both).any()
