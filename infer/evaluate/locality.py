"""How local transfers are: change inside and outside of a part over the strength of an edit (Collins et al., Fig. 7).

In- and Out-MSE are the squared errors of pixels inside and outside of the part of the source (its clusters' mask),
divided by those of the whole style of the reference (global, lambda 1): that one is (1, 1), and no edit is (0, 0).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from infer.catalog.activations import batch_size, resize_maps
from infer.catalog.catalog import Catalog
from infer.catalog.part_transfer import PartTransfer, stream_of, transfer_parts
from infer.edits.choices import RHO
from infer.edits.feature_blending import Stream
from infer.edits.query_transfer import Query
from infer.pictures.heatmap import squared_error
from infer.progress import Progress, untold
from models.errors import PhotograftError
from models.samples import draw
from models.zoo import Model

GLOBAL, SIMULTANEOUS, SEQUENTIAL = "global", "simultaneous", "sequential"
POINTS = {GLOBAL: 9, SIMULTANEOUS: 25, SEQUENTIAL: 25}  # of a curve; that of the global mode is nearly straight
DENSER = 1.5  # power of the evenly spaced: points are closer at the local end


@dataclass(frozen=True)
class Pairs:
    """N sources with references, and where the parts of the sources are.

    Attributes:
        source, reference: pictures.
        image: [N,3,R,R] of the sources, unedited.
        masks: part -> [N,R,R], 0 or 1.
    """

    source: Stream
    reference: Stream
    image: Tensor
    masks: Mapping[str, Tensor]


def draw_pairs(
    model: Model, catalog: Catalog, parts: Sequence[str], n: int, *, seed: int, truncation: float, progress: Progress
) -> Iterator[Pairs]:
    """n random pairs in batches; classes are drawn too."""
    generator = model.generator
    sources, references = (draw(model, n, seed=s, truncation=truncation) for s in (2 * seed, 2 * seed + 1))
    size = batch_size(generator)
    for i in range(0, n, size):
        one, other = sources[i : i + size], references[i : i + size]
        source, reference = stream_of(generator, one), stream_of(generator, other)
        maps = catalog.cluster_maps(generator, one)
        masks = {
            part: resize_maps(catalog.part_map(part, maps)[:, None], generator.resolution, "nearest")[:, 0]
            for part in parts
        }
        yield Pairs(source, reference, generator.synthesize(source.latent, source.modulations), masks)
        progress("transfers", min(i + size, n), n)


def sweeps(contributions: Sequence[Tensor], *, rho: float = RHO, per_layer: bool = False) -> dict[str, list[Query]]:
    """Queries of each mode from no change to all that the mode can do for a part with these contributions.

    Their strengths are such that every mode takes the same shares of its most (the mean of q over channels): lambda and
    epsilon themselves would put most points where hardly anything changes any more.
    """
    costs = [float((1 - m).clamp_min(0)[m > rho / (1 + rho)].sum()) for m in contributions]
    most = max(costs) if per_layer else sum(costs)  # the budget that buys every channel
    least = min(float(m[m > 0].min()) for m in contributions if bool((m > 0).any()))
    top = min(1 / least, 1000.0)  # the lambda that takes every channel whole
    modes: dict[str, tuple[Callable[[float], Query], float]] = {
        GLOBAL: (lambda strength: Query("global", lam=strength), 1.0),
        SIMULTANEOUS: (lambda strength: Query("simultaneous", lam=strength), top),
        SEQUENTIAL: (lambda strength: Query(epsilon=strength, rho=rho, per_layer=per_layer), most),
    }
    return {
        mode: [query(_strength(query, contributions, share, full)) for share in spaced(POINTS[mode])]
        for mode, (query, full) in modes.items()
    }


def spaced(points: int) -> list[float]:
    """Shares from 0 to 1, closer to each other at 0."""
    return [(i / (points - 1)) ** DENSER for i in range(points)]


def _strength(query: Callable[[float], Query], contributions: Sequence[Tensor], share: float, full: float) -> float:
    """The strength in 0..full that takes this share of what `full` takes, by bisection: q grows with it."""

    def taken(strength: float) -> float:
        return float(torch.cat(query(strength).of(contributions)).double().sum())

    if share in (0, 1):
        return share * full
    goal, low, high = share * taken(full), 0.0, full
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if taken(middle) < goal else (low, middle)
    return high


@dataclass(frozen=True)
class Curve:
    """In- and Out-MSE of the queries of one mode.

    Attributes:
        values: their lambda or epsilon.
        inside, outside: [P] over all pairs.
        errors: [P,N,2] squared errors of each pair, summed in and out of the part; whole: [N,2] those of the whole
            style, which they are divided by.
    """

    values: list[float]
    inside: Tensor
    outside: Tensor
    errors: Tensor | None = None
    whole: Tensor | None = None

    @classmethod
    def of(cls, values: list[float], errors: Tensor, whole: Tensor) -> "Curve":
        """The curve of these pairs; 0 where even the whole style changes nothing."""
        inside, outside = (errors.sum(1) / whole.sum(0)).nan_to_num(0).unbind(1)
        return cls(values, inside, outside, errors, whole)

    def of_pairs(self, rows: Tensor) -> "Curve":
        """The curve of some of the pairs, each as often as it is named in rows [n]."""
        assert self.errors is not None
        assert self.whole is not None
        return Curve.of(self.values, self.errors[:, rows], self.whole[rows])

    def outside_at(self, inside: float) -> float:
        """Out-MSE where In-MSE reaches a level, between two points linearly; NaN if it never does."""
        for i in range(1, len(self.inside)):
            low, high = float(self.inside[i - 1]), float(self.inside[i])
            if low <= inside <= high and high > low:
                t = (inside - low) / (high - low)
                return float(torch.lerp(self.outside[i - 1], self.outside[i], t))
        return float("nan")


@torch.no_grad()
def measure_curves(
    model: Model,
    catalog: Catalog,
    part: str,
    *,
    pairs: int,
    seed: int = 0,
    truncation: float = 1.0,
    rho: float = RHO,
    per_layer: bool = False,
    shift: bool = False,
    progress: Progress = untold,
) -> dict[str, Curve]:
    """Curves of the three modes for one part.

    Args:
        model, catalog, part: what is edited.
        pairs: number of sources, each with a reference.
        seed, truncation: of the samples.
        rho, per_layer: of the sequential mode.
        shift: carry shifts over too.
        progress: told of progress.

    Raises:
        PhotograftError: a part that none of the sources has.
    """
    queries = sweeps(catalog.part(part), rho=rho, per_layer=per_layer)
    whole = queries[GLOBAL][-1]  # lambda 1
    every = [query for mode in queries.values() for query in mode]
    errors: list[Tensor] = []
    area = torch.zeros(2, dtype=torch.float64)
    for drawn in draw_pairs(model, catalog, [part], pairs, seed=seed, truncation=truncation, progress=progress):
        mask = drawn.masks[part]
        area += torch.stack([mask.sum(), (1 - mask).sum()]).cpu()
        batch = []
        for query in every:
            ask = PartTransfer(part, drawn.reference, query)
            image = transfer_parts(model.generator, catalog, drawn.source, [ask], shift=shift)
            error = (image - drawn.image).square().mean(1)  # [N,R,R]
            sums = [(error * where).sum((1, 2), dtype=torch.float64) for where in (mask, 1 - mask)]
            batch.append(torch.stack(sums, 1).cpu())
        errors.append(torch.stack(batch))
    if not bool((area > 0).all()):
        raise PhotograftError(f"part {part!r} is nowhere or everywhere in {pairs} samples: its locality has no measure")
    all_errors = torch.cat(errors, 1)  # [Q,N,2]
    most, found, at = all_errors[every.index(whole)], {}, 0
    for mode, chosen in queries.items():
        values = [query.lam if query.epsilon is None else query.epsilon for query in chosen]
        found[mode] = Curve.of(values, all_errors[at : at + len(chosen)], most)
        at += len(chosen)
    return found


@torch.no_grad()
def mean_heat(
    model: Model,
    catalog: Catalog,
    asked: Mapping[str, Query],
    *,
    pairs: int,
    seed: int = 0,
    truncation: float = 1.0,
    shift: bool = False,
    progress: Progress = untold,
) -> dict[str, Tensor]:
    """Squared CIELAB error of transfers, the mean over pairs: part -> [R,R]."""
    total: dict[str, Tensor] = {}
    for drawn in draw_pairs(model, catalog, list(asked), pairs, seed=seed, truncation=truncation, progress=progress):
        for part, query in asked.items():
            ask = PartTransfer(part, drawn.reference, query)
            image = transfer_parts(model.generator, catalog, drawn.source, [ask], shift=shift)
            error = squared_error(image, drawn.image).sum(0)
            total[part] = total.get(part, torch.zeros_like(error)) + error
    return {part: error / pairs for part, error in total.items()}
