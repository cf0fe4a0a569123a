"""Prior samples: latents with classes, and pictures in rows."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.pictures.convert import to_pixels
from models.errors import PhotograftError
from models.samples import truncated
from models.schema import Count, Index, Seed, Share, Weight, bounded
from models.zoo import Model

BATCH = 32  # pictures that are scored at once


@torch.no_grad()
@bounded
def sample_rows(
    model: Model,
    labels: Sequence[Index],
    columns: Count,
    truncation: Weight = 1.0,
    seed: Seed = 0,
    reject: Share = 0.0,
) -> list[list[NDArray[np.uint8]]]:
    """Pictures uint8 [R,R,3], a row per class and a column per z; one row if the model is unconditional.

    Args:
        model: whose generator draws.
        labels: classes of the rows; none for an unconditional model.
        columns: number of latents.
        truncation: see `truncated`.
        seed: of the latents.
        reject: so much of all z, those that the projected discriminator finds the least real in the mean of the rows
            (Azadi et al., "Discriminator Rejection Sampling", 2019, with a fixed share). More are drawn instead.

    Raises:
        PhotograftError: rejection without a projected discriminator.
    """
    generator, count = model.generator, drawn_for(columns, reject)
    z = generator.sample_latent(count, torch.Generator().manual_seed(seed))
    conditions: list[Tensor | None] = [torch.tensor([label]) for label in labels]
    conditions = conditions or [None]
    drawing = generator.at_truncation(truncation)
    rows = []
    for k in conditions:
        latents = truncated(generator, z, None if k is None else k.expand(count), truncation)
        rows.append([drawing(one[None], k) for one in latents])
    kept = list(range(count))
    if reject:
        pairs = zip(rows, conditions, strict=True)
        scores = torch.stack([scores_of(model, torch.cat(row), _label(k, count)) for row, k in pairs])
        kept = most_real(scores.mean(0), columns).tolist()
    return [[to_pixels(row[i]) for i in kept] for row in rows]


def drawn_for(n: int, reject: float) -> int:
    """How many to draw so that n are left."""
    return math.ceil(n / (1 - reject))


def scores_of(model: Model, images: Tensor, label: Tensor) -> Tensor:  # [N,3,R,R] in [-1,1], [N] -> [N]
    """How real the projected discriminator finds pictures in their classes; more is more.

    Raises:
        PhotograftError: the model has none.
    """
    network = model.projected
    if network is None:
        raise PhotograftError(
            f"model {model.name} has no projected discriminator, by which samples are rejected: leave --reject at 0"
        )
    pairs = zip(images.split(BATCH), label.to(images.device).split(BATCH), strict=True)
    return torch.cat([network(part, k).float().cpu() for part, k in pairs])


def most_real(scores: Tensor, n: int) -> Tensor:  # [N] -> [n]
    """The numbers of the n highest scores, in the order in which they were drawn."""
    return scores.topk(n).indices.sort().values


def _label(k: Tensor | None, count: int) -> Tensor:
    return torch.zeros(count, dtype=torch.int64) if k is None else k.expand(count)


def spread_classes(count: int, most: int) -> list[int]:
    """Up to `most` of the classes 0..count-1, evenly."""
    shown = min(count, most)
    return [round(i * (count - 1) / max(shown - 1, 1)) for i in range(shown)]
