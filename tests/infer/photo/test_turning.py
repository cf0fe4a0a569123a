"""Windows in which a rolled head is upright: there and back, masks, borders, the bytes outside."""

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from infer.photo.box import Box
from infer.photo.turning import Upright, normal
from models.errors import PhotograftError

CAT: NDArray[np.uint8] = data.cat()
ALL = np.float32([[1.0]])


def _upright(box: Box, roll: float, photo: NDArray[np.uint8] = CAT) -> Upright:
    return Upright(box, roll, (photo.shape[0], photo.shape[1]))


@pytest.mark.parametrize("roll", [90.0, 180.0, -90.0])
@pytest.mark.parametrize("box", [Box(120, 30, 160, 160), Box(-21, 13, 101, 101), Box(300, 180, 151, 151)])
def test_quarter_turns_move_pixels_and_change_none(roll: float, box: Box) -> None:
    """What a photo that was turned shows in its window is what the window of the photo shows, to the byte."""
    quarter = round(roll / 90) % 4
    upright = _upright(box, roll)
    window = upright.carried(CAT)
    assert window.shape[:2] == upright.shape
    back = upright.put_back(CAT, window, np.ones((box.w, box.w)))
    np.testing.assert_array_equal(back, CAT)
    square = upright.box
    rows, columns = (
        slice(max(a, 0), min(a + box.w, n)) for a, n in zip((square.y, square.x), upright.shape, strict=True)
    )
    inside = CAT[max(box.y, 0) : box.y + box.w, max(box.x, 0) : box.x + box.w]
    np.testing.assert_array_equal(window[rows, columns], np.rot90(inside, quarter))


@pytest.mark.parametrize("roll", [33.0, -57.0, 90.0, 171.0])
def test_an_upright_window_of_a_turned_point(roll: float) -> None:
    """A bright spot above the head's middle, as the head is turned, is above the middle of the window's square."""
    photo = np.zeros((300, 400, 3), np.uint8)
    angle = np.radians(roll)
    x, y = 200 + 50 * np.sin(angle), 150 - 50 * np.cos(angle)
    photo[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3] = 255
    upright = _upright(Box(140, 90, 120, 120), roll, photo)
    rows, columns = np.nonzero(upright.carried(photo)[..., 0] > 128)
    middle = upright.box.x + 60, upright.box.y + 60
    assert (columns.mean() - middle[0], rows.mean() - middle[1]) == pytest.approx((0, -50), abs=1.5)
    assert np.allclose((upright.corners()[:2].mean(axis=0) - (200, 150)) / 60 * 50, (x - 200, y - 150))


@pytest.mark.parametrize("roll", [33.0, -57.0, 171.0])
@pytest.mark.parametrize("box", [Box(120, 60, 130, 130), Box(-20, -30, 200, 200), Box(10, 10, 560, 560)])
def test_bytes_outside_the_mask_are_the_photos(roll: float, box: Box) -> None:
    upright = _upright(box, roll)
    window = upright.carried(CAT)
    mask = np.zeros((box.w, box.w), np.float32)
    mask[box.w // 4 : box.w // 2, box.w // 3 : 2 * box.w // 3] = 1
    after = 255 - window
    back = upright.put_back(CAT, after, mask)
    whole = np.zeros(upright.shape, np.float32)
    square = upright.box
    for y, x in zip(*np.nonzero(mask), strict=True):
        if 0 <= square.y + y < upright.shape[0] and 0 <= square.x + x < upright.shape[1]:
            whole[square.y + y, square.x + x] = 1
    changed = (back != CAT).any(axis=2)
    assert changed.any()
    inverse = Upright(Box(square.x, square.y, box.w, box.w), -roll, upright.shape)  # of the window, by its own way
    there = inverse.carried(whole)
    left, top = box.x - inverse.box.x, box.y - inverse.box.y
    allowed = np.zeros(CAT.shape[:2], bool)
    rows, columns = slice(max(top, 0), CAT.shape[0]), slice(max(left, 0), CAT.shape[1])
    part = there[max(-top, 0) :, max(-left, 0) :][: rows.stop - rows.start, : columns.stop - columns.start]
    allowed[rows, columns][: part.shape[0], : part.shape[1]] = part > 0
    assert not changed[~allowed].any()
    inner = upright.carried(allowed.astype(np.float32)) > 0.99
    assert (np.abs(upright.carried(back)[inner].astype(int) - after[inner]) > 60).mean() < 0.35  # edges only


def test_what_was_not_changed_comes_back_nearly_as_it_was() -> None:
    """Two interpolations: smooth pictures hardly change."""
    y, x = np.mgrid[:200, :300]
    photo = np.stack([x * 0.8, y, 255 - x * 0.8], axis=2).astype(np.uint8)
    upright = _upright(Box(90, 50, 100, 100), 40.0, photo)
    back = upright.put_back(photo, upright.carried(photo), np.ones((100, 100)))
    assert np.abs(back.astype(int) - photo).max() <= 2


def test_masks_are_carried() -> None:
    mask = np.zeros(CAT.shape[:2], np.float32)
    mask[100:120, 200:260] = 1
    upright = _upright(Box(120, 30, 160, 160), 90.0)
    carried = upright.carried(mask)
    assert carried.sum() == mask.sum()
    tilted = _upright(Box(120, 30, 160, 160), 30.0).carried(mask)
    assert tilted.sum() == pytest.approx(mask.sum(), rel=0.02)
    assert 0 <= tilted.min() <= tilted.max() <= 1
    assert not _upright(Box(0, 0, 80, 80), 30.0).carried(np.ones(CAT.shape[:2], np.float32))[0, 0].any()


def test_windows_are_wide_and_half_of_a_large_photo_at_most() -> None:
    assert _upright(Box(200, 100, 40, 40), 45.0).shape == (120, 120)
    height, width = Upright(Box(2000, 1000, 3000, 3000), 45.0, (6000, 8000)).shape
    assert min(height, width) >= 3600
    assert height * width <= 6000 * 8000 / 2 * 1.01
    assert min(Upright(Box(500, 0, 5900, 5900), 45.0, (6000, 8000)).shape) >= 1.19 * 5900


def test_angles() -> None:
    assert [normal(d) for d in (0, 360, -180, 180, 270, -90)] == [0, 0, 180, 180, -90, -90]
    for bad in (float("nan"), 361, True, "much"):
        with pytest.raises(PhotograftError, match="a roll is in degrees"):
            normal(bad)  # type: ignore[arg-type]
