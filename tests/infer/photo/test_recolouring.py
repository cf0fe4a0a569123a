"""The rest of an animal in the colours of its new head."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from infer.cli.main import main
from infer.editor.editor import Editor
from infer.editor.recipe_file import read_recipe
from infer.photo.box import Box
from infer.photo.recolouring import recoloured
from models.errors import PhotograftError
from tests.infer.conftest import CAT, ellipse

BOX = Box(20, 20, 40, 40)
HEAD = np.zeros((40, 40), np.float32)
HEAD[5:35, 5:35] = 1


def scene(coat: int, ground: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """A grey animal 30 px high and 150 px long, its head at the left end, on grey ground."""
    animal = np.zeros((100, 300), np.float32)
    animal[25:55, 25:175] = 1
    hairs = np.random.default_rng(0).integers(-8, 9, animal.shape)
    grey = np.where(animal > 0, coat + hairs, ground).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2), animal


@pytest.mark.parametrize(("coat", "colour"), [(60, (200, 150, 90)), (220, (70, 60, 50)), (20, (240, 235, 230))])
def test_the_coat_moves_towards_the_head_and_fades(coat: int, colour: tuple[int, int, int]) -> None:
    photo, animal = scene(coat)
    patch = np.full((40, 40, 3), colour, np.uint8)
    found = recoloured(photo, animal, BOX, patch, HEAD)
    assert found is not None
    part, mask, (x, y) = found
    assert part.shape[:2] == mask.shape
    whole = laid(mask, (x, y), animal.shape)
    assert (whole[animal == 0] == 0).all(), "nothing beside the animal"
    assert whole[40, 40] == 0, "not the head"
    assert whole[40, 62] > 0.9
    assert (np.diff(whole[40, 65:160]) <= 1e-3).all()
    assert whole[40, 165] < 0.02
    moved = photo.astype(np.float32)
    moved[y : y + len(mask), x : x + mask.shape[1]] += mask[..., None] * (
        part - moved[y : y + len(mask), x : x + mask.shape[1]]
    )
    before, after = (np.linalg.norm(pixels[30:50, 62:70].mean((0, 1)) - colour) for pixels in (photo, moved))
    assert after < (0.6 if coat == 60 else 0.8) * before  # lightness is not bent without limit
    assert moved[30:50, 62:70, 0].std() > 1, "its texture stays"


def test_a_head_alone_has_no_coat() -> None:
    photo, animal = scene(60)
    animal[:, 50:] = 0
    head = np.ones((40, 40), np.float32)
    assert recoloured(photo, animal, BOX, photo[20:60, 20:60], head) is None
    assert recoloured(photo, np.zeros_like(animal), BOX, photo[20:60, 20:60], HEAD) is None


def test_large_photos_as_small_ones() -> None:
    photo, animal = scene(60)
    large = cv2.resize(photo, (2400, 800), interpolation=cv2.INTER_NEAREST)
    box = Box(160, 160, 320, 320)
    patch = np.full((40, 40, 3), (200, 150, 90), np.uint8)
    small, big = recoloured(photo, animal, BOX, patch, HEAD), recoloured(large, animal, box, patch, HEAD)
    assert small is not None
    assert big is not None
    whole = cv2.resize(laid(big[1], big[2], (800, 2400)), (300, 100), interpolation=cv2.INTER_AREA)
    assert abs(whole - laid(small[1], small[2], (100, 300))).mean() < 0.01
    assert abs(big[0].mean((0, 1)) - small[0].mean((0, 1))).max() < 6


def laid(mask: np.ndarray, at: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    whole = np.zeros(shape, np.float32)
    whole[at[1] : at[1] + mask.shape[0], at[0] : at[0] + mask.shape[1]] = mask
    return whole


# ---------------------------------------------------------------------- edits and recipes


def test_an_edit_says_where_it_goes(tiny: Path, cat: Path) -> None:
    """What differs lies in the square's mask or in the body's."""
    editor = Editor.from_pretrained(str(tiny), ellipse).set_photo(cat, Box(150, 40, 100, 100)).project(steps=1)
    plain = editor.edit("lion")
    assert plain.body is None
    edit = editor.edit("lion", recolour_body=True)
    assert edit.body is not None
    assert edit.body.at is not None
    np.testing.assert_array_equal(edit.mask, plain.mask)
    inside = np.zeros(editor.shape, bool)
    inside[40:140, 150:250] = edit.mask > 0
    assert np.array_equal(plain.pixels[~inside], CAT[~inside])
    x, y = edit.body.at
    body = edit.body.mask > 0
    inside[y : y + len(body), x : x + body.shape[1]] |= body
    assert np.array_equal(edit.pixels[~inside], CAT[~inside])
    beyond = inside.copy()
    beyond[40:140, 150:250] = False
    assert (edit.pixels[beyond] != CAT[beyond]).any()
    assert editor.edit("lion", strength=0, recolour_body=True).pixels.tobytes() == CAT.tobytes()
    with pytest.raises(PhotograftError, match="by method graft, not limited"):
        editor.edit("lion", method="limited", recolour_body=True)


@pytest.mark.parametrize("roll", [30.0, 90.0])
def test_bodies_of_rolled_heads(tiny: Path, cat: Path, roll: float) -> None:
    """They are put back too; what differs lies in the window's masks."""
    editor = Editor.from_pretrained(str(tiny), ellipse).set_photo(cat, Box(150, 40, 100, 100), roll=roll)
    plain, edit = (editor.project(steps=1).edit("lion", recolour_body=on) for on in (False, True))
    assert edit.body is not None
    square = np.zeros(CAT.shape[:2], bool)
    square[20:160, 130:270] = True  # the turned square lies in it
    assert np.array_equal(plain.pixels[~square], CAT[~square])
    assert (edit.pixels[~square] != CAT[~square]).any()


def test_recipes_keep_it(edit: Callable[..., int], cat: Path, tmp_path: Path) -> None:
    assert edit(cat, "--to", "lion", "--recolour-body") == 0
    recipe, result = tmp_path / "out" / "cat_to_lion.json", tmp_path / "out" / "cat_to_lion.png"
    assert read_recipe(recipe).recolour_body
    assert main(["edit", "--recipe", str(recipe), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "cat_to_lion.png").read_bytes() == result.read_bytes()
