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
from data.values import ValueRange, to_8_bits

Batch = dict[str, torch.Tensor]

CROP_FRACTION = 0.9  # side of the random window over the short side, as in the collaging paper's code
_DECODE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, MemoryError,
                  OverflowError, struct.error, zlib.error, Image.DecompressionBombError)  # fmt: skip


class UnreadablePicture(Exception):
    """The bytes are not a whole picture; the message is the decoder's reason."""


def decode_picture(data: bytes, *, at_least: int | None = None, value_range: ValueRange | None = None) -> Image.Image:
    """Decode to an upright 8-bit RGB picture (transparent parts on white, first frame).

    More than 8 bits are scaled by what the file states: 16-bit integers from 0..65535 (12-bit TIFFs from 0..4095),
    floats from 0..1.

    Args:
        data: an encoded picture.
        at_least: a JPEG may be decoded at a reduced size, with both sides at least this (faster).
        value_range: the values of black and white in pictures of more than 8 bits, for files that do not state them.

    Raises:
        UnreadablePicture: corrupt, truncated, empty, not a picture, or unreasonably large.
        PhotograftError: the range of its values is not stated: floats beyond 0..1, 32-bit or signed integers, 16-bit
            integers that stay below 4096, not a number.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
            if at_least is not None:
                image.draft("RGB", (at_least, at_least))
            image = to_8_bits(image, data, value_range)
            if image.has_transparency_data:
                rgba = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
            return image.convert("RGB")
    except UnidentifiedImageError as error:
        tiff = ", or a TIFF of a kind that is not read" if data[:2] in (b"II", b"MM") else ""
        raise UnreadablePicture(f"no picture in a format that is read{tiff}" if data else "it is empty") from error
    except _DECODE_ERRORS as error:
        raise UnreadablePicture(str(error) or type(error).__name__) from error


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
    image = decode_picture(data, at_least=2 * side, value_range=value_range)
    if image.size == (resolution, resolution):
        pixels = np.zeros((side, side, 3), np.uint8)
        pixels[:resolution, :resolution] = np.asarray(image)
        return pixels, False
    short = min(image.size)
    left, top = (image.width - short) / 2, (image.height - short) / 2
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
