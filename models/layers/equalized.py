"""Layers with equalised learning rate, and the mapping network made of them: what StyleGAN2's two networks share.

Karras et al., "Progressive Growing of GANs" (2018), section 4.1: weights are stored at unit variance and scaled at each
pass, so that an optimiser moves all of them at one speed.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import check_labels

SLOPE, GAIN = 0.2, 2**0.5  # of leaky ReLU, and what keeps the variance after it
ACTIVATIONS = {"lrelu": (SLOPE, GAIN), "relu": (0.0, GAIN), "linear": (1.0, 1.0)}  # each a leaky ReLU, with its gain


def activate(x: Tensor, gain: float = 1.0, clamp: float | None = None, kind: str = "lrelu") -> Tensor:
    """An activation of `ACTIVATIONS` with the gain that keeps the variance, times gain, within +-clamp * gain."""
    slope, keeping = ACTIVATIONS[kind]
    return clamped(F.leaky_relu(x, slope) * (keeping * gain), None if clamp is None else clamp * gain)


def clamped(x: Tensor, bound: float | None) -> Tensor:
    """x within +-bound; x itself if there is none."""
    return x if bound is None else x.clamp(-bound, bound)


def unit_moment(x: Tensor) -> Tensor:  # [N,D] -> [N,D]
    """Each vector scaled to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class EqualLinear(nn.Module):
    """Linear layer: x -> (rate / sqrt I) x W^T + rate * b.

    Args:
        rate: learning rate of its weights relative to others.
        bias: its effective value at the start.
    """

    def __init__(self, c_in: int, c_out: int, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.rate = rate
        self.weight = nn.Parameter(torch.randn(c_out, c_in) / rate)
        self.bias = nn.Parameter(torch.full((c_out,), bias / rate))

    def forward(self, x: Tensor) -> Tensor:  # [N,I] -> [N,O]
        return F.linear(x, self.weight * (self.rate * self.weight.shape[1] ** -0.5), self.bias * self.rate)


class EqualConv2d(nn.Module):
    """Weights of a convolution, with their scale: `scaled` [O,I,K,K]; bias [O], or None."""

    def __init__(self, c_in: int, c_out: int, kernel_size: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(c_out)) if bias else None

    @property
    def scaled(self) -> Tensor:
        """The weights as they are applied: times 1 / sqrt(fan in)."""
        return self.weight * self.weight[0].numel() ** -0.5

    def forward(self, x: Tensor) -> Tensor:  # [N,I,H,W] -> [N,O,H,W]
        return F.conv2d(x, self.scaled, self.bias, padding=self.weight.shape[-1] // 2)


class Mapping(nn.Module):
    """z and a class -> w: both at unit moment, side by side, then layers with leaky ReLU.

    Args:
        latent_dim: size of z; 0 for a mapping of the class alone.
        widths: of the layers; the last one is the size of w. Without any w is the embedded class.
        num_classes: 0 for an unconditional one.
        embedding: size of the embedded class.
        rate: of the layers, see `EqualLinear`.
        activation: of the layers, see `ACTIVATIONS`.
        together: bring both to unit moment as one vector.
    """

    def __init__(
        self,
        latent_dim: int,
        widths: Sequence[int],
        num_classes: int,
        embedding: int,
        rate: float,
        activation: str = "lrelu",
        *,
        together: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes, self.activation, self.together = num_classes, activation, together
        self.embed = EqualLinear(num_classes, embedding) if num_classes else None
        sizes = (latent_dim + (embedding if num_classes else 0), *widths)
        self.layers = nn.ModuleList(EqualLinear(d_in, d_out, rate) for d_in, d_out in pairwise(sizes))

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:  # [N,latent_dim] -> [N,w_dim]
        """label: class indices [N] or weights of classes [N,K]; see `check_labels`."""
        check_labels(label, self.num_classes, len(z))
        scaled = (lambda part: part) if self.together else unit_moment
        parts = [scaled(z)] if z.shape[1] else []
        if self.embed is not None and label is not None:
            label = label.to(z.device)
            classes = torch.arange(self.num_classes, device=label.device)  # one_hot would read labels back
            weights = label[:, None] == classes if label.ndim == 1 else label
            parts.append(scaled(self.embed(weights.to(z.dtype))))
        x = torch.cat(parts, dim=1)
        x = unit_moment(x) if self.together else x
        for layer in self.layers:
            x = activate(layer(x), kind=self.activation)
        return x
