"""Mattes follow the edges of the picture, not those of the segmenter."""

import cv2
import numpy as np

from infer.photo.matte import guided, matte, own_colours

SIDE = 128


def picture_of(edge: int) -> np.ndarray:
    """Orange left of a column, green right of it."""
    picture = np.empty((SIDE, SIDE, 3), np.uint8)
    picture[:, :edge], picture[:, edge:] = (220, 140, 40), (30, 120, 30)
    return picture


def test_a_blurred_mask_takes_the_pictures_edge() -> None:
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[:, :67] = 1  # three pixels too far
    mask = cv2.GaussianBlur(mask, (0, 0), 4)
    found = matte(mask, picture_of(64))
    truth = np.zeros_like(mask)
    truth[:, :64] = 1
    assert np.abs(found - truth).mean() < 0.3 * np.abs(mask - truth).mean()
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1


def test_far_from_the_edge_the_segmenter_is_believed() -> None:
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[:, :64] = 1
    picture = picture_of(64)
    picture[40:50, 20:30] = (30, 120, 30)  # a green spot within the animal
    found = matte(mask, picture)
    assert (found[:, :50] == 1).all()
    assert (found[:, 80:] == 0).all()


def test_guided_leaves_what_is_flat() -> None:
    mask = np.full((32, 32), 0.25, np.float32)
    np.testing.assert_allclose(guided(mask, picture_of(64)[:32, 48:80], 3), 0.25, atol=1e-5)


def test_colours_of_inside_reach_over_the_rim() -> None:
    """Green background that shines through at the rim becomes orange; the inside keeps every pixel."""
    picture, alpha = picture_of(64), np.zeros((SIDE, SIDE), np.float32)
    alpha[:, :64], alpha[:, 64:70] = 1, 0.4
    out = own_colours(picture, alpha)
    np.testing.assert_array_equal(out[:, :60], picture[:, :60])
    rim = out[:, 66:69].astype(int)
    assert (rim[..., 0] > 100).all(), "nearer to the orange inside than to the green"
    nothing = np.zeros_like(alpha)
    np.testing.assert_array_equal(own_colours(picture, nothing), picture)
