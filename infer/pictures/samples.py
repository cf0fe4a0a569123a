"""Prior samples: latents with classes, and pictures in rows."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.pictures.convert import to_pixels
from models.samples import truncated
from models.schema import Count, Index, Seed, Weight, bounded
from models.zoo import Model


@torch.no_grad()
@bounded
def sample_rows(
    model: Model, labels: Sequence[Index], columns: Count, truncation: Weight = 1.0, seed: Seed = 0
) -> list[list[NDArray[np.uint8]]]:
    """Pictures uint8 [R,R,3], a row per class and a column per z; one row if the model is unconditional.

    Args:
        model: whose generator draws.
        labels: classes of the rows; none for an unconditional model.
        columns: number of latents.
        truncation: see `truncated`.
        seed: of the latents.
    """
    generator = model.generator
    z = generator.sample_latent(columns, torch.Generator().manual_seed(seed))
    conditions: list[Tensor | None] = [torch.tensor([label]) for label in labels]
    conditions = conditions or [None]
    drawing = generator.at_truncation(truncation)
    rows = [(truncated(generator, z, None if k is None else k.expand(columns), truncation), k) for k in conditions]
    return [[to_pixels(drawing(one[None], k)) for one in latents] for latents, k in rows]


def spread_classes(count: int, most: int) -> list[int]:
    """Up to `most` of the classes 0..count-1, evenly."""
    shown = min(count, most)
    return [round(i * (count - 1) / max(shown - 1, 1)) for i in range(shown)]
