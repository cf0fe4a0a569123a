"""Auxiliary networks A and B against the original: spaces, and losses with gradients.

The outer training step is in tests/train/test_golden_auxiliary_step.py.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.auxiliary import AuxiliaryNetworks
from models.losses import feature_distance, pixel_distance, psi
from tests.collage_fixtures import DISCRIMINATOR, IMAGE, LATENT, OUTER_STEP, Fixture, names, network, networks

GRADIENT = {"rtol": 1e-3, "atol": 1e-6}


class Setting:
    """Networks of one fixture and its loss: sum of -cos, and the mean of squares over the whole batch."""

    def __init__(self, name: str, fixture: Fixture) -> None:
        loaded = networks(name)
        self.auxiliary = loaded["auxiliary"]
        assert isinstance(self.auxiliary, AuxiliaryNetworks)
        self.generator = loaded["generator"]
        dis = bytes(fixture.get("dis_snapshot").tolist()).decode()
        self.features: Callable[[Tensor], Tensor] = network(dis, "discriminator").features
        self.z, self.y, self.gt = (fixture.get(key) for key in ("z", "y", "gt"))
        self.target = psi(self.features(self.gt))

    def loss(self, zeta: Tensor, pixel_weight: float) -> tuple[Tensor, Tensor, Tensor]:
        """(feature loss, weighted pixel loss, picture)."""
        assert isinstance(self.auxiliary, AuxiliaryNetworks)
        x = self.generator(self.auxiliary.to_z(zeta), self.y)
        l1 = (feature_distance(psi(self.features(x)), self.target) - 1).sum()
        return l1, pixel_weight * pixel_distance(x, self.gt).mean(), x


@pytest.mark.parametrize("name", names("aux_"))
def test_auxiliary(name: str) -> None:
    fixture = Fixture(name)
    s = Setting(name, fixture)
    a = s.auxiliary
    assert isinstance(a, AuxiliaryNetworks)
    with torch.no_grad():
        fixture.check("zeta", a.to_zeta(s.z), **LATENT)
        fixture.check("z_prime", a(s.z), **LATENT)
        fixture.check("image_AB_stride2", s.generator(a(s.z), s.y), **IMAGE)
        fixture.check("image_noAB_stride2", s.generator(s.z, s.y), **IMAGE)
    for mode, pixel_weight in (("opt", 0.2), ("fast", 0.05)):
        zeta = a.to_zeta(s.z).requires_grad_()
        l1, l2, _ = s.loss(zeta, pixel_weight)
        (gradient,) = torch.autograd.grad(l1 + l2, zeta)
        fixture.check(f"{mode}_l1", l1, **DISCRIMINATOR)
        fixture.check(f"{mode}_l2", l2, **DISCRIMINATOR)
        fixture.check(f"{mode}_loss", l1 + l2, **DISCRIMINATOR)
        fixture.check(f"{mode}_grad_zeta", gradient, **GRADIENT)
        fixture.check(f"{mode}_grad_zeta_norm", gradient.norm(), rtol=1e-4, atol=1e-6)
    assert [key for key in sorted(fixture.left) if not key.startswith(OUTER_STEP)] == []
