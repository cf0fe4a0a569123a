"""The scatter within classes, and the term that asks for it."""

import pytest
import torch

from models.discriminators.projected import Projected
from train.gan.diversity import descriptors, scatter_within_classes, shortfall


def test_scatter_is_the_variance_within_classes() -> None:
    random = torch.Generator().manual_seed(0)
    label = torch.arange(5).repeat(2000)
    centres = 10 * torch.randn(5, 3, generator=random)
    spread = torch.tensor([1.0, 2.0, 0.5])
    x = centres[label] + spread * torch.randn(len(label), 3, generator=random)
    torch.testing.assert_close(scatter_within_classes(x, label), spread.square(), rtol=0.05, atol=0)


def test_classes_with_one_picture_say_nothing_of_scatter() -> None:
    x = torch.tensor([[0.0, 7.0], [2.0, 7.0], [100.0, 7.0]])
    assert scatter_within_classes(x, torch.tensor([0, 0, 3])).tolist() == [2.0, 1.0]  # 1 where nothing varies


def test_shortfall_of_real_scatter_is_nothing_and_of_copies_is_one() -> None:
    random = torch.Generator().manual_seed(1)
    scatter = [torch.rand(64, generator=random) + 0.5, torch.rand(32, generator=random) + 0.5]
    first, second = ([s.sqrt() * torch.randn(500, len(s), generator=random) for s in scatter] for _ in range(2))
    assert float(shortfall(first, second, scatter)) < 1e-3
    assert float(shortfall(first, first, scatter)) == pytest.approx(1.0)
    halves = [[f / 2**0.5 for f in side] for side in (first, second)]
    assert float(shortfall(*halves, scatter)) == pytest.approx(0.25, abs=0.02)
    wider = [[2 * f for f in side] for side in (first, second)]
    assert float(shortfall(*wider, scatter)) == 0.0  # nothing to gain beyond what is real


def test_descriptors_see_content_and_texture() -> None:
    flat, rough = torch.zeros(1, 1, 4, 4), torch.tensor([1.0, -1.0]).repeat(8).view(1, 1, 4, 4)
    one, other = (Projected([x], torch.zeros(1, 2)) for x in (flat, rough))
    assert [d.shape for d in descriptors(one)] == [(1, 2), (1, 2)]
    assert descriptors(one)[0][0, 0] == descriptors(other)[0][0, 0]
    assert descriptors(one)[0][0, 1] < descriptors(other)[0][0, 1]
