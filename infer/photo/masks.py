"""Masks of an edit: where the class changes in the generator, and where the result is pasted into the photo.

Unless a function says otherwise they are float32 [S,S] in [0,1] on the crop's square in photo pixels.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.photo.box import Box
from models.errors import PhotograftError
from models.layers.resampling import resize_pixels
from models.perception.segmentation import Segmenter

Mask = NDArray[np.float32]

FINEST = 1024  # px on a side of what segmenters see and generators are told: networks are no finer
_GROWN = 512  # px on a side at which masks grow: a dilation's cost is the fourth power of it
_GROWTH = 0.03  # of the crop's side: fur does not end where the segmentation does
_FEATHER = 0.02
_CLOSE_UP = 0.8  # share of the crop that the animal fills
_LEAST = 0.1  # share of the crop below which the segmenter found nothing in it
_WARPED = 1 << 14  # px on a side of a picture that cv2.warpAffine is given: it fails from twice as much
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
    levels = mask.astype(np.float32)
    np.rint(np.multiply(levels, 255, out=levels), out=levels)
    if levels.max() < 2:  # a file of 0 and 1 would be read as 0 and 255
        raise PhotograftError("the mask is empty: it must be 1 where the photo shall be edited")
    return np.divide(levels, 255, out=levels)


def cut(mask: Mask, box: Box) -> Mask:  # [H,W] -> [S,S]
    """The part of a photo's mask under the box's square; 0 outside the photo."""
    square = box.square()
    out = np.zeros((square.h, square.w), np.float32)
    top, left = max(square.y, 0), max(square.x, 0)
    part = mask[top : max(square.y + square.h, 0), left : max(square.x + square.w, 0)]
    out[top - square.y : top - square.y + part.shape[0], left - square.x : left - square.x + part.shape[1]] = part
    return out


def shown(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:  # [H,W,3] -> [h,w,3]
    """A picture as segmenters are shown it: at most `FINEST` px on the shorter side."""
    scale = min(1.0, FINEST / min(pixels.shape[:2]))
    height, width = (round(side * scale) for side in pixels.shape[:2])
    return resize_pixels(pixels, height, width)


def reaches_out(mask: Mask, box: Box) -> bool:
    """Whether a photo's mask [H,W] goes on outside of the box's square."""
    return bool(np.count_nonzero(mask) > np.count_nonzero(cut(mask, box)))


def seen(mask: Mask, box: Box, photo_shape: tuple[int, ...]) -> Mask:  # [h,w] -> [s,s]
    """What a segmentation of the whole photo says of the square, `working_side` px wide; 0 outside the photo.

    Args:
        mask: [h,w], of the photo's size or smaller.
        box: of the crop.
        photo_shape: (H, W, ...).
    """
    square, side = box.square(), working_side(box)
    step = square.w / side  # in photo pixels
    matrix, inside, parts = np.zeros((2, 3)), [], []
    spans = (square.x, photo_shape[1], mask.shape[1]), (square.y, photo_shape[0], mask.shape[0])
    for axis, (start, length, count) in enumerate(spans):
        centres = start + step * (np.arange(side) + 0.5)
        inside.append((centres > 0) & (centres < length))
        at = centres * count / length - 0.5  # in the mask
        first, last = (int(v) for v in np.clip([at[0] - 1, at[-1] + 3], 0, count))
        parts.append(slice(first, last))
        fewer = min(1.0, _WARPED / (last - first))
        matrix[axis, axis] = step * count / length * fewer
        matrix[axis, 2] = (at[0] + 0.5 - first) * fewer - 0.5
    mask = mask[parts[1], parts[0]]
    mask = resize_pixels(mask, *(min(length, _WARPED) for length in mask.shape))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found = cv2.warpAffine(mask, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found * np.outer(inside[1], inside[0]), np.float32)


def working_side(box: Box) -> int:
    """Pixels on a side of what is worked out on the box's square for networks."""
    return min(box.square().w, FINEST)


def to_paste(mask: Mask, box: Box) -> Mask:  # [H,W] -> [S,S]
    """A painted mask where it lies in the square; fading out towards the square's border if it goes on beyond."""
    inside = cut(mask, box)
    if reaches_out(mask, box):
        inside *= fade_to_border(box, mask.shape)
    return inside


def to_change(found: Mask) -> Mask:  # [s,s] -> [s,s]
    """Where the class changes when nobody painted a mask: the animal and some of what is around it, else everything.

    It is larger than what is pasted (`automatic`), so that the edge of the one does not show in the other.
    """
    return grown(grown(found)) if found.max() > 0.5 else np.ones_like(found)


def fade_to_border(box: Box, photo_shape: tuple[int, ...], side: int | None = None) -> Mask:
    """1 inside, falling smoothly to 0 at those sides of the square that lie inside the photo; [S,S], or of a side."""
    square = box.square()
    height, width = photo_shape[:2]
    side = square.w if side is None else side
    ramp = (np.arange(side, dtype=np.float32) + 0.5) / max(_FADE * side, side / square.w)
    ramp = ramp.clip(0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    ones = np.full(side, 1.0, np.float32)
    left, right = (ramp if square.x > 0 else ones), (ramp if square.x + square.w < width else ones)[::-1]
    top, bottom = (ramp if square.y > 0 else ones), (ramp if square.y + square.h < height else ones)[::-1]
    return np.minimum(np.minimum(left, right)[None, :], np.minimum(top, bottom)[:, None])


def grown(mask: Mask) -> Mask:
    """A segmentation's mask, a little larger and with a soft edge."""
    side = min(mask.shape[0], _GROWN)
    size = 2 * max(1, round(_GROWTH * side)) + 1
    small = resize_pixels(mask, side, side)
    larger = cv2.dilate(small, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    soft = cv2.GaussianBlur(larger, (0, 0), max(0.5, _FEATHER * side))
    soft = np.asarray(np.where(soft < 1 / 64, 0, soft), np.float32).clip(0, 1)
    return resize_pixels(soft, *mask.shape)


def automatic(
    photo_mask: Mask, patch: NDArray[np.uint8], box: Box, photo_shape: tuple[int, ...], segmenter: Segmenter
) -> Mask:
    """Where to paste an edited crop when nobody painted a mask.

    The animal of the photo together with the animal of the edited crop (a lion's mane is wider than a cat's face), a
    little grown, and fading out towards the crop's border. In a close-up, where the photo's animal fills the crop, only
    the animal of the edited crop: what else the generator makes there is background, which no animal should turn into.

    Args:
        photo_mask: [h,w] of the whole photo, of its size or smaller.
        patch: uint8 [S,S,3], the edited crop at the photo's scale.
        box: of the crop.
        photo_shape: (H, W, ...).
        segmenter: finds the animal in the edited crop, of which it is shown `working_side` px.
    """
    side = working_side(box)
    before, after = seen(photo_mask, box, photo_shape), segmenter(resize_pixels(patch, side, side))
    inside = seen(np.ones((1, 1), np.float32), box, photo_shape)
    filled = float((before * inside).sum() / max(inside.sum(), 1.0))
    area = after if filled > _CLOSE_UP and after.mean() > _LEAST else np.maximum(before, after)
    return resize_pixels(grown(area) * fade_to_border(box, photo_shape, side), *patch.shape[:2])
