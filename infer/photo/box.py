"""The square of a photo that is edited: cropped out, and put back."""

import re
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.photo.photo import Pixels
from models.errors import PhotograftError

MIN_SIDE = 16


@dataclass(frozen=True)
class Box:
    """A rectangle in photo pixels: left, top, width, height. It may reach over the photo's border."""

    x: int
    y: int
    w: int
    h: int

    @classmethod
    def parse(cls, text: str) -> "Box":
        """Read "x,y,w,h" (whole numbers, photo pixels)."""
        if not re.fullmatch(r"\s*-?\d{1,6}\s*(,\s*-?\d{1,6}\s*){3}", text):
            raise PhotograftError(f"box {text!r} is not four whole numbers: write x,y,width,height")
        x, y, w, h = (int(part) for part in text.split(","))
        if w < 1 or h < 1:
            raise PhotograftError(f"box {text!r} is empty: width and height must be at least 1 pixel")
        return cls(x, y, w, h)

    def square(self) -> "Box":
        """The square with the same centre that holds this box."""
        side = max(self.w, self.h)
        return Box(self.x + (self.w - side) // 2, self.y + (self.h - side) // 2, side, side)

    def validate(self, height: int, width: int) -> "Box":
        """Return self if an edit of a photo of this size can use it, else raise."""
        if not all(isinstance(number, Integral) for number in (self.x, self.y, self.w, self.h)):
            raise PhotograftError(f"box {self} is not of whole numbers: round them")
        if min(self.w, self.h) < MIN_SIDE:
            raise PhotograftError(f"box {self} is smaller than {MIN_SIDE} pixels: give a larger one")
        if not (0 <= self.x + self.w // 2 < width and 0 <= self.y + self.h // 2 < height):
            raise PhotograftError(f"box {self} has its centre outside the photo ({width}x{height}): move it inside")
        if max(self.w, self.h) > 2 * max(height, width):
            raise PhotograftError(f"box {self} is over twice as large as the photo ({width}x{height}): shrink it")
        return self

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.w},{self.h}"


def crop_square(pixels: Pixels, box: Box, resolution: int) -> Pixels:
    """Crop the box's square and resample it to [resolution,resolution,3] uint8; outside the photo it is reflected."""
    height, width = pixels.shape[:2]
    square = box.validate(height, width).square()
    rows, columns = np.arange(square.y, square.y + square.h), np.arange(square.x, square.x + square.w)
    if rows[0] >= 0 and columns[0] >= 0 and rows[-1] < height and columns[-1] < width:
        part = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    else:
        part = pixels.take(_reflect(rows, height), axis=0).take(_reflect(columns, width), axis=1)
    return np.asarray(_resample(part, resolution), dtype=np.uint8)


def uncrop(
    patch: NDArray[Any], box: Box, photo_shape: tuple[int, ...]
) -> tuple[NDArray[Any], tuple[slice, slice], tuple[slice, slice]]:
    """Resample `patch` ([R,R,3] or [R,R], uint8 or float of any range) to the box's square in the photo.

    Returns the patch at the square's size (same dtype), the (rows, columns) of the photo that it covers, and the
    (rows, columns) of the patch that lie there. Patches from `crop_square` land where they came from.
    """
    height, width = photo_shape[:2]
    square = box.validate(height, width).square()
    top, left = max(square.y, 0), max(square.x, 0)
    bottom, right = min(square.y + square.h, height), min(square.x + square.w, width)
    in_photo = (slice(top, bottom), slice(left, right))
    in_patch = (slice(top - square.y, bottom - square.y), slice(left - square.x, right - square.x))
    return _resample(patch, square.w), in_photo, in_patch


def _resample(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Square resampling with half-pixel centres; never leaves the input's range (cubic overshoots)."""
    if values.shape[0] == side:
        return values.copy()
    method = cv2.INTER_AREA if side < values.shape[0] else cv2.INTER_CUBIC
    kept = values if values.dtype == np.uint8 else values.astype(np.float32)
    out = np.asarray(cv2.resize(kept, (side, side), interpolation=method))
    return np.clip(out, values.min(), values.max(), out=out).astype(values.dtype, copy=False)


def _reflect(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    period = 2 * (length - 1)
    index = np.abs(index) % period
    return np.where(index < length, index, period - index)
