"""Pictures as browsers take them within a message: nothing of them lies on the disk."""

import base64
import binascii
import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infer.photo.masks import Mask
from infer.photo.photo import Pixels
from models.errors import PhotograftError
from models.layers.resampling import resize_pixels

SHOWN = 1600  # px of the longer side of a whole photo as it is shown
PAINTED = 1024  # px of the longer side of what is painted on it
_EXACT = 1.5e6  # pixels up to which a picture is sent without loss
_PNG = "data:image/png;base64,"
_MOST_BYTES = 8 << 20


def fitted(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Height and width at which the longer side is `side` px at most."""
    scale = min(1.0, side / max(shape[:2]))
    return max(round(shape[0] * scale), 1), max(round(shape[1] * scale), 1)


def picture_url(pixels: Pixels, side: int | None = None) -> str:
    """A picture [H,W,3]: without loss if it is not too large; JPEG where a longest side is given."""
    if side is not None:
        return _url("jpeg", ".jpg", resize_pixels(pixels, *fitted(pixels.shape, side))[..., ::-1], 90)
    if pixels.shape[0] * pixels.shape[1] <= _EXACT:
        return _url("png", ".png", pixels[..., ::-1])
    return _url("jpeg", ".jpg", pixels[..., ::-1], 95)


def change_url(before: Pixels, after: Pixels) -> str:  # [H,W,3] x2
    """A picture where it differs from the one before; clear elsewhere."""
    there = (before != after).any(axis=2).astype(np.uint8) * 255
    alpha = cv2.blur(cv2.dilate(there, np.ones((3, 3), np.uint8)), (3, 3))
    return _url("webp", ".webp", np.dstack([after[..., ::-1], alpha]), 90)


def mask_url(mask: Mask) -> str:  # [h,w] in [0,1]
    """A mask as the opacity of a white picture, `PAINTED` px at most."""
    small = resize_pixels(mask, *fitted(mask.shape, PAINTED))
    alpha = (small * 255).round().clip(0, 255).astype(np.uint8)
    return _url("png", ".png", np.dstack([np.full((*alpha.shape, 3), 255, np.uint8), alpha]))


def read_mask_url(url: object, shape: tuple[int, ...]) -> Mask | None:  # -> [h,w]
    """What a browser painted on a photo [H,W,...]; None where nothing is.

    Raises:
        PhotograftError: no PNG of the size that is painted on, or a large one.
    """
    size = fitted(shape, PAINTED)
    refused = PhotograftError("what was painted did not arrive: paint once more")
    if not isinstance(url, str) or not url.startswith(_PNG) or len(url) > _MOST_BYTES:
        raise refused
    try:
        with Image.open(io.BytesIO(base64.b64decode(url[len(_PNG) :], validate=True)), formats=["PNG"]) as picture:
            if picture.size != size[::-1]:
                raise refused
            alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    except (binascii.Error, OSError, ValueError, SyntaxError) as error:
        raise refused from error
    return np.asarray(alpha / np.float32(255), np.float32) if alpha.max() > 1 else None


def _url(kind: str, suffix: str, pixels: NDArray[np.uint8], quality: int | None = None) -> str:
    how = {"jpeg": cv2.IMWRITE_JPEG_QUALITY, "webp": cv2.IMWRITE_WEBP_QUALITY}
    flags = [cv2.IMWRITE_PNG_COMPRESSION, 3] if quality is None else [how[kind], quality]
    _, data = cv2.imencode(suffix, np.ascontiguousarray(pixels), flags)
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"
