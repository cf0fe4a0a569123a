"""Prior samples as rows of pictures: a class per row, a z per column."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.editor import to_pixels
from models.zoo import Model


@torch.no_grad()
def sample_rows(
    model: Model, labels: Sequence[int], columns: int, truncation: float = 1.0, seed: int = 0
) -> list[list[NDArray[np.uint8]]]:
    """Pictures uint8 [R,R,3], a row per class and a column per z; one row if the model is unconditional.

    Args:
        model: whose generator draws.
        labels: classes of the rows; none for an unconditional model.
        columns: number of latents.
        truncation: factor on the latents.
        seed: of the latents.
    """
    z = model.generator.sample_latent(columns, torch.Generator().manual_seed(seed)) * truncation
    conditions: list[Tensor | None] = [torch.tensor([label]) for label in labels]
    conditions = conditions or [None]
    return [[to_pixels(model.generator(one[None], condition)) for one in z] for condition in conditions]


def spread_classes(count: int, most: int) -> list[int]:
    """Up to `most` of the classes 0..count-1, evenly."""
    shown = min(count, most)
    return [round(i * (count - 1) / max(shown - 1, 1)) for i in range(shown)]
