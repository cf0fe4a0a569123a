"""The coat of the rest of an animal, moved towards the colours of its new head, fading with the distance from it."""

from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.photo.box import Box
from infer.photo.cielab import lab_of
from infer.photo.masks import Mask
from models.layers.resampling import resize_pixels

_REACH = 3.0  # sides of the square from its centre, where the coat is the photo's again
_NEAR = 0.5  # sides, up to which it is all of the new colour
_GAMMA = 0.4, 2.5  # of lightness: what is beyond flattens a coat
_SMALL = 512  # px on the longer side at which areas are worked out
_LEAST = 0.02  # of the square: with less of a coat there is nothing to recolour
_STRIP = 256  # rows that are done at a time


def recoloured(
    pixels: NDArray[np.uint8], animal: Mask, box: Box, patch: NDArray[np.uint8], head: Mask
) -> tuple[NDArray[np.uint8], Mask, tuple[int, int]] | None:
    """The part of a photo that shows the rest of the animal, with another coat.

    Lightness is bent by a power that takes its mean to the new head's, so that black and white stay; a and b are moved
    (CIELAB; after Reinhard et al., "Color Transfer between Images", 2001). Texture and shading stay.

    Args:
        pixels: the photo, uint8 [H,W,3].
        animal: [h,w] of the whole photo, of its size or smaller.
        box: of the square.
        patch, head: uint8 [S,S,3] and [s,s], the new head on the square, and where it is.

    Returns:
        Pixels [n,m,3], how much of them is taken [n,m], and (x, y) of their corner; None where there is no more of the
        animal than its head.
    """
    (height, width), square = pixels.shape[:2], box.square()
    scale = min(1.0, _SMALL / max(height, width))
    small = resize_pixels(pixels, max(round(height * scale), 1), max(round(width * scale), 1))
    coat = _coat(resize_pixels(animal, *small.shape[:2]), box, head, scale)
    found = coat > 0.5
    if found.sum() < _LEAST * (square.w * scale) ** 2:
        return None
    own = lab_of(small)[found].mean(axis=0)
    side = min(len(patch), _SMALL)
    new = lab_of(resize_pixels(patch, side, side))[resize_pixels(head, side, side) > 0.5]
    if not len(new):
        return None
    wanted = new.mean(axis=0)
    light = [float(np.clip(value[0] / 100, 0.02, 0.98)) for value in (wanted, own)]
    gamma = float(np.clip(np.log(light[0]) / np.log(light[1]), *_GAMMA))
    rows, columns = (np.flatnonzero(coat.max(axis=axis) > 1 / 255) for axis in (1, 0))
    down, across = small.shape[0] / height, small.shape[1] / width
    top, left = int(rows[0] / down), int(columns[0] / across)
    bottom, right = min(ceil((rows[-1] + 1) / down), height), min(ceil((columns[-1] + 1) / across), width)
    part = pixels[top:bottom, left:right].copy()
    for start in range(0, len(part), _STRIP):
        strip = lab_of(part[start : start + _STRIP])
        strip[..., 0] = 100 * (strip[..., 0] / 100) ** gamma
        strip[..., 1:] += wanted[1:] - own[1:]
        part[start : start + _STRIP] = (cv2.cvtColor(strip, cv2.COLOR_LAB2RGB) * 255).round().clip(0, 255)
    matrix = np.array([[across, 0, (left + 0.5) * across - 0.5], [0, down, (top + 0.5) * down - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    taken = cv2.warpAffine(coat, matrix, part.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return part, np.asarray(taken, np.float32), (left, top)


def _coat(animal: Mask, box: Box, head: Mask, scale: float) -> Mask:  # [h,w] -> [h,w]
    """How much of the new colours every place takes: the animal of which the head is a part, without the head."""
    square = box.square()
    _, labels = cv2.connectedComponents((animal > 0.5).astype(np.uint8))
    side = max(round(square.w * scale), 1)
    left, top = round(square.x * scale), round(square.y * scale)
    rows, columns = (slice(max(start, 0), max(start + side, 0)) for start in (top, left))
    inside = labels[rows, columns]
    counts = np.bincount(inside[inside > 0].ravel(), minlength=1)
    if not counts.any():
        return np.zeros_like(animal)
    whole = np.where(labels == counts.argmax(), animal, 0).astype(np.float32)
    y, x = np.indices(animal.shape, dtype=np.float32)
    distance = np.hypot(x - (left + side / 2), y - (top + side / 2)) / side
    fade = ((_REACH - distance) / (_REACH - _NEAR)).clip(0, 1)
    whole *= fade * fade * (3 - 2 * fade)
    there = resize_pixels(head, side, side)
    cut = (slice(rows.start - top, None), slice(columns.start - left, None))
    whole[rows, columns] *= 1 - there[cut][: inside.shape[0], : inside.shape[1]]
    soft = cv2.GaussianBlur(whole, (0, 0), max(0.01 * side, 0.5))
    return np.asarray(np.minimum(soft, animal), np.float32)
