"""Presets and what a model brings to projection: zeta and its rate, the ball, its way to tell classes."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from infer.projection import model as model_projection
from infer.projection.class_choice import class_scores
from infer.projection.mixture import nearest_classes
from infer.projection.model import ALONE, BALL, MIXED, TEMPERATURE, choose_classes, chosen_options
from infer.projection.options import FALLING, LEARNING_RATES, ProjectionOptions, SpaceName
from infer.projection.presets import PRESETS
from infer.projection.search import Projection, project
from models.auxiliary import AuxiliaryNetworks
from models.discriminators.pggan import PGGANDiscriminator
from models.discriminators.projected import ProjectedDiscriminator
from models.discriminators.sn_projection import SNProjectionDiscriminator
from models.discriminators.stylegan2 import StyleGAN2Discriminator
from models.encoder import FeatureEncoder
from models.errors import PhotograftError
from models.files import save_network
from models.generators.sngan import SNGANGenerator
from models.prepared import Networks
from models.projection.objective import Objective
from models.zoo import Model, load_model
from tests.infer.projection.helpers import exact
from tests.infer.tiny_model import CLASSES, LATENTS, LEARNING_RATE, RESOLUTION, write_tiny_model


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load_model(str(tiny))


@pytest.fixture(scope="module")
def zeta_model(tiny_zeta: Path) -> Model:
    return load_model(str(tiny_zeta))


@pytest.fixture(scope="module")
def feature_model(model: Model) -> Model:
    """With a FeatureEncoder and a projected discriminator at the generator's resolution, 32 px."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = FeatureEncoder(LATENTS, RESOLUTION, width=8, hidden=16)
        projected = ProjectedDiscriminator(len(CLASSES), RESOLUTION, mixed_channels=4, head_channels=4)
    return dataclasses.replace(model, encoder=encoder.freeze(), projected=projected.freeze())


def project_pictures(
    model: Model,
    target: Tensor,
    source: Any = None,
    *,
    preset: str = "balanced",
    psi: str | None = None,
    **options: Any,
) -> list[Projection]:
    chosen = ProjectionOptions(**options)
    return model_projection.project_pictures(exact(model, psi), target, source, preset=preset, options=chosen)


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(3, 3, RESOLUTION, RESOLUTION) * 2 - 1


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[ProjectionOptions]:
    """Options of the calls of `project`, trial projections left out."""
    made: list[ProjectionOptions] = []

    def recorded(*arguments: Any, **rest: Any) -> Projection:
        made.append(arguments[3])
        return project(*arguments, **rest)

    monkeypatch.setattr(model_projection, "project", recorded)
    return made


def test_presets_are_ever_more_work() -> None:
    fast, balanced, best = (PRESETS[name] for name in ("fast", "balanced", "best"))
    assert fast.steps == 0
    assert not fast.trials
    assert fast.steps < balanced.steps < best.steps
    assert best.restarts > balanced.restarts == 0
    assert best.tuning > balanced.tuning == 0


def test_more_work_is_nearer(model: Model, pictures: Tensor) -> None:
    losses = []
    for preset in ("fast", "balanced", "best"):
        found = project_pictures(model, pictures[:1], "lion", preset=preset)[0]
        generator = found.deltas[0].applied(model.generator) if found.deltas else model.generator
        objective = Objective(generator, exact(model).psi, pictures[:1], found.label)
        with torch.no_grad():
            losses.append(float(objective.at(found.latent, torch.tensor([0])).total))
    assert losses[2] < losses[1] < losses[0]


@pytest.mark.parametrize(("preset", "space", "schedule", "rate"), [
    ("balanced", "z", "falling", FALLING * 0.075),
    ("balanced", "zeta", "falling", FALLING * 0.015),
    ("balanced", "w+", "falling", None),
    ("best", "z", "falling", FALLING * 0.075),
    ("best", "w", "falling", None),
])  # fmt: skip
def test_rates_of_presets(model: Model, preset: str, space: SpaceName, schedule: str, rate: float | None) -> None:
    chosen = chosen_options(model, preset, ProjectionOptions(space=space))
    assert chosen.schedule == schedule
    assert chosen.learning_rate == (None if rate is None else pytest.approx(rate))
    assert chosen.steps == PRESETS[preset].steps if space in ("z", "zeta") else PRESETS[preset].style_steps
    given = chosen_options(model, preset, ProjectionOptions(space=space, learning_rate=0.5, steps=3, schedule="steady"))
    assert (given.learning_rate, given.steps, given.schedule) == (0.5, 3, "steady")


