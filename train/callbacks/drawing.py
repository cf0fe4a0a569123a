"""Grids of pictures with a title for each row, large enough to be looked at."""

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from models.perception.judges import to_uint8
from models.terminal import visible

GAP, FONT_SIZE, LONGEST = 4, 14, 40  # pixels, pixels, characters
SMALLEST = 96  # side of a picture in pixels: smaller ones are shown enlarged by a whole factor


def grid(images: Tensor, titles: Sequence[str]) -> NDArray[np.uint8]:
    """Pictures row by row on white, a title on the left of each row.

    Args:
        images: [rows*columns,3,R,R] in [-1,1].
        titles: one per row.

    Returns:
        uint8 [H,W,3].
    """
    columns, factor = len(images) // len(titles), max(1, -(-SMALLEST // images.shape[-1]))
    pixels = F.interpolate(to_uint8(images), scale_factor=factor, mode="nearest").permute(0, 2, 3, 1).numpy()
    side, font = pixels.shape[1], ImageFont.load_default(FONT_SIZE)
    names = [visible(name)[:LONGEST] for name in titles]
    left, step = round(max(font.getlength(name) for name in names)) + 2 * GAP, side + GAP
    canvas = Image.new("RGB", (left + columns * step, len(names) * step + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for row, name in enumerate(names):
        draw.text((GAP, GAP + row * step + side // 2), name, fill="black", anchor="lm", font=font)
        for column in range(columns):
            place = (left + column * step, GAP + row * step)
            canvas.paste(Image.fromarray(pixels[row * columns + column]), place)
    return np.asarray(canvas)
