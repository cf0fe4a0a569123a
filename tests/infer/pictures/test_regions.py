"""Regions to look at: each in its own colour, with its name below."""

import numpy as np
import pytest

from infer.pictures.regions import regions_tile

GREY = np.full((64, 64, 3), 128, np.uint8)


def quarter(top: int, left: int) -> np.ndarray:
    area = np.zeros((32, 32), np.float32)
    area[top : top + 12, left : left + 12] = 1
    return area


def test_each_region_has_its_colour_where_it_is_and_in_the_legend() -> None:
    areas = [quarter(2, 2), quarter(2, 18), quarter(18, 2)]
    tile = regions_tile(GREY, areas, ["lion (1)", "ears (0.5)", "eyes (global)"])
    assert tile.shape == (256, 256, 3)
    side = 256 - 3 * 18
    left, scale = (256 - side) // 2, side / 32
    inside = [
        tile[round((y + 6) * scale), left + round((x + 6) * scale)].astype(int) for y, x in ((2, 2), (2, 18), (18, 2))
    ]
    swatches = [tile[side + i * 18 + 9, 8].astype(int) for i in range(3)]
    for i, (found, swatch) in enumerate(zip(inside, swatches, strict=True)):
        assert int(np.abs(found - swatch).sum()) < min(
            int(np.abs(found - other).sum()) for k, other in enumerate(swatches) if k != i
        )
        assert (tile[side + i * 18 : side + (i + 1) * 18, 19:].min(axis=(0, 2)) < 128).any(), "words"
    nothing = tile[round(26 * scale), left + round(26 * scale)]
    assert nothing[0] == nothing[1] == nothing[2] > 128


def test_later_regions_lie_over_earlier_ones_and_faint_ones_are_fainter() -> None:
    whole = np.ones((8, 8), np.float32)
    over = regions_tile(GREY, [whole, whole * 0.2], ["a", "b"])[100, 128].astype(int)
    alone = regions_tile(GREY, [whole], ["a"])[100, 128].astype(int)
    strong = regions_tile(GREY, [whole, whole], ["a", "b"])[100, 128].astype(int)
    assert 0 < np.abs(over - alone).sum() < np.abs(strong - alone).sum()


@pytest.mark.parametrize("count", [6, 7, 40])
def test_many_regions(count: int) -> None:
    tile = regions_tile(GREY, [quarter(2, 2)] * count, [f"region {i}" for i in range(count)])
    assert tile.shape == (256, 256, 3)
    last = tile[-18:, 3:14]
    assert (last.min() < 200) == (count == 6), "the last line says how many more, and has no colour"
