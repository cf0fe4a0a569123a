"""Prior samples: latents with classes, and pictures in rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.base import Generator, StyleGenerator
from models.errors import PhotograftError
from models.schema import Count, Index, Seed, Weight, bounded
from models.zoo import Model


@dataclass(frozen=True)
class Samples:
    """Points of the prior.

    Attributes:
        latent: z [N,latent_dim] or w+ [N,num_ws,w_dim].
        label: [N] int64; None for an unconditional generator.
        origin: [N,latent_dim] the z of which w+ was made, as far as it is known (else NaN); None where nobody knows.
    """

    latent: Tensor
    label: Tensor | None
    origin: Tensor | None = None

    def __len__(self) -> int:
        return len(self.latent)

    def __getitem__(self, rows: slice) -> "Samples":
        label, origin = (None if t is None else t[rows] for t in (self.label, self.origin))
        return Samples(self.latent[rows], label, origin)


@torch.no_grad()
@bounded
def draw(model: Model, n: Count, *, seed: Seed = 0, truncation: Weight = 1.0, label: Index | None = None) -> Samples:
    """n samples of a model.

    Args:
        model: any.
        n: number of samples.
        seed: of the draws.
        truncation: see `truncated`.
        label: class of all; None draws classes as often as training did.
    """
    generator, random = model.generator, torch.Generator().manual_seed(seed)
    labels = None
    if generator.num_classes:
        labels = torch.multinomial(torch.tensor(model.distribution), n, replacement=True, generator=random)
        labels = labels if label is None else torch.full_like(labels, label)
    z = generator.sample_latent(n, random)
    return Samples(truncated(generator, z, labels, truncation), labels, z)


def truncated(generator: Generator, z: Tensor, label: Tensor | None, truncation: float) -> Tensor:
    """z [N,latent_dim] times truncation; of a style generator w+ [N,num_ws,w_dim], drawn to the mean w by it."""
    if isinstance(generator, StyleGenerator):
        return generator.mapping(z, label, truncation)
    return z * truncation


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
    rows = [(truncated(generator, z, None if k is None else k.expand(columns), truncation), k) for k in conditions]
    return [[to_pixels(generator(one[None], k)) for one in latents] for latents, k in rows]


def spread_classes(count: int, most: int) -> list[int]:
    """Up to `most` of the classes 0..count-1, evenly."""
    shown = min(count, most)
    return [round(i * (count - 1) / max(shown - 1, 1)) for i in range(shown)]


def to_pixels(image: Tensor) -> NDArray[np.uint8]:  # [1,3,R,R] in [-1,1] -> [R,R,3]
    """One picture of a generator as uint8 RGB, rounded. Raises PhotograftError for one that is not of numbers."""
    if not bool(image.isfinite().all()):
        raise PhotograftError("the generator drew NaN or infinite values: its weights, or the latent, are unusable")
    return np.asarray((image[0].float() * 127.5 + 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu())
