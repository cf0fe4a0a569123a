"""Heads that are rolled: a window of the photo turned until the head is upright, and what was edited there put back.

All that follows works on the upright window as it does on a photo. Quarter turns move pixels and change none; other
angles cost one interpolation each way, the one back only where something was edited.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.photo.box import Box, crop_square
from infer.photo.photo import Pixels
from models.errors import PhotograftError
from models.perception.locator import load_locator
from models.perception.pose import SIDE, WINDOW, Roll, load_pose
from models.schema import short

_REACH, _LEAST_REACH = 3.0, 1.2  # of a window, in squares: wide, and this at least where it would be large
_LARGE = 4_000_000  # pixels of a window that is no more than half of its photo: memory
_CROP = 1.2  # side of a training crop, in roots of the areas of heads
_STRIP = 256  # rows that are put back at a time
_LEAST = 1 / 510  # of a mask: less changes nothing
# A head is turned upright where the pose network says so from these on, and where the locator, which learnt upright
# heads, is surer of it by this then. Chosen among 64 combinations on 68 photos of pets and 97 turned ones of them.
LEAST_ROLL, LEAST_CONFIDENCE, LEAST_GAIN = 25.0, 0.65, 0.08
_SAME = 0.3  # intersection over union of a head that the locator finds with the one that is meant
_QUARTER = 12.0  # degrees around quarter turns that are taken for them: heads are upright to this much elsewhere too


def seen_roll(pixels: Pixels, box: Box) -> Roll:
    """What the embedded network says of the head in a box of a photo [H,W,3]."""
    square = box.square()
    side = round(square.w * WINDOW)
    around = Box(square.x - (side - square.w) // 2, square.y - (side - square.w) // 2, side, side)
    return load_pose().roll(crop_square(pixels, around, SIDE))


def automatic_roll(pixels: Pixels, box: Box) -> float:
    """Whole degrees by which a head shall be turned back; 0 where it is nearly upright, or that is unsure."""
    degrees, confidence = seen_roll(pixels, box)
    if confidence < LEAST_CONFIDENCE or abs(degrees) < LEAST_ROLL:
        return 0.0
    quarter = 90 * round(degrees / 90)
    roll = normal(quarter if abs(degrees - quarter) <= _QUARTER else round(degrees))
    before, after = (located(pixels, box.square(), turned) for turned in (0.0, roll))
    return roll if after >= before + LEAST_GAIN else 0.0


def located(pixels: Pixels, square: Box, roll: float) -> float:
    """How sure the locator is of the head in a square, where it is turned back by a roll; 0 where it finds none."""
    upright = Upright(square, roll, (pixels.shape[0], pixels.shape[1]))
    box, best = upright.box, 0.0
    for head in load_locator().heads(upright.carried(pixels)):
        side = math.sqrt(head.w * head.h) * _CROP
        left, top = head.x + (head.w - side) / 2, head.y + (head.h - side) / 2
        across = max(min(left + side, box.x + box.w) - max(left, box.x), 0)
        down = max(min(top + side, box.y + box.h) - max(top, box.y), 0)
        if across * down > _SAME * (side**2 + box.w**2 - across * down):
            best = max(best, head.confidence)
    return best


def normal(degrees: float) -> float:
    """The same angle in -180 (left out) to 180. Raises PhotograftError for one that is not finite, or beyond 360."""
    known: Any = degrees
    if isinstance(known, bool) or not isinstance(known, int | float) or not abs(known) <= 360:
        raise PhotograftError(f"a roll is in degrees, from -360 to 360, not {short(known)}")
    return float(180 - (180 - known) % 360)


@dataclass(frozen=True)
class Upright:
    """A window of a photo in which the head is upright.

    Attributes:
        placed: the head's square in the photo.
        roll: degrees by which it is turned clockwise there.
        photo_shape: height and width of the photo.
    """

    placed: Box
    roll: float
    photo_shape: tuple[int, int]

    @property
    def _turn(self) -> NDArray[np.float64]:  # -> [2,2]
        """From directions in the window to those in the photo; quarter turns exactly."""
        if self.roll % 90 == 0:
            cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][round(self.roll / 90) % 4]
        else:
            cos, sin = math.cos(math.radians(self.roll)), math.sin(math.radians(self.roll))  # type: ignore[assignment]
        return np.array([[cos, -sin], [sin, cos]], np.float64)

    @cached_property
    def _around(self) -> tuple[int, int, int, int]:
        """Pixels beyond the square's left, top, right and bottom side: no farther than the photo, negative inside."""
        height, width = self.photo_shape
        side, half = self.placed.w, self.placed.w / 2
        reach = max(_LEAST_REACH * side, min(_REACH * side, math.sqrt(max(_LARGE, height * width / 2))))
        own = round((reach - side) / 2)
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
        corners = (corners - (self.placed.x + half, self.placed.y + half)) @ self._turn  # the inverse's transpose
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        ends = (-left, -top, right, bottom)
        found = tuple(min(own, math.floor(end - half + 1e-6)) for end in ends)
        return found

    @property
    def box(self) -> Box:
        """The head's square in the window."""
        return Box(self._around[0], self._around[1], self.placed.w, self.placed.w)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the window."""
        left, top, right, bottom = self._around
        return self.placed.w + top + bottom, self.placed.w + left + right

    @property
    def matrix(self) -> NDArray[np.float64]:  # -> [2,3]
        """From the window's pixels to the photo's, both by their indices."""
        half = self.placed.w / 2
        middle = np.array([self._around[0] + half - 0.5, self._around[1] + half - 0.5])
        there = np.array([self.placed.x + half - 0.5, self.placed.y + half - 0.5])
        return np.concatenate([self._turn, (there - self._turn @ middle)[:, None]], axis=1)

    @cached_property
    def _covered(self) -> tuple[slice, slice]:
        """Rows and columns of the photo that the window touches."""
        height, width = self.shape
        corners = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [-0.5, height - 0.5], [width - 0.5, height - 0.5]])
        there = corners @ self._turn.T + self.matrix[:, 2] + 0.5
        spans = []
        for low, high, limit in zip(there.min(axis=0), there.max(axis=0), self.photo_shape[::-1], strict=True):
            spans.append(slice(max(math.floor(low + 1e-6), 0), min(math.ceil(high - 1e-6), limit)))
        return spans[1], spans[0]

    def carried(self, values: NDArray[Any]) -> NDArray[Any]:  # [H,W,...] -> [h,w,...]
        """A photo's pixels, or its mask, in the window: what lies beyond the photo is reflected, or 0 in a mask."""
        rows, columns = self._covered
        part = values[rows, columns]
        if self.roll % 90 == 0:
            return np.ascontiguousarray(np.rot90(part, round(self.roll / 90)))
        matrix = self.matrix
        matrix[:, 2] -= (columns.start, rows.start)
        height, width = self.shape
        way = cv2.INTER_CUBIC if values.ndim == 3 else cv2.INTER_LINEAR
        border = cv2.BORDER_REFLECT_101 if values.ndim == 3 else cv2.BORDER_CONSTANT
        flags = way | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(part, matrix, (width, height), flags=flags, borderMode=border))

    def put_back(self, photo: Pixels, after: Pixels, mask: NDArray[np.floating]) -> Pixels:  # [H,W,3], [h,w,3], [S,S]
        """The photo with what was changed in the window, under a mask of the square, or of the window; all other pixels
        are its own."""
        out, (rows, columns) = photo.copy(), self._covered
        if self.roll % 90 == 0:
            out[rows, columns] = np.rot90(after, -round(self.roll / 90))
            return out
        share = self._share(mask)
        for strip in _strips(rows):
            matrix = self._inverse(strip, columns)
            size = columns.stop - columns.start, strip.stop - strip.start
            alpha = cv2.warpAffine(share, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)[..., None]
            if not alpha.any():
                continue
            flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            back = cv2.warpAffine(after, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            own = out[strip, columns]
            mixed = own + alpha.astype(np.float32) / 255 * (back.astype(np.float32) - own)
            out[strip, columns] = np.where(alpha > 0, mixed.round().clip(0, 255), own)
        return out

    def _share(self, mask: NDArray[np.floating]) -> NDArray[np.uint8]:  # [S,S] -> [h,w]
        """How much of the window's pixels is put back, 0 to 255: all of what is masked, less towards its very edge."""
        left, top, right, bottom = (0, 0, 0, 0) if mask.shape == self.shape else self._around
        inside = mask[max(-top, 0) : len(mask) + min(bottom, 0), max(-left, 0) : len(mask) + min(right, 0)] > _LEAST
        share = np.zeros(self.shape, np.uint8)
        share[max(top, 0) :, max(left, 0) :][: inside.shape[0], : inside.shape[1]] = inside * np.uint8(255)
        # What the interpolation takes of neighbours stays under the mask.
        return np.asarray(cv2.blur(cv2.erode(share, np.ones((5, 5), np.uint8)), (3, 3)), np.uint8)

    def _inverse(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """From pixels of a part of the photo to the window's."""
        matrix = self.matrix
        inverse = matrix[:, :2].T
        shift = inverse @ (np.array([columns.start, rows.start], np.float64) - matrix[:, 2])
        return np.concatenate([inverse, shift[:, None]], axis=1)

    def corners(self) -> NDArray[np.float64]:  # -> [4,2]
        """x and y of the turned square's corners in the photo, around it from the head's upper left one."""
        half = self.placed.w / 2
        around = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
        return around @ self._turn.T + (self.placed.x + half, self.placed.y + half)


def _strips(rows: slice) -> Iterator[slice]:
    for start in range(rows.start, rows.stop, _STRIP):
        yield slice(start, min(start + _STRIP, rows.stop))
