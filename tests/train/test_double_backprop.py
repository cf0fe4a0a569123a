"""The outer gradient of A's and B's training against central differences, in float64.

Piecewise linear units have kinks, where no gradient is right: a difference counts only where halving its step leaves it
alone, and most directions must count.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.auxiliary import AuxiliaryNetworks
from models.discriminators.sn_projection import SNProjectionDiscriminator
from models.generators.sngan import ConditionalBatchNorm2d, SNGANGenerator
from models.prepared import prepare
from models.projection.objective import Objective
from train.projection.auxiliary import unroll

WEIGHTS, STEP = (20.0, 2.0, 1.0), 1e-6


@pytest.fixture(autouse=True)
def _keep_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks hand pictures and features on as float32; here they stay as they are."""
    original = Tensor.float
    monkeypatch.setattr(Tensor, "float", lambda x: x if x.dtype == torch.float64 else original(x))


class Outer:
    """The outer loss of two made-up pictures, and what it is a function of."""

    def __init__(self) -> None:
        generator = SNGANGenerator([6, 6, 4], latent_dim=5, num_classes=3)
        for module in generator.modules():
            if isinstance(module, ConditionalBatchNorm2d):
                nn.init.normal_(module.gamma, 1.0, 0.3)
                nn.init.normal_(module.beta, 0.0, 0.3)
        discriminator = SNProjectionDiscriminator([4, 6], num_classes=3)
        self.auxiliary = AuxiliaryNetworks(5, zeta_dim=12, hidden_a=8, hidden_b=8).double()
        self.step_size = torch.full((12,), 0.02, dtype=torch.float64).log().requires_grad_()
        self.z, label = torch.randn(2, 5, dtype=torch.float64), torch.tensor([0, 2])
        photos = torch.rand(2, 3, 16, 16, dtype=torch.float64) * 2 - 1
        self.objective = Objective(
            prepare(generator, torch.float64),
            prepare(discriminator, torch.float64),
            photos,
            label,
            auxiliary=self.auxiliary,
            pixel_weight=0.05,
        )
        self.variables = [self.step_size, *self.auxiliary.parameters()]

    def loss(self) -> Tensor:
        zeta = self.auxiliary.to_zeta(self.z)
        losses = unroll(self.objective, zeta, self.step_size.exp(), len(WEIGHTS) - 1)
        inner = torch.stack([w * value.sum() for w, value in zip(WEIGHTS, losses, strict=True)]).sum()
        return inner + 100 * (self.auxiliary.to_z(zeta) - self.z).square().mean(dim=1).sum()

    def gradient(self) -> list[Tensor]:
        return list(torch.autograd.grad(self.loss(), self.variables))

    def difference(self, direction: list[Tensor], step: float) -> float:
        """Central difference of the loss; the inner gradients need a graph of their own."""
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                for variable, d in zip(self.variables, direction, strict=True):
                    variable.add_(d, alpha=sign * step)
            values.append(float(self.loss().detach()))
            with torch.no_grad():
                for variable, d in zip(self.variables, direction, strict=True):
                    variable.sub_(d, alpha=sign * step)
        return (values[0] - values[1]) / (2 * step)

    def directions(self, number: int) -> list[list[Tensor]]:
        """Random ones: in the step sizes alone, in one tensor of A or B at a time, and in everything."""
        made = []
        for k in range(number):
            alone = k % (len(self.variables) + 1)
            made.append(
                [torch.randn_like(v) * (alone in (i, len(self.variables))) for i, v in enumerate(self.variables)]
            )
        return made


def errors(outer: Outer, gradient: list[Tensor], number: int) -> list[float]:
    """Relative errors of a gradient along the directions that meet no kink."""
    found = []
    for direction in outer.directions(number):
        expected, half = (outer.difference(direction, step) for step in (STEP, STEP / 2))
        if abs(expected - half) < 1e-6 * abs(expected):
            along = float(sum((g * d).sum() for g, d in zip(gradient, direction, strict=True)))
            found.append(abs(along / half - 1))
    return found


def test_outer_gradient() -> None:
    outer = Outer()
    found = errors(outer, outer.gradient(), 33)
    print(f"{len(found)} of 33 directions, largest relative error {max(found):.1e}")
    assert len(found) > 20
    assert max(found) < 1e-6


def test_without_the_second_order_it_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    outer, original = Outer(), torch.autograd.grad

    def first_order(*args: Any, **settings: Any) -> tuple[Tensor, ...]:
        return tuple(g.detach() if settings.get("create_graph") else g for g in original(*args, **settings))

    with monkeypatch.context() as patch:
        patch.setattr(torch.autograd, "grad", first_order)
        gradient = outer.gradient()
    found = errors(outer, gradient, 33)
    assert len(found) > 20
    assert sorted(found)[len(found) // 2] > 1e-4
