"""Precision and recall mean what they say."""

import pytest
import torch

from infer.evaluate.manifold import manifold


def gaussian(n: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    return scale * torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)) + shift


def test_samples_of_the_same_distribution_are_precise_and_complete() -> None:
    found = manifold(gaussian(800, 0), gaussian(800, 1))
    assert found.precision > 0.9
    assert found.recall > 0.9
    assert found.coverage > 0.9
    assert found.density == pytest.approx(1.0, abs=0.1)


def test_collapsed_samples_are_precise_but_not_complete() -> None:
    found = manifold(gaussian(800, 0), gaussian(800, 1, scale=0.05))
    assert found.precision > 0.99
    assert found.recall < 0.05
    assert found.coverage < 0.3


def test_samples_that_are_spread_too_far_are_complete_but_not_precise() -> None:
    found = manifold(gaussian(800, 0), gaussian(800, 1, scale=4.0))
    assert found.precision < 0.5
    assert found.recall > 0.9


def test_samples_elsewhere_are_neither() -> None:
    found = manifold(gaussian(300, 0), gaussian(300, 1, shift=50.0))
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_numbers_are_those_of_a_count_by_hand() -> None:
    real, fake = torch.tensor([[0.0], [1.0], [2.0], [10.0]]), torch.tensor([[0.4], [0.6], [5.0], [30.0]])
    found = manifold(real, fake, k=1)  # radii 1, 1, 1, 8 of real ones; 0.2, 0.2, 4.4, 25 of samples
    assert found.precision == 0.75  # 5 lies within 8 of 10
    assert found.recall == 0.75  # within 4.4 of 5 lie 1 and 2, within 25 of 30 lies 10, and 0 is nowhere
    assert found.density == pytest.approx((2 + 2 + 1 + 0) / 4)
    assert found.coverage == 0.75  # no sample within 1 of 2
