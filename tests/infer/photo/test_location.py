"""Location: heads by confidence, size and mask, else a cat's face; guesses hold no heads; usable squares."""

from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from infer.photo import location
from infer.photo.box import Box, crop_square
from infer.photo.location import FoundHead, Location, locate
from models.perception.locator import Head, HeadLocator
from models.perception.segmentation import create_segmenter

CAT = data.cat()  # [300,451,3] uint8
CAT_HEAD = Box(40, 0, 335, 298)


class Heads:
    """A locator that finds what it is told in the picture that it sees first, the whole photo, and nothing later."""

    def __init__(self, *heads: Head) -> None:
        self.found, self.whole = heads, True

    def heads(self, pixels: NDArray[np.uint8], *, least: float = 0.0) -> list[Head]:
        found, self.whole = self.found if self.whole else (), False
        return [head for head in found if head.confidence >= least]


NOTHING = cast(HeadLocator, Heads())


@pytest.fixture(scope="module")
def cat_mask() -> NDArray[np.float32]:
    return create_segmenter()(CAT)


def _iou(a: Box, b: Box) -> float:
    across = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    down = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    both = max(across, 0) * max(down, 0)
    return both / (a.w * a.h + b.w * b.h - both)


def _mask(height: int, width: int, *boxes: Box) -> NDArray[np.float32]:
    mask = np.zeros((height, width), np.float32)
    for box in boxes:
        mask[box.y : box.y + box.h, box.x : box.x + box.w] = 0.9
    return mask


def test_the_cats_head_is_found() -> None:
    found = locate(CAT)
    assert found.how == "head"
    assert found.box.w == found.box.h
    assert [head.box for head in found.heads] == [found.box]
    assert found.heads[0].confidence is not None
    assert 0.5 < found.heads[0].confidence <= 1
    assert _iou(found.box, CAT_HEAD) > 0.6
    assert crop_square(CAT, found.box, 64).shape == (64, 64, 3)


def test_the_cats_head_is_found_without_the_locator(cat_mask: NDArray[np.float32]) -> None:
    found = locate(CAT, mask=cat_mask, locator=NOTHING)
    assert found.how in ("cat face", "animal")
    assert _iou(found.box, CAT_HEAD) > 0.5


def _found(photo: NDArray[np.uint8], mask: NDArray[np.float32], *heads: Head) -> Location:
    return locate(photo, mask=mask, locator=cast(HeadLocator, Heads(*heads)))


def _holds(box: Box, head: Head) -> bool:
    return box.x <= head.x + head.w / 2 <= box.x + box.w and box.y <= head.y + head.h / 2 <= box.y + box.h


PHOTO = np.zeros((400, 600, 3), np.uint8)


@pytest.mark.parametrize(
    ("thing", "face"),
    [
        (Head(20, 150, 200, 200, 0.545), Head(350, 80, 120, 120, 0.839)),  # a large table beside a frontal face
        (Head(20, 20, 150, 150, 0.57), Head(380, 100, 110, 110, 0.34)),  # a man's face beside a dog's
        (Head(20, 20, 250, 250, 0.6), Head(380, 100, 60, 60, 0.3)),  # the same, much larger
    ],
)
def test_a_face_on_the_animal_wins(thing: Head, face: Head) -> None:
    animal = _mask(400, 600, Box(320, 60, 200, 330))
    found = _found(PHOTO, animal, thing, face)
    assert found.how == "head"
    assert _holds(found.box, face)
    assert not _holds(found.box, thing)
    assert found.heads[0].confidence == face.confidence
    assert found.heads[0].box == found.box


def test_of_two_heads_on_animals_size_and_confidence_count() -> None:
    animals = _mask(400, 600, Box(0, 100, 290, 300), Box(310, 100, 280, 300))
    near, far = Head(40, 120, 160, 160, 0.7), Head(400, 120, 50, 50, 0.85)
    found = _found(PHOTO, animals, far, near)
    assert [head.confidence for head in found.heads] == [0.7, 0.85]
    equal = _found(PHOTO, animals, near, far._replace(w=150, h=150))
    assert [head.confidence for head in equal.heads] == [0.85, 0.7]


