"""How much pictures of one class differ: a term that notices when a generator repeats itself within its classes.

A discriminator that sees one picture at a time does not mind that all pugs are the typical pug. Here pairs of samples
of one class are compared in frozen features (as in mode seeking, Mao et al. 2019), but held to the scatter that real
pictures have, so that there is nothing to gain beyond it.
"""

import torch
from torch import Tensor

from models.discriminators.projected import Projected


def descriptors(projected: Projected) -> list[Tensor]:
    """Per picture [N,D_i]: each stage's channel means and spreads over positions (content, texture), and the pooled."""
    stages = [s.float() for s in projected.stages]
    return [torch.cat([s.mean(dim=(2, 3)), s.std(dim=(2, 3), correction=0)], dim=1) for s in stages] + [
        projected.pooled.float()
    ]


@torch.no_grad()
def scatter_within_classes(descriptor: Tensor, label: Tensor) -> Tensor:  # [N,D], [N] -> [D]
    """Variance within classes, of classes that have two pictures at least; 1 where nothing varies."""
    count = label.bincount()
    sums = descriptor.new_zeros(len(count), descriptor.shape[1]).index_add_(0, label, descriptor)
    squares = (descriptor - (sums / count.clamp_min(1)[:, None])[label]).square()
    keep = count[label] > 1
    freedom = (keep.sum() - (count > 1).sum()).clamp_min(1)
    variance = squares[keep].sum(0) / freedom
    return torch.where(variance > 1e-8, variance, torch.ones_like(variance))


def shortfall(first: list[Tensor], second: list[Tensor], scatter: list[Tensor], target: float = 1.0) -> Tensor:
    """Mean over descriptors of max(0, 1 - r)^2, r the squared distance of pairs over `target` times that of real ones.

    Args:
        first, second: descriptors [P,D_i] of P pairs of one class each.
        scatter: [D_i], variance of real pictures within classes.
        target: 1 is what real pictures have.
    """
    terms = []
    for a, b, variance in zip(first, second, scatter, strict=True):
        ratio = ((a - b).square() / (2 * target * variance)).mean()
        terms.append((1 - ratio).clamp_min(0).square())
    return torch.stack(terms).mean()
