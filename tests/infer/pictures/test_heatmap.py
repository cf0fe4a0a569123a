"""CIELAB and squared errors against recorded numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from infer.pictures.heatmap import heat_picture, lab, squared_error


@pytest.fixture(scope="module")
def recorded() -> dict[str, Tensor]:
    path = Path(__file__).parents[2] / "golden" / "stylegan" / "ivrl_cielab" / "io.npz"
    with np.load(path) as file:
        return {key: torch.from_numpy(np.asarray(file[key])) for key in file.files}


def test_lab(recorded: dict[str, Tensor]) -> None:
    for key in ("lab1_skimage", "lab1_transposed_matrix(correct)"):
        assert torch.allclose(lab(recorded["im1"] * 2 - 1), recorded[key], atol=1e-3), key


def test_squared_error(recorded: dict[str, Tensor]) -> None:
    found = squared_error(recorded["im1"] * 2 - 1, recorded["im2"] * 2 - 1)
    assert torch.allclose(found, recorded["sqerr_transposed_matrix(correct)"][:, 0], rtol=1e-3, atol=1e-6)


def test_released_conversion_is_another_one(recorded: dict[str, Tensor]) -> None:
    """The released code's Lab is not Lab; by the same formula on it, its recorded error comes out."""
    scale = torch.tensor([100.0, 255.0, 255.0]).view(3, 1, 1)
    released = ((recorded["lab1"] - recorded["lab2"]) / scale).square().mean(1)
    assert torch.allclose(released, recorded["sqerr"][:, 0], rtol=1e-3, atol=1e-6)
    assert (recorded["lab1"] - lab(recorded["im1"] * 2 - 1)).abs().max() > 100


def test_colours_out_of_range_are_clipped() -> None:
    assert torch.allclose(lab(torch.full((1, 3, 2, 2), 3.0)), lab(torch.ones(1, 3, 2, 2)))


def test_heat_picture() -> None:
    error = torch.zeros(4, 4)
    error[1, 2] = 0.5
    picture = heat_picture(error)
    assert picture.dtype == np.uint8
    assert picture.sum(2).argmax() == 6
    assert np.array_equal(heat_picture(error * 0), heat_picture(torch.zeros(4, 4)))
    assert heat_picture(error, most=5.0).max() < picture.max()
