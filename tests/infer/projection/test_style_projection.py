"""Projection into w and w+ of tiny style generators."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from infer.projection.delta import Delta
from infer.projection.mixture import shares
from infer.projection.model import check_projects, choose_classes, chosen_options, project_pictures
from infer.projection.options import ProjectionOptions
from models.discriminators.projected import ProjectedDiscriminator
from models.errors import PhotograftError, UnsupportedEdit
from models.prepared import Networks
from models.projection.objective import Objective
from models.projection.spaces import WSpace, ZSpace
from models.zoo import Model
from tests.infer.projection.helpers import search
from tests.infer.tiny_styles import CLASSES, LATENTS, NUM_WS, RESOLUTION, W_DIM, Colours, tiny_generator


def made(generator: Any, n: int = 1) -> tuple[Tensor, Tensor | None]:
    """Pictures of the generator's and their classes."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        z = torch.randn(n, LATENTS)
    label = torch.arange(n) % 3 if generator.num_classes else None
    return generator(z, label).clamp(-1, 1), label


@pytest.mark.parametrize("family", ["stylegan2", "stylegan"])
@pytest.mark.parametrize(("space", "classes"), [("w", 3), ("w+", 0)])
def test_what_the_generator_made_is_found(family: str, space: str, classes: int) -> None:
    g = tiny_generator(family, classes)
    x, y = made(g)
    found = search(g, Colours(), x, y, space=space, steps=40, noise=False)
    start = (found.feature_curve + 0.2 * found.pixel_curve)[0]
    assert (found.loss < 0.15 * start).all()
    assert found.latent.shape == (1, NUM_WS, W_DIM)
    assert torch.equal(found.latent, found.latent[:, :1].expand_as(found.latent)) == (space == "w")
    # the latent alone makes that picture, without a class beside it
    again = Objective(g, Colours(), x, None, space=ZSpace())(found.latent, torch.tensor([0]))
    assert torch.allclose(again.total, found.loss, atol=1e-4)
    assert found.deltas == ()
    assert found.origin is not None
    assert found.origin.isnan().all()


def test_noise_maps_are_searched_and_stay_noise() -> None:
    g = tiny_generator(num_classes=0)
    other = Delta.between(g, {name: torch.randn_like(m) for name, m in g.noise_maps().items()}).applied(g)
    x, _ = made(other)
    before = {name: m.clone() for name, m in g.noise_maps().items()}
    init = g.mapping(torch.zeros(1, LATENTS) + 0.3)
    found = search(g, Colours(), x, init=init, space="w", steps=40, keep="last")
    assert all(torch.equal(m, before[name]) for name, m in g.noise_maps().items())
    (delta,) = found.deltas
    own = delta.applied(g)
    for name, m in own.noise_maps().items():
        assert not torch.equal(m, before[name])
        assert m.mean().abs() < 0.01
        assert m.square().mean().item() == pytest.approx(1, abs=0.02)
    # the loss is that of the picture with its own noise, not with the stored one
    loss = Objective(own, Colours(), x, None)(found.latent, torch.tensor([0])).total
    assert torch.allclose(loss, found.loss, atol=1e-4)
    stored = Objective(g, Colours(), x, None)(found.latent, torch.tensor([0])).total
    assert (stored - found.loss).abs() > 2e-3
    g.noise = "none"
    assert search(g, Colours(), x, space="w", steps=1).deltas == ()


def test_batch_is_one_by_one_and_restarts_know_their_z() -> None:
    g = tiny_generator()
    x, y = made(g, 2)
    assert y is not None
    options: dict[str, Any] = {"space": "w+", "steps": 6, "seed": 3}
    together = search(g, Colours(), x, y, **options)
    for i in range(2):
        alone = search(g, Colours(), x[i : i + 1], y[i : i + 1], **options)
        assert torch.allclose(together.latent[i], alone.latent[0], atol=1e-4)
    many = search(g, Colours(), x, y, restarts=12, init="random", space="w", steps=0)
    assert many.origin is not None
    assert torch.allclose(many.latent, g.mapping(many.origin, y), atol=1e-4)
    assert (many.loss <= search(g, Colours(), x, y, init="random", space="w", steps=0).loss).all()


