"""Auxiliary networks A and B against the original: spaces, losses with gradients, and one outer training step."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.auxiliary import AuxiliaryNetworks
from models.losses import feature_distance, pixel_distance, psi
from tests.collage_fixtures import DISCRIMINATOR, IMAGE, LATENT, Fixture, link_path, names, network, networks

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
    with Fixture(name) as fixture:
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
        _check_outer_step(s, a, fixture)


def _check_outer_step(s: Setting, a: AuxiliaryNetworks, fixture: Fixture) -> None:
    """Two inner AdaGrad steps differentiated through, the weights 20, 2, 1 and 100, clipping, weight decay, Adam."""
    a.requires_grad_()
    s.generator.requires_grad_()
    alpha = fixture.get("fast_alpha").requires_grad_()
    zeta = a.to_zeta(s.z)
    reconstruction = (a.to_z(zeta) - s.z).square().mean() * len(s.z)
    fixture.check("ae_loss", reconstruction, rtol=1e-4, atol=1e-6)
    r = torch.full_like(zeta, 1e-8)
    losses = []
    for _ in range(2):
        l1, l2, _ = s.loss(zeta, 0.05)
        losses.append(l1 + l2)
        (g,) = torch.autograd.grad(losses[-1], zeta, create_graph=True)
        r = r + g.square()
        zeta = zeta - alpha * g / r.sqrt()
    l1, l2, x = s.loss(zeta, 0.05)
    losses.append(l1 + l2)
    fixture.check("fast_losses", torch.stack(losses), **DISCRIMINATOR)
    fixture.check("zeta_after_T", zeta, **LATENT)
    fixture.check("out_T_stride2", x, **IMAGE)
    outer = 20 * losses[0] + 2 * losses[1] + losses[2] + 100 * reconstruction
    fixture.check("outer_loss", outer, rtol=1e-4, atol=1e-6)
    outer.backward()
    _check_gradients(s, a, alpha, fixture)
    # the original adds eps before bias correction; in the first step that is 1e-8 / sqrt(1 - 0.9)
    optimiser = torch.optim.Adam(a.parameters(), 5e-5, betas=(0.0, 0.9), eps=1e-8 / 0.1**0.5)
    norm = fixture.get("outer_gradnorm_all").item()
    dead: dict[str, Tensor] = {}  # exactly no gradient (units that are off): weight decay alone moves them
    for name, p in a.named_parameters():
        assert p.grad is not None
        dead[name] = p.grad == 0
        p.grad.mul_(min(1.0, 100 / norm)).add_(p.detach(), alpha=1e-4)
    optimiser.step()
    for name, parameter in a.named_parameters():
        key = f"after_step__{link_path(name, a)}"
        if key in fixture:
            assert parameter.grad is not None
            size = parameter.grad.abs()
            # the first step is a sign: look where it is not noise
            clear = (size > 1e-3 * size.max()) | (dead[name] & (size > 1e-6))
            assert clear.float().mean() > 0.8
            fixture.check(key, torch.where(clear, parameter, fixture.get(key)), rtol=0, atol=2e-6)


def _check_gradients(s: Setting, a: AuxiliaryNetworks, alpha: Tensor, fixture: Fixture) -> None:
    """Gradients of the outer loss: of A and B, and of the generator, which is frozen but counted in the clipping."""
    assert alpha.grad is not None
    fixture.check("outer_gradnorm___fast_alpha.W", alpha.grad.norm(), rtol=2e-3, atol=1e-5)
    parameters = {link_path(n, s.generator): p for n, p in s.generator.named_parameters()}
    parameters |= {link_path(n, a): p for n, p in a.named_parameters()}
    total = alpha.grad.square().sum()
    for key, parameter in parameters.items():
        assert parameter.grad is not None
        total = total + parameter.grad.square().sum()
        fixture.check(f"outer_gradnorm__{key}", parameter.grad.norm(), rtol=2e-3, atol=1e-5)
        if f"outer_grad__{key}" in fixture:
            largest = parameter.grad.abs().max().item()
            fixture.check(f"outer_grad__{key}", parameter.grad, rtol=2e-3, atol=2e-4 * largest)
    fixture.check("outer_gradnorm_all", total.sqrt(), rtol=1e-3, atol=0)
