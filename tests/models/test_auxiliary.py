"""The exactly invertible start of A and B."""

import pytest
import torch

from models.auxiliary import AuxiliaryNetworks
from models.errors import PhotograftError


@pytest.fixture
def frame() -> torch.Tensor:
    return torch.randn(20, 6, generator=torch.Generator().manual_seed(0))


def test_linear_start_is_the_map_and_its_inverse(frame: torch.Tensor) -> None:
    networks = AuxiliaryNetworks(6, zeta_dim=20, hidden_a=16, hidden_b=13)
    z, zeta = torch.randn(5, 6), torch.randn(5, 20)
    assert not torch.allclose(networks.to_z(zeta), zeta @ frame, atol=1e-3)
    networks.set_linear(frame)
    assert torch.allclose(networks.to_z(zeta), zeta @ frame, atol=1e-5)
    assert torch.allclose(networks(z), z, atol=1e-5)
    # the shortest zeta: no part of it is lost on B
    assert torch.allclose(networks.to_zeta(z), z @ torch.linalg.pinv(frame), atol=1e-5)


def test_every_unit_can_still_learn(frame: torch.Tensor) -> None:
    networks = AuxiliaryNetworks(6, zeta_dim=20, hidden_a=16, hidden_b=13)
    networks.set_linear(frame)
    networks(torch.randn(64, 6)).square().sum().backward()
    for layer in (networks.a2, networks.b2):
        assert layer.weight.grad is not None
        assert bool((layer.weight.grad.abs().sum(0) > 0).all())


def test_what_does_not_fit(frame: torch.Tensor) -> None:
    with pytest.raises(PhotograftError, match=r"frame must be \[20,6\]"):
        AuxiliaryNetworks(6, zeta_dim=20, hidden_a=16, hidden_b=16).set_linear(frame[:10])
    with pytest.raises(PhotograftError, match="at least 12 units"):
        AuxiliaryNetworks(6, zeta_dim=20, hidden_a=16, hidden_b=11).set_linear(frame)
