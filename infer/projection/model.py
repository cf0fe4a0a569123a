"""Projection with everything that a model has: its encoder, its auxiliary networks, its way to tell classes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from infer.progress import Progress
from infer.projection.class_choice import choose_class
from infer.projection.limit import Limit
from infer.projection.mixture import Source, classes_of, nearest_classes, shares, source_label
from infer.projection.options import FALLING, LEARNING_RATES, UNSET, ProjectionOptions, SpaceName
from infer.projection.presets import DEFAULT_PRESET, TUNING, get_preset
from infer.projection.search import Projection, check_options, project
from infer.projection.starts import W_SPACES
from infer.projection.tuning import tune
from models.base import StyleGenerator
from models.encoder import FeatureEncoder
from models.errors import PhotograftError
from models.prepared import Networks
from models.schema import Count, bounded, short
from models.zoo import Model

# Of mixtures: classes at most, temperature of the classifier's logits, and the share from which a class is alone. E's
# answers to 100 validation photos and 68 of partly unknown breeds, 1 - cos by SqueezeNet, against the likeliest class:
# temperature 1: -0.0037 and -0.0033; 2: -0.0053 and -0.0068; 4: -0.0066 and -0.0091, but 4 % fewer are named right.
MIXED, TEMPERATURE, ALONE = 5, 2.0, 0.9
# In units of the prior's norm. Translations of z farther out miss their classes (model card).
BALL = 0.8
_SEARCHED = 0.5  # of the time that a projection may take, at most, where tuning follows
_LEAST = 1e-3  # seconds; of none left there is one update
SHORTLIST = 16  # classes that are projected where the projection discriminator's scores drew up a list


def check_projects(model: Model) -> None:
    """Raise PhotograftError if photos cannot be projected with this model."""
    if model.discriminator is None and model.projected is None:
        raise PhotograftError(
            f"model {model.name} has no discriminator beside its generator: projection needs one"
            f" ({model.stem}.discriminator.safetensors or {model.stem}.projected.safetensors)"
        )


def chosen_options(model: Model, preset: str = DEFAULT_PRESET, options: ProjectionOptions = UNSET) -> ProjectionOptions:
    """Options of `project_pictures` for a model's photos: given ones, else the preset's, else the model's.

    Args:
        model: with auxiliary networks zeta is searched, at the learning rate that their file names. Codes of a
            `FeatureEncoder` have the prior's norm: there z stays where the prior is. Of a style generator w or w+ is
            searched. Without an encoder the search starts from the nearest of a few samples.
        preset: name in PRESETS.
        options: what is not None takes precedence.

    Raises:
        PhotograftError: an unknown preset.
    """
    chosen = get_preset(preset)
    searched: SpaceName = "z" if model.auxiliary is None else "zeta"
    space = options.space or (chosen.style_space if isinstance(model.generator, StyleGenerator) else searched)
    bounded = isinstance(model.encoder, FeatureEncoder) and space not in W_SPACES
    rate = 0.3 if bounded else None  # in the ball; docs/experiments
    rate = model.projection_learning_rate if space == "zeta" else rate
    steps = chosen.steps if space not in W_SPACES or chosen.style_steps is None else chosen.style_steps
    steps = steps if options.steps is None else options.steps
    schedule = options.schedule or chosen.schedule
    if schedule == "falling" and space not in W_SPACES:
        rate = FALLING * (rate or LEARNING_RATES[space])
    tuning = chosen.tuning if options.tuning is None else options.tuning
    ball = BALL * model.generator.latent_dim**0.5 if bounded else None
    return replace(
        options,
        space=space,
        init="samples" if options.init is None and model.encoder is None else options.init,
        steps=steps,
        restarts=chosen.restarts if options.restarts is None else options.restarts,
        schedule=schedule,
        learning_rate=rate if options.learning_rate is None else options.learning_rate,
        max_norm=ball if options.max_norm is None else options.max_norm,
        tuning=(chosen.tuning or TUNING) if tuning is True else int(tuning),
    )


@bounded
def project_pictures(
    networks: Networks,
    target: Tensor,
    source: Source | Sequence[Source] | None = None,
    *,
    preset: str = DEFAULT_PRESET,
    options: ProjectionOptions = UNSET,
    batch_size: Count = 1,
    progress: Progress | None = None,
) -> list[Projection]:
    """Project pictures, each under its own class if there are classes.

    A picture's result does not depend on the others, see `infer.projection.search.project`, unless a batch_size above
    1 is given.

    Args:
        networks: with a discriminator.
        target: [N,3,R,R] in [-1,1].
        source: class of what is in all pictures, or each one's, by name or as a mixture's weights by names; None finds
            each picture's own (see `choose_classes`).
        preset: name in PRESETS.
        options: instead of the preset's and the model's (see `chosen_options`). With 0 steps the encoder's answer is
            taken as it is, and its loss, which nobody has looked at then, is NaN.
        batch_size: see `infer.projection.search.project`.
        progress: told of every update of projecting and of tuning, counted anew for each picture.

    Returns:
        One projection per picture, with N = 1, its label and, where the generator changes with it, its delta; on the
        CPU.

    Raises:
        PhotograftError: unknown preset or class, a model without a discriminator, or a loss that is not a number.
    """
    model = networks.model
    check_projects(model)
    chosen = chosen_options(model, preset, options)
    check_options(networks, target, chosen)
    trials = get_preset(preset).trials
    limit = Limit(chosen.max_seconds)
    names = [source] * len(target) if isinstance(source, str | Mapping) else source
    if names is not None and not isinstance(names, Sequence):
        raise PhotograftError(f"the class of the pictures must be a name, or one for each, not {short(names)}")
    if names is not None and len(names) != len(target):
        raise PhotograftError(f"{len(names)} classes for {len(target)} pictures: give one for all, or one for each")
    label = None if names is None else _together(model, [source_label(model, name) for name in names])
    if chosen.steps == chosen.restarts == 0 and model.encoder is not None and chosen.init is None:
        batches = [slice(at, at + batch_size) for at in range(0, len(target), batch_size)]
        labels = [None if label is None else classes_of(label[rows]) for rows in batches]
        codes = [_encoded(networks, target[rows], y, trials) for rows, y in zip(batches, labels, strict=True)]
        parts = [_unrefined(networks, z, y, chosen.space in W_SPACES) for z, y in codes]
        rows = [_in_classes(part[i : i + 1]) for part in parts for i in range(len(part.latent))]
    else:
        if label is None and model.generator.num_classes:
            label = choose_classes(networks, target, trials=trials)
        share = _SEARCHED if chosen.tuning else 1.0
        search = chosen if chosen.max_seconds is None else replace(chosen, max_seconds=share * chosen.max_seconds)
        found = project(networks, target, label, search, batch_size=batch_size, progress=progress)
        rows = [_in_classes(found[i : i + 1]) for i in range(len(target))]
    if not chosen.tuning:
        return rows
    # what search has left to each
    seconds = None if chosen.max_seconds is None else chosen.max_seconds - limit.taken / len(target)
    chosen = replace(chosen, max_seconds=None if seconds is None else max(seconds, _LEAST))
    return [_tuned(networks, picture[None], row, chosen, progress) for picture, row in zip(target, rows, strict=True)]


def _together(model: Model, labels: Sequence[Tensor]) -> Tensor:
    """Classes [1] or weights [1,K] of N pictures as one: [N], or [N,K] where any is a mixture."""
    if all(label.ndim == 1 for label in labels):
        return torch.cat(list(labels))
    return torch.cat([shares(label, model.generator.num_classes) for label in labels])


def _in_classes(found: Projection) -> Projection:
    """One picture's projection, whose label does not depend on whether others are mixtures."""
    return found if found.label is None else replace(found, label=classes_of(found.label))


