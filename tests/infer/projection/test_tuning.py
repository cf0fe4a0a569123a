"""Tuning on one picture, and the delta that is kept of it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from infer.projection.delta import Delta, load_delta
from infer.projection.tuning import _Descent, _neighbours, convolutions
from models.errors import PhotograftError
from models.generators.pggan import PGGANGenerator
from models.generators.sngan import SNGANGenerator
from models.projection.objective import Objective
from tests.infer.projection.helpers import tuned
from tests.infer.tiny_styles import LATENTS, NUM_WS, RESOLUTION, W_DIM, Colours, tiny_generator

X = torch.linspace(-0.8, 0.8, RESOLUTION).expand(1, 3, RESOLUTION, RESOLUTION)


def tiny_sngan() -> SNGANGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        g = SNGANGenerator((16, 8, 4), latent_dim=LATENTS, num_classes=3)
        for module in g.modules():
            if hasattr(module, "gamma") and isinstance(module.gamma, nn.Parameter):
                nn.init.normal_(module.gamma, 1.0, 0.5)
    return g.freeze()


def case(family: str) -> tuple[Any, Tensor, Tensor | None]:
    """A generator, and a latent with its class."""
    z, y = torch.full((1, LATENTS), 0.4), torch.tensor([1])
    if family == "sngan":
        return tiny_sngan(), z, y
    if family == "pggan":
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return PGGANGenerator((8, 8, 6), latent_dim=LATENTS).freeze(), z, None
    g = tiny_generator(family)
    return g, g.mapping(z, y), y


@pytest.mark.parametrize("family", ["sngan", "pggan", "stylegan2", "stylegan"])
def test_tuning_lowers_the_loss_and_a_file_keeps_it(family: str, tmp_path: Path) -> None:
    g, latent, y = case(family)
    before = {name: t.clone() for name, t in g.state_dict().items()}
    start = Objective(g, Colours(), X, y)(latent, torch.tensor([0])).total
    seen: list[tuple[str, int, int]] = []
    delta, loss = tuned(g, Colours(), X, latent, y, steps=40, rate=1e-2, progress=lambda *a: seen.append(a))
    assert loss < 0.5 * float(start)
    assert [s[1:] for s in seen] == [(t, 40) for t in range(1, 41)]
    assert seen[0][0] == f"tuning, loss {float(start):.3f}"
    assert all(torch.equal(t, before[name]) for name, t in g.state_dict().items()), "the model itself must not change"
    assert not any(p.requires_grad or p.grad is not None for p in g.parameters())
    assert set(delta.factors) == {name for name, _ in convolutions(g)}
    changed = delta.applied(g)
    found = Objective(changed, Colours(), X, y)(latent, torch.tensor([0]))
    assert float(found.total) == pytest.approx(loss, rel=1e-4)
    delta.save(tmp_path / "a.delta.safetensors", "weights")
    again = load_delta(tmp_path / "a.delta.safetensors", "weights")
    assert torch.equal(again.applied(g)(latent, y), changed(latent, y))
    assert again.size == delta.size <= (tmp_path / "a.delta.safetensors").stat().st_size


def test_neighbours_are_held() -> None:
    g, latent, y = case("stylegan2")
    points, labels = _neighbours(g, latent, y, torch.Generator().manual_seed(9))  # others than those that are held
    changes = []
    for locality in (0.0, 3.0):
        delta, _ = tuned(g, Colours(), X, latent, y, steps=30, rate=1e-2, locality=locality)
        changes.append(float((delta.applied(g)(points, labels) - g(points, labels)).square().mean()))
    assert changes[1] < 0.6 * changes[0]


def test_neighbours_lie_half_way_to_the_prior() -> None:
    g, latent, y = case("stylegan2")
    points, labels = _neighbours(g, latent, y, torch.Generator().manual_seed(9))
    assert points.shape[1:] == (NUM_WS, W_DIM)
    assert labels is not None
    z = torch.randn(len(points), LATENTS, generator=torch.Generator().manual_seed(9))
    assert torch.allclose(2 * points - latent, g.mapping(z, labels), atol=1e-4)
    unconditional = tiny_generator(num_classes=0)
    assert _neighbours(unconditional, torch.zeros(1, LATENTS), None, torch.Generator())[1] is None


def test_noise_maps_of_the_projection_are_part_of_it() -> None:
    g, latent, y = case("stylegan2")
    noise = Delta.between(g, {name: torch.randn_like(m) for name, m in g.noise_maps().items()})
    delta, _ = tuned(g, Colours(), X, latent, y, delta=noise, steps=2)
    changed = delta.applied(g).state_dict()
    assert all(torch.equal(changed[name], value) for name, value in noise.applied(g).noise_maps().items())
    assert delta.factors


def test_rank_bounds_the_size_and_keeps_the_largest_part() -> None:
    g = tiny_sngan()
    name, weight = next(convolutions(g))
    u, v = torch.randn(len(weight), 1), torch.randn(1, weight[0].numel())
    small = 1e-2 * torch.randn(weight.shape)
    changed = {name: weight + (u @ v).view_as(weight) + small}
    whole, one = Delta.between(g, changed), Delta.between(g, changed, 1)
    assert whole.size == 2 * weight.numel()
    assert one.size == 2 * (len(weight) + weight[0].numel())
    assert torch.allclose(whole.applied(g).state_dict()[name], changed[name], atol=1e-2)
    error = (one.applied(g).state_dict()[name] - changed[name]).norm()
    assert error < 1.05 * small.norm() + 0.02
    full = Delta.between(g, changed, 1000)
    assert torch.allclose(full.applied(g).state_dict()[name], changed[name], atol=2e-2)


def test_factors_are_those_of_the_singular_values() -> None:
    g = tiny_sngan()
    name, weight = next(convolutions(g))
    difference = torch.randn(weight.shape) * torch.logspace(0, -3, len(weight)).view(-1, 1, 1, 1)
    u, s, vh = torch.linalg.svd(difference.flatten(1), full_matrices=False)
    for rank in (1, 3, len(weight)):
        (factors,) = Delta.between(g, {name: weight + difference}, rank).factors.values()
        nearest = (u[:, :rank] * s[:rank]) @ vh[:rank]
        assert torch.allclose(factors[0].float() @ factors[1].float(), nearest, atol=2e-3 * float(s[0]))
        balanced = [factors[0].float().norm(dim=0), factors[1].float().norm(dim=1)]
        assert torch.allclose(balanced[0], balanced[1], rtol=0.02, atol=1e-3)
    (nothing,) = Delta.between(g, {name: weight.clone()}, 4).factors.values()
    assert not any(bool(factor.any()) or not bool(factor.isfinite().all()) for factor in nothing)


def test_the_rate_falls_to_zero() -> None:
    weight = nn.Parameter(torch.full((2, 2, 3, 3), 2.0))
    descent, moves = _Descent({"w": weight}, rate=0.1, steps=4), []
    for _ in range(4):
        before = weight.detach().clone()
        descent.step(weight.sum())
        moves.append(float((before - weight.detach()).abs().max()))
    assert moves == pytest.approx([0.2, 0.15, 0.1, 0.05], rel=1e-3)  # of a steady gradient; relative to its mean square


def test_together_the_later_counts() -> None:
    a = Delta({"x": torch.zeros(2), "y": torch.zeros(1)}, {"w": (torch.zeros(2, 1), torch.zeros(1, 2))})
    b = Delta({"x": torch.ones(2)})
    both = a | b
    assert both.whole["x"].tolist() == [1, 1]
    assert set(both.whole) == {"x", "y"}
    assert set(both.factors) == {"w"}
    assert not Delta()
    assert set((b | a).whole) == {"x", "y"}


def test_bad_input_is_refused(tmp_path: Path) -> None:
    g, latent, y = case("stylegan2")
    with pytest.raises(PhotograftError, match="takes one picture"):
        tuned(g, Colours(), X.repeat(2, 1, 1, 1), latent, y)
    with pytest.raises(PhotograftError, match="no numbers"):
        tuned(g, Colours(), X, latent * torch.nan, y, steps=1)
    delta = Delta({"w_avg": torch.ones(W_DIM).half()}, {})
    file = tmp_path / "a.safetensors"
    delta.save(file, "mine")
    with pytest.raises(PhotograftError, match="other weights"):
        load_delta(file, "yours")
    with pytest.raises(PhotograftError, match="is missing"):
        load_delta(tmp_path / "none.safetensors", "mine")
    with pytest.raises(PhotograftError, match="does not fit this generator"):
        delta.applied(tiny_sngan())
    file.write_bytes(b"0" * 100)
    with pytest.raises(PhotograftError, match="is damaged"):
        load_delta(file, "mine")
    save_file({"x": torch.ones(1)}, file)
    with pytest.raises(PhotograftError, match="holds no delta"):
        load_delta(file, "mine")
    header = {"photograft_delta": "1", "generator": "mine"}
    save_file({"x:left": torch.ones(2, 3)}, file, header)
    with pytest.raises(PhotograftError, match="factors of x"):
        load_delta(file, "mine")
    save_file({"x": torch.tensor([torch.nan])}, file, header)
    with pytest.raises(PhotograftError, match="NaN"):
        load_delta(file, "mine")
