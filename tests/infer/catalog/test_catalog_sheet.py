"""Sheets: the right colours in the right places."""

import numpy as np
import torch

from infer.catalog.catalog import build_catalog
from infer.catalog.catalog_sheet import TILE, catalog_sheet, choices_sheet, colours, overlay, spotlight
from models.samples import draw
from models.zoo import Model


def test_overlay_and_spotlight() -> None:
    picture = np.full((8, 8, 3), 100, np.uint8)
    maps = torch.zeros(2, 4, 4)
    maps[0, :, :2], maps[1, :, 2:] = 1, 1
    over, spot = overlay(picture, maps), spotlight(picture, maps[1])
    for half, k in ((slice(0, 4), 0), (slice(4, 8), 1)):
        expected = 0.4 * 100 + 0.6 * 255 * colours(2)[k]
        assert np.abs(over[:, half] - expected).max() <= 1
    assert (spot[:, 4:] == 100).all()
    assert (spot[:, :4] == 25).all()


def test_colours_differ() -> None:
    assert len(np.unique(colours(60), axis=0)) == 60
    assert len(colours(75)) == 75


def test_sheets_have_all_rows(model: Model) -> None:
    catalog = build_catalog(model, layer="low", clusters=4, samples=8)
    shown = draw(model, 3)
    height = catalog_sheet(catalog, model, shown).shape[0]
    assert height // TILE == 2 + 4
    found = choices_sheet(model, ["low", "high"], [2, 3], draw(model, 5), shown=3)
    assert found.shape[0] // TILE == 1 + 2 * 2
