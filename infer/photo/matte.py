"""The matte of an animal in a picture: a segmenter's soft mask, drawn to the edges that the picture shows."""

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.photo.completion import spread
from models.layers.resampling import resize_pixels

Mask = NDArray[np.float32]

_RADIUS, _EPSILON, _ROUNDS = 0.05, 1e-4, 2  # of the guided filter: of the side, of colours in [0,1] squared
_BAND = 0.05  # of the side, on both sides of the segmenter's edge: beyond it the segmenter is believed
_FINEST = 512  # px on a side at which colours are continued
_SURE = 0.95


def guided(mask: Mask, picture: NDArray[np.uint8], radius: int, epsilon: float = _EPSILON) -> Mask:
    """He et al., "Guided Image Filtering" (2010), section 3.4: locally a linear function of the colours.

    Args:
        mask: [H,W] in [0,1].
        picture: uint8 [H,W,3], the guide.
        radius: of the windows, in pixels.
        epsilon: the larger, the smoother.
    """
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(values: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(cv2.boxFilter(values, -1, size, borderType=cv2.BORDER_REFLECT_101))

    guide, p = picture.astype(np.float64) / 255, mask.astype(np.float64)
    middle, p_middle = mean(guide), mean(p)
    covariance = mean(guide * p[..., None]) - middle * p_middle[..., None]  # [H,W,3]
    spreads = np.empty((*mask.shape, 3, 3))
    for i in range(3):
        for j in range(i, 3):
            spreads[..., i, j] = mean(guide[..., i] * guide[..., j]) - middle[..., i] * middle[..., j]
            spreads[..., j, i] = spreads[..., i, j]
    spreads += epsilon * np.eye(3)
    a = np.linalg.solve(spreads, covariance[..., None])[..., 0]
    b = p_middle - (a * middle).sum(-1)
    return np.asarray((mean(a) * guide).sum(-1) + mean(b), np.float32).clip(0, 1)


def matte(mask: Mask, picture: NDArray[np.uint8]) -> Mask:  # [s,s], [s,s,3] -> [s,s]
    """A segmenter's mask as a matte: 1 within the animal, 0 outside, between them as the picture's colours say."""
    side = len(mask)
    radius, band = max(round(_RADIUS * side), 1), 2 * max(round(_BAND * side), 1) + 1
    hard = (mask > 0.5).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (band, band))
    inside, outside = cv2.erode(hard, kernel) > 0, cv2.dilate(hard, kernel) == 0
    soft = mask
    for _ in range(_ROUNDS):  # a linear function of colours rarely reaches its ends
        soft = ((guided(soft, picture, radius) - 0.15) / 0.7).clip(0, 1)
    return np.asarray(np.where(inside, 1, np.where(outside, 0, soft)), np.float32)


def own_colours(picture: NDArray[np.uint8], found: Mask) -> NDArray[np.uint8]:  # [S,S,3], [s,s] -> [S,S,3]
    """The picture with the colours of what the matte holds continued into its rim and beyond, where background shines
    through: there the coarse colours are those of inside, the fine detail stays. The matte may be of another size."""
    side = min(len(picture), _FINEST)
    small, alpha = resize_pixels(picture, side, side), resize_pixels(found, side, side)
    known = alpha > _SURE
    if not known.any() or known.all():
        return picture
    blurred = np.asarray(cv2.GaussianBlur(small, (0, 0), 0.01 * side), np.float32)
    shift = np.where(known[..., None], 0, spread(small.astype(np.float32), known) - blurred).astype(np.float32)
    shift *= ((_SURE - alpha) / _SURE).clip(0, 1)[..., None]
    out = picture.copy()
    for c in range(3):  # one colour at a time: memory
        larger = cv2.resize(shift[..., c], picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        larger += picture[..., c]
        out[..., c] = np.clip(np.rint(larger, out=larger), 0, 255, out=larger)
    return out
