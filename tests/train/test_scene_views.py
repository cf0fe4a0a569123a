"""Views of scenes: boxes stay on their heads, places without one have none, and what is not possible is left out."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from train.perception import scene_views
from train.perception.scene_views import (
    HARDER,
    Scene,
    body_alone,
    cut_out,
    harder_view,
    head_alone,
    headless,
    no_head,
    person_view,
    relit,
    turned,
)

RED, GREEN, BLUE, YELLOW = (220, 20, 20), (20, 160, 20), (20, 20, 220), (220, 220, 20)
HEAD = np.array([[0.4, 0.3, 0.55, 0.5]], np.float32)
View = Callable[[Scene, Scene, np.random.Generator], Scene | None]


def _fill(pixels: NDArray[np.uint8], box: tuple[float, ...], colour: tuple[int, int, int]) -> None:
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box
    pixels[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)] = colour


@pytest.fixture
def scene() -> Scene:
    """A red head on a green animal before blue, a yellow human being at the left."""
    pixels = np.zeros((150, 190, 3), np.uint8)
    pixels[:] = BLUE
    _fill(pixels, (0.3, 0.25, 0.95, 0.9), GREEN)
    _fill(pixels, tuple(HEAD[0]), RED)
    _fill(pixels, (0, 0, 0.2, 0.9), YELLOW)
    animal, person = np.zeros((2, 129, 129), np.float32)
    animal[32:116, 38:122] = 1
    person[:116, :26] = 1
    return Scene(pixels, HEAD, "dog", animal=animal, person=person)


@pytest.fixture
def ground() -> Scene:
    """Nothing but black."""
    return Scene(np.zeros((150, 190, 3), np.uint8), np.zeros((0, 4), np.float32), "cat")


def _red(made: Scene) -> NDArray[np.bool_]:
    return (made.pixels[..., 0] > 120) & (made.pixels[..., 1] < 90)


def _of(view: View, scene: Scene, other: Scene, seed: int) -> Scene | None:
    return view(scene, other, np.random.default_rng(seed))


@pytest.mark.parametrize("view", [cut_out, head_alone, turned])
def test_boxes_lie_on_heads(view: View, scene: Scene, ground: Scene) -> None:
    made = [one for seed in range(30) if (one := _of(view, scene, ground, seed)) is not None]
    assert len(made) >= 20
    for one in made:
        assert one.boxes.shape == (1, 4)
        there, (height, width) = np.argwhere(_red(one)), one.pixels.shape[:2]
        y, x = there.mean(axis=0) / (height, width)
        x0, y0, x1, y1 = one.boxes[0]
        assert (x, y) == pytest.approx(((x0 + x1) / 2, (y0 + y1) / 2), abs=0.05)
        share = len(there) / ((x1 - x0) * (y1 - y0) * height * width)
        assert 0.6 < share < 1.6  # a rotated rectangle is more than its ellipse's box


@pytest.mark.parametrize("view", [body_alone, no_head, person_view])
def test_places_without_heads_have_none(view: View, scene: Scene, ground: Scene) -> None:
    made = [one for seed in range(20) if (one := _of(view, scene, ground, seed)) is not None]
    assert len(made) >= 10
    for one in made:
        assert one.boxes.shape == (0, 4)
        assert _red(one).mean() < 0.002


def test_people_are_in_their_windows(scene: Scene, ground: Scene) -> None:
    for seed in range(5):
        made = _of(person_view, scene, ground, seed)
        assert made is not None
        assert ((made.pixels[..., 0] > 150) & (made.pixels[..., 1] > 150)).mean() > 0.1


def test_what_a_scene_has_not_is_left_out(scene: Scene, ground: Scene) -> None:
    for view in (cut_out, head_alone, body_alone, no_head, person_view, turned):
        assert _of(view, ground, scene, 0) is None
    full = Scene(
        scene.pixels, np.array([[0.0, 0.0, 1.0, 1.0]], np.float32), "dog", animal=scene.animal, person=scene.person
    )
    assert headless(full, np.random.default_rng(0)) is None
    assert _of(head_alone, scene, full, 0) is None  # no background without a head


def test_the_mixture_adds_up_and_any_scene_gives_a_view(scene: Scene, ground: Scene) -> None:
    assert sum(share for _, share in HARDER) == pytest.approx(1)
    for one, other in ((scene, ground), (ground, scene), (scene, scene)):
        for seed in range(30):
            made = harder_view(one, other, np.random.default_rng(seed))
            assert made.pixels.dtype == np.uint8
            assert made.pixels.ndim == 3
            assert ((made.boxes >= 0) & (made.boxes <= 1)).all()
            assert len(made.boxes) <= scene_views.MAX_HEADS


def test_light_changes_and_boxes_do_not(scene: Scene) -> None:
    made = relit(scene, np.random.default_rng(1))
    assert (made.pixels != scene.pixels).any()
    np.testing.assert_array_equal(made.boxes, scene.boxes)
