"""Masks of an edit: where the class changes in the generator, and where the result is pasted into the photo.

Unless a function says otherwise they are float32 [S,S] in [0,1] on the crop's square in photo pixels.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.photo import Box
from models.errors import PhotograftError
from models.segmentation import Segmenter

Mask = NDArray[np.float32]

_GROWTH = 0.03  # of the crop's side: fur does not end where the segmentation does
_FEATHER = 0.02
_CLOSE_UP = 0.8  # share of the crop that the animal fills
_LEAST = 0.1  # share of the crop below which the segmenter found nothing in it
_FADE = 0.12  # towards the crop's border, beyond which the animal goes on unedited


def painted(mask: NDArray[Any], photo_shape: tuple[int, ...]) -> Mask:  # [H,W] -> [H,W]
    """A mask that was given as an array, checked, and rounded to the 255 steps that its PNG will hold.

    Args:
        mask: [H,W] of the photo's size; float in [0,1], or bool.
        photo_shape: (H, W, ...).

    Raises:
        PhotograftError: another size or kind, values outside [0,1], nothing in it.
    """
    height, width = photo_shape[:2]
    if mask.shape != (height, width):
        raise PhotograftError(f"the mask is {list(mask.shape)}, the photo [{height},{width}]: make them the same size")
    if mask.dtype != np.bool_ and not np.issubdtype(mask.dtype, np.floating):
        raise PhotograftError(f"the mask must be float in 0..1 or bool, not {mask.dtype}: divide a uint8 mask by 255")
    if not (mask.min() >= 0 and mask.max() <= 1):  # also false for NaN
        raise PhotograftError("the mask's values must lie in 0..1")
    levels = np.round(mask.astype(np.float32) * 255)
    if levels.max() < 2:  # a file of 0 and 1 would be read as 0 and 255
        raise PhotograftError("the mask is empty: it must be 1 where the photo shall be edited")
    return np.asarray(levels / np.float32(255), np.float32)


def cut(mask: Mask, box: Box) -> Mask:  # [H,W] -> [S,S]
    """The part of a photo's mask under the box's square; 0 outside the photo."""
    square = box.square()
    out = np.zeros((square.h, square.w), np.float32)
    top, left = max(square.y, 0), max(square.x, 0)
    part = mask[top : max(square.y + square.h, 0), left : max(square.x + square.w, 0)]
    out[top - square.y : top - square.y + part.shape[0], left - square.x : left - square.x + part.shape[1]] = part
    return out


def reaches_out(mask: Mask, box: Box) -> bool:
    """Whether a photo's mask [H,W] goes on outside of the box's square."""
    return bool(np.count_nonzero(mask) > np.count_nonzero(cut(mask, box)))


def to_paste(mask: Mask, box: Box) -> Mask:  # [H,W] -> [S,S]
    """A painted mask where it lies in the square; fading out towards the square's border if it goes on beyond."""
    inside = cut(mask, box)
    return inside * fade_to_border(box, mask.shape) if reaches_out(mask, box) else inside


def to_change(photo_mask: Mask, box: Box) -> Mask:  # [H,W] -> [S,S]
    """Where the class changes when nobody painted a mask: the animal and some of what is around it, else everything.

    It is larger than what is pasted (`automatic`), so that the edge of the one does not show in the other.
    """
    found = cut(photo_mask, box)
    return grown(grown(found)) if found.max() > 0.5 else np.ones_like(found)


def fade_to_border(box: Box, photo_shape: tuple[int, ...]) -> Mask:
    """1 inside, falling smoothly to 0 at those sides of the square that lie inside the photo."""
    square = box.square()
    height, width = photo_shape[:2]
    ramp = (np.arange(square.w, dtype=np.float32) + 0.5) / max(_FADE * square.w, 1.0)
    ones = np.full(square.w, 1.0, np.float32)
    left, right = (ramp if square.x > 0 else ones), (ramp if square.x + square.w < width else ones)[::-1]
    top, bottom = (ramp if square.y > 0 else ones), (ramp if square.y + square.h < height else ones)[::-1]
    distance = np.minimum(np.minimum(left, right)[None, :], np.minimum(top, bottom)[:, None]).clip(0, 1)
    return np.asarray(distance * distance * (3 - 2 * distance), np.float32)


def grown(mask: Mask) -> Mask:
    """A segmentation's mask, a little larger and with a soft edge."""
    side = mask.shape[0]
    size = 2 * max(1, round(_GROWTH * side)) + 1
    larger = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    soft = cv2.GaussianBlur(larger, (0, 0), max(0.5, _FEATHER * side))
    return np.asarray(np.where(soft < 1 / 64, 0, soft), np.float32).clip(0, 1)


def automatic(
    photo_mask: Mask, patch: NDArray[np.uint8], box: Box, photo_shape: tuple[int, ...], segmenter: Segmenter
) -> Mask:
    """Where to paste an edited crop when nobody painted a mask.

    The animal of the photo together with the animal of the edited crop (a lion's mane is wider than a cat's face), a
    little grown, and fading out towards the crop's border. In a close-up, where the photo's animal fills the crop, only
    the animal of the edited crop: what else the generator makes there is background, which no animal should turn into.

    Args:
        photo_mask: [H,W] of the whole photo.
        patch: uint8 [S,S,3], the edited crop at the photo's scale.
        box: of the crop.
        photo_shape: (H, W, ...).
        segmenter: finds the animal in the edited crop.
    """
    before, after = cut(photo_mask, box), segmenter(patch)
    inside = cut(np.ones(photo_shape[:2], np.float32), box)
    filled = float((before * inside).sum() / max(inside.sum(), 1.0))
    area = after if filled > _CLOSE_UP and after.mean() > _LEAST else np.maximum(before, after)
    return grown(area) * fade_to_border(box, photo_shape)
