"""Projection with everything that a model has: its encoder, its auxiliary networks, its way to tell classes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from infer.progress import Progress
from infer.projection.class_choice import ScoreFunction, choose_class
from infer.projection.presets import DEFAULT_PRESET, TUNING, get_preset
from infer.projection.search import Projection, check_options, join, project
from infer.projection.starts import W_SPACES
from infer.projection.tuning import tune
from models.base import Configurable, StyleGenerator
from models.encoder import FeatureEncoder
from models.errors import PhotograftError
from models.prepared import prepare_once
from models.projection.objective import FeatureExtractor
from models.schema import Steps, check, short
from models.zoo import Model

SHORTLIST = 3  # classes of a photo that are projected when a classifier drew up the list
# In units of the prior's norm. Translations of z farther out miss their classes (model card).
BALL = 0.8
SCORED_SHORTLIST = 16  # the same where only the projection discriminator's scores did


def check_projects(model: Model) -> None:
    """Raise PhotograftError if photos cannot be projected with this model."""
    if model.discriminator is None and model.projected is None:
        raise PhotograftError(
            f"model {model.name} has no discriminator beside its generator: projection needs one"
            f" ({model.stem}.discriminator.safetensors or {model.stem}.projected.safetensors)"
        )


def projection_options(model: Model, preset: str = DEFAULT_PRESET, **given: Any) -> dict[str, Any]:
    """Options of `project_pictures` for a model's photos: given ones, else the preset's, else the model's.

    Args:
        model: with auxiliary networks zeta is searched, at the learning rate that their file names. Codes of a
            `FeatureEncoder` have the prior's norm: there z stays where the prior is. With a projected discriminator
            Psi is its features (see `project_pictures`), and of a style generator w or w+ is searched.
        preset: name in PRESETS.
        given: options that are not None take precedence; tuning may be True for as many updates as are usual.

    Raises:
        PhotograftError: an unknown preset.
    """
    chosen = get_preset(preset)
    given = {key: value for key, value in given.items() if value is not None}
    if given.get("tuning") is True:
        given["tuning"] = chosen.tuning or TUNING
    options: dict[str, Any] = {"steps": chosen.steps, "restarts": chosen.restarts, "tuning": chosen.tuning}
    options |= {"channels_last": True, "psi": "discriminator" if model.projected is None else "projected"}
    searched = "z" if model.auxiliary is None else "zeta"
    searched = chosen.style_space if isinstance(model.generator, StyleGenerator) else searched
    options["space"] = given.get("space", searched)
    bounded = isinstance(model.encoder, FeatureEncoder) and options["space"] not in W_SPACES
    if bounded:
        options["max_norm"] = BALL * model.generator.latent_dim**0.5
    if options["space"] == "zeta":
        options |= {"auxiliary": model.auxiliary, "learning_rate": model.projection_learning_rate}
    elif bounded:
        options["learning_rate"] = 0.3  # in the ball; docs/experiments
    options |= given
    updates = options["tuning"]
    return options | {"tuning": int(updates) if isinstance(updates, bool) else check(Steps, updates, "tuning")}


def project_pictures(
    model: Model,
    target: Tensor,
    source: str | Sequence[str] | None = None,
    *,
    preset: str = DEFAULT_PRESET,
    steps: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[Projection]:
    """Project pictures, each under its own class if there are classes.

    A picture's result does not depend on the others, see `infer.projection.search.project`, unless a batch_size above
    1 is given.

    Args:
        model: with a discriminator.
        target: [N,3,R,R] in [-1,1].
        source: class of what is in all pictures, or each one's; None finds each picture's own (see `choose_classes`).
        preset: name in PRESETS.
        steps: updates at most, instead of the preset's; 0 takes the encoder's answer as it is, and its loss, which
            nobody has looked at then, is NaN.
        progress: told of every update of projecting and of tuning, counted anew for each picture.
        options: of `infer.projection.search.project`, instead of the preset's and the model's (see
            `projection_options`); `psi`, whose features are Psi: "discriminator", the paper's, or "projected", on
            frozen ImageNet features: with a small discriminator's Psi photos drift away by an independent judge
            (README);
            and `tuning`, updates of a copy of the generator for each picture (see `infer.projection.tuning`).

    Returns:
        One projection per picture, with N = 1, its label and, where the generator changes with it, its delta.

    Raises:
        PhotograftError: unknown preset, class or psi, a model without a discriminator, or a loss that is not a number.
    """
    check_projects(model)
    chosen = projection_options(model, preset, steps=steps, **options)
    psi, tuning = _psi_network(model, chosen.pop("psi")), chosen.pop("tuning")
    check_options(model.generator, target, chosen)
    trials, layout = get_preset(preset).trials, bool(chosen["channels_last"])
    names = [source] * len(target) if isinstance(source, str) else source
    if names is not None and not isinstance(names, Sequence):
        raise PhotograftError(f"the class of the pictures must be a name, or one for each, not {short(names)}")
    if names is not None and len(names) != len(target):
        raise PhotograftError(f"{len(names)} classes for {len(target)} pictures: give one for all, or one for each")
    label = None if names is None else torch.tensor([model.class_index(name) for name in names])
    if chosen["steps"] == chosen["restarts"] == 0 and model.encoder is not None and "init" not in chosen:
        size, in_w = chosen.get("batch_size", 1), chosen["space"] in W_SPACES
        batches = [slice(at, at + size) for at in range(0, len(target), size)]
        labels = [None if label is None else label[rows] for rows in batches]
        codes = [_encoded(model, target[rows], y, trials, layout) for rows, y in zip(batches, labels, strict=True)]
        found = join([_unrefined(model, z, y, in_w) for z, y in codes])
    else:
        if label is None and model.generator.num_classes:
            label = choose_classes(model, target, trials=trials, channels_last=layout)
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
    rows = [found[i : i + 1] for i in range(len(target))]
    if not tuning:
        return rows
    options = {key: value for key, value in chosen.items() if key in ("pixel_weight", "feature_weight", "seed")}
    options |= {"steps": tuning, "progress": progress}
    psi = prepare_once(psi, channels_last=layout)
    return [_tuned(model, psi, picture[None], row, **options) for picture, row in zip(target, rows, strict=True)]


def _tuned(model: Model, psi: FeatureExtractor, picture: Tensor, found: Projection, **options: Any) -> Projection:
    before = found.deltas[0] if found.deltas else None
    delta, loss = tune(model.generator, psi, picture, found.latent, found.label, delta=before, **options)
    return replace(found, deltas=(delta,), loss=torch.full_like(found.loss, loss))


def _psi_network(model: Model, name: str) -> Any:
    """The network behind Psi, by name."""
    networks: dict[str, Configurable | None] = {"discriminator": model.discriminator, "projected": model.projected}
    network = networks.get(check(str, name, "psi"))
    if network is None:
        there = ", ".join(key for key, value in networks.items() if value is not None)
        raise PhotograftError(f"model {model.name} has no {name!r} to take Psi from: choose from {there}")
    return network


def _encoded(
    model: Model, target: Tensor, label: Tensor | None, trials: bool, channels_last: bool
) -> tuple[Tensor, Tensor | None]:
    """E(x) [N,latent_dim] and the classes [N], found if they are not given; None if there are none.

    Where E and the classifier look through the same features of the same picture, these are computed once.
    """
    e, classifier = (prepare_once(n, channels_last=channels_last) for n in (model.encoder, model.projected))
    unknown = label is None and model.generator.num_classes > 0
    if unknown and not trials and _shares_features(model):
        with torch.no_grad():
            stages = e.network.stage(target, 18)
            return e.code(stages[13], stages[17]), classifier.classifier(stages[18].mean(dim=(2, 3))).argmax(1)
    if unknown:
        label = choose_classes(model, target, trials=trials, channels_last=channels_last)  # trials need gradients
    with torch.no_grad():
        return e.encode(target, label), label


def _shares_features(model: Model) -> bool:
    e, d = model.encoder, model.projected
    if not isinstance(e, FeatureEncoder) or d is None or not e.network.tensorflow:  # others standardise the picture
        return False
    same = e.config["features"] == d.config["features"]
    return same and e.resolution == d.sees == model.generator.resolution


def _unrefined(model: Model, z: Tensor, label: Tensor | None, in_w: bool) -> Projection:
    """E's answer as it is, in w+ where that is asked for."""
    n, latent, generator = len(z), z, model.generator
    if in_w:
        assert isinstance(generator, StyleGenerator)
        with torch.no_grad():
            latent = generator.mapping(z, label)
    curve, nan = z.new_zeros(0, n), z.new_full((n,), torch.nan)
    counts = torch.zeros(n, dtype=torch.int64)
    return Projection(latent, label, nan, curve, curve, counts, origin=z if in_w else None)


