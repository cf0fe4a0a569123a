"""From encoded bytes to square uint8 pictures, and from uint8 batches to the networks' [-1, 1].

A picture passes two stages. `prepare_picture` (once per picture, can be cached) decodes and reduces it to its central
square; `augment` (per draw, cheap) moves the crop window and mirrors. What `augment` does depends only on the seed and
on the number of the draw, never on a random state, so that a resumed run sees the same pictures.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from data.folders import FORMATS
from data.values import ORIENTATION, ValueRange, to_8_bits

Batch = dict[str, torch.Tensor]
Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels."""

CROP_FRACTION = 0.9  # side of the random window over the short side, as in the collaging paper's code
# A JPEG is decoded at a reduced size only where at least so many of its pixels lie in one of the result's: with 2 the
# mean difference from the full decode is 0.6 levels, with 3 it is 0.2, as with reducing_gap alone; 1025 px to 128 then
# take 5.0 ms instead of 3.1 (astronaut of scikit-image, one core).
_OVERSAMPLING = 3
_DECODE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, MemoryError,
                  OverflowError, struct.error, zlib.error, Image.DecompressionBombError)  # fmt: skip


class UnreadablePicture(Exception):
    """The bytes are not a whole picture; the message is the decoder's reason."""


def decode_picture(data: bytes, *, value_range: ValueRange | None = None) -> Image.Image:
    """Decode to an upright 8-bit RGB picture (transparent parts on white, first frame).

    More than 8 bits are scaled by what the file states: 16-bit integers from 0..65535 (12-bit TIFFs from 0..4095),
    floats from 0..1.

    Args:
        data: an encoded picture.
        value_range: the values of black and white in pictures of more than 8 bits, for files that do not state them.

    Raises:
        UnreadablePicture: corrupt, truncated, empty, not a picture, or unreasonably large.
        PhotograftError: the range of its values is not stated: floats beyond 0..1, 32-bit or signed integers, 16-bit
            integers that stay below 4096, not a number.
    """
    return decode_reduced(data, at_least=None, value_range=value_range)[0]


