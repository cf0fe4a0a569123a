"""Spaces of projection: what they give the generator, and the rules by which noise maps are kept noise."""

import math

import pytest
import torch
from torch import Tensor

from models.projection.spaces import NOISE_WEIGHT, WSpace, noise_penalty
from tests.infer.tiny_styles import LATENTS, NUM_WS, W_DIM, tiny_generator


def slow_penalty(noise: list[list[float]]) -> float:
    """Appendix D of Karras et al. 2020, written out for one map."""
    size, total = len(noise), 0.0
    across = sum(noise[y][x] * noise[y][x - 1] for y in range(size) for x in range(size)) / size**2
    down = sum(noise[y][x] * noise[y - 1][x] for y in range(size) for x in range(size)) / size**2
    total = across**2 + down**2
    if size <= 8:
        return total
    half = [
        [2 * (noise[y][x] + noise[y][x + 1] + noise[y + 1][x] + noise[y + 1][x + 1]) / 4 for x in range(0, size, 2)]
        for y in range(0, size, 2)
    ]
    return total + slow_penalty(half)


@pytest.mark.parametrize("size", [4, 8, 32])
def test_noise_penalty_against_loops(size: int) -> None:
    noise = torch.randn(2, 1, size, size) + 0.3
    expected = [slow_penalty(noise[i, 0].tolist()) for i in range(2)]
    assert noise_penalty(noise).tolist() == pytest.approx(expected, rel=1e-4)


def test_noise_penalty_knows_pictures_from_noise() -> None:
    ramp = torch.linspace(-1.7, 1.7, 32).expand(1, 1, 32, 32)
    assert noise_penalty(ramp) > 20 * noise_penalty(torch.randn(1, 1, 32, 32))


@pytest.mark.parametrize("family", ["stylegan2", "stylegan"])
@pytest.mark.parametrize("plus", [False, True])
def test_there_and_back(family: str, plus: bool) -> None:
    g = tiny_generator(family)
    space = WSpace(g, plus=plus)
    one = g.mapping(torch.randn(2, LATENTS), torch.tensor([0, 2]))
    assert torch.allclose(space.to_latent(space.start(one)), one, atol=1e-5)
    many = torch.randn(2, NUM_WS, W_DIM)
    back = space.to_latent(space.start(many))
    assert back.shape == many.shape
    expected = many if plus else many.mean(1, keepdim=True).expand_as(many)
    assert torch.allclose(back, expected, atol=1e-5)
    noise, stored = space.noise(space.start(many)), g.noise_maps()
    assert list(noise) == list(stored)
    assert len(noise) == (5 if family == "stylegan2" else 6)
    assert all(torch.equal(m[1].flatten(), stored[name].flatten()) for name, m in noise.items())
    bare = WSpace(g, plus=plus, noise=False)
    assert bare.noise(bare.start(many)) == {}


def test_noise_maps_are_normalised_and_w_is_left_alone() -> None:
    space = WSpace(tiny_generator())
    variable = space.start(torch.randn(2, NUM_WS, W_DIM))
    held = space.hold(3 * variable + 1)
    for m in space.noise(held).values():
        assert m.mean(dim=(2, 3)).abs().max() < 1e-5
        assert torch.allclose(m.square().mean(dim=(2, 3)), torch.ones(2, 1), atol=1e-4)
    assert torch.equal(space.to_latent(held), space.to_latent(3 * variable + 1))


def test_penalty_is_of_all_maps() -> None:
    space = WSpace(tiny_generator())
    variable = space.start(torch.randn(2, NUM_WS, W_DIM))
    penalty = space.penalty(variable)
    assert penalty is not None
    expected = NOISE_WEIGHT * sum(noise_penalty(m) for m in space.noise(variable).values())
    assert torch.allclose(penalty, torch.as_tensor(expected), rtol=1e-4)
    assert WSpace(tiny_generator(), noise=False).penalty(variable) is None


def test_rate_ramps_up_and_down() -> None:
    space = WSpace(tiny_generator(), noise=False)
    rates = [space.rate(t, 100) for t in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:76] == [1.0] * 71
    assert rates[87] == pytest.approx(0.5 - 0.5 * math.cos(math.pi * 13 / 25))
    assert 0 < rates[99] < 0.01


def test_exploring_moves_w_alone_less_and_less() -> None:
    g = tiny_generator()
    space, random = WSpace(g), torch.Generator().manual_seed(0)
    variable = space.start(torch.randn(2, NUM_WS, W_DIM))

    def moved(t: int) -> Tensor:
        return torch.cat([space.explore(variable, t, 100, random) - variable for _ in range(400)])

    first = moved(0)
    # 0.05 of the root of the summed variance, in units of one dimension's deviation
    assert first[:, :W_DIM].std().item() == pytest.approx(0.05 * W_DIM**0.5, rel=0.05)
    assert not first[:, W_DIM:].any()
    assert torch.allclose(first[0], first[1], atol=1e-6), "rows must not depend on which others are there"
    assert moved(30)[:, :W_DIM].std().item() == pytest.approx(0.05 * W_DIM**0.5 * 0.6**2, rel=0.05)
    assert not moved(75).any()


def test_deviation_and_class_step_of_w() -> None:
    g = tiny_generator()
    w = torch.cat([g.sampled_w(300, c) for c in range(3)])
    assert g.sampled_w_deviation().item() == pytest.approx(((w - w.mean(0)) ** 2).mean().sqrt().item(), rel=0.1)
    step = g.class_step(0, 2)
    assert torch.allclose(step, g.sampled_w(1000, 2).mean(0) - g.sampled_w(1000, 0).mean(0), atol=1e-5)
    assert step.norm() > 0.1
    assert torch.equal(g.class_step(1, 1), torch.zeros(W_DIM))
