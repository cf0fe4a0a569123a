"""Projection with everything that a model has: its encoder, its auxiliary networks, its way to tell classes."""

from typing import Any

import torch
from torch import Tensor

from infer.projection import Progress, Projection, choose_class, project
from models.encoder import FeatureEncoder
from models.errors import PhotograftError
from models.zoo import Model

SHORTLIST = 3  # classes of a photo that are projected when a classifier drew up the list


def check_projects(model: Model) -> None:
    """Raise PhotograftError if photos cannot be projected with this model."""
    if model.discriminator is None:
        raise PhotograftError(f"model {model.name} has no discriminator beside its generator: projection needs one")


def project_pictures(
    model: Model,
    target: Tensor,
    source: str | None = None,
    *,
    steps: int = 100,
    progress: Progress | None = None,
    **options: Any,
) -> list[Projection]:
    """Project pictures, each under its own class.

    Args:
        model: a class-conditional one.
        target: [N,3,R,R] in [-1,1].
        source: class of what is in all pictures; None finds each picture's own (see `choose_class`).
        steps: updates at most; 0 takes the encoder's answer as it is.
        progress: see `infer.projection.Progress`.
        options: of `infer.projection.project`.

    Returns:
        One projection per picture, with N = 1 and its label.

    Raises:
        PhotograftError: unknown class, a model without a discriminator, or a loss that is not a number.
    """
    check_projects(model)
    assert model.discriminator is not None
    if source is not None:
        label = torch.tensor([model.class_index(source)] * len(target))
    else:
        label = choose_classes(model, target)
    if model.auxiliary is not None:
        options = {"auxiliary": model.auxiliary, "space": "zeta"} | options
    elif isinstance(model.encoder, FeatureEncoder):  # its codes have the prior's norm: stay where the prior is
        options = {"learning_rate": 0.03, "max_norm": 1.2 * model.generator.latent_dim**0.5} | options
    found = project(
        model.generator,
        model.discriminator,
        target,
        label,
        encoder=model.encoder,
        steps=steps,
        progress=progress,
        **options,
    )
    return [_row(found, label, slice(i, i + 1)) for i in range(len(target))]


def choose_classes(model: Model, target: Tensor) -> Tensor:  # [N,3,R,R] -> [N]
    """Class of each picture that the model's discriminators and the first steps of projection agree on.

    A projected discriminator has a classifier fitted to real pictures: it draws up a short list. Without one the
    projection discriminator's own scores do.
    """
    assert model.discriminator is not None
    if model.projected is None:
        rankings = choose_class(model.generator, model.discriminator, target, encoder=model.encoder)
    else:
        projected = model.projected

        def score(pictures: Tensor, labels: Tensor) -> Tensor:
            logits = projected.classify(projected.project(pictures))
            return logits.gather(1, labels[:, None])[:, 0]

        rankings = choose_class(
            model.generator, model.discriminator, target, score=score, shortlist=SHORTLIST, encoder=model.encoder
        )
    return torch.tensor([ranking[0].label for ranking in rankings])


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