def test_a_faint_head_on_the_animal_is_found_and_beside_it_is_not() -> None:
    animal, faint = _mask(400, 600, Box(300, 50, 250, 350)), Head(350, 70, 100, 100, 0.25)
    assert _found(PHOTO, animal, faint).how == "head"
    beside = _found(PHOTO, animal, faint._replace(x=50))
    assert (beside.how, beside.heads) == ("animal", ())
    assert _found(PHOTO, animal, faint._replace(confidence=0.15)).how == "animal"


def test_without_a_mask_of_it_a_head_must_be_confident() -> None:
    nothing = _mask(400, 600)
    assert _found(PHOTO, nothing, Head(100, 100, 120, 120, 0.9)).how == "head"
    assert _found(PHOTO, nothing, Head(100, 100, 120, 120, 0.57)).how == "centre"


def test_a_box_in_another_is_no_second_head() -> None:
    animal = _mask(400, 600, Box(200, 100, 200, 280))
    body, face = Head(210, 110, 180, 250, 0.5), Head(260, 120, 70, 70, 0.8)  # the whole animal, and its face
    found = _found(PHOTO, animal, body, face)
    assert [head.confidence for head in found.heads] == [0.8]


def test_beside_a_sure_head_faint_ones_are_none() -> None:
    animal = _mask(400, 600, Box(100, 60, 400, 330))
    sure, faint = Head(120, 80, 100, 100, 0.8), Head(380, 200, 90, 90, 0.3)
    assert [head.confidence for head in _found(PHOTO, animal, sure, faint).heads] == [0.8]
    assert [head.confidence for head in _found(PHOTO, animal, faint).heads] == [0.3]


