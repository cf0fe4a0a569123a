"""How fast projection converges on z and on zeta, from E and from random starts (Suzuki et al., Figures 16 and 17).

Each curve is run at the learning rate that was best for it in a grid; zeta starts at A of the same z. Then: after how
many updates has a curve the loss that another one has in the end?
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.evaluate.curves import Curve, Photos, Runner, curves_of
from infer.projection.options import LEARNING_RATES
from models.zoo import Model

FACTOR = 2.0  # between neighbouring rates of a grid
EXTENSIONS = 6  # rates that a grid grows by at most
RESAMPLES = 1000  # of the photos, for intervals


def grid_of(model: Model) -> dict[str, tuple[float, ...]]:
    """Rates by space to begin with: the original's in z and twice and four times that; in zeta around A's and B's own.

    `search` adds more where the best one lies at an end.
    """
    middle = {"z": FACTOR * LEARNING_RATES["z"], "zeta": model.projection_learning_rate or LEARNING_RATES["zeta"]}
    return {space: tuple(rate * FACTOR**k for k in (-1, 0, 1)) for space, rate in middle.items()}


@dataclass(frozen=True)
class Search:
    """The grid of one curve.

    Attributes:
        rates: ascending learning rates that were tried.
        losses: [grid_steps+1,n] at each of them.
        best: the rate whose mean loss after the last update of the grid is least.
    """

    rates: list[float]
    losses: list[Tensor]
    best: float


@dataclass(frozen=True)
class Convergence:
    """What `compare` found.

    Attributes:
        curves: name -> losses [steps+1,N] at its best rate.
        searches: name -> the grid.
    """

    curves: dict[str, Tensor]
    searches: dict[str, Search]


def search(run: Callable[[float], Tensor], rates: Iterable[float]) -> Search:
    """Try learning rates, and more beyond an end of the grid as long as the best one lies there.

    The best is the one with the least mean loss over photos after the last update: all rates see the same photos from
    the same starts, so the photos' differences cancel. It is the best for so many updates; longer runs may like lower
    rates.

    Args:
        run: rate -> losses [T,n].
        rates: at least one; neighbours differ by FACTOR.
    """
    found = {rate: run(rate) for rate in sorted(rates)}
    for _ in range(EXTENSIONS):
        ordered = sorted(found)
        best = min(ordered, key=lambda rate: float(found[rate][-1].mean()))
        if best == ordered[0]:
            more = best / FACTOR
        elif best == ordered[-1]:
            more = best * FACTOR
        else:
            break
        found[more] = run(more)
    ordered = sorted(found)
    return Search(ordered, [found[r] for r in ordered], min(ordered, key=lambda rate: float(found[rate][-1].mean())))


def compare(
    runner: Runner,
    photos: Photos,
    *,
    steps: int = 200,
    random_steps: int | None = None,
    grid_photos: int = 32,
    grid_steps: int = 100,
    grid: dict[str, tuple[float, ...]] | None = None,
) -> Convergence:
    """All curves, each at its best rate (Fig. 16); the grids are Fig. 17.

    Args:
        runner: with the model and the precision.
        photos: the curves are means over these.
        steps: updates of the curves.
        random_steps: updates of those from random starts; `steps` if None.
        grid_photos: so many of the photos, evenly, choose the rates.
        grid_steps: updates after which rates are compared.
        grid: rates by space; `grid_of` the model if None.
    """
    grid, subset, curves = grid or grid_of(runner.model), photos.spread(grid_photos), curves_of(runner.model)
    each = len(subset) * grid_steps
    length = {curve: random_steps or steps if curve.start == "random" else steps for curve in curves}
    runner.total = sum(len(grid[curve.space]) * each + len(photos) * length[curve] for curve in curves)
    searches = {}
    for curve in curves:

        def run(rate: float, curve: Curve = curve) -> Tensor:
            known = any(math.isclose(rate, planned) for planned in grid[curve.space])
            runner.total += 0 if known else each
            return runner.run(subset, curve, rate, grid_steps)

        searches[curve.name] = search(run, grid[curve.space])
    losses = {curve.name: runner.run(photos, curve, searches[curve.name].best, length[curve]) for curve in curves}
    return Convergence(losses, searches)


@dataclass(frozen=True)
class Crossing:
    """When one curve reaches the loss that a reference has after some updates.

    Attributes:
        curve, reference: names.
        at: updates of the reference.
        level: mean loss of the reference there.
        iterations: updates after which the curve's mean is first as low; infinite if never.
        low, high: 95 % interval of `iterations` over photos drawn with replacement (the same for both curves).
        median: over photos of the updates that each takes to its own loss under the reference; infinite if most never
            reach it.
        share: of the photos that reach it.
    """

    curve: str
    reference: str
    at: int
    level: float
    iterations: float
    low: float
    high: float
    median: float
    share: float


def first_reach(means: Tensor, level: Tensor) -> NDArray[np.float64]:  # [T,n], [n] -> [n]
    """The first t with means[t] <= level, infinite where there is none."""
    below = means <= level
    found = torch.where(below.any(0), below.float().argmax(0).double(), torch.inf)
    return np.asarray(found)


def reached(losses: dict[str, Tensor], curve: str, reference: str, at: int, seed: int = 0) -> Crossing:
    """Compare two curves of the same photos.

    Args:
        losses: name -> [T,N].
        curve, reference: names in `losses`.
        at: update of the reference, below T.
        seed: of the resampling.
    """
    own, other = losses[curve].double(), losses[reference].double()
    count = own.shape[1]
    draws = torch.randint(count, (RESAMPLES, count), generator=torch.Generator().manual_seed(seed))
    weights = torch.zeros(RESAMPLES, count, dtype=torch.float64)
    weights.scatter_add_(1, draws, torch.full(draws.shape, 1 / count, dtype=torch.float64))
    again = first_reach(own @ weights.T, other[at] @ weights.T)
    low, high = np.quantile(again, [0.025, 0.975], method="inverted_cdf")  # never between a number and infinity
    single = first_reach(own, other[at])
    level = other[at].mean()
    return Crossing(
        curve,
        reference,
        at,
        float(level),
        float(first_reach(own.mean(1, keepdim=True), level[None])[0]),
        float(low),
        float(high),
        float(np.quantile(single, 0.5, method="inverted_cdf")),
        float(np.isfinite(single).mean()),
    )


def comparisons(losses: dict[str, Tensor], marks: Iterable[int] = (0, 25, 50, 100, 200)) -> list[Crossing]:
    """Every curve against the first one's end, zeta against z on the way, and random starts against E in their space.

    On the way, too, because near its end a curve may hardly fall any more: then a few updates' lead looks large.
    """
    names, marks = list(losses), list(marks)
    last = len(losses[names[0]]) - 1
    found = [reached(losses, name, names[0], last) for name in names]
    pairs = [(f"zeta from {start}", f"z from {start}") for start in ("E", "random")]
    found += [
        reached(losses, zeta, z, mark)
        for zeta, z in pairs
        if zeta in losses and z in losses
        for mark in marks
        if 0 < mark < min(last, len(losses[z]))
    ]
    for space in ("z", "zeta"):
        start, other = f"{space} from E", f"{space} from random"
        if start in losses and other in losses:
            found += [reached(losses, other, start, mark) for mark in marks if mark <= last]
    return found


def standard_error(losses: Tensor) -> Tensor:  # [T,N] -> [T]
    """Of the mean over photos; NaN for one photo."""
    return losses.std(dim=1) / math.sqrt(losses.shape[1])
