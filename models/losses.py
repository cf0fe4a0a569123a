"""Losses as pure functions of tensors."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def psi(features: Tensor) -> Tensor:  # [N,C,h,w] -> [N,C*h*w]
    """Psi(x): L2-normalised final features of the discriminator before pooling (paper, section 4)."""
    return F.normalize(features.flatten(1), dim=1)


def feature_distance(psi1: Tensor, psi2: Tensor) -> Tensor:  # [N,D], [N,D] -> [N]
    """L(x1, x2) = 1 - Psi(x1) . Psi(x2) (paper Eq. 4), per picture, in [0, 2]."""
    return 1 - (psi1 * psi2).sum(1)


def pixel_distance(x1: Tensor, x2: Tensor) -> Tensor:  # [N,3,H,W], [N,3,H,W] -> [N]
    """Mean squared difference per picture (range [-1,1], so at most 4)."""
    return (x1 - x2).square().mean(dim=(1, 2, 3))


def hinge_discriminator(scores: Tensor | Sequence[Tensor], real: bool) -> Tensor:
    """Mean hinge loss of a discriminator's scores; several stages are averaged."""
    sign = 1.0 if real else -1.0
    return _mean_over_stages(scores, lambda s: F.relu(1.0 - sign * s).mean())


def hinge_generator(scores: Tensor | Sequence[Tensor]) -> Tensor:
    """Minus the mean score; several stages are averaged."""
    return _mean_over_stages(scores, lambda s: -s.mean())


def logistic_discriminator(scores: Tensor, real: bool) -> Tensor:
    """Mean softplus of what is to be small: minus the scores of real pictures, the scores of generated ones."""
    return F.softplus(-scores if real else scores).mean()


def logistic_generator(scores: Tensor) -> Tensor:
    """Non-saturating loss (Goodfellow et al. 2014): mean softplus of minus the scores."""
    return F.softplus(-scores).mean()


def _mean_over_stages(scores: Tensor | Sequence[Tensor], f: Callable[[Tensor], Tensor]) -> Tensor:
    if isinstance(scores, Tensor):
        return f(scores)
    return torch.stack([f(s) for s in scores]).mean()


def stage_distance(stages1: Sequence[Tensor], stages2: Sequence[Tensor]) -> Tensor:
    """Mean squared distance of standardised feature maps [N,C,h,w], averaged over stages."""
    return torch.stack([F.mse_loss(a, b) for a, b in zip(stages1, stages2, strict=True)]).mean()
