"""Projection with everything that a model has: its encoder, its auxiliary networks, its way to tell classes."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infer.class_choice import ScoreFunction, choose_class
from infer.projection import Progress, Projection, project
from models.base import Configurable
from models.encoder import FeatureEncoder
from models.errors import PhotograftError
from models.projection_step import prepare_once
from models.registry import suggest
from models.zoo import Model

SHORTLIST = 3  # classes of a photo that are projected when a classifier drew up the list
SCORED_SHORTLIST = 16  # the same where only the projection discriminator's scores did


@dataclass(frozen=True)
class Preset:
    """How much work a projection is.

    Attributes:
        steps: updates at most; 0 takes the encoder's answer as it is.
        restarts: further random starts per photo.
        trials: whether a photo's class is told by trial projections too, or by the classifier alone.
    """

    steps: int
    restarts: int = 0
    trials: bool = True


PRESETS = {
    "fast": Preset(steps=0, trials=False),
    "balanced": Preset(steps=40),
    "best": Preset(steps=200, restarts=3),
}
DEFAULT_PRESET = "balanced"


def get_preset(name: str) -> Preset:
    """A preset by its name. Raises PhotograftError for an unknown one."""
    if name not in PRESETS:
        raise PhotograftError(f"unknown preset {name!r}{suggest(name, PRESETS)} (there are {', '.join(PRESETS)})")
    return PRESETS[name]


def check_projects(model: Model) -> None:
    """Raise PhotograftError if photos cannot be projected with this model."""
    if model.discriminator is None:
        raise PhotograftError(f"model {model.name} has no discriminator beside its generator: projection needs one")


def projection_options(model: Model, preset: str = DEFAULT_PRESET, **given: Any) -> dict[str, Any]:
    """Options of `infer.projection.project` for a model's photos: given ones, else the preset's, else the model's.

    Args:
        model: with auxiliary networks zeta is searched, at the learning rate that their file names. Codes of a
            `FeatureEncoder` have the prior's norm: there z stays where the prior is. With a projected discriminator
            Psi is its features (see `project_pictures`).
        preset: name in PRESETS.
        given: options that are not None take precedence.

    Raises:
        PhotograftError: an unknown preset.
    """
    chosen = get_preset(preset)
    given = {key: value for key, value in given.items() if value is not None}
    options: dict[str, Any] = {"steps": chosen.steps, "restarts": chosen.restarts, "channels_last": True}
    options["psi"] = "discriminator" if model.projected is None else "projected"
    options["space"] = given.get("space", "z" if model.auxiliary is None else "zeta")
    bounded = isinstance(model.encoder, FeatureEncoder)
    if bounded:
        options["max_norm"] = 1.2 * model.generator.latent_dim**0.5
    if options["space"] == "zeta":
        options |= {"auxiliary": model.auxiliary, "learning_rate": model.projection_learning_rate}
    elif bounded:
        options["learning_rate"] = 0.3  # in the ball; docs/experiments
    return options | given


def project_pictures(
    model: Model,
    target: Tensor,
    source: str | None = None,
    *,
    preset: str = DEFAULT_PRESET,
    steps: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[Projection]:
    """Project pictures, each under its own class.

    Args:
        model: a class-conditional one.
        target: [N,3,R,R] in [-1,1].
        source: class of what is in all pictures; None finds each picture's own (see `choose_classes`).
        preset: name in PRESETS.
        steps: updates at most, instead of the preset's; 0 takes the encoder's answer as it is, and its loss, which
            nobody has looked at then, is NaN.
        progress: see `infer.projection.Progress`.
        options: of `infer.projection.project`, instead of the preset's and the model's (see `projection_options`);
            and `psi`, whose features are Psi: "discriminator", the paper's, or "projected", on frozen ImageNet
            features: with a small discriminator's Psi photos drift away by an independent judge (README).

    Returns:
        One projection per picture, with N = 1 and its label.

    Raises:
        PhotograftError: unknown preset, class or psi, a model without a discriminator, or a loss that is not a number.
    """
    check_projects(model)
    chosen = projection_options(model, preset, steps=steps, **options)
    psi = _psi_network(model, chosen.pop("psi"))
    trials, layout = get_preset(preset).trials, bool(chosen["channels_last"])
    label = None if source is None else torch.tensor([model.class_index(source)] * len(target))
    if chosen["steps"] == chosen["restarts"] == 0 and model.encoder is not None and "init" not in chosen:
        z, label = _encoded(model, target, label, trials, layout)
        found = _unrefined(z)
    else:
        label = choose_classes(model, target, trials=trials, channels_last=layout) if label is None else label
        dtype = chosen.get("dtype", torch.float32)
        chosen["auxiliary"] = prepare_once(chosen.get("auxiliary"))
        found = project(
            prepare_once(model.generator, dtype, layout),
            prepare_once(psi, dtype, layout),
            target,
            label,
            encoder=prepare_once(model.encoder, channels_last=layout),
            progress=progress,
            **chosen,
        )
    return [_row(found, label, slice(i, i + 1)) for i in range(len(target))]


def _psi_network(model: Model, name: str) -> Configurable:
    """The network behind Psi, by name."""
    networks: dict[str, Configurable | None] = {"discriminator": model.discriminator, "projected": model.projected}
    network = networks.get(name)
    if network is None:
        there = ", ".join(key for key, value in networks.items() if value is not None)
        raise PhotograftError(f"model {model.name} has no {name!r} to take Psi from: choose from {there}")
    return network


def _encoded(
    model: Model, target: Tensor, label: Tensor | None, trials: bool, channels_last: bool
) -> tuple[Tensor, Tensor]:
    """E(x) [N,latent_dim] and the classes [N], found if they are not given.

    Where E and the classifier look through the same features of the same picture, these are computed once.
    """
    e, classifier = (prepare_once(n, channels_last=channels_last) for n in (model.encoder, model.projected))
    if label is None and not trials and _shares_features(model):
        with torch.no_grad():
            stages = e.network.stage(target, 18)
            return e.code(stages[13], stages[17]), classifier.classifier(stages[18].mean(dim=(2, 3))).argmax(1)
    if label is None:
        label = choose_classes(model, target, trials=trials, channels_last=channels_last)  # trials need gradients
    with torch.no_grad():
        return e.encode(target, label), label


def _shares_features(model: Model) -> bool:
    e, d = model.encoder, model.projected
    if not isinstance(e, FeatureEncoder) or d is None or not e.network.tensorflow:  # others standardise the picture
        return False
    same = e.config["features"] == d.config["features"]
    return same and e.resolution == d.config["resolution"] == model.generator.resolution


def _unrefined(z: Tensor) -> Projection:
    n = len(z)
    curve = z.new_zeros(0, n)
    return Projection(z, None, z.new_full((n,), torch.nan), curve, curve, torch.zeros(n, dtype=torch.int64))


def choose_classes(
    model: Model, target: Tensor, *, trials: bool = True, channels_last: bool = True
) -> Tensor:  # [N,3,R,R] -> [N]
    """Class of each picture that the model's discriminators and the first steps of projection agree on.

    A projected discriminator has a classifier fitted to real pictures: it draws up a short list. Without one the
    projection discriminator's own scores do.

    Args:
        model: a class-conditional one with a discriminator.
        target: in [-1,1].
        trials: False takes the best of the list without projecting (unless nothing can draw one up).
        channels_last: see `infer.projection.project`.
    """
    assert model.discriminator is not None
    g, d, e = (
        prepare_once(network, channels_last=channels_last)
        for network in (model.generator, model.discriminator, model.encoder)
    )
    score = None if model.projected is None else _classifier(model, channels_last)
    shortlist = (SCORED_SHORTLIST if score is None else SHORTLIST) if trials else 0
    rankings = choose_class(g, d, target, score=score, shortlist=shortlist, encoder=e, channels_last=channels_last)
    return torch.tensor([ranking[0].label for ranking in rankings])


def _classifier(model: Model, channels_last: bool) -> ScoreFunction:
    projected = prepare_once(model.projected, channels_last=channels_last)

    @torch.no_grad()
    def score(pictures: Tensor) -> Tensor:
        logits: Tensor = projected.classifier(projected.network(pictures)[1])  # without the heads' features
        return logits

    return score


def _row(found: Projection, label: Tensor, rows: slice) -> Projection:
    return Projection(
        z=found.z[rows],
        label=label[rows],
        loss=found.loss[rows],
        feature_curve=found.feature_curve[:, rows],
        pixel_curve=found.pixel_curve[:, rows],
        iterations=found.iterations[rows],
        zeta=None if found.zeta is None else found.zeta[rows],
    )
