"""A tiny style generator, whose layers are simple enough to compute by hand, and a model around it."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from models.base import Layer, Modulation, StyleGenerator, Tap
from models.zoo import Model


class FakeStyles(StyleGenerator):
    """16 px; the picture's quadrants have features of their own, which styles scale.

    Counts its passes: `mapped`, `styled`, `synthesized`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.config = {}
        self.latent_dim = self.w_dim = 4
        self.num_ws, self.num_classes, self.resolution = 2, 0, 16
        self.layers = (Layer("low", 8, 4, modulated=True), Layer("high", 16, 4, modulated=True))
        self.mapped = self.styled = self.synthesized = 0

    @property
    def w_mean(self) -> Tensor:
        return torch.zeros(4)

    def mapping(
        self, z: Tensor, label: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        self.mapped += 1
        return truncation * z[:, None].expand(-1, self.num_ws, -1)

    def styles(self, ws: Tensor) -> list[Modulation]:
        self.styled += 1
        return [Modulation(1 + 0.3 * ws[:, i].tanh()) for i in range(self.num_ws)]

    def synthesize(self, latent: Tensor, modulations: Sequence[Modulation], tap: Tap | None = None) -> Tensor:
        self.synthesized += 1
        for layer, modulation in zip(self.layers, modulations, strict=True):
            n, size = len(modulation.scale), layer.resolution
            x = quadrants(size).expand(n, -1, -1, -1)
            x = x + 0.05 * torch.sin(torch.arange(size)).expand(n, 4, size, size)
            x = modulation.apply(x if tap is None else tap(layer, x))
        colour = torch.stack([x[:, 0] - x[:, 3], x[:, 1] - x[:, 3], x[:, 2] - x[:, 3]], dim=1)
        return (0.5 * colour).tanh()


def quadrants(size: int) -> Tensor:  # -> [1,4,size,size]
    """One channel per quadrant, in the order of reading."""
    x = torch.zeros(1, 4, size, size)
    half = size // 2
    for c, (top, left) in enumerate([(0, 0), (0, half), (half, 0), (half, half)]):
        x[0, c, top : top + half, left : left + half] = 1
    return x


@pytest.fixture
def styles() -> FakeStyles:
    """The generator."""
    return FakeStyles()


@pytest.fixture
def model(styles: FakeStyles) -> Model:
    """A model around it."""
    return Model("fake", styles)