def decode_reduced(
    data: bytes, *, at_least: int | None, value_range: ValueRange | None = None
) -> tuple[Image.Image, Box]:
    """As `decode_picture`, but a JPEG may come at 1/2, 1/4 or 1/8 of its size, with both sides at least `at_least`.

    Returns:
        The picture and the box (left, top, right, bottom) in it that the file's picture fills. Where its sides are no
        multiples of the reduction the last row and column are filled in part: 1025 px by 4 are 256.25 of 257.

    Raises:
        UnreadablePicture, PhotograftError: see `decode_picture`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
            reduced = None if at_least is None else image.draft("RGB", (at_least, at_least))
            filled = None if reduced is None else _upright(image, reduced[1])
            image = to_8_bits(image, data, value_range)
            if image.has_transparency_data:
                rgba = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
            return image.convert("RGB"), filled or (0.0, 0.0, float(image.width), float(image.height))
    except UnidentifiedImageError as error:
        tiff = ", or a TIFF of a kind that is not read" if data[:2] in (b"II", b"MM") else ""
        raise UnreadablePicture(f"no picture in a format that is read{tiff}" if data else "it is empty") from error
    except _DECODE_ERRORS as error:
        raise UnreadablePicture(str(error) or type(error).__name__) from error


def _upright(image: Image.Image, box: tuple[float, ...]) -> Box:
    """Where a box from the upper left corner comes to lie when the picture is turned as its file asks (EXIF)."""
    turn = image.getexif().get(ORIENTATION, 1)
    (width, height), (filled_x, filled_y) = image.size, box[2:]
    if turn >= 5:  # rows and columns change places
        width, height, filled_x, filled_y = height, width, filled_y, filled_x
    left = width - filled_x if turn in (2, 3, 6, 7) else 0.0
    top = height - filled_y if turn in (3, 4, 7, 8) else 0.0
    return left, top, left + filled_x, top + filled_y


def stored_size(resolution: int, crop: str) -> int:
    """Side of a prepared picture: room for the window to move when `crop` is "random"."""
    return math.ceil(resolution / CROP_FRACTION) if crop == "random" else resolution


def prepare_picture(
    data: bytes, *, resolution: int, crop: str, value_range: ValueRange | None = None
) -> tuple[NDArray[np.uint8], bool]:
    """Decode and reduce to the central square, antialiased (Lanczos).

    Args:
        data: an encoded picture.
        resolution: side of the pictures that the networks see.
        crop: "center" or "random".
        value_range: see `decode_picture`.

    Returns:
        (pixels, movable): pixels are uint8 [S,S,3], S = `stored_size(...)`. A picture that is already square at the
        resolution is kept to the pixel in the upper left corner, and `movable` is False.

    Raises:
        UnreadablePicture, PhotograftError: see `decode_picture`.
    """
    side = stored_size(resolution, crop)
    image, (x0, y0, x1, y1) = decode_reduced(data, at_least=_OVERSAMPLING * side, value_range=value_range)
    if image.size == (resolution, resolution):
        pixels = np.zeros((side, side, 3), np.uint8)
        pixels[:resolution, :resolution] = np.asarray(image)
        return pixels, False
    short = min(x1 - x0, y1 - y0)
    left, top = (x0 + x1 - short) / 2, (y0 + y1 - short) / 2
    square = image.resize(
        (side, side), Image.Resampling.LANCZOS, box=(left, top, left + short, top + short), reducing_gap=3.0
    )
    return np.asarray(square, dtype=np.uint8), True


def uniform(seed: int, draws: NDArray[np.int64], purpose: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) that are a pure function of (seed, draw, purpose): the splitmix64 finaliser, twice."""
    with np.errstate(over="ignore"):
        state = np.array([seed & (2**64 - 1)], np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(purpose + 1)
        for word in (np.zeros_like(draws), draws):
            state = (state + word.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def augment(
    images: torch.Tensor,
    movable: NDArray[np.bool_],
    draws: NDArray[np.int64],
    *,
    resolution: int,
    seed: int,
    flip: bool,
) -> torch.Tensor:
    """Move the window and mirror, by the draws' numbers alone.

    Args:
        images: uint8 [N,3,S,S] from `prepare_picture`, S >= resolution.
        movable: [N], whether the window may move; it stays at the upper left otherwise.
        draws: int64 [N], numbers of the draws in the stream.
        resolution: side of the result.
        seed: of the stream.
        flip: mirror half of the draws.

    Returns:
        uint8 [N,3,resolution,resolution], contiguous.
    """
    room = images.shape[-1] - resolution
    if room:
        tops, lefts = (np.where(movable, uniform(seed, draws, k) * (room + 1), 0).astype(int) for k in (1, 2))
        images = torch.stack(
            [
                image[:, top : top + resolution, left : left + resolution]
                for image, top, left in zip(images, tops, lefts, strict=True)
            ]
        )
    if flip:
        mirrored = torch.from_numpy(np.flatnonzero(uniform(seed, draws, 3) < 0.5)).to(images.device)
        images = images.index_copy(0, mirrored, images[mirrored].flip(-1))
    return images


def central(images: torch.Tensor, movable: NDArray[np.bool_], *, resolution: int) -> torch.Tensor:
    """The still window for validation: uint8 [N,3,S,S] to [N,3,resolution,resolution]."""
    room = images.shape[-1] - resolution
    if not room:
        return images
    starts = np.where(movable, room // 2, 0)
    return torch.stack([x[:, s : s + resolution, s : s + resolution] for x, s in zip(images, starts, strict=True)])


def images_to_float(images: torch.Tensor) -> torch.Tensor:
    """uint8 [N,3,H,W] in 0..255 to float32 in [-1, 1] on the same device; floating point input is passed on."""
    if images.is_floating_point():
        return images
    return images.to(torch.float32).div_(127.5).sub_(1.0)


def to_float(batch: Batch) -> Batch:
    """The batch with its uint8 "image" as float32 in [-1, 1], on the device where it is; other entries untouched."""
    return {**batch, "image": images_to_float(batch["image"])}