def test_starts() -> None:
    g = tiny_generator()
    x, y = made(g, 2)
    z = torch.randn(2, LATENTS)
    mean = search(g, Colours(), x, y, space="w+", steps=0)
    assert torch.allclose(mean.latent, g.w_mean.expand(2, NUM_WS, -1), atol=1e-5)
    from_z = search(g, Colours(), x, y, space="w+", steps=0, init=z)
    assert torch.allclose(from_z.latent, g.mapping(z, y), atol=1e-5)
    assert from_z.origin is not None
    assert torch.equal(from_z.origin, z)
    ws = torch.randn(2, NUM_WS, W_DIM)
    assert torch.allclose(search(g, Colours(), x, y, space="w+", steps=0, init=ws).latent, ws, atol=1e-5)
    in_z = search(g, Colours(), x, y, steps=2)
    assert in_z.latent.shape == (2, LATENTS)
    assert in_z.origin is None


def test_half_precision() -> None:
    g = tiny_generator()
    x, y = made(g)
    exact = search(g, Colours(), x, y, space="w+", steps=4)
    rough = search(g, Colours(), x, y, space="w+", steps=4, dtype=torch.bfloat16, channels_last=True)
    assert rough.latent.dtype == torch.float32
    assert (rough.loss - exact.loss).abs().max() < 0.1 * exact.loss.max() + 0.02


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"space": "w", "max_norm": 2.0}, "max_norm bounds z"),
        ({"space": "v"}, "must be 'z', 'zeta', 'w' or 'w"),
        ({"space": "w", "init": torch.zeros(1, 3, W_DIM)}, "initial latents"),
        ({"space": "z", "init": torch.zeros(1, NUM_WS, W_DIM)}, "initial latents"),
        ({"space": "w", "init": torch.full((1, LATENTS), torch.nan)}, "initial latents"),
    ],
)
def test_bad_input_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(PhotograftError, match=words):
        search(tiny_generator(num_classes=0), Colours(), torch.zeros(1, 3, RESOLUTION, RESOLUTION), **options)


def test_other_families_have_no_w() -> None:
    from models.generators.sngan import SNGANGenerator

    g = SNGANGenerator((8, 8, 4), latent_dim=LATENTS)
    with pytest.raises(UnsupportedEdit, match="has no w"):
        search(g, Colours(), torch.zeros(1, 3, RESOLUTION, RESOLUTION), space="w+")


def test_a_projected_discriminator_is_enough() -> None:
    """Conditional StyleGAN2 without an SN discriminator: Psi, the class and its trials come from the projected one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        projected = ProjectedDiscriminator(len(CLASSES), 32, mixed_channels=4, head_channels=4).freeze()
    model = Model("style", tiny_generator(channels=(8, 8, 6, 6)), projected=projected, class_names=CLASSES)
    check_projects(model)
    networks = Networks.of(model, "cpu", dtype=torch.float32)
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        best = projected.classify(projected.project(x)).argmax(1)
    assert torch.equal(shares(choose_classes(networks, x, trials=False), len(CLASSES)).argmax(1), best)
    (found,) = project_pictures(networks, x, options=ProjectionOptions(steps=2))
    assert found.latent.shape == (1, NUM_WS + 2, W_DIM)
    assert found.label is not None
    assert found.loss.isfinite().all()
    with pytest.raises(PhotograftError, match="no discriminator beside its generator"):
        check_projects(dataclasses.replace(model, projected=None))


def test_spaces_by_preset() -> None:
    model = Model("style", tiny_generator(), class_names=CLASSES)
    assert [chosen_options(model, name).space for name in ("fast", "balanced", "best")] == ["w+", "w+", "w"]
    assert chosen_options(model, "best", ProjectionOptions(space="z")).space == "z"
    tuning = [chosen_options(model, name).tuning for name in ("fast", "balanced", "best")]
    assert tuning[:2] == [0, 0]
    assert tuning[2] > 0
    assert chosen_options(model, "best", ProjectionOptions(tuning=False)).tuning == 0
    assert chosen_options(model, "balanced", ProjectionOptions(tuning=True)).tuning == tuning[2]
    assert chosen_options(model, "balanced", ProjectionOptions(tuning=7)).tuning == 7


def test_the_penalty_moves_the_noise_and_is_not_reported() -> None:
    g = tiny_generator(num_classes=0)
    space, (x, _) = WSpace(g), made(g)
    objective, rows = Objective(g, Colours(), x, None, space=space), torch.tensor([0])
    variable = space.start(g.mapping(torch.randn(1, LATENTS))).requires_grad_()
    losses, gradient = objective.gradient(variable, rows)
    total = objective(variable, rows).total
    assert torch.allclose(losses.total, total.detach())
    assert torch.allclose(losses.total, losses.feature + 0.2 * losses.pixel)
    penalty = space.penalty(variable)
    assert penalty is not None
    (expected,) = torch.autograd.grad((total + penalty).sum(), variable)
    assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    assert gradient.norm() > 2 * torch.autograd.grad(objective(variable, rows).total.sum(), variable)[0].norm()
