"""Precision, recall, density and coverage: how real samples are, and how much of the real pictures' variety they have.

Kynkäänniemi et al. 2019 (precision, recall) and Naeem et al. 2020 (density, coverage), on k nearest neighbours of
features. All four depend on the number of pictures, so both sides have N of them and values of one N are compared.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from infer.evaluate.judging import share

NEIGHBOURS = 5


@dataclass(frozen=True)
class Manifold:
    """Shares in [0,1], density from 0 upwards.

    Attributes:
        precision: samples that lie within a real picture's neighbourhood.
        recall: real pictures that lie within a sample's neighbourhood.
        density: real neighbourhoods that a sample lies in, over k.
        coverage: real pictures with a sample in their neighbourhood.
    """

    precision: float
    recall: float
    density: float
    coverage: float

    @classmethod
    def names(cls) -> list[str]:
        """The measures' names, in order."""
        return [field.name for field in fields(cls)]


@torch.no_grad()
def manifold(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> Manifold:
    """Compare features [N,D] of real pictures and [N,D] of samples.

    A neighbourhood reaches to the k-th nearest of the same side.
    """
    radius_real, radius_fake = _radius(real, k), _radius(fake, k)
    distance = torch.cdist(real, fake)  # [real,fake]
    inside = distance < radius_real[:, None]
    return Manifold(
        precision=share(inside.any(0)),
        recall=share((distance < radius_fake[None]).any(1)),
        density=float(inside.float().sum(0).mean() / k),
        coverage=share(inside.any(1)),
    )


def _radius(features: Tensor, k: int) -> Tensor:  # [N,D] -> [N]
    # the nearest of all is the point itself
    return torch.cdist(features, features).kthvalue(min(k + 1, len(features)), dim=1).values
