"""Reconstructions that lie beside their photos are found out, and masks carried over."""

import cv2
import numpy as np
import pytest
from skimage import data

from infer.photo.registration import Registration, likeness, register

R = 128


def head() -> np.ndarray:
    return cv2.resize(data.cat()[10:290, 120:400], (R, R), interpolation=cv2.INTER_AREA)


def shifted(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """What is at p is at p + (x, y) then."""
    return cv2.warpAffine(picture, np.array([[1.0, 0, x], [0, 1, y]]), (R, R), borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("move", [(3.0, -2.0), (-4.0, 1.5), (0.0, 5.0), (12.0, -9.0), (-14.0, 0.0)])
def test_a_move_is_found(move: tuple[float, float]) -> None:
    photo = head()
    found = register(photo, shifted(photo, *move))
    inner = np.linalg.norm(found.flow[20:-20, 20:-20] - move, axis=-1)
    assert inner.mean() < 1.4  # px: a third of a place at which features are compared
    assert found.explained[20:-20, 20:-20].mean() > likeness(photo, shifted(photo, *move))[20:-20, 20:-20].mean()


def test_any_size_is_registered() -> None:
    large = cv2.resize(head(), (300, 300), interpolation=cv2.INTER_CUBIC)
    moved = cv2.warpAffine(large, np.array([[1.0, 0, 25], [0, 1, -14]]), (300, 300), borderMode=cv2.BORDER_REFLECT)
    found = register(large, moved)
    assert found.flow.shape == (300, 300, 2)
    assert np.linalg.norm(found.flow[60:-60, 60:-60] - (25, -14), axis=-1).mean() < 1.4 * 300 / R


def test_pictures_stay_pictures_and_masks_masks() -> None:
    photo = head()
    found = register(photo, shifted(photo, 6, 4))
    back = found.to_photo(shifted(photo, 6, 4))
    assert back.dtype == np.uint8
    assert np.abs(back.astype(int) - photo)[20:-20, 20:-20].mean() < 12
    mask = (np.random.default_rng(0).random((R, R)) > 0.5).astype(np.float32)
    for carried in (found.to_photo(mask), found.to_generator(mask)):
        assert 0 <= carried.min() <= carried.max() <= 1


def test_a_mask_lands_on_the_same_thing() -> None:
    photo = head()
    found = register(photo, shifted(photo, 4, 3))
    mask = np.zeros((R, R), np.float32)
    mask[50:60, 40:52] = 1
    carried = found.to_generator(mask)
    rows, columns = np.nonzero(carried > 0.5)
    assert abs(rows.mean() - (54.5 + 3)) < 1.4
    assert abs(columns.mean() - (45.5 + 4)) < 1.4
    back = found.to_photo(carried)
    assert np.abs(back - mask).mean() < 0.01
    large = found.to_generator(np.repeat(np.repeat(mask, 3, 0), 3, 1))
    np.testing.assert_allclose(cv2.resize(large, (R, R), interpolation=cv2.INTER_AREA), carried, atol=0.35)


def test_what_fits_or_is_another_thing_is_not_moved() -> None:
    photo = head()
    assert farthest(photo, photo) < 0.3
    noise = np.random.default_rng(0).integers(0, 256, (R, R, 3), np.uint8)
    assert farthest(photo, np.full_like(photo, 128)) < 0.3
    assert likeness(photo, noise).mean() < 0.2


def test_likeness_knows_where() -> None:
    photo = head()
    spoilt = photo.copy()
    spoilt[:, R // 2 :] = spoilt[::-1, R // 2 :] // 2
    found = likeness(photo, spoilt)
    assert found[:, : R // 3].mean() > 0.99
    assert found[:, -R // 3 :].mean() < 0.5
    assert found.min() >= 0
    assert found.max() <= 1


def test_the_inverse_undoes_the_flow() -> None:
    rng = np.random.default_rng(0)
    flow = cv2.GaussianBlur(rng.normal(0, 60, (R, R, 2)).astype(np.float32), (0, 0), 12)
    both = Registration(flow, np.ones((R, R), np.float32))
    x, y = np.meshgrid(np.arange(R, dtype=np.float32), np.arange(R, dtype=np.float32))
    ground = np.stack([x, y], axis=-1)
    again = both.to_generator(both.to_photo(ground))
    assert np.abs(again - ground)[10:-10, 10:-10].max() < 0.5


def farthest(photo: np.ndarray, made: np.ndarray) -> float:
    """Of all moves the largest, in pixels."""
    return float(np.linalg.norm(register(photo, made).flow, axis=-1).max())
