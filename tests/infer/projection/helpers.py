"""Projection with networks of a test's own, in exact float32 unless it asks for another form."""

from typing import Any

import torch
from torch import Tensor

from infer.projection.class_choice import ClassScore, choose_class
from infer.projection.delta import Delta
from infer.projection.options import ProjectionOptions
from infer.projection.search import Projection, project
from infer.projection.tuning import tune
from models.prepared import Networks
from models.zoo import Model


def exact(model: Model, psi: str | None = None) -> Networks:
    """A model's networks on the processor in float32."""
    return Networks.of(model, "cpu", dtype=torch.float32, psi=psi)


def networks_of(
    generator: Any,
    psi: Any,
    *,
    encoder: Any = None,
    auxiliary: Any = None,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
) -> Networks:
    """Networks whose Psi is any feature extractor."""
    return Networks(
        Model("test", generator, psi, encoder=encoder, auxiliary=auxiliary),
        dtype=dtype,
        channels_last=channels_last,
    )


def search(
    generator: Any,
    psi: Any,
    target: Tensor,
    label: Tensor | None = None,
    *,
    encoder: Any = None,
    auxiliary: Any = None,
    init: Any = None,
    batch_size: int = 1,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    progress: Any = None,
    **options: Any,
) -> Projection:
    """`project`; init may be latents."""
    form: dict[str, Any] = {"dtype": dtype, "channels_last": channels_last}
    networks = networks_of(generator, psi, encoder=encoder, auxiliary=auxiliary, **form)
    start = init if isinstance(init, Tensor) else None
    chosen = ProjectionOptions(init=None if start is not None else init, **options)
    return project(networks, target, label, chosen, start=start, batch_size=batch_size, progress=progress)


def rank_classes(
    generator: Any, psi: Any, target: Tensor, candidates: Any = None, *, encoder: Any = None, **options: Any
) -> list[list[ClassScore]]:
    """`choose_class`."""
    return choose_class(networks_of(generator, psi, encoder=encoder), target, candidates, **options)


def tuned(
    generator: Any, psi: Any, target: Tensor, latent: Tensor, label: Tensor | None = None, **options: Any
) -> tuple[Delta, float]:
    """`tune`: delta and loss."""
    found = tune(networks_of(generator, psi), target, latent, label, **options)
    return found.delta, found.loss
