"""Query transfer: the look of a part of a reference, carried over by its channels (Collins et al., section 3.2).

    sigma_G = sigma_S + q * (sigma_R - sigma_S), 0 <= q <= 1 per channel,

where the query q prefers the channels that act on the part: those with a large contribution M (a row of the paper's
Eq. 1; rows of clusters that make up one part are added). The functions work on modulations, so they serve every family.

The paper's queries are written for one layer and it does not say how layers share the budget epsilon of Eq. 5. Here
the channels of all layers are ranked together under one budget, unless `per_layer` gives each layer the whole of it,
as the released code does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from infer.edits.choices import RHO, Mode
from models.base import Generator, Modulation
from models.errors import PhotograftError, UnsupportedEdit

BUDGET = 0.1  # epsilon per channel where none is given; the paper's are 20 to 100 for layers of 512


@dataclass(frozen=True)
class Query:
    """How channels are chosen. Which of the numbers counts is said by the mode.

    Attributes:
        mode: "global" (Eq. 2), "simultaneous" (Eq. 4) or "sequential" (Eq. 5).
        lam: lambda of the first two; in [0,1] for "global".
        epsilon: budget for change outside of the part, "sequential"; None: a tenth of the channels that share it.
        rho: weight of that change in the objective, "sequential": only channels with M > rho / (1 + rho) take part.
        per_layer: a budget for every layer, "sequential"; else one for all of them together.
        released: "sequential" as the released code and its demo do it, see `released_sequential` and `damped`.

    Raises:
        PhotograftError: an unknown mode, or numbers out of their range.
    """

    mode: Mode = "sequential"
    lam: float = 1.0
    epsilon: float | None = None
    rho: float = RHO
    per_layer: bool = False
    released: bool = False

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise PhotograftError(f"unknown mode {self.mode!r}: choose one of {', '.join(get_args(Mode))}")
        for name, value in (("lambda", self.lam), ("epsilon", self.epsilon), ("rho", self.rho)):
            if value is not None and not 0 <= value < float("inf"):  # also false for NaN
                raise PhotograftError(f"{name} must be a number of at least 0, not {value}")
        if self.mode == "global" and self.lam > 1:
            raise PhotograftError(f"lambda of the global mode must be in 0..1, not {self.lam}")

    def of(self, contributions: Sequence[Tensor]) -> list[Tensor]:
        """q of a part, [C] per modulated layer, from its contributions M, [C] per layer."""
        if self.mode == "global":
            return uniform(contributions, self.lam)
        if self.mode == "simultaneous":
            return simultaneous(contributions, self.lam)
        if self.released:
            budgets = [_budget(self.epsilon, len(m)) for m in contributions]
            return released_sequential(contributions, damped(budgets), self.rho)
        return sequential(contributions, self.epsilon, self.rho, per_layer=self.per_layer)


def uniform(contributions: Sequence[Tensor], lam: float) -> list[Tensor]:
    """Eq. 2: q = lambda in every channel."""
    return [torch.full_like(m, lam) for m in contributions]


def simultaneous(contributions: Sequence[Tensor], lam: float) -> list[Tensor]:
    """Eq. 4: q = min(1, lambda M)."""
    return [(lam * m).clamp(max=1) for m in contributions]


def sequential(
    contributions: Sequence[Tensor], epsilon: float | None = None, rho: float = RHO, *, per_layer: bool = False
) -> list[Tensor]:
    """Eq. 5, solved exactly: maximise sum_c q_c (M_c - rho (1 - M_c)) subject to sum_c q_c (1 - M_c) <= epsilon.

    (The paper prints "argmin"; its words and its solution maximise.) It is a fractional knapsack: worth per cost,
    M / (1 - M) - rho, grows with M, so the best channels by M are taken whole until one does not fit; of that one the
    part that does. Channels with M <= rho / (1 + rho) have no worth and are left alone.

    Args:
        contributions: M [C] per layer, in [0,1] where activations are standardised.
        epsilon: the budget; None: `BUDGET` for every channel that shares it.
        rho: see the formula.
        per_layer: solve for each layer by itself.

    Returns:
        q [C] per layer, in [0,1].
    """
    if per_layer:
        return [_knapsack(m, epsilon, rho) for m in contributions]
    joint = _knapsack(torch.cat(list(contributions)), epsilon, rho)
    return list(joint.split([len(m) for m in contributions]))


def _budget(epsilon: float | None, channels: int) -> float:
    return BUDGET * channels if epsilon is None else epsilon


def _knapsack(m: Tensor, epsilon: float | None, rho: float) -> Tensor:  # [C] -> [C]
    worth, order = torch.sort(m.double(), descending=True, stable=True)
    cost = 1 - worth
    before = cost.cumsum(0) - cost
    share = torch.where(cost > 0, (_budget(epsilon, len(m)) - before) / cost, 1.0).clamp(0, 1)
    share[worth <= rho / (1 + rho)] = 0
    return torch.empty_like(share).scatter_(0, order, share).to(m)


def released_sequential(
    contributions: Sequence[Tensor], epsilon: float | Sequence[float], rho: float | Sequence[float]
) -> list[Tensor]:
    """q as the released code computes it: per layer, 0 or 1, in the order of M while the cost, the channel's own
    included, stays below epsilon; then 0 where M <= rho itself.

    Args:
        contributions: M [C] per layer.
        epsilon, rho: one for all layers or one for each (see `damped`).
    """
    count = len(contributions)
    queries = []
    for m, budget, threshold in zip(contributions, _each(epsilon, count), _each(rho, count), strict=True):
        order = torch.argsort(m, descending=True)
        taken = (1 - m[order]).cumsum(0) < budget
        queries.append(torch.zeros_like(m).scatter_(0, order, taken.to(m)) * (m > threshold))
    return queries


def damped(budgets: Sequence[float], *, first: int = 4, early: float = 5.0) -> list[float]:
    """Budgets of layers, at most `early` in the first layers, as in the released demo."""
    return [min(early, budget) if i < first else budget for i, budget in enumerate(budgets)]


def _each(value: float | Sequence[float], count: int) -> list[float]:
    values = [float(value)] * count if isinstance(value, int | float) else list(value)
    if len(values) != count:
        raise PhotograftError(f"{len(values)} numbers for {count} layers: give one for all, or one for each")
    return values


@dataclass(frozen=True)
class Part:
    """A part that takes its look from a reference.

    Attributes:
        reference: modulations of the reference, one per modulated layer.
        query: q [C] per modulated layer.
    """

    reference: Sequence[Modulation]
    query: Sequence[Tensor]


def transfer(source: Sequence[Modulation], parts: Sequence[Part], *, shift: bool = False) -> list[Modulation]:
    """Eq. 3 with a diagonal Q: modulations of the source with parts of references; give them to `synthesize`.

    Args:
        source: one modulation per modulated layer, N pictures.
        parts: later ones lie over earlier ones: a channel that two parts ask for goes on from what the first made of
            it, so every channel stays between source and references. References have N pictures or 1.
        shift: carry the shift over as the scale is; the paper (and the released code by default) keeps the source's.

    Raises:
        PhotograftError: queries or references that do not fit the layers.
    """
    edited = list(source)
    for part in parts:
        if not len(part.reference) == len(part.query) == len(edited):
            counts = f"{len(part.reference)} modulations and {len(part.query)} queries"
            raise PhotograftError(f"{counts} of a reference for {len(edited)} modulated layers")
        edited = [
            _moved(m, reference, q, shift) for m, reference, q in zip(edited, part.reference, part.query, strict=True)
        ]
    return edited


def _moved(source: Modulation, reference: Modulation, q: Tensor, shift: bool) -> Modulation:
    if q.shape != (source.scale.shape[1],):
        raise PhotograftError(f"a query of {list(q.shape)} does not fit a layer of {source.scale.shape[1]} channels")

    def towards(start: Tensor, end: Tensor) -> Tensor:
        if start.ndim != end.ndim:
            start, end = (t if t.ndim == 4 else t[:, :, None, None] for t in (start, end))
        weight = q.to(start) if start.ndim == 2 else q.to(start)[:, None, None]
        return start + weight * (end - start)

    scale = towards(source.scale, reference.scale)
    if source.shift is None or reference.shift is None:
        return Modulation(scale, source.shift)
    moved = towards(source.shift, reference.shift) if shift else source.shift.expand_as(scale)
    return Modulation(scale, moved)


def check_transfers(generator: Generator) -> None:
    """Raise UnsupportedEdit for a generator whose layers take no modulation (PG-GAN)."""
    if not generator.modulated_layers:
        raise UnsupportedEdit(
            "this generator has no modulated layers: looks of parts cannot be transferred, only features can be blended"
        )
