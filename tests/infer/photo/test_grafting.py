"""What of an old head is filled, what of its body stays, and what is put there."""

import numpy as np
import pytest

from infer.photo import masks
from infer.photo.box import Box
from infer.photo.grafting import background, plan

S = 256
BOX = Box(100, 100, S, S)
PHOTO = (500, 500, 3)


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:S, :S]
    return ((columns - x) ** 2 + (rows - y) ** 2 < radius**2).astype(np.float32)


def body() -> np.ndarray:
    """A trunk that goes on below the square."""
    found = np.zeros((S, S), np.float32)
    found[190:, 40:216] = 1
    return found


PATCH = np.full((S, S, 3), 128, np.uint8)
EAR = disc(60, 30, 22)
OLD = np.maximum.reduce([disc(128, 128, 80), EAR, body()])
NEW = np.maximum(disc(128, 128, 70), body())


def test_an_ear_that_shows_is_filled() -> None:
    graft = plan(OLD, NEW, PATCH, BOX, PHOTO)
    assert graft is not None
    ear = (EAR > 0) & (masks.fade_to_border(BOX, PHOTO) > 0.9)
    assert graft.filled[ear].min() > 0.8
    assert graft.head[ear].max() == 0
    centre = disc(128, 128, 50) > 0
    assert graft.head[centre].min() == 1
    assert graft.filled[centre].max() == 0
    assert graft.joined[centre].min() > 0.999
    assert graft.joined[ear].max() == 0


def test_the_body_below_stays() -> None:
    narrow = disc(128, 128, 70)  # the new animal has no shoulders
    graft = plan(OLD, narrow, PATCH, BOX, PHOTO)
    assert graft is not None
    shoulders = np.zeros((S, S), bool)
    shoulders[235:, 45:75] = shoulders[235:, 180:210] = True
    assert graft.filled[shoulders].max() < 0.1


def test_the_same_outline_leaves_only_a_rim() -> None:
    graft = plan(NEW, NEW, PATCH, BOX, PHOTO)
    assert graft is not None
    assert graft.filled[disc(128, 128, 48) > 0].max() == 0
    assert (graft.filled > 0.5).mean() < 0.25


def test_a_head_ends_roundly_where_the_animal_goes_on() -> None:
    """In the corners of the square, and only there: over background an ear may reach into them."""
    everywhere, nowhere = np.ones((S, S), np.float32), np.zeros((S, S), np.float32)
    on_fur, on_grass = (plan(before, everywhere, PATCH, BOX, PHOTO) for before in (everywhere, nowhere))
    assert on_fur is not None
    assert on_grass is not None
    corner = slice(31, 35), slice(31, 35)  # beyond the fade at the border
    assert on_fur.head[corner].max() < 0.3
    assert on_grass.head[corner].min() > 0.9
    assert on_fur.head[128, 40:216].min() == 1
    assert on_fur.head[40:216, 128].min() == 1
    below = plan(everywhere, everywhere, PATCH, Box(100, 300, S, S), PHOTO)  # reaches over the photo's lower border
    assert below is not None
    assert below.head[-1, 40:216].min() == 1
    assert below.head[corner].max() < 0.3


def test_holes_and_bays_of_made_fur_are_closed_and_bits_left_out() -> None:
    made = NEW.copy()
    made[disc(110, 120, 12) > 0] = 0.2  # fur that is read as nothing much
    made[disc(128, 59, 8) > 0] = 0.1
    made[disc(30, 40, 12) > 0] = 1  # something beside the animal
    graft = plan(OLD, made, PATCH, BOX, PHOTO)
    assert graft is not None
    assert graft.head[disc(110, 120, 12) > 0].min() == 1
    assert graft.head[disc(128, 64, 3) > 0].min() > 0.5
    assert graft.head[disc(30, 40, 12) > 0].max() == 0


def test_a_neck_between_body_and_head_stays() -> None:
    """The body goes on to the right; the new head is smaller than the old one, of which the neck is a part."""
    rows, columns = np.mgrid[:S, :S]
    trunk = ((columns > 128) & (abs(rows - 150) < 50)).astype(np.float32)
    old, new = np.maximum(disc(100, 128, 70), trunk), disc(100, 128, 60)
    graft = plan(old, new, PATCH, BOX, PHOTO)
    assert graft is not None
    neck = (abs(rows - 145) < 15) & (columns > 168) & (columns < 190)
    assert graft.filled[neck].max() < 0.1
    assert graft.filled[(disc(100, 128, 68) > 0) & (disc(100, 128, 63) == 0) & (columns < 90)].min() > 0.3


def test_no_animal_in_the_patch() -> None:
    assert plan(OLD, np.zeros_like(OLD), PATCH, BOX, PHOTO) is None


def test_background_is_the_photos() -> None:
    photo = np.full(PHOTO, (30, 160, 60), np.uint8)
    animal = np.zeros(PHOTO[:2], np.float32)
    animal[100 : 100 + S, 100 : 100 + S] = OLD
    photo[animal > 0] = (200, 40, 40)
    graft = plan(OLD, NEW, PATCH, BOX, PHOTO)
    assert graft is not None
    found = background(photo, animal, BOX, graft.filled)
    assert found is not None
    assert found.shape == (S, S, 3)
    inside = graft.filled > 0.9
    assert inside.any()
    assert np.abs(found[inside].astype(int) - (30, 160, 60)).max() <= 3
    assert background(photo, np.ones_like(animal), BOX, graft.filled) is None, "nothing but animal"


@pytest.mark.parametrize("box", [Box(-60, -40, S, S), Box(330, 380, S, S), Box(-200, -200, 900, 900)])
def test_squares_over_the_border(box: Box) -> None:
    photo = np.random.default_rng(0).integers(0, 256, PHOTO, np.uint8)
    animal = np.zeros((125, 125), np.float32)
    animal[20:60, 20:60] = 1
    found = background(photo, animal, box, np.ones((64, 64), np.float32))
    assert found is not None
    assert found.shape == (box.w, box.w, 3)
