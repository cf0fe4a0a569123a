"""Where two pictures differ: squared error in CIELAB (Collins et al., appendix B)."""

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from skimage.color import rgb2lab
from torch import Tensor

SCALE = (100.0, 255.0, 255.0)  # of L, a, b, as the released code brings them to ranges of 1


def lab(images: Tensor) -> Tensor:  # [N,3,H,W] in [-1,1] -> [N,3,H,W]
    """CIELAB (D65) of sRGB pictures: L in 0..100, a and b within about ±128."""
    assert images.ndim == 4 and images.shape[1] == 3, images.shape
    rgb = (images.detach().double().cpu().numpy() + 1).clip(0, 2) / 2
    converted: NDArray[np.float64] = rgb2lab(rgb, channel_axis=1)
    return torch.from_numpy(converted).float().to(images.device)


def squared_error(first: Tensor, second: Tensor) -> Tensor:  # [N,3,H,W] x2 in [-1,1] -> [N,H,W]
    """Squared difference in CIELAB with L, a and b scaled to ranges of 1, mean over the three.

    The released code's number, but for its conversion, which multiplies by a matrix that it forgets to transpose.
    """
    scale = torch.tensor(SCALE, device=first.device).view(3, 1, 1)
    return ((lab(first) - lab(second)) / scale).square().mean(1)


def heat_picture(error: Tensor, most: float | None = None) -> NDArray[np.uint8]:  # [H,W] -> [H,W,3]
    """Squared error as colours, dark where nothing changed; `most` (the largest value if None) is the brightest."""
    values = error.detach().cpu().numpy()
    top = float(values.max()) if most is None else most
    return (colormaps["inferno"](values / top if top > 0 else values * 0)[..., :3] * 255).round().astype(np.uint8)
