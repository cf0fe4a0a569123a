"""A generator's picture as pixels: rounded, clamped, channels last."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from infer.pictures.convert import png, to_pixels
from models.errors import PhotograftError


def test_pixels_are_rounded_and_clamped() -> None:
    # generators without a tanh at their end leave [-1,1]; 255 * 1.1 as a byte would be dark again
    values = torch.tensor([[-1.6, -1.0, -0.996], [0.0, 0.999, 1.0], [1.003, 1.1, 3.0]])
    pixels = to_pixels(values.expand(1, 3, 3, 3))
    assert pixels.dtype == np.uint8
    expected = [[0, 0, 1], [128, 255, 255], [255, 255, 255]]
    for channel in range(3):
        assert pixels[..., channel].tolist() == expected


def test_channels_and_rows_stay_in_order() -> None:
    image = torch.full((1, 3, 2, 2), -1.0)
    image[0, 0, 0, 1] = 1.0  # red, upper right
    image[0, 2, 1, 0] = 1.0  # blue, lower left
    assert to_pixels(image).tolist() == [[[0, 0, 0], [255, 0, 0]], [[0, 0, 255], [0, 0, 0]]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(PhotograftError, match="NaN or infinite"):
        to_pixels(torch.full((1, 3, 2, 2), value))


def test_png_keeps_every_value() -> None:
    for pixels in (np.arange(48, dtype=np.uint8).reshape(4, 4, 3), np.arange(16, dtype=np.uint16).reshape(4, 4) * 4369):
        stream = BytesIO()
        png(pixels)(stream)
        np.testing.assert_array_equal(np.asarray(Image.open(stream)), pixels)
