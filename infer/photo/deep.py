"""Photos of 16 bits: read exactly, shown in 8 bits for the edit, and the edit's change put back into them.

Pillow reads 16-bit colours as 8 bits, and planes of them wrongly, so TIFFs are read by tifffile, or by OpenCV where
their compression needs it, and PNGs by OpenCV.
"""

import logging
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from infer.photo.metadata import png_chunks
from models.errors import PhotograftError

Deep = NDArray[np.uint16]  # [H,W,C], C in 1..4
_WHITE = 65535
# What these print of damaged files, our one line says.
logging.getLogger("tifffile").addHandler(logging.NullHandler())
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_PNG_COLOUR_TYPE, _GREY_ALPHA = 25, 4
_BLOCK = 1 << 22  # values that are worked on at a time
_REDUCED, _WHITE_IS_ZERO, _RGB, _FILTER_MOSAIC, _LINEAR_RAW, _DNG_VERSION = 1, 0, 2, 32803, 34892, 50706
_COLOURS = {0: 1, 1: 1, 3: 1, 4: 1, 5: 4}  # channels by PhotometricInterpretation, where not three
_MULTIPLIED, _STRAIGHT = 1, 2  # kinds of opacity among the ExtraSamples; the others are no part of the picture


@dataclass(frozen=True)
class TiffPage:
    """The first page of a TIFF, as its tags say it: numpy's type, bits, PhotometricInterpretation and others."""

    page: Any
    dtype: np.dtype[Any]
    bits: int
    photometric: int
    size: tuple[int, int]  # (width, height)
    samples: int
    extra: tuple[int, ...]
    orientation: int  # of EXIF

    @property
    def opacity(self) -> int | None:
        """Which of the extra channels it is."""
        return next((i for i, kind in enumerate(self.extra) if kind in (_MULTIPLIED, _STRAIGHT)), None)

    @property
    def is_multiplied(self) -> bool:
        """Are its colours multiplied by the opacity?"""
        return self.opacity is not None and self.extra[self.opacity] == _MULTIPLIED

    @property
    def is_deep(self) -> bool:
        """Are its values 16 bits of grey or RGB?"""
        return self.dtype == np.uint16 and self.bits == 16 and self.photometric <= _RGB and self.samples <= 4


def tiff_page(data: bytes) -> TiffPage:
    """Read the tags of a TIFF's first page.

    Raises:
        PhotograftError: a camera's raw photo.
        ValueError: damaged, or values of a type that there is not.
    """
    page: Any = tifffile.TiffFile(BytesIO(data)).pages[0]
    if _DNG_VERSION in page.tags or page.photometric in (_FILTER_MOSAIC, _LINEAR_RAW) or page.subfiletype & _REDUCED:
        raise PhotograftError("is a camera's raw photo or a preview of one: develop it first, and give that picture")
    if page.dtype is None:
        raise ValueError(f"{page.bitspersample}-bit values of format {page.sampleformat}")
    size = (int(page.imagewidth), int(page.imagelength))
    samples, photometric = int(page.samplesperpixel), int(page.photometric)
    untold = samples - _COLOURS.get(photometric, 3)  # without the tag one more channel is opacity
    extra = tuple(map(int, page.extrasamples)) or (_STRAIGHT,) * (untold == 1)
    tag = page.tags.get("Orientation")
    orientation = int(tag.value) if tag is not None and tag.value in range(1, 9) else 1
    return TiffPage(page, page.dtype, int(page.bitspersample), photometric, size, samples, extra, orientation)


def read_tiff_values(page: TiffPage, data: bytes) -> NDArray[Any]:  # -> [H,W,C]
    """A TIFF's values as they are in the file, white high.

    Raises:
        PhotograftError: a compression that nothing here reads.
    """
    width, height = page.size
    planar = page.page.planarconfig == 2 and page.samples > 1
    try:
        values = page.page.asarray()
    except (ValueError, KeyError, ImportError) as error:  # LZW and others need a library that few have
        shown = None if planar else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if shown is None or shown.dtype != page.dtype or shown.size != height * width * page.samples:
            message = f"its {page.bits}-bit values are packed in a way that is not read: save it uncompressed"
            raise PhotograftError(message) from error
        back = {6: 8, 8: 6}.get(page.orientation, page.orientation)  # OpenCV turns TIFFs
        values = turn(_rgb(shown.reshape(*shown.shape[:2], -1)), back)
        planar = False
    values = np.moveaxis(values.reshape(page.samples, height, width), 0, 2) if planar else values
    values = values.reshape(height, width, page.samples)
    if page.photometric == _WHITE_IS_ZERO and page.dtype == np.uint16:
        values[..., 0] = _WHITE - values[..., 0]
    return _pictured(values, page) if page.is_deep and page.extra else np.asarray(values)


def _pictured(values: Deep, page: TiffPage) -> Deep:
    """Colours, and straight opacity if there is one, without other channels."""
    colours = page.samples - len(page.extra)
    if page.opacity is None:
        return values[..., :colours]
    out = values[..., [*range(colours), colours + page.opacity]]
    if page.is_multiplied:
        for row in out:
            opacity = np.maximum(row[:, -1:], 1).astype(np.uint32)
            row[:, :-1] = np.minimum((row[:, :-1] * np.uint32(_WHITE) + opacity // 2) // opacity, _WHITE)
    return out


def read_png16(data: bytes, transparent: object) -> Deep:  # -> [H,W,C]
    """A PNG of 16 bits; `transparent` is its transparent grey, if it has one.

    Raises:
        ValueError: damaged.
    """
    for kind, start, length in png_chunks(data):
        if kind == b"IDAT" and zlib.crc32(data[start - 4 : start + length]) != int.from_bytes(
            data[start + length : start + length + 4], "big"
        ):
            raise ValueError("a checksum is wrong")
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if shown is None or shown.dtype != np.uint16:
        raise ValueError("its 16-bit values cannot be read")
    values = _rgb(shown.reshape(*shown.shape[:2], -1))
    if data[_PNG_COLOUR_TYPE] == _GREY_ALPHA:  # which OpenCV shows as RGBA
        values = np.ascontiguousarray(values[..., [0, 3]])
    if values.shape[2] == 1 and isinstance(transparent, int):
        values = np.concatenate([values, np.where(values == transparent, 0, _WHITE).astype(np.uint16)], axis=2)
    return values


def _rgb(values: NDArray[Any]) -> NDArray[Any]:
    """OpenCV's order of channels to RGB."""
    return values[..., [2, 1, 0, *range(3, values.shape[2])]] if values.shape[2] >= 3 else values


def turn(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation (1..8) to [H,W] or [H,W,C]."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def with_change(deep: Deep, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Deep:
    """The 16-bit photo with what an edit changes in its 8-bit picture.

    A value v that the edit makes v' changes by 257 (v' - v), within 0..65535; where v' = v it stays as it is, exactly.

    Args:
        deep: [H,W,C]; of grey the first channel's change counts.
        before, after: uint8 [H,W,3], the picture without and with the edit.

    Returns:
        uint16 [H,W,C], channels as of `deep`.
    """
    height, width, channels = deep.shape
    colours = 3 if channels >= 3 else 1
    out = deep.copy()
    step = max(1, _BLOCK // (3 * width))
    for top in range(0, height, step):
        rows = slice(top, top + step)
        change = 257 * (after[rows, :, :colours].astype(np.int32) - before[rows, :, :colours])
        out[rows, :, :colours] = np.clip(out[rows, :, :colours] + change, 0, _WHITE)
    return out