def choose_classes(
    model: Model, target: Tensor, *, trials: bool = True, channels_last: bool = True
) -> Tensor:  # [N,3,R,R] -> [N]
    """Class of each picture that the model's discriminators and the first steps of projection agree on.

    A projected discriminator has a classifier fitted to real pictures: it draws up a short list. Without one the
    projection discriminator's own scores do. Trial projections are in z, also of style generators: there all classes
    would start from the one mean of w.

    Args:
        model: a class-conditional one with a discriminator of either kind.
        target: in [-1,1].
        trials: False takes the best of the list without projecting (unless nothing can draw one up).
        channels_last: see `infer.projection.search.project`.
    """
    check_projects(model)
    discriminator = model.projected if model.discriminator is None else model.discriminator
    g, d, e = (
        prepare_once(network, channels_last=channels_last)
        for network in (model.generator, discriminator, model.encoder)
    )
    score = None if model.projected is None else _classifier(model, channels_last)
    shortlist = (SCORED_SHORTLIST if score is None else SHORTLIST) if trials else 0
    rankings = choose_class(g, d, target, score=score, shortlist=shortlist, encoder=e, channels_last=channels_last)
    return torch.tensor([ranking[0].label for ranking in rankings])


def _classifier(model: Model, channels_last: bool) -> ScoreFunction:
    projected = prepare_once(model.projected, channels_last=channels_last)

    @torch.no_grad()
    def score(pictures: Tensor) -> Tensor:
        logits: Tensor = projected.class_logits(pictures)
        return logits

    return score
