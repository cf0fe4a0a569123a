"""Batch norm with statistics of several truncations, as published BigGANs keep them: Brock et al. 2019, appendix B.

Gamma and beta are linear in a condition, or the layer's own.
"""

import math

import torch
from torch import Tensor, nn

from models.base import Modulation
from models.layers.modulated_norm import ModulatedBatchNorm2d
from models.layers.spectral_norm import SNLinear


class StandingBatchNorm2d(ModulatedBatchNorm2d):
    """Batch norm with statistics of several truncations, [S,C], from 0 in the first row to 1 in the last.

    Attributes:
        truncation: whose statistics stand, in [0,1].
        as_ported: mix neighbouring rows as pytorch-pretrained-biggan does: with their weights swapped, and rows found
            by a division in float64, which misses 0.14, 0.28, 0.56, 0.58 and 0.94.
    """

    def __init__(self, channels: int, eps: float, rows: int) -> None:
        super().__init__(channels, eps, rows)
        self.truncation, self.as_ported = 1.0, False

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and variance [C] that stand; in training those of the last row, which learns."""
        last = len(self.running_mean) - 1
        if self.training or not last:
            return self.running_mean[last], self.running_var[last]
        share, low = math.modf(self.truncation / (1 / last))
        if not self.as_ported:
            place = round(self.truncation * last, 6)
            share, low = 1 - math.modf(place)[0], math.floor(place)
        row = int(low)
        if row >= last:  # 1 / (1 / 49) is more than 49
            return self.running_mean[last], self.running_var[last]
        if share in ((0.0,) if self.as_ported else (1.0,)):
            return self.running_mean[row], self.running_var[row]
        mean, variance = (share * t[row] + (1 - share) * t[row + 1] for t in (self.running_mean, self.running_var))
        return mean, variance


class LinearBatchNorm2d(StandingBatchNorm2d):
    """Batch norm whose gamma = 1 + gain(condition) and beta = bias(condition) are linear in a condition [N,D]."""

    def __init__(self, channels: int, condition: int, eps: float, rows: int) -> None:
        super().__init__(channels, eps, rows)
        self.gain = SNLinear(condition, channels, bias=False)
        self.bias = SNLinear(condition, channels, bias=False)

    def modulation(self, condition: Tensor) -> Modulation:
        """gamma and beta [N,C]."""
        return Modulation(1 + self.gain(condition), self.bias(condition))


class PlainBatchNorm2d(StandingBatchNorm2d):
    """Batch norm with a gamma and a beta of its own, before the picture."""

    def __init__(self, channels: int, eps: float, rows: int) -> None:
        super().__init__(channels, eps, rows)
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def modulation(self) -> Modulation:
        """gamma and beta [1,C]."""
        return Modulation(self.gamma[None], self.beta[None])
