"""Pictures of studies: regions outlined on them, and many with a caption each."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from infer.photo.photo import Pixels
from infer.pictures.convert import to_pixels
from infer.pictures.sheet import shortened, tile

_RED, _GREEN = (220, 30, 30), (30, 170, 60)
_CAPTION, _GAP, _FONT_SIZE = 16, 4, 11  # px


def pixels_of(images: Tensor) -> list[Pixels]:  # [N,3,R,R] in [-1,1] -> N x [R,R,3]
    """Generators' pictures as pixels."""
    return [to_pixels(image[None]) for image in images]


def outlined(pixels: Pixels, *masks: Tensor) -> Pixels:
    """A picture [R,R,3] with the rim of regions [R,R]: the first in red, others in green."""
    shown = np.ascontiguousarray(pixels)
    for i, mask in enumerate(masks):
        found, _ = cv2.findContours((mask.numpy() > 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        shown = np.asarray(cv2.drawContours(shown.copy(), found, -1, _GREEN if i else _RED, 1), np.uint8)
    return shown


def captioned(pictures: Sequence[Pixels], captions: Sequence[str], *, columns: int, size: int) -> Pixels:
    """Pictures in rows of so many, each with a line below it; uint8 [H,W,3] on white."""
    font = ImageFont.load_default(_FONT_SIZE)
    rows = -(-len(pictures) // columns)
    width, height = size + _GAP, size + _CAPTION
    canvas = Image.new("RGB", (min(columns, len(pictures)) * width - _GAP, rows * height), "white")
    draw = ImageDraw.Draw(canvas)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = i % columns * width, i // columns * height
        canvas.paste(Image.fromarray(tile(picture, size)), (x, y))
        text = shortened(caption, font, size)
        draw.text((x + size // 2, y + size + _CAPTION // 2), text, fill="black", anchor="mm", font=font)
    return np.array(canvas)
