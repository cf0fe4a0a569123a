"""A photo in memory.

Pixels are uint8 RGB [H,W,3]; the photo that was read is never changed. `infer.photo.read` and `infer.photo.write` know
files. Every bad input raises `PhotograftError` with one clear line.
"""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.photo.metadata import Metadata

Pixels = NDArray[np.uint8]
Mask = NDArray[np.float32]

MAX_MEGAPIXELS = 100.0
SUFFIX_OF_FORMAT = {  # formats that are written, by Pillow's names
    "JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp", "HEIF": ".heic",
}  # fmt: skip


@dataclass(frozen=True)
class JpegCoding:
    """How a JPEG was coded, so that it can be written as it was read: subsampling and tables as Pillow has them."""

    sampling: int
    tables: dict[int, list[int]]
    progressive: bool


@dataclass(frozen=True)
class Photo:
    """A still photo, upright.

    `pixels` is uint8 RGB [H,W,3]; `alpha` uint8 [H,W] or None; `format` is Pillow's name of the source format.
    `deep` is the same picture in 16 bits, uint16 [H,W,C] of grey, grey and alpha, RGB or RGBA, where the file has that:
    `pixels` are its values over 257, rounded. A `grey` one has three equal channels, and so have its results. `output`
    is the format to write, if another was asked for. `remarks` say what of the file is not here.
    """

    path: Path | None
    pixels: Pixels
    format: str
    alpha: Pixels | None = None
    deep: NDArray[np.uint16] | None = None
    metadata: Metadata = field(default_factory=Metadata)
    jpeg: JpegCoding | None = None
    output: str | None = None
    grey: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """The file suffix to write this photo with: its format's, or ".png" where that cannot be kept."""
        return SUFFIX_OF_FORMAT.get(self.output or self.format, ".png")

    def toned(self, pixels: Pixels) -> Pixels:  # [H,W,3] -> [H,W,3]
        """An edit in the photo's colours: of a grey photo its luma (ITU-R BT.601), where channels differ."""
        if not self.grey:
            return pixels
        return np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)  # grey stays as it is, exactly