def _tuned(
    networks: Networks, picture: Tensor, found: Projection, options: ProjectionOptions, progress: Progress | None
) -> Projection:
    steps = int(options.tuning or 0)
    tuned = tune(
        networks,
        picture,
        found.latent,
        found.label,
        delta=found.deltas[0] if found.deltas else None,
        steps=steps,
        pixel_weight=options.pixel_weight,
        seed=options.seed,
        max_seconds=options.max_seconds,
        progress=progress,
    )
    return replace(
        found,
        deltas=(tuned.delta,),
        loss=torch.full_like(found.loss, tuned.loss),
        tuned=torch.full_like(found.iterations, tuned.iterations),
        stopped=torch.ones_like(found.iterations, dtype=torch.bool) if tuned.iterations < steps else found.stopped,
    )


@torch.no_grad()
def _encoded(networks: Networks, target: Tensor, label: Tensor | None, trials: bool) -> tuple[Tensor, Tensor | None]:
    """E(x) [N,latent_dim] and the classes [N] or [N,K], found if they are not given; None if there are none.

    Where E and the classifier look through the same features of the same picture, these are computed once.
    """
    e, classifier = networks.encoder, networks.classifier
    x = target.to(networks.device)
    if label is None and networks.model.generator.num_classes:
        if isinstance(e, FeatureEncoder) and classifier and _shares_features(networks.model):
            stages = e.network.stage(x, 18)
            logits: Tensor = classifier.classifier(stages[18].mean(dim=(2, 3)))
            return e.code(stages[13], stages[17]).cpu(), found_classes(logits)
        label = choose_classes(networks, target, trials=trials)
    assert e is not None
    return e.encode(x, None if label is None else label.to(networks.device)).cpu(), label


