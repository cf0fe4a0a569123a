"""Where a new head goes in a photo, what of the old one it does not cover, and the background that is put there.

A graft keeps the generator's background out: its head alone is pasted, by its matte. What then still shows of the old
head is filled with the photo's own background first. The body stays: what of the old animal goes on beyond the square,
as far as a neck and shoulders reach into it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.photo.box import Box
from infer.photo.completion import completed
from infer.photo.masks import Mask, fade_to_border, seen
from infer.photo.matte import matte
from models.layers.resampling import resize_pixels

_LEAST = 0.1  # share of the crop below which the segmenter found no animal in it
_SIDE = 256  # px on a side at which it is decided what is filled
_RIM = 0.03  # of the side: fur does not end where the segmentation does
_BODY = 0.12  # of the side: how far the body that goes on beyond the square reaches into it
# By eye, on the pictures of 68 photos:
_BAY = 0.05  # of the side: radius of gaps in a made animal that are closed
_SQUARED, _ROUND = 3.0, 0.72  # of the superellipse that a head ends in on an animal, and where its edge begins
_SOFT = 0.01  # of the side: edge of what is filled
_BRIDGED = 0.25  # of the side: radius of gaps between body and new head that are neck
_AROUND = 0.5  # of the side: how far beyond the square background is looked for
_FINEST = 1024  # px on the longer side of the picture that is filled


@dataclass(frozen=True)
class Graft:
    """Masks on the square, float32 [s,s] in [0,1] each.

    Attributes:
        head: where the patch goes.
        joined: where photo and patch both show the animal.
        filled: where the old head is filled with background, before the patch is pasted.
    """

    head: Mask
    joined: Mask
    filled: Mask


def plan(before: Mask, after: Mask, patch: NDArray[np.uint8], box: Box, photo_shape: tuple[int, ...]) -> Graft | None:
    """How a patch is grafted; None where no animal is seen in it.

    Args:
        before, after: [s,s], the animal in the photo's square and in the patch, as a segmenter sees it.
        patch: uint8 [s,s,3].
        box: of the crop.
        photo_shape: (H, W, ...).
    """
    if after.mean() < _LEAST:
        return None
    fade = fade_to_border(box, photo_shape, len(after))
    after = _whole(after)
    head = matte(after, patch) * np.minimum(fade, _rounded(before, box, photo_shape))
    left = _left_over(before, after, seen(np.ones((1, 1), np.float32), box, photo_shape), fade)
    return Graft(head, np.minimum(before, after), resize_pixels(left, *after.shape))


def _whole(after: Mask) -> Mask:  # [s,s] -> [s,s]
    """The largest animal without holes and bays: made fur is often read as nothing much."""
    side = len(after)
    small = resize_pixels(after, min(_SIDE, side), min(_SIDE, side))
    hard = _bordered(small > 0.5, len(small) // 8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(hard)
    if len(stats) < 2:
        return after
    largest = (labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    closed = cv2.morphologyEx(largest, cv2.MORPH_CLOSE, _disc(_BAY * len(small)))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(closed, outlines, -1, 1, cv2.FILLED)
    inner = slice(len(small) // 8, len(small) // 8 + len(small))
    near = cv2.dilate(closed, _disc(_RIM * len(small)))[inner, inner].astype(np.float32)
    solid = cv2.GaussianBlur(closed[inner, inner].astype(np.float32), (0, 0), max(_SOFT * len(small), 0.5))
    both = np.maximum(small, solid) * cv2.GaussianBlur(near, (0, 0), max(_SOFT * len(small), 0.5))
    return resize_pixels(np.asarray(both, np.float32), side, side).clip(0, 1)


def _rounded(before: Mask, box: Box, photo_shape: tuple[int, ...]) -> Mask:  # [s,s] -> [s,s]
    """1 within a round shape, falling to 0 towards the corners of the square where the photo's animal goes on there:
    a head has no corners, but for those that the photo's border cuts off."""
    side, square = len(before), box.square()
    at = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    away = []
    for start, length in ((square.x, photo_shape[1]), (square.y, photo_shape[0])):
        inside = np.where(at < 0, start > 0, start + square.w < length)
        away.append(np.abs(at * inside) ** _SQUARED)
    radius = (away[0][None, :] + away[1][:, None]) ** (1 / _SQUARED)
    ramp = ((1 - radius) / (1 - _ROUND)).clip(0, 1)
    shape = ramp * ramp * (3 - 2 * ramp)
    goes_on = cv2.GaussianBlur(before, (0, 0), max(_SOFT * side, 0.5))
    return np.asarray(np.maximum(shape, 1 - goes_on), np.float32)