@pytest.mark.parametrize("preset", ["balanced", "best"])
def test_presets_set_steps_and_restarts(
    preset: str, model: Model, pictures: Tensor, calls: list[ProjectionOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, preset, dataclasses.replace(PRESETS[preset], steps=2, tuning=0))
    project_pictures(model, pictures, "lion", preset=preset)
    project_pictures(model, pictures, "lion", preset=preset, steps=1, restarts=None)
    project_pictures(model, pictures, "lion", preset=preset, steps=1, restarts=1)
    restarts = PRESETS[preset].restarts
    assert [(c.steps, c.restarts) for c in calls] == [(2, restarts), (1, restarts), (1, 1)]


def test_psi_is_the_projected_discriminators_if_there_is_one(
    model: Model, feature_model: Model, pictures: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def spy(networks: Networks, *args: Any, **options: Any) -> Projection:
        taken.append(type(networks.psi))
        return project(networks, *args, **options)

    monkeypatch.setattr(model_projection, "project", spy)
    found = [
        project_pictures(networks, pictures, "lion", steps=2, **options)[0]
        for networks, options in ((model, {}), (feature_model, {}), (feature_model, {"psi": "discriminator"}))
    ]
    assert taken == [SNProjectionDiscriminator, ProjectedDiscriminator, SNProjectionDiscriminator]
    assert not torch.equal(found[1].latent, found[2].latent)
    with pytest.raises(PhotograftError, match="choose from discriminator"):
        project_pictures(model, pictures, "lion", steps=1, psi="projected")


def test_fast_is_the_encoder_alone(feature_model: Model, pictures: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_projection, "project", pytest.fail)
    monkeypatch.setattr(SNGANGenerator, "synthesize", pytest.fail)
    assert feature_model.encoder is not None
    assert feature_model.projected is not None
    with torch.no_grad():
        z = feature_model.encoder.encode(pictures)
        labels = feature_model.projected.classify(feature_model.projected.project(pictures)).argmax(1)
    assert len(set(labels.tolist())) > 1 or labels[0] != 0
    monkeypatch.setattr(model_projection, "ALONE", 0.0)  # the likeliest class alone
    for source in (None, "lion"):
        found = project_pictures(feature_model, pictures, source, preset="fast")
        assert torch.allclose(torch.cat([f.latent for f in found]), z, atol=1e-4)
        expected = labels.tolist() if source is None else [CLASSES.index("lion")] * 3
        assert [int(f.label) for f in found if f.label is not None] == expected
        assert all(f.loss.isnan().all() and f.iterations == 0 and not f.latent.requires_grad for f in found)


def test_fast_with_features_of_another_resolution(feature_model: Model, pictures: Tensor) -> None:
    encoder = FeatureEncoder(LATENTS, 64, width=8, hidden=16).freeze()
    other = dataclasses.replace(feature_model, encoder=encoder)
    found = project_pictures(other, pictures, preset="fast")
    assert torch.allclose(torch.cat([f.latent for f in found]), encoder.encode(pictures), atol=1e-4)
    same = project_pictures(feature_model, pictures, preset="fast")
    for one, another in zip(found, same, strict=True):
        assert one.label is not None
        assert another.label is not None
        assert torch.allclose(one.label, another.label, atol=2e-3)


def test_fast_without_a_classifier_takes_the_discriminators_best_score(model: Model, pictures: Tensor) -> None:
    assert model.discriminator is not None
    found = project_pictures(model, pictures, preset="fast")
    labels = torch.stack([model.discriminator(pictures, torch.full((3,), c)) for c in range(4)]).argmax(0)
    assert [int(f.label) for f in found if f.label is not None] == labels.tolist()
    assert model.encoder is not None
    assert torch.allclose(torch.cat([f.latent for f in found]), model.encoder.encode(pictures, labels), atol=1e-5)
    bare = project_pictures(dataclasses.replace(model, encoder=None), pictures, "lion", preset="fast")
    seventeen = model.generator.sample_latent(17, torch.Generator().manual_seed(0))[1:]
    assert all(bool((f.latent == seventeen).all(1).any()) and f.loss.isfinite().all() for f in bare)


def test_no_steps_still_try_classes_unless_fast(model: Model, pictures: Tensor) -> None:
    found = project_pictures(model, pictures, steps=0)
    assert [int(f.label) for f in found if f.label is not None] == choose_classes(exact(model), pictures).tolist()
    assert all(f.loss.isnan().all() for f in found)


def test_networks_are_copied_once(model: Model, pictures: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    networks, once = exact(model), ProjectionOptions(steps=1)
    model_projection.project_pictures(networks, pictures, options=once)
    monkeypatch.setattr("models.prepared.copy.deepcopy", pytest.fail)
    model_projection.project_pictures(networks, pictures, options=once)
    model_projection.project_pictures(networks, pictures, preset="fast")


def test_the_classifier_looks_once_and_nothing_is_tried(
    feature_model: Model, pictures: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    assert feature_model.projected is not None
    forward = type(feature_model.projected.network).forward

    def counted(self: Any, x: Tensor) -> Any:
        seen.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(type(feature_model.projected.network), "forward", counted)
    monkeypatch.setattr(SNGANGenerator, "synthesize", pytest.fail)
    labels = choose_classes(exact(feature_model), pictures)
    assert seen == [1, 1, 1]  # each picture for itself
    logits = feature_model.projected.classify(feature_model.projected.project(pictures))
    expected = nearest_classes(logits.detach(), MIXED, TEMPERATURE, ALONE)
    assert torch.allclose(labels, expected, atol=2e-3)


def test_zeta_at_the_rate_of_the_file(zeta_model: Model, pictures: Tensor, calls: list[ProjectionOptions]) -> None:
    assert zeta_model.projection_learning_rate == LEARNING_RATE
    found = project_pictures(zeta_model, pictures, "lion", steps=1)
    project_pictures(zeta_model, pictures, "lion", steps=1, learning_rate=0.5)
    plain = project_pictures(zeta_model, pictures, "lion", steps=1, space="z")
    silent = dataclasses.replace(zeta_model, projection_learning_rate=None)
    project_pictures(silent, pictures, "lion", steps=1)
    used = [(c.space, c.learning_rate, c.max_norm) for c in calls]
    rates = [FALLING * rate for rate in (LEARNING_RATE, LEARNING_RATES["z"], LEARNING_RATES["zeta"])]
    assert used == [("zeta", rates[0], None), ("zeta", 0.5, None), ("z", rates[1], None), ("zeta", rates[2], None)]
    assert found[0].zeta is not None
    assert plain[0].zeta is None


@pytest.mark.parametrize("rate", [0, -0.1, "fast", True, [0.1]])
def test_bad_rate_in_the_file(rate: object, tmp_path: Path) -> None:
    file = write_tiny_model(tmp_path, auxiliary=True).with_name("tiny.auxiliary.safetensors")
    save_network(file, AuxiliaryNetworks(LATENTS, 40, 20, 20), "auxiliary", {"learning_rate": rate})
    with pytest.raises(PhotograftError, match="learning_rate"):
        load_model(str(file.with_name("tiny")))


def test_codes_of_a_feature_encoder_stay_in_the_ball(feature_model: Model, zeta_model: Model, pictures: Tensor) -> None:
    bounded = dataclasses.replace(feature_model, auxiliary=zeta_model.auxiliary, projection_learning_rate=50.0)
    radius = pytest.approx(BALL * LATENTS**0.5)
    assert chosen_options(bounded).max_norm == chosen_options(feature_model).max_norm == radius
    assert chosen_options(bounded, options=ProjectionOptions(max_norm=1.0)).max_norm == 1.0
    steady, steady_z = ProjectionOptions(schedule="steady"), ProjectionOptions(schedule="steady", space="z")
    assert chosen_options(bounded, options=steady).learning_rate == 50.0
    assert chosen_options(bounded, options=steady_z).learning_rate == 0.3
    found = project_pictures(bounded, pictures, "lion", steps=3, keep="last")
    norms = torch.cat([f.latent for f in found]).norm(dim=1)
    assert norms.max() == radius


def test_unknown_preset(model: Model, pictures: Tensor) -> None:
    with pytest.raises(PhotograftError, match="unknown preset 'bst': did you mean best"):
        project_pictures(model, pictures, "lion", preset="bst")


def test_any_discriminator_with_classes_scores_them() -> None:
    x = torch.rand(2, 3, 8, 8) * 2 - 1
    for discriminator in (
        StyleGAN2Discriminator((4, 4), num_classes=3, mapping=(), group_channels=0),
        StyleGAN2Discriminator((4, 4), num_classes=3, mapping=(5, 6), group_channels=0),
        PGGANDiscriminator((4, 4), num_classes=3, group_channels=0),
    ):
        score = class_scores(discriminator)
        assert score is not None
        each = [discriminator(x, torch.full((2,), label)) for label in range(3)]
        assert torch.allclose(score(x), torch.stack(each, dim=1), atol=1e-6)
    assert class_scores(PGGANDiscriminator((4, 4))) is None
