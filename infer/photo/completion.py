"""Background where an animal was: filled from what is around it, smooth first, then with the texture of its patches.

Patches are matched on a small picture, coarse to fine, each round averaging the nearest known patches that overlap at a
pixel (Wexler et al., "Space-Time Completion of Video", 2007). Detail finer than that picture is taken from the photo
at the place where each pixel's best patch lies: averages of several would be soft.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

_SIDE = 160  # px on the longer side of the picture that patches are matched on
_PATCH = 7  # px across, odd
_DIMENSIONS = 10  # that patches are compared in, of their principal components
_ROUNDS = {0.5: 4, 1.0: 3}  # by share of that picture's size
_FEWEST = 64  # known patches: with fewer there is no texture to take
_MOST = 20_000  # known patches: more are thinned out


def spread(values: Float, known: Bool) -> Float:  # [H,W,C], [H,W] -> [H,W,C]
    """Values continued smoothly to where they are not known: from the nearest level of a pyramid that knows them.

    Raises ValueError where nothing is known.
    """
    if not known.any():
        raise ValueError("nothing is known that could be continued")
    weight = known.astype(np.float32)
    sums = values.astype(np.float32) * weight[..., None]
    levels = [(sums, weight)]
    while min(weight.shape) > 1 and not (weight > 0).all():
        size = (max(weight.shape[1] // 2, 1), max(weight.shape[0] // 2, 1))
        weight = np.asarray(cv2.resize(weight, size, interpolation=cv2.INTER_AREA), np.float32)
        sums = np.asarray(cv2.resize(sums, size, interpolation=cv2.INTER_AREA), np.float32).reshape(*weight.shape, -1)
        levels.append((sums, weight))
    found = levels[-1][0] / np.maximum(levels[-1][1], 1e-6)[..., None]
    if not (levels[-1][1] > 0).all():  # a line of pixels, of which some are known
        found = np.broadcast_to(levels[-1][0].sum((0, 1)) / levels[-1][1].sum(), levels[-1][0].shape)
    for sums, weight in reversed(levels[:-1]):
        larger = cv2.resize(np.ascontiguousarray(found), weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
        larger = larger.reshape(*weight.shape, -1)
        share = np.minimum(weight * 4, 1)[..., None]  # a quarter known tells enough
        found = larger + share * (sums / np.maximum(weight, 1e-6)[..., None] - larger)
    return np.asarray(np.where(known[..., None], values, found), np.float32)


def completed(picture: NDArray[np.uint8], known: Bool, wanted: Bool) -> NDArray[np.uint8]:
    """A picture with the pixels that are wanted replaced by a continuation of what is known.

    Args:
        picture: uint8 [H,W,3].
        known: [H,W], where it shows what shall be continued.
        wanted: [H,W], where pixels are needed; those that are known stay.

    Returns:
        uint8 [H,W,3]; outside of what is wanted it is the picture.

    Raises:
        ValueError: nothing is known.
    """
    wanted = wanted & ~known
    if not wanted.any():
        return picture.copy()
    scale = min(1.0, _SIDE / max(picture.shape[:2]))
    small, small_known = _resized(picture.astype(np.float32), scale), _resized(known.astype(np.float32), scale) > 0.99
    if not small_known.any():
        small_known = _resized(known.astype(np.float32), scale) > 0
    small_wanted = _resized(wanted.astype(np.float32), scale) > 0
    filled, origin = _textured(small, small_known, small_wanted & ~small_known)
    height, width = picture.shape[:2]
    rows, columns = np.nonzero(wanted)
    smooth = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)[rows, columns]
    out = picture.copy()
    out[rows, columns] = np.clip(np.rint(smooth + _detail(picture, small, origin, rows, columns)), 0, 255)
    return out


def _resized(values: NDArray[np.float32], scale: float) -> Float:
    if scale == 1:
        return values
    height, width = (max(round(side * scale), 1) for side in values.shape[:2])
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _detail(
    picture: NDArray[np.uint8], small: Float, origin: NDArray[np.int64] | None, rows: Any, columns: Any
) -> Float:  # -> [n,3]
    """What the photo has beyond the small picture, at the places where the small picture's pixels come from.

    Args:
        origin: [h,w,2], row and column of the small picture that each of its pixels was taken from; None: no texture.
    """
    if origin is None or small.shape[:2] == picture.shape[:2]:
        return np.zeros((len(rows), 3), np.float32)
    height, width = picture.shape[:2]
    steps = height / small.shape[0], width / small.shape[1]
    down = (rows / steps[0]).astype(np.int64).clip(0, small.shape[0] - 1)
    across = (columns / steps[1]).astype(np.int64).clip(0, small.shape[1] - 1)
    move = origin[down, across] - np.stack([down, across], axis=1)
    r = np.rint(rows + move[:, 0] * steps[0]).astype(np.int64).clip(0, height - 1)
    c = np.rint(columns + move[:, 1] * steps[1]).astype(np.int64).clip(0, width - 1)
    smooth = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(picture[r, c].astype(np.float32) - smooth[r, c])


# ---------------------------------------------------------------------- patches of the small picture


def _textured(picture: Float, known: Bool, wanted: Bool) -> tuple[Float, NDArray[np.int64] | None]:
    """What is wanted of a picture [h,w,3], and where each of its pixels was taken from (None: it is smooth)."""
    filled, origin = spread(picture, known), None
    for scale, rounds in _ROUNDS.items():
        now, knows, wants = (_resized(part.astype(np.float32), scale) for part in (picture, known, wanted))
        knows_there, wants_there = knows > 0.99, wants > 0
        wants_there &= ~knows_there
        start = np.where(knows_there[..., None], now, _resized(filled, scale))
        found = _rounds(start.astype(np.float32), knows_there, wants_there, rounds)
        if found is None:
            continue
        result, origin = found
        if scale < 1:
            result = np.asarray(cv2.resize(result, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR))
        filled = np.asarray(np.where(wanted[..., None], result, filled), np.float32)
    return filled, origin if origin is not None and origin.shape[:2] == picture.shape[:2] else None


def _rounds(picture: Float, known: Bool, wanted: Bool, rounds: int) -> tuple[Float, NDArray[np.int64]] | None:
    """Rounds of search and vote at one size; None where there are too few known patches."""
    half = _PATCH // 2
    square = np.ones((_PATCH, _PATCH), np.uint8)
    sources = np.argwhere(cv2.erode(np.pad(known, half).astype(np.uint8), square)[half:-half, half:-half])
    if len(sources) < _FEWEST or not wanted.any():
        return None
    sources = sources[:: -(-len(sources) // _MOST)]
    targets = np.argwhere(cv2.dilate(wanted.astype(np.uint8), square))
    examples = _patches(picture, sources)
    mean = examples.mean(axis=0)
    axes = np.linalg.svd(examples[:: max(len(examples) // 2000, 1)] - mean, full_matrices=False)[2][:_DIMENSIONS].T
    tree = cKDTree((examples - mean) @ axes)
    colours = np.ascontiguousarray(examples.reshape(len(examples), _PATCH, _PATCH, 3))
    rows, columns = np.indices(known.shape)
    origin = np.stack([rows, columns], axis=-1)
    for _ in range(rounds):
        distance, nearest = tree.query((_patches(picture, targets) - mean) @ axes, eps=0.5)
        weight = np.exp(-((distance / (2 * np.median(distance) + 1e-3)) ** 2)).astype(np.float32)
        picture = _voted(picture, wanted, targets, colours[nearest], weight)
    origin[targets[:, 0], targets[:, 1]] = sources[nearest]
    return picture, origin


def _patches(picture: Float, centres: NDArray[np.int64]) -> Float:  # -> [n, 3 * 49]
    half = _PATCH // 2
    padded = np.pad(picture, ((half, half), (half, half), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_PATCH, _PATCH), axis=(0, 1))
    found = windows[centres[:, 0], centres[:, 1]]  # [n,3,7,7]
    return np.asarray(found.transpose(0, 2, 3, 1).reshape(len(centres), -1), np.float32)


def _voted(picture: Float, wanted: Bool, targets: NDArray[np.int64], patches: Float, weight: Float) -> Float:
    """Every wanted pixel as the weighted mean of the patches that lie over it."""
    half = _PATCH // 2
    height, width = wanted.shape
    sums = np.zeros((height + 2 * half, width + 2 * half, 3), np.float32)
    weights = np.zeros(sums.shape[:2], np.float32)
    for i in range(_PATCH):
        for j in range(_PATCH):  # targets are distinct, so no place is added to twice in one statement
            at = targets[:, 0] + i, targets[:, 1] + j
            sums[at] += patches[:, i, j] * weight[:, None]
            weights[at] += weight
    inner = slice(half, half + height), slice(half, half + width)
    mean = sums[inner] / np.maximum(weights[inner], 1e-6)[..., None]
    return np.asarray(np.where(wanted[..., None], mean, picture), np.float32)
