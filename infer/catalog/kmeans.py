"""Spherical k-means: rows are compared by their direction alone (Buchta et al. 2012; Collins et al., appendix A).

Exact Lloyd in matrix products. Restarts compete on a part of the rows, where all of them share one product; the best
goes on over all rows until an iteration gains next to nothing.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.errors import PhotograftError

CHUNK = 65536  # rows at a time: bounds what products and float32 copies of float16 rows take
SUBSAMPLE = 8192  # rows on which restarts compete, or more for many clusters
ROWS_PER_CLUSTER = 200
SETTLING = 10  # iterations of each restart


@dataclass(frozen=True)
class Clustering:
    """Rows in K clusters.

    Attributes:
        centres: [K,C] float32 of length 1.
        labels: [n] int64, the centre nearest to each row by cosine.
        inertia: sum over rows of the squared distance of unit row and centre, 2(1 - cos).
        iterations: assignments of all rows that it took.
    """

    centres: Tensor
    labels: Tensor
    inertia: float
    iterations: int


def spherical_kmeans(
    x: Tensor,
    k: int,
    *,
    init: Tensor | None = None,
    restarts: int = 4,
    tolerance: float = 5e-4,
    max_iterations: int = 300,
    batch: int | None = None,
    seed: int = 0,
) -> Clustering:
    """Cluster rows by direction.

    Args:
        x: [n,C], float16 or float32, on any device; rows need no unit length, and zero rows count for nothing.
        k: number of clusters.
        init: [K,C] first centres, of any length; else k-means++ by cosine, `restarts` times on a part of the rows.
        restarts: number of seedings that compete.
        tolerance: end when an iteration lowers the inertia by less than this share; 0 goes on to the fixed point.
        max_iterations: of Lloyd over all rows.
        batch: rows per update: one pass over the rows in random order, with centres at the mean of all rows they have
            had (mini-batch k-means), instead of Lloyd. For more rows than a few passes of Lloyd can bear.
        seed: of every draw; equal seeds give equal results on one device.

    Raises:
        PhotograftError: fewer rows than clusters, no clusters, or centres of another shape.
    """
    assert x.ndim == 2, x.shape
    if not 1 <= k <= len(x):
        raise PhotograftError(f"{k} clusters cannot be made of {len(x)} vectors: choose 1..{len(x)}")
    if init is not None and init.shape != (k, x.shape[1]):
        raise PhotograftError(f"first centres must be [{k},{x.shape[1]}], not {list(init.shape)}")
    random = torch.Generator().manual_seed(seed)
    scale = inverse_norms(x)
    centres = (
        _competed(x, scale, k, restarts, random) if init is None else F.normalize(init.to(x.device).float(), dim=1)
    )
    if batch is not None:
        centres = _one_pass(x, scale, centres, batch, random)
        max_iterations = 1
    found, values, labels, iterations = _lloyd(x, scale, centres[None], tolerance, max_iterations)
    return Clustering(found[0], labels[0], float(values[0]), iterations)


def assign(x: Tensor, centres: Tensor) -> Tensor:  # [n,C], [K,C] -> [n]
    """The nearest centre of each row by cosine."""
    return torch.cat([(part.float() @ centres.T).argmax(1) for part in x.split(CHUNK)])


def inverse_norms(x: Tensor) -> Tensor:  # [n,C] -> [n]
    """1/|x| of each row; 0 for a zero row."""
    norms = torch.cat([torch.linalg.vector_norm(part.float(), dim=1) for part in x.split(CHUNK)])
    return torch.where(norms > 0, 1 / norms, 0.0)


def _competed(x: Tensor, scale: Tensor, k: int, restarts: int, random: torch.Generator) -> Tensor:  # -> [K,C]
    """Centres of the best of some restarts, after a few iterations on a part of the rows."""
    count = min(len(x), max(SUBSAMPLE, ROWS_PER_CLUSTER * k))
    rows = torch.randperm(len(x), generator=random)[:count].to(x.device)
    part, part_scale = x[rows].float(), scale[rows]
    centres = seed_centres(part * part_scale[:, None], k, restarts, random)
    found, inertia, _, _ = _lloyd(part, part_scale, centres, 0.0, SETTLING)
    return found[int(inertia.argmin())]


def seed_centres(unit: Tensor, k: int, restarts: int, random: torch.Generator) -> Tensor:  # [n,C] -> [R,K,C]
    """k-means++ on rows of length 1: each further centre is a row drawn in proportion to its distance 2(1 - cos)."""
    chosen = torch.randint(len(unit), (restarts, 1), generator=random).to(unit.device)  # [R,k so far]
    nearest = torch.full((restarts, len(unit)), -math.inf, device=unit.device)
    for _ in range(k - 1):
        nearest = torch.maximum(nearest, unit[chosen[:, -1]] @ unit.T)
        distance = (1 - nearest).clamp_min(1e-12).cpu()  # on the CPU, so that a seed means the same everywhere
        drawn = torch.multinomial(distance, 1, generator=random)
        chosen = torch.cat([chosen, drawn.to(unit.device)], dim=1)
    return unit[chosen]


def _lloyd(
    x: Tensor, scale: Tensor, centres: Tensor, tolerance: float, max_iterations: int
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Lloyd from R sets of centres at once: centres [R,K,C], inertia [R], labels [R,n], iterations."""
    before = torch.full((len(centres),), math.inf, dtype=torch.float64, device=x.device)
    for iteration in range(1, max_iterations + 1):
        labels, cosines, sums = _assigned(x, scale, centres)
        inertia = 2 * ((scale > 0).sum() - cosines.double().sum(1))
        if iteration == max_iterations or bool((before - inertia <= tolerance * inertia).all()):
            break
        before, centres = inertia, _renewed(x, scale, sums, cosines, labels)
    return centres, inertia, labels, iteration


