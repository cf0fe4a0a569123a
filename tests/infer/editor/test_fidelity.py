"""Masks and changes land where photo and reconstruction show the same; what is not explained is drawn and said."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from infer.cli.main import main
from infer.editor import fidelity, output, session
from infer.editor.editor import Editor
from infer.editor.pasting import changed
from infer.editor.points import Sample
from infer.editor.recipe_file import read_recipe
from infer.editor.regions import areas_of, for_generator
from infer.editor.steps import Blend, ChangeClass
from infer.photo.box import Box, crop_square, uncrop
from infer.photo.registration import Registration
from infer.pictures.heatmap import heat_picture
from infer.pictures.sheet import tile
from models.zoo import load_model
from tests.infer.conftest import CAT, ellipse
from tests.infer.tiny_model import RESOLUTION, write_tiny_model

BOX = Box(120, 30, 160, 160)
MOVE = (4.0, -3.0)  # what is at p in the photo's crop is at p + MOVE in the reconstruction, in the generator's pixels
PER_PIXEL = BOX.w / RESOLUTION


def put(editor: Editor, move: tuple[float, float] = MOVE, explained: float = 1.0) -> Editor:
    """An editor whose reconstruction is taken to lie beside the photo."""
    assert editor.projection is not None
    flow = np.broadcast_to(np.float32(move), (RESOLUTION, RESOLUTION, 2)).copy()
    known = Registration(flow, np.full((RESOLUTION, RESOLUTION), explained, np.float32))
    editor._registration = (editor.projection, known)
    return editor


@pytest.fixture
def editor(tiny: Path) -> Editor:
    return Editor(load_model(str(tiny)), ellipse).set_photo(CAT, BOX).project("black cat", steps=2)


@pytest.fixture
def mask() -> np.ndarray:
    """An eye, painted on the photo."""
    painted = np.zeros(CAT.shape[:2], np.float32)
    painted[100:130, 170:200] = 1
    return painted


def centre(values: Any) -> np.ndarray:
    """x and y of the centre of mass, as shares of the sides."""
    values = np.asarray(values, np.float64)
    y, x = np.mgrid[: values.shape[0], : values.shape[1]] + 0.5
    total = values.sum()
    return np.array([(x * values).sum() / total / values.shape[1], (y * values).sum() / total / values.shape[0]])


@pytest.mark.parametrize("kind", ["class", "blend"])
def test_a_mask_painted_on_the_photos_eye_acts_on_the_reconstructions(
    editor: Editor, mask: np.ndarray, kind: str
) -> None:
    step = ChangeClass("lion", mask) if kind == "class" else Blend(Sample(3, "lion"), mask)
    steps = put(editor).resolve([step])
    areas = areas_of(editor, steps)
    (as_painted,) = for_generator(editor, steps, areas)
    (moved,) = for_generator(editor, steps, areas, registered=True)
    np.testing.assert_allclose(centre(moved) - centre(as_painted), np.array(MOVE) / RESOLUTION, atol=0.003)
    assert moved.min() >= 0
    assert moved.max() <= 1


@pytest.mark.parametrize("region", ["auto", "box"])
def test_what_nobody_painted_is_not_moved(editor: Editor, region: str) -> None:
    steps = put(editor).resolve([ChangeClass("lion", region)])
    areas = areas_of(editor, steps)
    (moved,) = for_generator(editor, steps, areas, registered=True)
    assert torch.equal(moved, for_generator(editor, steps, areas)[0])
    before = editor.edit("lion", mask=region, finish="off", registered=False)
    np.testing.assert_array_equal(editor.edit("lion", mask=region, finish="off").pixels, before.pixels)


def test_the_made_eye_is_pasted_where_the_mask_was_painted(editor: Editor, mask: np.ndarray) -> None:
    edit = put(editor).edit("lion", mask=mask, finish="off", method="paste")
    np.testing.assert_array_equal(edit.mask, mask[BOX.y : BOX.y + BOX.h, BOX.x : BOX.x + BOX.w])
    outside = mask == 0
    np.testing.assert_array_equal(edit.pixels[outside], CAT[outside])
    moved = uncrop(editor.registration().to_photo(edit.image), BOX, CAT.shape)[0]
    inside = edit.mask == 1
    square = edit.pixels[BOX.y : BOX.y + BOX.h, BOX.x : BOX.x + BOX.w]
    assert np.abs(square[inside].astype(int) - moved[inside]).max() <= 1
    before = editor.edit("lion", mask=mask, finish="off", method="paste", registered=False)
    np.testing.assert_array_equal(before.mask, edit.mask)
    assert not before.registered
    assert (before.pixels != edit.pixels).any()


def test_of_the_same_species_the_change_alone_is_added(editor: Editor, mask: np.ndarray) -> None:
    edit = put(editor).edit("brown tabby cat", mask=mask)
    (paste,) = edit.pastes
    assert paste.change
    assert edit.finish == "off"
    np.testing.assert_array_equal(paste.patch, changed(editor, edit.image, registered=True))
    outside = mask == 0
    np.testing.assert_array_equal(edit.pixels[outside], CAT[outside])
    inside = mask == 1
    square = np.zeros_like(CAT)
    square[BOX.y : BOX.y + BOX.h, BOX.x : BOX.x + BOX.w] = paste.patch
    np.testing.assert_array_equal(edit.pixels[inside], square[inside])
    assert not editor.edit("brown tabby cat", mask=mask, registered=False).pastes[0].change
    assert not editor.edit("lion", mask=mask).pastes[0].change
    together = editor.edit([ChangeClass("brown tabby cat", mask), ChangeClass("lion", np.roll(mask, 40, axis=1))])
    assert [paste.change for paste in together.pastes] == [True, False]
    over = editor.edit([ChangeClass("lion", "box"), ChangeClass("brown tabby cat", mask)])
    assert not any(paste.change for paste in over.pastes)


def test_beside_a_whole_head_the_eye_is_where_that_head_has_it(editor: Editor, mask: np.ndarray) -> None:
    steps = [ChangeClass("lion"), ChangeClass("golden retriever", mask)]
    edit = put(editor).edit(steps, finish="off", method="paste")
    np.testing.assert_array_equal(edit.patch, uncrop(edit.image, BOX, CAT.shape)[0])


def test_a_change_lands_on_the_photos_eye(editor: Editor) -> None:
    put(editor)
    image = editor.reconstruction().astype(int)
    image[12:16, 20:24] += np.where(image[12:16, 20:24].mean() < 128, 60, -60)
    made = image.clip(0, 255).astype(np.uint8)
    square = crop_square(CAT, BOX, BOX.w).astype(int)
    at = {
        registered: centre(np.abs(changed(editor, made, registered=registered) - square).sum(axis=2))
        for registered in (False, True)
    }
    np.testing.assert_allclose(at[False] - at[True], np.array(MOVE) / RESOLUTION, atol=0.02)


def test_a_callers_change_and_its_area_are_moved_alike(editor: Editor) -> None:
    put(editor)
    samples = editor.samples()
    image = editor.generator(samples.latent, samples.label).detach()
    image[..., 12:16, 20:24] += 0.5
    area = np.zeros((RESOLUTION, RESOLUTION), np.float32)
    area[12:16, 20:24] = 1
    pixels, mask = editor.paste(image.clamp(-1, 1), area, change=True, method="paste")
    np.testing.assert_allclose(centre(mask) + np.array(MOVE) / RESOLUTION, centre(area), atol=0.003)
    outside = np.ones(CAT.shape[:2], bool)
    outside[BOX.y : BOX.y + BOX.h, BOX.x : BOX.x + BOX.w] = mask == 0
    np.testing.assert_array_equal(pixels[outside], CAT[outside])
    assert (pixels != CAT).any()


@pytest.mark.parametrize("move", [(16, 0), (-8, 12)])
def test_a_reconstruction_that_is_shifted_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: tuple[int, int]
) -> None:
    """By the network: a mask on something lands on it, within the third of a place that features are coarse."""
    editor = Editor(load_model(str(write_tiny_model(tmp_path))), ellipse).set_photo(CAT, BOX)
    editor.project("black cat", preset="fast")
    side = 128
    crop = crop_square(CAT, BOX, side)
    matrix = np.array([[1.0, 0, move[0]], [0, 1, move[1]]])
    shifted = cv2.warpAffine(crop, matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
    monkeypatch.setattr(editor.model.generator, "resolution", side)
    monkeypatch.setattr(editor, "reconstruction", lambda: shifted)
    mask = np.zeros(CAT.shape[:2], np.float32)
    mask[95:125, 180:215] = 1
    steps = editor.resolve([ChangeClass("lion", mask)])
    areas = areas_of(editor, steps)
    (moved,) = for_generator(editor, steps, areas, registered=True)
    wanted = centre(areas[0]) + np.array(move) / side
    assert np.abs(centre(moved) - wanted).max() < 1.5 / side
    spot = np.zeros((side, side), np.float32)
    spot[50:60, 60:70] = 1
    made = np.where(spot[..., None] > 0, 255 - shifted, shifted)
    difference = np.abs(changed(editor, made, registered=True).astype(int) - crop_square(CAT, BOX, BOX.w)).sum(axis=2)
    assert np.abs(centre(difference) - (centre(spot) - np.array(move) / side)).max() < 2 / side


def test_a_photo_is_registered_once(editor: Editor, mask: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = session.register
    monkeypatch.setattr(session, "register", lambda *pictures: calls.append(1) or real(*pictures))
    for strength in (1.0, 0.5):
        output.panel(editor, editor.edit("lion", mask=mask, strength=strength))
    assert len(calls) == 1
    output.panel(editor, editor.project("lion", steps=1).edit("lion", mask=mask))
    assert len(calls) == 2
    assert not editor.set_sample(Sample(3, "lion")).edit("lion").registered
    assert len(calls) == 2


# ---------------------------------------------------------------------- recipes


def test_recipes_say_it_and_those_without_it_do_what_they_did(editor: Editor, mask: np.ndarray, tmp_path: Path) -> None:
    put(editor)
    for registered in (True, False):
        editor.edits.clear()
        editor.edit("lion", mask=mask, registered=registered)
        (picture,) = editor.save(tmp_path / str(registered))
        recipe = read_recipe(picture.with_suffix(".json"))
        assert recipe.registered == registered
    path = picture.with_suffix(".json")
    content = json.loads(path.read_text())
    assert content["edit"].pop("registered") is False
    assert content["edit"]["steps"]
    path.write_text(json.dumps(content))
    assert not read_recipe(path).registered
    first = {one: read_bytes(tmp_path / str(one)) for one in (True, False)}
    assert first[True] != first[False]
    again = Editor(editor.model, ellipse).restore(read_recipe(path), photo_file(tmp_path))
    recipe = read_recipe(path)
    edit = again.edit(recipe.steps, registered=recipe.registered, settle=recipe.settle)
    np.testing.assert_array_equal(edit.pixels, editor.edits[-1].pixels)


def read_bytes(folder: Path) -> bytes:
    return (folder / "photo_to_lion.png").read_bytes()


def photo_file(folder: Path) -> Path:
    path = folder / "cat.png"
    cv2.imwrite(str(path), CAT[..., ::-1])
    return path


@pytest.mark.parametrize("registered", [True, False])
def test_the_command_does_a_recipe_again_as_it_says(
    tiny: Path, cat: Path, mask: np.ndarray, tmp_path: Path, registered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = np.broadcast_to(np.float32(MOVE), (RESOLUTION, RESOLUTION, 2)).copy()
    explained = np.ones((RESOLUTION, RESOLUTION), np.float32)
    monkeypatch.setattr(session, "register", lambda *pictures: Registration(flow, explained))
    painted = tmp_path / "eye.png"
    cv2.imwrite(str(painted), (mask * 255).astype(np.uint8))
    out = tmp_path / "out"
    command = ["edit", str(cat), "--model", str(tiny), "--to", "lion", "--mask", str(painted), "--steps", "2"]
    assert main([*command, "--box", str(BOX), "--out", str(out)]) == 0
    recipe = out / "cat_to_lion.json"
    content = json.loads(recipe.read_text())
    assert content["edit"]["registered"] is True
    if not registered:
        del content["edit"]["registered"]
        recipe.write_text(json.dumps(content))
    assert main(["edit", "--recipe", str(recipe), "--out", str(tmp_path / "again")]) == 0
    again = json.loads((tmp_path / "again" / "cat_to_lion.json").read_text())
    assert again["edit"]["registered"] is registered
    same = (out / "cat_to_lion.png").read_bytes() == (tmp_path / "again" / "cat_to_lion.png").read_bytes()
    assert same == registered


# ---------------------------------------------------------------------- what is not explained


def test_the_panel_shows_what_is_not_explained(editor: Editor) -> None:
    put(editor, explained=0.25)
    edit = editor.edit("lion", mask="box", finish="off")
    picture = output.panel(editor, edit)
    assert picture.shape[1] == 6 * 260 - 4
    wanted = tile(heat_picture(torch.full((RESOLUTION, RESOLUTION), 0.75), most=1.0))
    np.testing.assert_array_equal(picture[22 : 22 + 256, 520 : 520 + 256], wanted)
    np.testing.assert_allclose(fidelity.unexplained(editor), 0.75)


def test_little_that_is_explained_is_said_once_for_each_region(tiny: Path, mask: np.ndarray) -> None:
    said: list[str] = []
    editor = Editor(load_model(str(tiny)), ellipse, said.append).set_photo(CAT, BOX).project("black cat", steps=2)
    put(editor, explained=fidelity.LITTLE + 0.01).edit("lion", mask="box")
    assert not any("explains little" in text for text in said)
    put(editor, explained=fidelity.LITTLE - 0.05)
    for _ in range(2):
        editor.edit([ChangeClass("golden retriever", "box"), ChangeClass("lion", mask)])
        editor.edit([Blend(Sample(3, "lion"), mask, name="eye")])
        editor.edit("lion")
    found = [text for text in said if "explains little" in text]
    assert found == [
        f"the projection explains little of {what} ({fidelity.LITTLE - 0.05:.2f}): expect it to change"
        for what in ("the square", "what is painted as lion", "eye", "the animal")
    ]


def test_only_the_region_counts(tiny: Path, mask: np.ndarray) -> None:
    said: list[str] = []
    editor = Editor(load_model(str(tiny)), ellipse, said.append).set_photo(CAT, BOX).project("black cat", steps=2)
    put(editor, move=(0, 0))
    explained = editor.registration().explained
    explained[:] = 0
    explained[12:22, 8:18] = 1  # where the mask is
    editor.edit("lion", mask=mask)
    assert not any("explains little" in text for text in said)
    editor.edit("lion", mask="box")
    assert any("explains little of the square" in text for text in said)