def _left_over(before: Mask, after: Mask, inside: Mask, fade: Mask) -> Mask:  # -> [r,r]
    """Where the old animal is no part of the body, a little grown, and not well within the new one."""
    side = min(_SIDE, len(before))
    old, new, inside, fade = (resize_pixels(part, side, side) for part in (before, after, inside, fade))
    rim = _disc(_RIM * side)
    grown = cv2.dilate((old > 0.5).astype(np.uint8), rim) > 0
    uncovered = grown & (new < 0.5)
    body = uncovered & (old > 0.5) & (fade < 0.15) & (inside > 0.5)
    step = np.ones((3, 3), np.uint8)
    for _ in range(round(_BODY * side)):
        further = (cv2.dilate(body.astype(np.uint8), step) > 0) & uncovered
        if (further == body).all():
            break
        body = further
    body |= _between(body, new > 0.5, round(_BRIDGED * side)) & uncovered & (old > 0.5)
    well_within = cv2.erode((new > 0.5).astype(np.uint8), rim, borderValue=1) > 0
    left = cv2.morphologyEx((grown & ~body & ~well_within).astype(np.uint8), cv2.MORPH_OPEN, step)
    soft = cv2.GaussianBlur(left.astype(np.float32), (0, 0), max(_SOFT * side, 0.5))
    return np.asarray(np.where(soft < 1 / 64, 0, soft) * np.minimum(inside, fade), np.float32)


def _between(body: NDArray[np.bool_], head: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """What lies between a body, which goes on beyond the square, and a head: there is a neck."""
    around = _bordered(body, 2 * reach)
    inner = slice(2 * reach, 2 * reach + len(body))
    around[inner, inner] |= head
    far = cv2.distanceTransform(1 - around, cv2.DIST_L2, 5) > reach  # a closing by a disc, in no time
    return np.asarray((cv2.distanceTransform(1 - far.astype(np.uint8), cv2.DIST_L2, 5) > reach)[inner, inner])


def _bordered(part: NDArray[np.bool_], by: int) -> NDArray[np.uint8]:
    """An area that goes on beyond its border."""
    return np.asarray(cv2.copyMakeBorder(part.astype(np.uint8), by, by, by, by, cv2.BORDER_REPLICATE), np.uint8)


def _disc(radius: float) -> NDArray[np.uint8]:
    size = 2 * max(round(radius), 1) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def background(photo: NDArray[np.uint8], animal: Mask, box: Box, filled: Mask) -> NDArray[np.uint8] | None:
    """The square of a photo with background where it is filled: uint8 [S,S,3]; None where no background is near.

    Args:
        photo: uint8 [H,W,3].
        animal: [h,w] of the whole photo, of its size or smaller.
        box: of the crop.
        filled: [s,s] on its square.
    """
    square, (height, width) = box.square(), photo.shape[:2]
    reach = round(_AROUND * square.w)
    top, left = max(square.y - reach, 0), max(square.x - reach, 0)
    bottom, right = min(square.y + square.h + reach, height), min(square.x + square.w + reach, width)
    scale = min(1.0, _FINEST / max(bottom - top, right - left))
    size = max(round((bottom - top) * scale), 1), max(round((right - left) * scale), 1)
    around = resize_pixels(photo[top:bottom, left:right], *size)
    part = _part(animal, (top, bottom, height), (left, right, width), size)
    rim = _disc(_RIM * square.w * scale)
    known = cv2.dilate((part > 0.5).astype(np.uint8), rim) == 0
    if known.mean() < 0.01:
        return None
    side = max(round(square.w * scale), 1)
    at = round((square.y - top) * scale), round((square.x - left) * scale)
    wanted = np.zeros(size, np.float32)
    _lay(wanted, resize_pixels(filled, side, side), at)
    done = completed(around, known, wanted > 0)
    out = np.zeros((side, side, 3), np.uint8)
    _lay(out, done, (-at[0], -at[1]))
    return np.asarray(cv2.resize(out, (square.w, square.w), interpolation=cv2.INTER_LINEAR), np.uint8)


def _part(mask: Mask, rows: tuple[int, int, int], columns: tuple[int, int, int], size: tuple[int, int]) -> Mask:
    """Part of a mask of the whole photo, given by first, last and count of the photo's rows and columns."""
    spans = []
    for (first, last, count), length in zip((rows, columns), mask.shape, strict=True):
        start = min(int(first * length / count), length - 1)
        spans.append(slice(start, max(-(-last * length // count), start + 1)))
    return np.asarray(cv2.resize(mask[spans[0], spans[1]], size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _lay(onto: NDArray[np.generic], values: NDArray[np.generic], at: tuple[int, int]) -> None:
    """Write values over a picture, at a row and column that may lie outside of it."""
    spans = [
        (slice(max(a, 0), max(min(a + v, o), 0)), slice(max(-a, 0), max(min(o - a, v), 0)))
        for a, v, o in zip(at, values.shape, onto.shape, strict=False)
    ]
    onto[spans[0][0], spans[1][0]] = values[spans[0][1], spans[1][1]]
