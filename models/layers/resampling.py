"""Resampling: pictures resized, and 3x3 convolutions fused with the doubling or halving of the resolution beside them.

Four of the nine taps of a 3x3 kernel meet the same pixel after nearest-neighbour upsampling, or are averaged before
pooling, so both pairs are one 4x4 kernel at stride 2: the same numbers for 4/9 of the work.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

# of frozen weights: what they were, which keeps their address from being given away; their version; their kernel
_KERNELS: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def _spread(weight: Tensor) -> Tensor:  # [O,I,3,3] -> [O,I,4,4]
    """Sum of the kernel at the four places of a 2x2 window."""
    rows = F.pad(weight, (0, 0, 0, 1)) + F.pad(weight, (0, 0, 1, 0))
    return F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))


def _upsampling(weight: Tensor) -> Tensor:  # [O,I,3,3] -> [I,O,4,4]
    return _spread(weight.flip(2, 3)).transpose(0, 1)


def _pooling(weight: Tensor) -> Tensor:  # [O,I,3,3] -> [O,I,4,4]
    return _spread(weight) / 4


def _kernel(weight: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
    """`make(weight)`; of a frozen weight it is kept, in the weight's layout: on a few pixels of one picture making it
    takes longer than the convolution."""
    if weight.requires_grad or weight.is_inference():
        return make(weight)
    kept = _KERNELS.setdefault(weight, {})
    if make not in kept or (kept[make][0].data_ptr(), kept[make][1]) != (weight.data_ptr(), weight._version):
        last = weight.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        with torch.no_grad():
            kept[make] = (weight.detach(), weight._version, make(weight).contiguous(memory_format=layout))
    kernel: Tensor = kept[make][2]
    return kernel


def upsampled_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # [N,I,H,W] -> [N,O,2H,2W]
    """`conv2d(upsample_nearest(x, 2), weight, bias, padding=1)` for a weight [O,I,3,3]."""
    return F.conv_transpose2d(x, _kernel(weight, _upsampling), bias, stride=2, padding=1)


def pooled_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # [N,I,2H,2W] -> [N,O,H,W]
    """`avg_pool2d(conv2d(x, weight, bias, padding=1), 2)` for a weight [O,I,3,3]."""
    return F.conv2d(x, _kernel(weight, _pooling), bias, stride=2, padding=1)


def blur(x: Tensor) -> Tensor:  # [N,C,H,W] -> [N,C,H,W]
    """Low pass with the binomial filter [1,2,1]/4 along both axes; zeros beyond the border."""
    line = x.new_tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(line, line).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def resize(x: Tensor, resolution: int) -> Tensor:  # [N,3,H,W] -> [N,3,R,R]
    """Bilinear with antialiasing, in float32 (there is no other on a CPU); the dtype stays."""
    if x.shape[-2:] == (resolution, resolution):
        return x
    size = (resolution, resolution)
    return F.interpolate(x.float(), size, mode="bilinear", align_corners=False, antialias=True).to(x.dtype)


def resize_pixels(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:  # [H,W,...] -> [height,width,...]
    """A picture or mask, uint8 or float32; an axis that shrinks is averaged over area, one that grows is interpolated.

    OpenCV's INTER_AREA does both axes alike: where one of them grows, the other is not averaged but sampled.
    """
    fewer = min(pixels.shape[0], height), min(pixels.shape[1], width)
    if pixels.shape[:2] != fewer:
        pixels = cv2.resize(pixels, fewer[::-1], interpolation=cv2.INTER_AREA)
    if fewer != (height, width):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(pixels)
