"""Masks at any size: the same shapes as small, at a cost that grows with the pixels."""

import time

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from infer.photo import masks
from infer.photo.box import Box
from infer.photo.masks import Mask, automatic, cut, fade_to_border, grown, seen, to_change, working_side


def _animal(side: int) -> Mask:
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    return np.exp(-((x / 0.5) ** 8) - ((y / 0.6) ** 8)).astype(np.float32)


def _grown_at_full_size(mask: Mask) -> NDArray[np.float32]:
    """What `grown` is an economical form of."""
    side = mask.shape[0]
    size = 2 * max(1, round(0.03 * side)) + 1
    larger = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    soft = cv2.GaussianBlur(larger, (0, 0), max(0.5, 0.02 * side))
    return np.where(soft < 1 / 64, 0, soft).clip(0, 1)


@pytest.mark.parametrize("side", [40, 300, 512])
def test_small_masks_grow_as_ever(side: int) -> None:
    np.testing.assert_array_equal(grown(_animal(side)), _grown_at_full_size(_animal(side)))


def test_large_masks_grow_almost_the_same() -> None:
    difference = np.abs(grown(_animal(1100)) - _grown_at_full_size(_animal(1100)))
    assert difference.mean() < 0.002
    assert difference.max() < 0.05


def test_growing_costs_what_the_pixels_cost() -> None:
    large = cv2.resize(_animal(500), (4000, 4000))
    start = time.process_time()
    grown(large)
    assert time.process_time() - start < 2  # a dilation at this size takes 25


@pytest.mark.parametrize(
    "box", [Box(30, 20, 60, 60), Box(-25, 10, 90, 90), Box(70, 60, 50, 50), Box(-10, -10, 140, 140)]
)
def test_what_is_seen_of_a_small_photo_is_what_is_cut(box: Box) -> None:
    mask = np.random.default_rng(0).random((90, 110)).astype(np.float32)
    np.testing.assert_allclose(seen(mask, box, mask.shape), cut(mask, box), atol=1e-6)


@pytest.mark.parametrize("box", [Box(100, 200, 900, 900), Box(-300, 100, 2400, 2400)])
def test_what_is_seen_at_a_smaller_size_lies_at_the_same_place(box: Box) -> None:
    """Of a photo whose mask is smaller than it, in a square that is larger than what is worked on."""
    photo_shape = (1600, 2000, 3)
    small = cv2.GaussianBlur(np.random.default_rng(0).random((400, 500)).astype(np.float32), (0, 0), 9)
    full = cv2.resize(small, (2000, 1600), interpolation=cv2.INTER_LINEAR)
    found, side = seen(small, box, photo_shape), working_side(box)
    assert found.shape == (side, side)
    expected = cv2.resize(cut(full, box), (side, side), interpolation=cv2.INTER_AREA)
    inside = cv2.resize(cut(np.ones((1600, 2000), np.float32), box), (side, side), interpolation=cv2.INTER_AREA)
    assert np.abs(found - expected)[inside == 1].max() < 0.01
    assert not found[inside == 0].any()


def test_the_animal_of_a_large_crop_is_sought_in_a_small_picture_of_it() -> None:
    shown: list[tuple[int, ...]] = []

    def segmenter(pixels: NDArray[np.uint8]) -> Mask:
        shown.append(pixels.shape)
        return _animal(pixels.shape[0])

    box, shape = Box(100, 100, 1500, 1500), (1700, 1700, 3)
    whole = automatic(np.zeros((170, 170), np.float32), np.zeros((1500, 1500, 3), np.uint8), box, shape, segmenter)
    assert shown == [(masks.FINEST, masks.FINEST, 3)]
    assert whole.shape == (1500, 1500)
    assert 0 <= whole.min() <= whole.max() <= 1
    expected = _grown_at_full_size(_animal(1500)) * fade_to_border(box, shape)
    assert np.abs(whole - expected).max() < 0.05


def test_the_fade_is_the_same_at_any_size() -> None:
    box, shape = Box(50, -30, 400, 400), (500, 420, 3)
    full, half = fade_to_border(box, shape), fade_to_border(box, shape, 200)
    np.testing.assert_allclose(cv2.resize(full, (200, 200), interpolation=cv2.INTER_AREA), half, atol=1e-2)
    assert half[0, 100] == half[100, 199] == 1  # there the photo ends
    assert max(half[100, 0], half[199, 100]) < 0.01


def test_without_an_animal_everything_changes() -> None:
    assert to_change(np.full((64, 64), 0.4, np.float32)).min() == 1
    assert to_change(_animal(64)).min() == 0


@pytest.mark.parametrize("side", [200, 40_000])
def test_a_photo_longer_than_opencv_warps(side: int) -> None:
    shape = (200, 40_000)
    ramp = np.tile(np.linspace(0, 1, shape[1], dtype=np.float32), (200, 1))
    for mask, start in ((ramp, (20_000, 100)), (np.ascontiguousarray(ramp.T), (100, 20_000))):
        x, y = (centre - side // 2 for centre in start)
        found = seen(mask, Box(x, y, side, side), mask.shape)
        line = found[len(found) // 2] if mask is ramp else found[:, len(found) // 2]
        expected = 0.5 + (np.arange(len(line)) + 0.5 - len(line) / 2) / len(line) * side / shape[1]
        np.testing.assert_allclose(line, expected, atol=1e-3)