def _assigned(x: Tensor, scale: Tensor, centres: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Labels [R,n], cosines [R,n] with the nearest centres, and sums of the unit rows of each cluster [R,K,C]."""
    restarts, k, channels = centres.shape
    flat = centres.reshape(-1, channels)
    offsets = torch.arange(restarts, device=x.device) * k
    labels, cosines, sums = [], [], torch.zeros_like(flat)
    for part, part_scale in _chunks(x, scale):
        best = (part @ flat.T).view(-1, restarts, k).max(2)  # [m,R]
        weights = part.new_zeros(len(part), restarts * k)
        weights.scatter_(1, best.indices + offsets, part_scale[:, None].expand(-1, restarts))
        sums.addmm_(weights.T, part)
        labels.append(best.indices)
        cosines.append(best.values * part_scale[:, None])
    return torch.cat(labels).T, torch.cat(cosines).T, sums.view(restarts, k, channels)


def _chunks(x: Tensor, scale: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for i in range(0, len(x), CHUNK):
        yield x[i : i + CHUNK].float(), scale[i : i + CHUNK]


def _renewed(x: Tensor, scale: Tensor, sums: Tensor, cosines: Tensor, labels: Tensor) -> Tensor:  # -> [R,K,C]
    """Sums at length 1; a cluster that lost all its rows starts again from the row that fits its own cluster worst."""
    centres = F.normalize(sums, dim=2)
    for r, row in enumerate(labels):
        empty = (torch.bincount(row, minlength=sums.shape[1]) == 0).nonzero()[:, 0]
        if len(empty):
            worst = cosines[r].masked_fill(scale == 0, math.inf).topk(len(empty), largest=False).indices
            centres[r, empty] = x[worst].float() * scale[worst, None]
    return centres


def _one_pass(x: Tensor, scale: Tensor, centres: Tensor, batch: int, random: torch.Generator) -> Tensor:  # -> [K,C]
    """Centres after one pass over the rows in random order, each the mean of all unit rows that it has had."""
    sums = torch.zeros_like(centres)
    for rows in torch.randperm(len(x), generator=random).to(x.device).split(batch):
        _, _, added = _assigned(x[rows], scale[rows], centres[None])
        sums += added[0]
        centres = torch.where(sums.norm(dim=1, keepdim=True) > 0, F.normalize(sums, dim=1), centres)
    return centres
