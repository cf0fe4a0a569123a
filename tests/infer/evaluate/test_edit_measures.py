"""Measures of edits on pictures whose right values are known."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.color import lab2rgb, rgb2lab

from infer.evaluate.edit_measures import (
    HEAD_GROWTH,
    colour_cast,
    head_region,
    leftovers,
    measure_edit,
    overlap_of,
    place_of,
    seam_score,
    sharpness_ratio,
    training_crop,
    windows,
)
from infer.photo.box import Box
from infer.photo.cielab import lab_of
from infer.photo.location import locate
from models.perception.locator import Head

SIDE = 128


def textured(height: int, width: int, seed: int = 0, sigma: float = 0.7) -> NDArray[np.uint8]:
    """Grey grain of one sharpness everywhere."""
    noise = np.random.default_rng(seed).normal(0, 1, (height, width)).astype(np.float32)
    noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma), np.float32)
    grey = np.clip(128 + 30 * noise / noise.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def disc(side: int, radius: float) -> NDArray[np.float32]:
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    return (np.hypot(x, y) < radius).astype(np.float32)


# ---------------------------------------------------------------------- places


class OneHead:
    """A locator that always finds the same head."""

    def heads(self, pixels: NDArray[np.uint8], *, least: float = 0.1) -> list[Head]:
        return [Head(100.0, 60.0, 80.0, 60.0, 0.9)]


def test_a_known_head_is_grown_as_the_pipeline_grows_a_found_one() -> None:
    animal = np.ones((300, 400), np.float32)
    found = locate(np.zeros((300, 400, 3), np.uint8), mask=animal, locator=OneHead()).box  # type: ignore[arg-type]
    wanted = training_crop((100, 60, 80, 60))
    assert np.allclose((found.x, found.y, found.w, found.h), wanted, atol=1)
    place = place_of(found, [(100, 60, 80, 60)])
    assert place.right
    assert place.iou == pytest.approx(1, abs=0.05)
    assert place.scale == pytest.approx(1, abs=0.02)


def test_overlap() -> None:
    assert overlap_of((0, 0, 4, 4), (0, 0, 4, 4)) == 1
    assert overlap_of((0, 0, 4, 4), (2, 0, 4, 4)) == pytest.approx(8 / 24)
    assert overlap_of((0, 0, 4, 4), (5, 5, 4, 4)) == 0


def test_wrong_places_are_beside_the_head_or_of_another_size() -> None:
    head = (100.0, 100.0, 50.0, 50.0)  # grown: 60 px
    assert place_of(Box(95, 96, 60, 60), [head]).right
    assert not place_of(Box(200, 96, 60, 60), [head]).right
    large, small = place_of(Box(25, 25, 200, 200), [head]), place_of(Box(115, 115, 20, 20), [head])
    assert large.centred
    assert not large.right
    assert not small.right
    beside = place_of(Box(127, 96, 60, 60), [head])  # overlaps, without the centre
    assert beside.iou > 0.25
    assert not beside.right
    assert place_of(Box(127, 96, 60, 60), [head, (132, 100, 50, 50)]).right  # any of the heads


def test_windows_cut_what_lies_in_the_photo() -> None:
    in_photo, in_square = windows(Box(-10, 20, 50, 50), (60, 100, 3))
    assert in_photo == (slice(20, 60), slice(0, 40))
    assert in_square == (slice(0, 40), slice(10, 50))


# ---------------------------------------------------------------------- colours


def test_lab_is_that_of_skimage() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    assert np.abs(lab_of(pixels) - rgb2lab(pixels)).max() < 0.5


@pytest.mark.parametrize("shift", [(8.0, 0.0, 0.0), (0.0, 6.0, -8.0)])
def test_a_known_shift_is_the_cast(shift: tuple[float, float, float]) -> None:
    random = np.random.default_rng(0)
    lab = np.array([55.0, 5.0, 10.0]) + random.normal(0, 3, (SIDE, SIDE, 3))
    made, finished = ((lab2rgb(values) * 255).round().astype(np.uint8) for values in (lab, lab + np.array(shift)))
    core = disc(SIDE, 40) > 0
    finished[~core] = 0  # nothing from outside of the core counts
    cast, pixels = colour_cast(finished, made, core, side=SIDE)
    wanted = float(np.linalg.norm(shift))
    assert cast == pytest.approx(wanted, abs=0.15)
    assert pixels == pytest.approx(wanted, abs=0.25)
    assert colour_cast(made, made, core, side=SIDE) == (0, 0)
    assert all(np.isnan(colour_cast(made, made, np.zeros_like(core), side=SIDE)))


def test_casts_that_cancel_are_seen_by_pixels_and_detail_is_no_cast() -> None:
    made = np.full((SIDE, SIDE, 3), 128, np.uint8)
    halves = made.copy()
    halves[:, : SIDE // 2] += 20
    halves[:, SIDE // 2 :] -= 20
    core = np.ones((SIDE, SIDE), np.bool_)
    cast, pixels = colour_cast(halves, made, core, side=SIDE)
    assert cast < 1
    assert pixels > 6
    assert colour_cast(textured(SIDE, SIDE), made, core, side=SIDE)[1] < 4


# ---------------------------------------------------------------------- leftovers


def test_planted_leftovers_have_their_area() -> None:
    old, made, mask = (np.zeros((SIDE, SIDE), np.float32) for _ in range(3))
    made[40:90, 40:90] = 1  # the new head
    mask[30:100, 30:100] = 1
    old[30:100, 30:100] = 1  # 4900 px
    old[10:30, 40:50] = 1  # an ear above the mask: 200 px
    now = (old > 0) | (made > 0)
    assert leftovers(old > 0, now, mask, made) == pytest.approx(200 / 5100)
    completed = mask.copy()
    completed[10:20, 40:50] = 1  # half of it is filled in
    assert leftovers(old > 0, now, completed, made) == pytest.approx(100 / 5100)
    gone = now.copy()
    gone[10:30, 40:50] = False  # nobody reads it as animal any more
    assert leftovers(old > 0, gone, mask, made) == 0
    eared = made.copy()
    eared[10:30, 40:50] = 1  # the new head has an ear there too
    assert leftovers(old > 0, now, mask, eared) == 0
    assert np.isnan(leftovers(np.zeros_like(old) > 0, now, mask, made))


def test_the_head_is_what_was_grown_to_the_square() -> None:
    region = head_region(Box(0, 0, 120, 120))
    assert region.sum() == pytest.approx((120 / HEAD_GROWTH) ** 2, rel=0.03)
    assert region[:60].sum() > region[60:].sum()  # a square lies lower than its head


# ---------------------------------------------------------------------- sharpness


def sharpness_of(head: NDArray[np.uint8], box: Box, photo: NDArray[np.uint8]) -> float:
    pixels = photo.copy()
    mask = disc(box.w, box.w * 0.45)
    in_photo, in_square = windows(box, photo.shape)
    pixels[in_photo][mask[in_square] > 0] = head[in_square][mask[in_square] > 0]
    animal = np.ones(photo.shape[:2], np.float32)
    return sharpness_ratio(pixels, box, mask[in_square], mask[in_square] > 0, animal)


@pytest.mark.parametrize("box", [Box(100, 90, SIDE, SIDE), Box(-20, 90, SIDE, SIDE)])
def test_a_head_as_sharp_as_its_photo_is_1_and_a_blurred_one_below(box: Box) -> None:
    photo, head = textured(320, 340), textured(SIDE, SIDE, seed=1)
    assert sharpness_of(head, box, photo) == pytest.approx(1, abs=0.05)
    darker = (128 + (head.astype(np.float32) - 128) / 3).astype(np.uint8)
    assert sharpness_of(darker, box, photo) == pytest.approx(1, abs=0.1)  # contrast is no sharpness
    small = cv2.resize(head, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    for soft in (cv2.GaussianBlur(head, (0, 0), 1.5), cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)):
        assert sharpness_of(np.asarray(soft, np.uint8), box, photo) < 0.7
    assert sharpness_of(head, box, cv2.GaussianBlur(photo, (0, 0), 1.5)) > 1.3  # type: ignore[arg-type]


def test_flat_surroundings_have_no_sharpness() -> None:
    assert np.isnan(sharpness_of(textured(SIDE, SIDE), Box(50, 50, SIDE, SIDE), np.full((300, 300, 3), 90, np.uint8)))


def test_the_animal_is_what_a_head_is_compared_with_and_what_is_out_of_focus_has_no_say() -> None:
    photo, soft = textured(320, 340), np.asarray(cv2.GaussianBlur(textured(320, 340, seed=2), (0, 0), 2.0), np.uint8)
    box, mask = Box(100, 60, SIDE, SIDE), disc(SIDE, 50)
    animal = np.zeros((320, 340), np.float32)
    animal[200:] = 1
    body = photo.copy()
    body[200:] = soft[200:]  # a soft animal in a sharp room
    assert sharpness_ratio(body, box, mask, mask > 0, animal) > 1.5
    assert sharpness_ratio(body, box, mask, mask > 0, np.zeros_like(animal)) == pytest.approx(1, abs=0.1)
    room = soft.copy()
    room[200:], room[60:188, 100:228] = photo[200:], photo[60:188, 100:228]  # a sharp animal in a soft room
    for read in (animal, np.zeros_like(animal)):
        assert sharpness_ratio(room, box, mask, mask > 0, read) == pytest.approx(1, abs=0.1)


# ---------------------------------------------------------------------- seams


def test_a_seam_is_a_step_along_the_rim() -> None:
    photo = np.full((SIDE, SIDE, 3), 120, np.uint8)
    mask = disc(SIDE, 40)
    assert seam_score(photo, photo, mask, side=SIDE) == 1
    scores = []
    for step in (5, 20, 60):
        edited = photo.copy()
        edited[mask > 0] += np.uint8(step)
        scores.append(seam_score(photo, edited, mask, side=SIDE))
    assert 1 < scores[0] < scores[1] < scores[2]
    inner = photo.copy()
    inner[disc(SIDE, 25) > 0] = 255  # a strong edge, but not along the rim
    assert seam_score(photo, inner, mask, side=SIDE) == pytest.approx(1, abs=0.01)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), 8), np.float32)
    blended = (photo + 60 * soft[..., None]).astype(np.uint8)
    assert seam_score(photo, blended, soft, side=SIDE) < scores[2] / 2  # a soft transition shows less
    assert np.isnan(seam_score(photo, photo, np.ones_like(mask), side=SIDE))


def test_an_edge_that_the_photo_has_anyway_is_no_seam() -> None:
    mask = disc(SIDE, 40)
    photo = np.full((SIDE, SIDE, 3), 60, np.uint8)
    photo[mask > 0] = 180
    other = np.full((SIDE, SIDE, 3), 60, np.uint8)
    other[mask > 0] = 178
    assert seam_score(photo, other, mask, side=SIDE) == pytest.approx(1, abs=0.05)


# ---------------------------------------------------------------------- all of it


def test_an_edit_that_changes_nothing() -> None:
    photo, box = textured(320, 340), Box(100, 90, SIDE, SIDE)
    patch = photo[90 : 90 + SIDE, 100 : 100 + SIDE]
    made = disc(SIDE, 50)
    animal = np.zeros(photo.shape[:2], np.float32)
    animal[90 : 90 + SIDE, 100 : 100 + SIDE] = made
    found = measure_edit(photo, photo, box, disc(SIDE, 60), patch, old=animal, new=animal, made=made)
    assert (found.cast, found.cast_pixels, found.leftovers, found.leftovers_head) == (0, 0, 0, 0)
    assert found.sharpness == found.sharpness_before == pytest.approx(1, abs=0.05)
    assert (found.seam, found.iou) == (1, 1)


def test_a_square_over_the_border_and_a_worse_edit() -> None:
    photo, box = textured(320, 340), Box(-40, 220, SIDE, SIDE)
    photo[:, :150] = np.clip(photo[:, :150].astype(int) + 40, 0, 255).astype(np.uint8)
    patch = np.full((SIDE, SIDE, 3), (200, 120, 60), np.uint8)
    mask = disc(SIDE, 45)
    in_photo, in_square = windows(box, photo.shape)
    finished, old, new = photo.copy(), np.zeros((320, 340), np.float32), np.zeros((320, 340), np.float32)
    finished[in_photo][mask[in_square] > 0] = (180, 140, 90)
    old[in_photo] = 1
    new[in_photo] = (mask[in_square] > 0) | (np.arange(88) < 20)
    found = measure_edit(photo, finished, box, mask, patch, old=old, new=new, made=mask)
    wanted = np.linalg.norm(lab_of(finished[260:261, 20:21]) - lab_of(patch[:1, :1]))
    assert found.cast == pytest.approx(wanted, abs=0.1)
    assert found.sharpness < 0.1
    assert found.sharpness_before == pytest.approx(1, abs=0.15)
    assert found.iou == pytest.approx(new.sum() / (SIDE - 28) / (SIDE - 40), abs=0.01)
    assert 0 < found.leftovers_head < found.leftovers
    assert found.seam > 1.5
    with pytest.raises(ValueError, match="must be"):
        measure_edit(photo, finished, box, mask[1:], patch, old=old, new=new, made=mask)