class Near:
    """A locator that sees a head, the middle quarter of what it is shown, in small pictures only."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, int]] = []

    def heads(self, pixels: NDArray[np.uint8], *, least: float = 0.0) -> list[Head]:
        height, width = pixels.shape[:2]
        self.shown.append((height, width))
        if width > 300:
            return []
        return [Head(3 * width / 8, 3 * height / 8, width / 4, height / 4, 0.8)]


def test_a_small_animal_is_looked_at_closely() -> None:
    near, animal = Near(), Box(420, 220, 120, 120)
    found = locate(PHOTO, mask=_mask(400, 600, animal), locator=cast(HeadLocator, near))
    assert near.shown == [(400, 600), (168, 168)]  # a fifth around the animal
    assert found.how == "head"
    assert found.box.x + found.box.w / 2 == pytest.approx(480, abs=2)
    assert found.box.y + found.box.h / 2 == pytest.approx(280, abs=3)
    assert found.box.w == pytest.approx(1.2 * 42, abs=1)
    everywhere = Near()
    locate(PHOTO, mask=_mask(400, 600, Box(10, 10, 580, 380)), locator=cast(HeadLocator, everywhere))
    assert everywhere.shown == [(400, 600)]  # the same picture again would show nothing else


def test_the_same_head_at_both_scales_is_one() -> None:
    class Both:
        def heads(self, pixels: NDArray[np.uint8], *, least: float = 0.0) -> list[Head]:
            whole = pixels.shape == PHOTO.shape
            return [Head(450, 250, 60, 60, 0.5)] if whole else [Head(56, 56, 62, 62, 0.7)]

    found = locate(PHOTO, mask=_mask(400, 600, Box(420, 220, 120, 120)), locator=cast(HeadLocator, Both()))
    assert [head.confidence for head in found.heads] == [0.7]


def test_a_head_is_grown_by_a_fifth_and_moved_down() -> None:
    photo = np.zeros((600, 800, 3), np.uint8)
    # of 90x160 px around (300, 250): a square of 1.2 * 120 px, 0.02 of that lower
    found = locate(photo, locator=cast(HeadLocator, Heads(Head(255, 170, 90, 160, 0.9))))
    box = Box(300 - 72, 253 - 72, 144, 144)
    assert found == Location(box, "head", (FoundHead(box, 0.9),))


def test_a_face_is_grown_by_a_third_and_moved_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "_cascade_faces", lambda _: [(120.0, 100.0, 100.0, 5.0)])
    photo, body = np.zeros((400, 400, 3), np.uint8), Box(100, 60, 200, 300)
    found = locate(photo, mask=_mask(400, 400, body), locator=NOTHING)
    # around (170, 150): 135 px, 14 px higher; the ears are above what the cascade finds
    assert found.how == "cat face"
    assert found.box == Box(round(170 - 67.5), round(136 - 67.5), 135, 135)


def test_the_box_grows_with_the_photo() -> None:
    double = np.repeat(np.repeat(CAT, 2, axis=0), 2, axis=1)
    small, large = locate(CAT), locate(double)
    half = Box(large.box.x // 2, large.box.y // 2, large.box.w // 2, large.box.h // 2)
    assert small.how == large.how == "head"
    assert _iou(small.box, half) > 0.7


def test_a_face_must_lie_on_the_animal(monkeypatch: pytest.MonkeyPatch) -> None:
    # left, top, side, confidence
    faces = [(20.0, 20.0, 40.0, 5.0), (120.0, 30.0, 40.0, 2.5), (130.0, 180.0, 40.0, 1.5)]
    monkeypatch.setattr(location, "_cascade_faces", lambda _: faces)
    photo, body = np.zeros((300, 300, 3), np.uint8), Box(100, 20, 90, 260)
    found = locate(photo, mask=_mask(300, 300, body), locator=NOTHING)
    assert found.how == "cat face"
    assert abs(found.box.x + found.box.w / 2 - 140) <= 1  # not the confident one on the background
    monkeypatch.setattr(location, "_cascade_faces", lambda _: faces[2:])
    assert (
        locate(photo, mask=_mask(300, 300, body), locator=NOTHING).how == "animal"
    )  # a weak face among the feet is fur
    monkeypatch.setattr(location, "_cascade_faces", lambda _: faces[:1])
    assert locate(photo, mask=_mask(300, 300), locator=NOTHING).how == "centre"


def test_the_head_is_the_upper_end_of_the_largest_animal() -> None:
    photo = np.zeros((400, 500, 3), np.uint8)
    body, head, other = Box(100, 160, 250, 120), Box(280, 80, 90, 90), Box(10, 300, 60, 60)
    found = locate(photo, mask=_mask(400, 500, body, head, other), locator=NOTHING)
    assert found.how == "animal"
    assert found.box.y == pytest.approx(80, abs=2)
    assert found.box.x + found.box.w / 2 == pytest.approx(325, abs=10)
    assert found.box.w < 200


def test_without_an_animal_the_centre() -> None:
    photo = np.zeros((100, 160, 3), np.uint8)
    speck = _mask(100, 160, Box(3, 3, 5, 5))
    for mask in (np.zeros((100, 160), np.float32), speck):
        assert locate(photo, mask=mask, locator=NOTHING) == Location(Box(30, 0, 100, 100), "centre")


def test_a_given_segmenter_is_used() -> None:
    seen: list[tuple[int, ...]] = []

    def segmenter(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(pixels.shape)
        return np.ones(pixels.shape[:2], np.float32)

    photo = np.zeros((64, 48, 3), np.uint8)
    assert locate(photo, segmenter, locator=NOTHING).how == "animal"
    assert seen == [(64, 48, 3)]


@pytest.mark.parametrize("shape", [(16, 16), (16, 300), (500, 17)])
def test_small_and_narrow_photos_give_usable_boxes(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    for value in (0, 1):
        mask = np.full(shape, value, np.float32)
        for box in (locate(photo, mask=mask, locator=NOTHING).box, locate(photo, mask=mask).box):
            assert crop_square(photo, box, 32).shape == (32, 32, 3)


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8 RGB"):
        locate(CAT[..., 0])
    with pytest.raises(ValueError, match="mask must be"):
        locate(CAT, mask=np.zeros((10, 10), np.float32))
