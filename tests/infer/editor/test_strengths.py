"""Strength: the photo itself at 0, ever more of the edit up to 1, one edit for all strengths."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from skimage import data

from infer.catalog.catalog import build_catalog
from infer.editor.editor import Editor
from infer.editor.points import Sample
from infer.editor.recipe_file import read_recipe
from infer.editor.steps import Blend, ChangeClass, Transfer
from infer.editor.strengths import amount, at_strength, between, presence, whole
from infer.photo.box import Box, uncrop
from infer.photo.choices import Method
from infer.photo.read import read_photo
from models.errors import PhotograftError
from models.zoo import load_model
from tests.infer.conftest import ellipse
from tests.infer.tiny_styles import write_catalog, write_style_model

CAT, BOX = data.cat(), Box(120, 30, 160, 160)
GROWING = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


@pytest.fixture
def editor(tiny: Path) -> Editor:
    return Editor(load_model(str(tiny)), ellipse).set_photo(CAT, BOX).project("black cat", steps=2)


def moved(editor: Editor) -> list[float]:
    """L1 distance of every edit from the photo."""
    return [float(np.abs(edit.pixels.astype(int) - CAT).mean()) for edit in editor.edits]


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("mask", ["auto", "box"])
def test_zero_is_the_photo_by_every_method(editor: Editor, method: Method, mask: str) -> None:
    nothing = editor.edit("lion", mask=mask, strength=0.0, method=method)
    np.testing.assert_array_equal(nothing.pixels, CAT)
    assert nothing.pixels is not editor.pixels, "nobody's change of the result may reach the photo"
    np.testing.assert_array_equal(editor.composite(method), CAT)
    np.testing.assert_array_equal(nothing.image, editor.reconstruction())


@pytest.mark.parametrize("mask", ["auto", "box"])
@pytest.mark.parametrize("method", get_args(Method))
def test_the_change_grows_with_strength(editor: Editor, method: Method, mask: str) -> None:
    for strength in GROWING:
        editor.edit("lion", mask=mask, strength=strength, method=method, finish="off")
    distances = moved(editor)
    assert distances[0] == 0
    least = 0.9 if method == "mixed" else 1.0  # which takes the stronger gradient, and so now one's, now the other's
    assert all(more > least * less for less, more in pairwise(distances)), distances
    assert distances[-1] > 2 * distances[1]
    small = editor.edit("lion", mask=mask, strength=0.002, method=method, finish="off").pixels.astype(int)
    assert np.abs(small - CAT).max() <= 8, "no step away from the photo"


def test_blends_and_transfers_of_nothing_are_the_photo(tmp_path: Path) -> None:
    model = load_model(str(write_style_model(tmp_path)))
    catalog = tmp_path / "style.catalog.safetensors"
    write_catalog(replace(build_catalog(model, clusters=3, samples=12), names={"eyes": (1,)}), catalog)
    editor = Editor(model, ellipse).set_photo(CAT, BOX).set_catalog(catalog).project("lion", steps=1)
    for step in (
        Blend(Sample(3), "box", strength=0.0),
        Transfer(Sample(3), "eyes", "global", lam=0.0),
        Transfer(Sample(3), "eyes", "simultaneous", lam=0.0),
    ):
        np.testing.assert_array_equal(editor.edit([step]).pixels, CAT)
    assert (editor.edit([Transfer(Sample(3), "eyes", "sequential", lam=0.0)]).pixels != CAT).any(), "has no lambda"
    both = editor.edit([ChangeClass("pug", "box", 0.0), Blend(Sample(3), band(0.3, 0.5))])
    alone = editor.edit([Blend(Sample(3), band(0.3, 0.5))])
    np.testing.assert_array_equal(both.pixels, alone.pixels, "what there is nothing of is not pasted")
    assert len(both.areas) == 2


def band(first: float, last: float) -> np.ndarray:
    mask = np.zeros(CAT.shape[:2], np.float32)
    mask[BOX.y : BOX.y + BOX.h, BOX.x + int(first * BOX.w) : BOX.x + int(last * BOX.w)] = 1
    return mask


def test_zero_through_files_is_the_photo(tiny: Path, tmp_path: Path) -> None:
    """Also of a grey photo, and of one with 16 bits and opacity: every value that was there."""
    deep = (CAT[..., 0].astype(np.uint16) << 8) + np.arange(CAT.shape[1], dtype=np.uint16) % 251
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(np.dstack([CAT, CAT[..., 1]])).save(tmp_path / "opacity.png")
    Image.fromarray(CAT).save(tmp_path / "photo.jpg")
    for name in ("deep.png", "opacity.png", "photo.jpg"):
        photo = read_photo(tmp_path / name)
        editor = Editor(load_model(str(tiny)), ellipse).set_photo(photo, BOX).project("black cat", steps=0)
        editor.edit("lion", strength=0.0)
        (written,) = editor.save(tmp_path / "out", lossless=True)
        with Image.open(written) as after, Image.open(tmp_path / name) as before:
            np.testing.assert_array_equal(np.asarray(after), np.asarray(before), name)


def test_outside_the_mask_nothing_changes_on_the_way(editor: Editor) -> None:
    mask = band(0.2, 0.6)
    for strength in (0.1, 0.6):
        edit = editor.edit("lion", mask=mask, strength=strength)
        outside = np.ones(CAT.shape[:2], bool)
        outside[BOX.y : BOX.y + BOX.h, BOX.x : BOX.x + BOX.w] = edit.mask == 0
        np.testing.assert_array_equal(edit.pixels[outside], CAT[outside])
        assert (edit.pixels != CAT).any()


def test_full_strength_is_the_same_by_both_scales(editor: Editor) -> None:
    now, before = editor.edit("lion", mask="box"), editor.edit("lion", mask="box", scale="mix")
    np.testing.assert_array_equal(now.pixels, before.pixels)


def test_recipes_say_their_scale(editor: Editor, tmp_path: Path) -> None:
    edit = editor.edit("lion", mask="box", strength=0.2)
    (picture,) = editor.save(tmp_path)
    recipe = read_recipe(picture.with_suffix(".json"))
    assert recipe.scale == "photo"
    again = Editor(editor.model, ellipse).restore(recipe, editor.photo)
    redone = again.edit(recipe.steps, method=recipe.method, settle=recipe.settle, scale=recipe.scale)
    np.testing.assert_array_equal(redone.pixels, edit.pixels)
    content = json.loads(picture.with_suffix(".json").read_text())
    del content["edit"]["scale"]
    picture.with_suffix(".json").write_text(json.dumps(content))
    old = read_recipe(picture.with_suffix(".json"))
    assert old.scale == "mix"
    assert (again.edit(old.steps, method=old.method, settle=old.settle, scale=old.scale).pixels != edit.pixels).any()


STEPS: Sequence[ChangeClass] = (ChangeClass("lion", "box", 0.8), ChangeClass("black cat", "box", 0.2))


def test_background_is_filled_in_by_so_much(editor: Editor) -> None:
    """Where the old head reaches out of the new one."""

    def smaller_after(pixels: np.ndarray) -> np.ndarray:
        seen = ellipse(pixels)
        if pixels.shape[0] == pixels.shape[1]:  # of the square alone: what an edit made
            seen[: len(seen) // 2] = 0
        return seen

    editor.segmenter = smaller_after
    fills = [
        paste.mask.max()
        for strength in (0.25, 0.5, 1.0)
        for paste in editor.edit("lion", strength=strength, method="graft").pastes
        if paste.background
    ]
    assert len(fills) == 3
    assert fills[:2] == pytest.approx([0.25 * fills[2], 0.5 * fills[2]], rel=1e-3)


def test_steps_at_a_strength() -> None:
    assert [step.strength for step in at_strength(STEPS, 0.5)] == [0.4, 0.1]
    lam = Transfer(0, "eyes", "global", lam=0.5)
    assert [amount(step) for step in at_strength([lam, Blend(0, "box", strength=0.5)], 0.5)] == [0.25, 0.25]
    assert amount(Transfer(0, "eyes", "simultaneous", lam=7.0)) == 1
    assert amount(Transfer(0, "eyes")) == 1
    with pytest.raises(PhotograftError, match="sequential transfer has no strength"):
        at_strength([Transfer(0, "eyes")], 0.5)
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(PhotograftError, match="strength must be in"):
            at_strength(STEPS, wrong)


def test_the_whole_is_the_same_for_all_strengths() -> None:
    wholes = [[step.strength for step in whole(at_strength(STEPS, factor))] for factor in (1.0, 1 / 3, 0.07)]  # type: ignore[arg-type]
    assert wholes == [[1.0, 0.25]] * 3
    with pytest.raises(ValueError, match="no whole"):
        whole([replace(STEPS[0], strength=0.0)])


def test_what_is_pasted_goes_from_the_photo_to_the_picture(editor: Editor) -> None:
    half = editor.edit("lion", mask="box", strength=0.5, finish="off")
    square = CAT[BOX.y : BOX.y + BOX.h, BOX.x : BOX.x + BOX.w].astype(float)
    images = half.image, editor.reconstruction()
    made, before = (uncrop(image.astype(np.float32), BOX, CAT.shape)[0] for image in images)
    expected = (made + (square + made - before).clip(0, 255)) / 2  # the picture, and the photo with what changed
    off = np.abs(half.patch - expected)  # rounded, and enlarged differences stay in the range of the small ones
    assert np.quantile(off, 0.98) <= 1.5, np.quantile(off, [0.5, 0.98, 1])
    assert [presence([ChangeClass("lion", "box", s), Transfer(0, "eyes")]) for s in (0, 0.5)] == [0, 0.5]
    first, second = np.full((2, 2, 3), 10, np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert [int(between(first, second, share)[0, 0, 0]) for share in (0, 0.1, 1)] == [10, 34, 255]
