"""The finishing network: a generator's picture at four times its resolution, with detail that enlarging cannot give.

All convolutions run at the generator's resolution and a pixel shuffle ends them (Shi et al. 2016); they learn what is
missing in a cubic enlargement. Back-projection (Irani and Peleg 1991) then gives the result the colours of its input:
means over cells of 2x2 input pixels are the input's. A finer grid would keep the lattices of period two that generators
leave in their finest band.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.base import Configurable
from models.files import load_network
from models.registry import finishers
from models.schema import Width

FINISHER_WEIGHTS = Path(__file__).parent / "weights" / "finisher.safetensors"
SCALE = 4  # of the output's side to the input's
CELL = 2  # input pixels along a side of a cell whose mean is kept
_ROUNDS = 2  # of back-projection: what is off falls to a tenth, and that of finished heads below half a level of 255


class _Block(nn.Module):
    """Two convolutions beside what goes around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        with torch.no_grad():  # a block starts as nearly nothing, so that deep ones learn at once
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        around: Tensor = x + self.second(F.leaky_relu(self.first(x), 0.1))
        return around


@finishers.register("residual")
class Finisher(Configurable):
    """Pictures [N,3,H,W] in [-1,1], H and W even -> [N,3,4H,4W], which may overshoot that range a little.

    Args:
        width: channels of the convolutions.
        blocks: of two convolutions each.
    """

    def __init__(self, width: Width = 64, blocks: Width = 8) -> None:
        super().__init__()
        self.config = {"width": width, "blocks": blocks}
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(blocks)))
        self.last = nn.Conv2d(width, 3 * SCALE**2, 3, padding=1)
        with torch.no_grad():  # start from the enlargement
            self.last.weight.mul_(0.1)
            assert self.last.bias is not None
            self.last.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        assert x.ndim == 4 and x.shape[1] == 3 and not x.shape[2] % CELL and not x.shape[3] % CELL, x.shape
        features = self.first(x)
        detail = F.pixel_shuffle(self.last(features + self.blocks(features)), SCALE)
        return with_colours(enlarged(x) + detail.float(), x)

    @torch.inference_mode()
    def finish(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:  # [R,R,3] -> [4R,4R,3]
        """A picture at four times its size. Raises ValueError for pixels of another kind."""
        fits = pixels.ndim == 3 and pixels.shape[2] == 3 and not any(side % CELL for side in pixels.shape[:2])
        if pixels.dtype != np.uint8 or not fits:
            raise ValueError(f"pixels must be uint8 RGB [H,W,3] of even sides, not {pixels.dtype} {pixels.shape}")
        weight = self.first.weight
        x = torch.from_numpy(pixels).to(weight.device).permute(2, 0, 1)[None].float() / 127.5 - 1
        drawn = self(x.contiguous(memory_format=torch.channels_last))[0]
        return ((drawn + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def enlarged(x: Tensor) -> Tensor:  # [N,3,H,W] -> [N,3,4H,4W]
    """The cubic enlargement that a finisher adds detail to, in float32."""
    return F.interpolate(x.float(), scale_factor=SCALE, mode="bicubic", align_corners=False)


def with_colours(drawn: Tensor, x: Tensor) -> Tensor:
    """A picture [N,3,kH,kW] moved smoothly until its means over cells are nearly those of x [N,3,H,W]."""
    wanted, side = F.avg_pool2d(x.float(), CELL), CELL * drawn.shape[-1] // x.shape[-1]
    for _ in range(_ROUNDS):
        off = wanted - F.avg_pool2d(drawn, side)
        drawn = drawn + F.interpolate(off, scale_factor=side, mode="bicubic", align_corners=False)
    return drawn


@lru_cache(maxsize=1)
def load_finisher(path: Path = FINISHER_WEIGHTS) -> Finisher:
    """The finisher of a file (default: the embedded one), kept for the next call. Raises `PhotograftError`."""
    network: Finisher = load_network(path, "finisher")[0]
    return network.to(memory_format=torch.channels_last)
