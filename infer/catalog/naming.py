"""Proposals of names for clusters, from where they fall on average. A person decides: see the sheet, edit the YAML.

Nothing here looks at what is in the pictures, but for a segmentation's word on what is animal and what is not; the
words for parts are guesses that hold for upright heads in the middle of the picture.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.catalog.activations import resize_maps
from models.perception.segmentation import Segmenter

BACKGROUND = 0.5  # share of animal in a cluster below which it is called background
SYMMETRIC = 0.6  # correlation of a map with another one's mirror image that makes them a pair
SCATTERED = 0.42  # spread, in picture sides, of what lies all around the middle
HIGH, LOW = 0.4, 0.74  # of y: the upper part of a head, and what is below it


@dataclass(frozen=True)
class Place:
    """Where a cluster falls on average.

    Attributes:
        size: share of all positions.
        x, y: mean position in 0..1, from the left and from the top.
        spread: root of its mean squared distance from there, in picture sides.
        mirror: cluster whose mean map is most like this one's mirror image, which may be itself.
        symmetry: correlation of the two, in [-1,1].
    """

    size: float
    x: float
    y: float
    spread: float
    mirror: int
    symmetry: float


def places(maps: Tensor) -> list[Place]:
    """Places of K clusters from their mean maps [K,H,W]."""
    k, height, width = maps.shape
    y = ((torch.arange(height, device=maps.device) + 0.5) / height)[:, None]
    x = (torch.arange(width, device=maps.device) + 0.5) / width
    likeness = torch.corrcoef(torch.cat([maps.flatten(1), maps.flip(2).flatten(1)]))[:k, k:].nan_to_num(-1)  # [K,K]
    found = []
    for i, one in enumerate(maps):
        total = one.sum().clamp_min(1e-12)
        cx, cy = (one * x).sum() / total, (one * y).sum() / total
        spread = ((one * ((x - cx).square() + (y - cy).square())).sum() / total).sqrt()
        mirror = int(likeness[i].argmax())
        size, x0, y0, around = (float(value) for value in (one.mean(), cx, cy, spread))
        found.append(Place(size, x0, y0, around, mirror, float(likeness[i, mirror])))
    return found


def animal_shares(maps: Tensor, pictures: list[NDArray[np.uint8]], segment: Segmenter) -> list[float]:
    """How much of each cluster a segmenter takes for animal.

    Args:
        maps: [N,K,H,W] of N samples.
        pictures: the samples, uint8 [R,R,3] each.
        segment: see `models.perception.segmentation`.
    """
    found = np.stack([segment(picture) for picture in pictures])  # [N,R,R]
    small = resize_maps(torch.from_numpy(found)[:, None], maps.shape[-1])[:, 0].to(maps)
    share = torch.einsum("nkhw,nhw->k", maps, small) / maps.sum((0, 2, 3)).clamp_min(1e-12)
    return share.tolist()


def propose(maps: Tensor, animal: list[float] | None = None) -> dict[str, tuple[int, ...]]:
    """Names for clusters that nobody has named.

    Args:
        maps: mean maps [K,H,W].
        animal: share of each cluster that is animal; None: unknown, then what lies all around the middle counts as not.

    Returns:
        Guess -> clusters. Clusters that share a guess are merged; every cluster is in one.
    """
    names: dict[str, list[int]] = {}
    found = places(maps)
    for k, place in enumerate(found):
        outside = place.spread > SCATTERED if animal is None else animal[k] < BACKGROUND
        other = found[place.mirror]
        paired = place.mirror != k and other.mirror == k and place.symmetry > SYMMETRIC
        if place.size == 0:
            guess = "empty"
        elif outside:
            guess = "background"
        elif paired:
            guess = _of_pair(abs(place.x - other.x) / 2, (place.y + other.y) / 2)
        else:
            guess = _of_one(place)
        names.setdefault(guess, []).append(k)
    return {name: tuple(clusters) for name, clusters in names.items()}


def _of_pair(apart: float, y: float) -> str:
    """Left and right, so far from the middle between them."""
    if y > LOW:
        return "chest"
    if apart > 0.28:
        return "ears" if y < HIGH else "sides"
    if y < 0.25:
        return "ears"
    if y < 0.47:
        return "eyes"
    return "muzzle" if apart < 0.17 else "cheeks"


def _of_one(place: Place) -> str:
    if place.y > LOW:
        return "chin"
    if place.y < HIGH:
        return "forehead"
    return "muzzle" if abs(place.x - 0.5) < 0.12 and place.spread < 0.25 else "fur"
