"""Regions of an edit to look at: each in its own colour, under its name."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from infer.photo.photo import Mask, Pixels
from infer.pictures.colours import colours
from infer.pictures.sheet import TILE, shortened, tile
from models.layers.resampling import resize_pixels

_LINE, _FONT_SIZE, _MOST = 18, 13, 6  # pixels of a line; lines, of which the last may say how many more there are
_OPACITY, _PALE = 0.55, 0.5
_LEAST = 0.02  # of a mask below which there is nothing of it


def regions_tile(picture: Pixels, areas: Sequence[Mask], names: Sequence[str], size: int = TILE) -> Pixels:
    """A picture in pale grey under the colours of regions, and their names below it.

    Args:
        picture: uint8 [S,S,3], a square.
        areas: [s,s] in [0,1] each, of any size; later ones lie over earlier ones. Outlines are at half.
        names: of the areas.
        size: side of the tile in pixels.

    Returns:
        uint8 [size,size,3].
    """
    lines = min(len(names), _MOST)
    side = size - lines * _LINE
    shown = _coloured(resize_pixels(picture, side, side), areas)
    canvas = Image.new("RGB", (size, size), "white")
    canvas.paste(Image.fromarray(tile(shown, side)), ((size - side) // 2, 0))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_FONT_SIZE)
    for i, (name, colour) in enumerate(zip(names[:lines], _colours(len(areas)), strict=False)):
        top = side + i * _LINE
        if i == lines - 1 and len(names) > lines:
            name = f"and {len(names) - lines + 1} more"
        else:
            draw.rectangle((3, top + 4, 13, top + 14), fill=tuple(round(float(v)) for v in colour))
        text = shortened(name, font, size - 22)
        draw.text((19, top + _LINE // 2), text, fill="black", anchor="lm", font=font)
    return np.array(canvas)


def _colours(count: int) -> np.ndarray:  # -> [count,3] in 0..255
    """The strong ones first: `colours` has each with a pale one beside it."""
    order = [*range(0, 20, 2), *range(1, 20, 2), *range(20, 60)]
    return (colours(60)[np.array(order)[np.arange(count) % 60]] * 255).astype(np.float32)


def _coloured(picture: Pixels, areas: Sequence[Mask]) -> Pixels:  # [S,S,3] -> [S,S,3]
    """The picture in pale grey under the areas' colours and outlines."""
    side = len(picture)
    grey = picture.astype(np.float32).mean(axis=2, keepdims=True)
    out = np.repeat(255 - _PALE * (255 - grey), 3, axis=2)
    masks = [resize_pixels(area, side, side) for area in areas]
    for mask, colour in zip(masks, _colours(len(areas)), strict=True):
        out += (_OPACITY * mask * (mask > _LEAST))[..., None] * (colour - out)
    for mask, colour in zip(masks, _colours(len(areas)), strict=True):
        contours, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, contours, -1, [float(v) for v in colour], 2)
    return out.round().clip(0, 255).astype(np.uint8)
