"""Resampling by two with a low-pass FIR filter, as StyleGAN2 does it: zeros beyond the border, no shift."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.errors import PhotograftError


class Fir(nn.Module):
    """A separable filter of K taps (an even number), of sum 1; it has no weights that learn or are saved.

    Computes in the dtype of what it is given, under autocast too.

    Args:
        taps: of one axis, of any sum but 0; (1, 3, 3, 1) in StyleGAN2.

    Raises:
        PhotograftError: an odd number of taps, or taps of sum 0.
    """

    kernel: Tensor

    def __init__(self, taps: Sequence[float]) -> None:
        super().__init__()
        line = torch.tensor(taps, dtype=torch.float32)
        if len(taps) == 0 or len(taps) % 2 or not abs(sum(taps)) > 1e-6:
            raise PhotograftError(f"a resampling filter has an even number of taps and a sum, not {list(taps)}")
        self.reach = len(taps) // 2
        line = line / line.sum()
        self.register_buffer("kernel", torch.outer(line, line), persistent=False)

    def _kernel(self, x: Tensor, gain: float) -> Tensor:  # -> [C,1,K,K]
        return (self.kernel * gain).to(x.dtype).expand(x.shape[1], 1, -1, -1)

    def smooth(self, x: Tensor, padding: int, gain: float = 1.0, stride: int = 1) -> Tensor:
        """Convolve every channel of [N,C,H,W] after so many zeros on all sides; keep every stride-th value."""
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x, self._kernel(x, gain).flip(2, 3), stride=stride, padding=padding, groups=x.shape[1])

    def up(self, x: Tensor) -> Tensor:  # [N,C,H,W] -> [N,C,2H,2W]
        """Twice the resolution, at the same brightness."""
        with torch.autocast(x.device.type, enabled=False):
            return F.conv_transpose2d(x, self._kernel(x, 4.0), stride=2, padding=self.reach - 1, groups=x.shape[1])

    def down(self, x: Tensor) -> Tensor:  # [N,C,2H,2W] -> [N,C,H,W]
        """Half the resolution."""
        return self.smooth(x, self.reach - 1, stride=2)

    def up_conv(self, x: Tensor, kernel: Tensor) -> Tensor:  # [N,I,H,W] -> [N,O,2H,2W]
        """Spread to every other pixel, convolve (not correlate) with a kernel [I,O,3,3], smooth."""
        return self.smooth(F.conv_transpose2d(x, kernel, stride=2), self.reach - 1, gain=4.0)

    def down_conv(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # [N,I,2H,2W] -> [N,O,H,W]
        """Smooth, correlate with a weight [O,I,3,3], keep every other pixel, add a bias [O]."""
        return F.conv2d(self.smooth(x, self.reach), weight, bias, stride=2)
