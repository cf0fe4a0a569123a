"""Pictures of generators as pixels."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.errors import PhotograftError
from models.writing import Writer

_LEVEL = 4  # of zlib: half the time of the usual 6 for files that are 1.4 % larger, on a photo


def to_pixels(image: Tensor) -> NDArray[np.uint8]:  # [1,3,R,R] in [-1,1] -> [R,R,3]
    """One picture of a generator as uint8 RGB, rounded. Raises PhotograftError for one that is not of numbers."""
    if not bool(image.isfinite().all()):
        raise PhotograftError("the generator drew NaN or infinite values: its weights, or the latent, are unusable")
    return np.asarray((image[0].float() * 127.5 + 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu())


def png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Writer:
    """Writes a picture, uint8 [H,W,3], or uint8 or uint16 [H,W]."""
    return lambda stream: Image.fromarray(pixels).save(stream, "PNG", compress_level=_LEVEL)
