"""From the values in a picture's file to 8 bits: by the file's type and the range that is stated, never by a guess."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from models.errors import PhotograftError

ValueRange = Sequence[float]
"""The values of black and white."""

_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF's tags
ORIENTATION = 0x0112
# 16-bit values up to here are as likely 10 or 12 bits in 16: without a range they would be near black.
DARK_16_BIT = 4095
_TO_8_BIT = ((np.arange(65536) + 128) // 257).astype(np.uint8)
_HOW = "state the values of black and white, value_range: [0, {}]"


def check_range(value_range: object) -> tuple[float, float] | None:
    """(black, white) of a stated range.

    Raises:
        PhotograftError: not two different finite numbers.
    """
    if value_range is None:
        return None
    if isinstance(value_range, str | bytes) or not isinstance(value_range, Sequence):
        raise PhotograftError(f"value_range is {value_range!r:.60}: give two numbers, such as [0, 4095]")
    numbers = [x for x in value_range if is_number(x) and math.isfinite(x)]
    if len(value_range) != 2 or len(numbers) != 2 or numbers[0] == numbers[1]:
        raise PhotograftError(f"value_range is {value_range!r}: give the values of black and white, such as [0, 4095]")
    return float(numbers[0]), float(numbers[1])


def is_number(value: object) -> bool:
    """Whether it is an int or a float, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def to_8_bits(image: Image.Image, data: bytes, value_range: ValueRange | None) -> Image.Image:
    """Decode an opened picture, upright; one of more than 8 bits is scaled down.

    Args:
        image: as `Image.open` gives it.
        data: its file, which holds more than the image where Pillow only reads the upper 8 of 16 bits of colours.
        value_range: the values of black and white in pictures of more than 8 bits; None for what the file states.

    Raises:
        PhotograftError: more than 8 bits, and the range is neither stated nor plain from the type.
    """
    deep_colours = image.mode in ("RGB", "RGBA") and ";16" in str(getattr(image, "tile", [])[:1])
    stated = _stated_range(image)
    tags = getattr(image, "tag_v2", {})
    unsigned = tags.get(_BITS_PER_SAMPLE) == (32,) and tags.get(_SAMPLE_FORMAT, (1,)) == (1,)
    image.load()
    if image.mode.startswith(("I", "F")):
        levels = np.asarray(image)
        if image.mode == "I" and unsigned:
            levels = levels.view(np.uint32)
    elif deep_colours and not image.has_transparency_data:
        levels = _deep_colours(data)
    else:
        return ImageOps.exif_transpose(image)
    if not np.isfinite(levels).all():
        raise PhotograftError("values that are not finite (NaN or infinite): mend the picture, or leave it out")
    orientation = image.getexif().get(ORIENTATION, 1)  # 1 for a TIFF, which both libraries have turned
    image = Image.fromarray(_scaled(levels, value_range or stated or _usual_range(levels)))
    image.getexif()[ORIENTATION] = orientation
    return ImageOps.exif_transpose(image)


def _stated_range(image: Image.Image) -> tuple[float, float] | None:
    """(black, white) where the file says more than its type: PNM's greatest value, TIFF's bits and direction."""
    if image.format == "PPM" and image.mode == "I":
        return 0.0, 65535.0  # Pillow has scaled it so
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (0,))[0]
    if image.mode.startswith("I;16") and (bits < 16 or tags.get(_PHOTOMETRIC) == 0) and bits:
        full = 2.0**bits - 1
        return (full, 0.0) if tags.get(_PHOTOMETRIC) == 0 else (0.0, full)
    return None


def _usual_range(levels: NDArray[np.generic]) -> tuple[float, float]:
    """(black, white) of the type, if the values leave no doubt."""
    low, high = float(levels.min()), float(levels.max())
    if levels.dtype.kind == "f":
        if low >= 0 and high <= 1 + 1e-6:
            return 0.0, 1.0
        raise PhotograftError(
            f"floating-point values from {low:g} to {high:g}, not 0 to 1: {_HOW.format('255')} for instance"
        )
    if levels.dtype != np.uint16:
        raise PhotograftError(
            f"32-bit or signed integers from {low:g} to {high:g}: {_HOW.format('65535')} for instance"
        )
    if 0 < high <= DARK_16_BIT:
        raise PhotograftError(
            f"16-bit values that end at {high:g}: {_HOW.format('4095')} for 12 bits, [0, 65535] if it is that dark"
        )
    return 0.0, 65535.0


def to_8_bit(levels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """16-bit values over 257, rounded: any shape."""
    return np.asarray(np.take(_TO_8_BIT, levels))


def _scaled(levels: NDArray[np.generic], value_range: ValueRange) -> NDArray[np.uint8]:
    """Values to 0..255; an alpha channel is not part of the range."""
    black, white = value_range
    if levels.dtype == np.uint16 and (black, white) == (0, 65535):
        return to_8_bit(levels)  # type: ignore[arg-type]
    values = levels.astype(np.float64)
    scaled = (values - black) * (255.0 / (white - black))
    if values.ndim == 3 and values.shape[2] == 4:
        scaled[..., 3] = values[..., 3] / 257.0
    return np.rint(scaled).clip(0, 255).astype(np.uint8)


def _deep_colours(data: bytes) -> NDArray[np.generic]:
    """uint16 [H,W,3] or [H,W,4], RGB(A)."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.dtype != np.uint16:
        raise ValueError("16-bit colours of a kind that is not read")
    order = [2, 1, 0, 3][: image.shape[2]]
    levels: NDArray[np.generic] = image[..., order]
    return levels
