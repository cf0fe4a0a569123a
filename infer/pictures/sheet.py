"""Pictures in rows and columns, with titles."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from infer.photo.photo import Pixels
from models.terminal import visible

TILE = 256
_GAP, _HEAD, _FONT_SIZE, _LONGEST_NAME = 4, 22, 14, 400  # pixels


def tile(pixels: NDArray[Any], size: int = TILE) -> Pixels:
    """Fit a picture uint8 [H,W,3] or a mask float [H,W] in 0..1 into a square of this size, on white."""
    scale = size / max(pixels.shape[:2])
    shape = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = np.asarray(cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))
    if small.ndim == 2:
        small = np.repeat((small * 255).round().clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    out = np.full((size, size, 3), 255, np.uint8)
    top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out


def sheet(
    rows: Sequence[Sequence[NDArray[Any]]], titles: Sequence[str] = (), names: Sequence[str] = (), size: int = TILE
) -> Pixels:
    """Pictures and masks in rows, on white.

    Args:
        rows: one at least; see `tile` for what a picture can be.
        titles: one over each column, or none.
        names: one on the left of each row, or none.
        size: side of a tile in pixels.

    Returns:
        uint8 [H,W,3].
    """
    font = ImageFont.load_default(_FONT_SIZE)
    names = [shortened(name, font, _LONGEST_NAME) for name in names]
    step, top = size + _GAP, _HEAD if titles else 0
    left = round(max((font.getlength(name) for name in names), default=-2 * _GAP)) + 2 * _GAP
    columns = max(len(row) for row in rows)
    canvas = Image.new("RGB", (left + columns * step - _GAP, top + len(rows) * step - _GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for x, title in enumerate(titles):
        middle = left + x * step + size // 2
        draw.text((middle, top // 2), shortened(title, font, size), fill="black", anchor="mm", font=font)
    for y, name in enumerate(names):
        draw.text((_GAP, top + y * step + size // 2), name, fill="black", anchor="lm", font=font)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            canvas.paste(Image.fromarray(tile(picture, size)), (left + x * step, top + y * step))
    return np.array(canvas)


def shortened(text: str, font: Any, width: int) -> str:
    """One line that can be drawn, at most so many pixels wide."""
    text = visible(text[:width])
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-2].rstrip() + "…"
    return text
