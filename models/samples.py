"""Points of the prior: latents with classes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.base import Generator, StyleGenerator
from models.schema import Count, Index, Seed, Weight, bounded
from models.zoo import Model


@dataclass(frozen=True)
class Samples:
    """Points of the prior.

    Attributes:
        latent: z [N,latent_dim] or w+ [N,num_ws,w_dim].
        label: [N] int64, or float32 [N,K] weights of classes; None for an unconditional generator.
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

    def cpu(self) -> "Samples":
        """The same in the processor's memory."""
        label, origin = (None if t is None else t.cpu() for t in (self.label, self.origin))
        return Samples(self.latent.cpu(), label, origin)


@torch.no_grad()
@bounded
def draw(model: Model, n: Count, *, seed: Seed = 0, truncation: Weight = 1.0, label: Index | None = None) -> Samples:
    """n samples of a model, on its generator's device.

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
    z = generator.sample_latent(n, random).to(generator.device)
    labels = None if labels is None else labels.to(generator.device)
    return Samples(truncated(generator, z, labels, truncation), labels, z)


def truncated(generator: Generator, z: Tensor, label: Tensor | None, truncation: float) -> Tensor:
    """z [N,latent_dim] times truncation; of a style generator w+ [N,num_ws,w_dim], drawn to the mean w by it."""
    if isinstance(generator, StyleGenerator):
        return generator.mapping(z, label, truncation)
    return z * truncation
