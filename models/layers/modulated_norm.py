"""Batch norm whose scale and shift come from outside, as a `Modulation`: what CBN is in every family that has it."""

import torch
from torch import Tensor, nn

from models.base import Layer, Modulation, Tap
from models.layers.batch_norm import batch_norm


class ModulatedBatchNorm2d(nn.Module):
    """Statistics shared by all classes; gamma and beta are the argument of `forward`.

    Args:
        channels: C.
        eps: added to the variance.
        rows: how many sets of statistics there are, of which `statistics` gives one; None: one, of shape [C].
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float, rows: int | None = None) -> None:
        super().__init__()
        self.eps = eps
        shape = (channels,) if rows is None else (rows, channels)
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_var", torch.ones(shape))

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and variance [C] in evaluation."""
        return self.running_mean, self.running_var

    def normalise(self, x: Tensor) -> Tensor:  # [N,C,H,W] -> [N,C,H,W]
        """Zero mean and unit variance: of the batch in training, of the running statistics in evaluation."""
        mean, variance = self.statistics()
        return batch_norm(x, mean, variance, training=self.training, momentum=0.1, eps=self.eps)

    def forward(
        self, x: Tensor, modulation: Modulation, layer: Layer | None = None, tap: Tap | None = None
    ) -> Tensor:  # [N,C,H,W] -> [N,C,H,W]
        """Normalise, scale and shift; a tap sees the normalised features of its layer.

        One fused pass where nothing is tapped and the modulation does not vary over space.
        """
        if tap is not None:
            assert layer is not None
            return modulation.map(lambda t: t.to(x.dtype)).apply(tap(layer, self.normalise(x)))
        if self.training or modulation.spatial:
            return modulation.map(lambda t: t.to(x.dtype)).apply(self.normalise(x))
        assert modulation.shift is not None
        mean, variance = self.statistics()
        scale = modulation.scale * torch.rsqrt(variance + self.eps)
        shift = modulation.shift - scale * mean
        return Modulation(scale, shift).map(lambda t: t.to(x.dtype)).apply(x)
