"""Resampling: pictures resized, and 3x3 convolutions fused with the doubling or halving of the resolution beside them.

Four of the nine taps of a 3x3 kernel meet the same pixel after nearest-neighbour upsampling, or are averaged before
pooling, so both pairs are one 4x4 kernel at stride 2: the same numbers for 4/9 of the work.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

MakeKernel = Callable[[Tensor], Tensor]
C = TypeVar("C", bound=nn.Module)
FEW = 256  # pixels, below which a bfloat16 convolution's gradient is faster as one product of matrices
# Pixels up to which a kernel that learns is not fused: making it, and the gradient of that, would take longer than the
# convolution. 512 channels of one picture of 4 px, on two cores: 175 ms fused, 25 ms as it stands; of 16 px as long.
FEW_LEARNING = 128


def _spread(weight: Tensor) -> Tensor:  # [O,I,3,3] -> [O,I,4,4]
    """Sum of the kernel at the four places of a 2x2 window."""
    rows = F.pad(weight, (0, 0, 0, 1)) + F.pad(weight, (0, 0, 1, 0))
    return F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))


def upsampling(weight: Tensor) -> Tensor:  # [O,I,3,3] -> [I,O,4,4]
    """The kernel of `upsampled_conv`."""
    return _spread(weight.flip(2, 3)).transpose(0, 1)


def pooling(weight: Tensor) -> Tensor:  # [O,I,3,3] -> [O,I,4,4]
    """The kernel of `pooled_conv`."""
    return _spread(weight) / 4


def keeps_kernel(conv: C, make: MakeKernel, name: str = "kernel") -> C:
    """Mark a convolution with what `make` makes of its weight, such as a fused kernel, for `keep_kernels`."""
    conv.make_kernels = {**vars(conv).get("make_kernels", {}), name: make}  # type: ignore[assignment]
    return conv


@torch.no_grad()
def keep_kernels(network: nn.Module) -> None:
    """Make what a frozen network's marked convolutions need of their weights, once, in the weights' layout: on a few
    pixels of one picture making a kernel takes longer than the convolution. Call it again when weights have changed.
    """
    for module in network.modules():
        makers: dict[str, MakeKernel] = vars(module).get("make_kernels", {})
        for name, make in makers.items():
            if not isinstance(module.weight, Tensor):
                continue
            last = module.weight.is_contiguous(memory_format=torch.channels_last)
            kernel = make(module.weight)
            layout = torch.channels_last if last and kernel.ndim == 4 else torch.contiguous_format
            module.register_buffer(name, kernel.contiguous(memory_format=layout), persistent=False)


def kept_kernel(conv: nn.Module, name: str = "kernel") -> Tensor | None:
    """What was kept of a convolution under a name, where its weight does not learn."""
    kernel = getattr(conv, name, None)
    return kernel if isinstance(kernel, Tensor) and not getattr(conv.weight, "requires_grad", True) else None


def upsampled_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, kernel: Tensor | None = None
) -> Tensor:  # [N,I,H,W] -> [N,O,2H,2W]
    """`conv2d(upsample_nearest(x, 2), weight, bias, padding=1)` for a weight [O,I,3,3].

    Args:
        kernel: `upsampling(weight)` where that is at hand (`keep_kernels`).
    """
    if kernel is None and x.device.type == "cpu" and weight.requires_grad and torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")  # autocast does not reach into a function of our own
        kernel, bias = upsampling(weight).to(dtype), None if bias is None else bias.to(dtype)
        learnt: Tensor = _UpsampledLearning.apply(x.to(dtype), fast_layout(kernel), bias)
        return learnt
    pixels = x.shape[0] * x.shape[2] * x.shape[3]
    if kernel is None and x.device.type == "cpu" and weight.requires_grad and pixels <= FEW_LEARNING:
        return F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, bias, padding=1)
    if kernel is None:
        return F.conv_transpose2d(x, upsampling(weight), bias, stride=2, padding=1)
    if x.dtype == torch.bfloat16 and x.device.type == "cpu" and pixels <= FEW:
        found: Tensor = _UpsampledFew.apply(x, kernel, bias)
        return found
    return F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)


class _UpsampledLearning(torch.autograd.Function):
    """The transposed convolution with a kernel [I,O,4,4] that learns. Its gradients are those of the convolution at
    stride 2 that it is the transpose of: the same numbers, and 10 to 35 % faster on a CPU than asking for its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, kernel)
        return F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, kernel = ctx.saved_tensors
        for_x, for_kernel, for_bias = ctx.needs_input_grad
        settings = [2, 2], [1, 1], [1, 1], False, [0, 0], 1, [False, True, False]
        return (
            F.conv2d(gradient, kernel, stride=2, padding=1) if for_x else None,
            torch.ops.aten.convolution_backward(x, gradient, kernel, None, *settings)[1] if for_kernel else None,
            gradient.sum(dim=(0, 2, 3)) if for_bias else None,
        )


class _UpsampledFew(torch.autograd.Function):
    """The transposed convolution with a frozen kernel [I,O,4,4]. Of few pixels its gradient, a convolution at stride 2,
    takes most of its time to reorder the kernel: as a product of matrices it is 2 to 5 times as fast in bfloat16."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(kernel)
        return F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (kernel,) = ctx.saved_tensors
        n, _, height, width = gradient.shape
        rows = F.pad(gradient.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # [N,2H+2,2W+2,O]
        taps = [rows[:, i : i + height : 2, j : j + width : 2] for i in range(4) for j in range(4)]
        matrix = kernel.permute(0, 2, 3, 1).flatten(1)  # [I,16 O]; a view of a channels_last kernel
        products = F.linear(torch.cat(taps, dim=3).flatten(0, 2), matrix)  # [N H W,I]
        return products.view(n, height // 2, width // 2, -1).permute(0, 3, 1, 2), None, None


def pooled_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, kernel: Tensor | None = None
) -> Tensor:  # [N,I,2H,2W] -> [N,O,H,W]
    """`avg_pool2d(conv2d(x, weight, bias, padding=1), 2)` for a weight [O,I,3,3].

    Args:
        kernel: `pooling(weight)` where that is at hand (`keep_kernels`).
    """
    return F.conv2d(x, pooling(weight) if kernel is None else kernel, bias, stride=2, padding=1)


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


def fast_layout(x: Tensor) -> Tensor:
    """Pictures [N,C,H,W] as convolutions want them: channels_last on a CPU, where the other layout is reordered at
    every layer; as they are on a GPU."""
    return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x


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
