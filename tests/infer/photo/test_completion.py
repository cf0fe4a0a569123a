"""Background that goes on where an animal was."""

import numpy as np
import pytest

from infer.photo.completion import completed, spread


def hole(height: int, width: int, *, rows: slice, columns: slice) -> np.ndarray:
    known = np.ones((height, width), bool)
    known[rows, columns] = False
    return known


def test_values_spread_from_what_is_known() -> None:
    values = np.full((40, 60, 3), (10.0, 20.0, 30.0), np.float32)
    known = hole(40, 60, rows=slice(10, 30), columns=slice(5, 50))
    values[~known] = 200
    np.testing.assert_allclose(spread(values, known), np.broadcast_to([10, 20, 30], (40, 60, 3)), atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (3, 5)])
def test_one_known_pixel_is_enough(shape: tuple[int, int]) -> None:
    values = np.zeros((*shape, 3), np.float32)
    known = np.zeros(shape, bool)
    values[0, 0], known[0, 0] = 50, True
    np.testing.assert_allclose(spread(values, known), 50, atol=1e-3)
    with pytest.raises(ValueError, match="nothing is known"):
        spread(values, np.zeros(shape, bool))


def test_a_slope_goes_on() -> None:
    slope = np.repeat(np.arange(96, dtype=np.float32)[None, :, None] * 2, 96, axis=0).repeat(3, axis=2)
    known = hole(96, 96, rows=slice(30, 60), columns=slice(40, 60))
    found = spread(slope, known)
    assert np.abs(found - slope)[~known].mean() < 8


def test_texture_goes_on_and_the_rest_stays() -> None:
    """Vertical stripes: what is filled is striped as the rest is, in step with it."""
    line = np.where(np.arange(120) // 4 % 2, 220, 40).astype(np.uint8)
    picture = np.repeat(np.repeat(line[None, :, None], 120, axis=0), 3, axis=2)
    known = hole(120, 120, rows=slice(45, 75), columns=slice(45, 75))
    spoilt = picture.copy()
    spoilt[~known] = (255, 0, 0)
    wanted = ~known
    wanted[60:] = False
    out = completed(spoilt, known, wanted)
    np.testing.assert_array_equal(out[~wanted], spoilt[~wanted])
    assert np.abs(out[wanted].astype(int) - picture[wanted]).mean() < 25
    columns = out[45:60, 45:75].mean(axis=(0, 2))
    assert np.corrcoef(columns, line[45:75])[0, 1] > 0.9


def test_detail_beyond_the_working_size_is_the_photos() -> None:
    """In a large picture the fine grain of the surroundings is in the filling, too."""
    grain = np.random.default_rng(0).normal(0, 20, (640, 640, 1))
    picture = (128 + grain).clip(0, 255).astype(np.uint8).repeat(3, axis=2)
    known = hole(640, 640, rows=slice(250, 400), columns=slice(250, 400))
    spoilt = picture.copy()
    spoilt[~known] = 0
    filled = completed(spoilt, known, ~known)[~known].astype(float)
    assert abs(filled.mean() - 128) < 4
    assert filled.std() == pytest.approx(picture[known].astype(float).std(), rel=0.25)


def test_nothing_wanted_changes_nothing() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    everything = np.ones((20, 20), bool)
    np.testing.assert_array_equal(completed(picture, everything, everything), picture)
    with pytest.raises(ValueError, match="nothing is known"):
        completed(picture, ~everything, everything)