def _shares_features(model: Model) -> bool:
    e, d = model.encoder, model.projected
    if not isinstance(e, FeatureEncoder) or d is None or not e.network.tensorflow:  # others standardise the picture
        return False
    same = e.config["features"] == d.config["features"]
    return same and e.resolution == d.sees == model.generator.resolution


def _unrefined(networks: Networks, z: Tensor, label: Tensor | None, in_w: bool) -> Projection:
    """E's answer as it is, in w+ where that is asked for."""
    n, latent = len(z), z
    if in_w:
        assert isinstance(networks.exact, StyleGenerator)
        with torch.no_grad():
            latent = networks.exact.mapping(z, label).cpu()
    curve, nan = z.new_zeros(0, n), z.new_full((n,), torch.nan)
    counts = torch.zeros(n, dtype=torch.int64)
    return Projection(latent, label, nan, curve, curve, counts, origin=z if in_w else None)


def found_classes(logits: Tensor) -> Tensor:  # [N,K] -> [N] or [N,K]
    """Classes of pictures that a classifier has looked at: mixtures where it is not sure, on the CPU."""
    return classes_of(nearest_classes(logits, MIXED, TEMPERATURE, ALONE))


@torch.enable_grad()
def choose_classes(networks: Networks, target: Tensor, *, trials: bool = True) -> Tensor:  # [N,3,R,R] -> [N] or [N,K]
    """Class of each picture, or a mixture of the nearest few where none is certain: weights of sum 1.

    A projected discriminator has a classifier fitted to real pictures, whose posterior the mixture is. Without one the
    projection discriminator's own scores draw up a short list, and trial projections choose from it; these are in z,
    also of style generators: there all classes would start from the one mean of w.

    Args:
        networks: of a class-conditional model with a discriminator of either kind.
        target: in [-1,1].
        trials: False takes the best of the list without projecting (unless nothing can draw one up).
    """
    check_projects(networks.model)
    classifier = networks.classifier
    if classifier is not None:
        with torch.no_grad():  # each picture for itself: which others there are must not even round
            return found_classes(torch.cat([classifier.class_logits(x) for x in target.to(networks.device).split(1)]))
    rankings = choose_class(networks, target, shortlist=SHORTLIST if trials else 0)
    return torch.tensor([ranking[0].label for ranking in rankings])
