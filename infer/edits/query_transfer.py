"""Query transfer: the appearance of one part of a reference, carried over by mixing modulations channel by channel.

Collins, Bala, Price & Süsstrunk, "Editing in Style: Uncovering the Local Semantics of GANs" (2020), section 3.2:

    sigma_G = sigma_S + q * (sigma_R - sigma_S),   q in [0,1]^C, the query vector                            (Eq. 3)

Which channels q opens follows from M [C] of the part in each layer: the share of a channel's energy that falls into it
(Eq. 1).

The authors' released code differs from the paper in the sequential query; `released_query` reproduces it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.base import Generator, Modulation
from models.errors import PhotograftError, UnsupportedEdit


@dataclass(frozen=True)
class Transfer:
    """One reference and what is taken of it.

    Attributes:
        modulations: of the reference, one per modulated layer.
        query: q [C] in [0,1] per layer.
    """

    modulations: Sequence[Modulation]
    query: Sequence[Tensor]


def global_query(contribution: Sequence[Tensor], strength: float) -> list[Tensor]:
    """Eq. 2: every channel by lambda in [0,1], wherever it acts."""
    if not 0 <= strength <= 1:
        raise PhotograftError(f"lambda of a global transfer must be in [0,1], not {strength}")
    return [torch.full_like(m, strength) for m in contribution]


def simultaneous_query(contribution: Sequence[Tensor], strength: float) -> list[Tensor]:
    """Eq. 4: min(1, lambda M), lambda >= 0. M: [C] in [0,1] per layer."""
    _check(contribution)
    if not 0 <= strength < float("inf"):
        raise PhotograftError(f"lambda of a simultaneous transfer must be a number of 0 or more, not {strength}")
    return [(strength * m).clamp(max=1) for m in contribution]


def sequential_query(contribution: Sequence[Tensor], epsilon: float, rho: float = 0.0) -> list[Tensor]:
    """Eq. 5: the query that changes the part most, at a bounded change elsewhere.

        maximise sum q_c (M_c - rho (1 - M_c))   subject to   sum q_c (1 - M_c) <= epsilon,  0 <= q_c <= 1

    over the channels of all layers together (the paper prints argmin; its text and its greedy solution maximise). It is
    a fractional knapsack, whose optimum opens channels in the order of M until the budget is spent, the last one by
    what is left of it. Channels that do not pay, M <= rho / (1 + rho), stay closed.

    Args:
        contribution: M [C] in [0,1] per layer.
        epsilon: budget of change outside the part, >= 0; `inf` opens every channel that pays.
        rho: threshold, >= 0.
    """
    _check(contribution)
    _check_budget([epsilon], [rho])
    m = torch.cat(list(contribution)).double()
    order = m.argsort(descending=True, stable=True)
    cost = 1 - m[order]
    spent_before = cost.cumsum(0) - cost
    # free channels (M = 1) are opened whatever the budget
    opened = torch.where(cost > 0, (epsilon - spent_before) / cost.clamp_min(1e-12), torch.ones_like(cost))
    q = torch.zeros_like(m)
    q[order] = opened.clamp(0, 1) * (m[order] > rho / (1 + rho))
    parts = q.split([len(part) for part in contribution])
    return [part.to(one.dtype) for part, one in zip(parts, contribution, strict=True)]


def released_query(
    contribution: Sequence[Tensor], epsilon: float | Sequence[float], rho: float | Sequence[float] = 0.0
) -> list[Tensor]:
    """The released code's sequential query: each layer by itself, channels open or closed.

    A channel is open where the cost of it and of those before it stays *below* epsilon, and M > rho. The authors damp
    the first layers by a smaller epsilon there (FFHQ: 5 in the first four, 30 to 50 in the others).

    Args:
        contribution: M [C] per layer.
        epsilon, rho: for all layers, or one per layer.
    """
    epsilons, rhos = (
        list(value) if isinstance(value, Sequence) else [value] * len(contribution) for value in (epsilon, rho)
    )
    if not len(epsilons) == len(rhos) == len(contribution):
        raise PhotograftError(f"epsilon and rho need one value, or one for each of {len(contribution)} layers")
    _check_budget(epsilons, rhos)
    queries = []
    for m, budget, threshold in zip(contribution, epsilons, rhos, strict=True):
        order = m.argsort(descending=True, stable=True)
        q = torch.zeros_like(m)
        q[order] = ((1 - m[order]).cumsum(0) < budget).to(m.dtype)
        queries.append(q * (m > threshold))
    return queries


def transfer(
    generator: Generator, source: Sequence[Modulation], references: Sequence[Transfer], *, shift: bool = False
) -> list[Modulation]:
    """Mix the modulations of references into a source's (Eq. 3).

    Where references ask for more than the whole of a channel together, their shares are scaled down to it.

    Args:
        generator: whose modulations these are.
        source: modulations [N,C] (or [N,C,H,W]) of the pictures that are edited, one per layer.
        references: one or more, each with its own query; their modulations are [N,C] or [1,C].
        shift: mix the shifts too, where there are any. The paper speaks of scales only.

    Raises:
        UnsupportedEdit: a generator without modulated layers.
        PhotograftError: queries that do not fit the layers.
    """
    if not generator.modulated_layers:
        raise UnsupportedEdit("this generator has no modulations: query transfer needs those of styles or classes")
    generator.check_modulations(source)
    for reference in references:
        generator.check_modulations(reference.modulations)
        widths = [len(q) for q in reference.query]
        if widths != [layer.channels for layer in generator.modulated_layers]:
            raise PhotograftError(f"queries of {widths} channels do not fit the generator's layers")
    return [_mix(i, modulation, references, shift) for i, modulation in enumerate(source)]


def _mix(index: int, source: Modulation, references: Sequence[Transfer], shift: bool) -> Modulation:
    queries = torch.stack([reference.query[index] for reference in references])  # [R,C]
    queries = queries / queries.sum(0).clamp_min(1)

    def mixed(values: Tensor, others: list[Tensor]) -> Tensor:
        result = values
        for q, other in zip(queries, others, strict=True):
            q = q.to(values) if values.ndim == 2 else q.to(values)[:, None, None]
            other = other[:, :, None, None] if other.ndim < values.ndim else other
            result = result + q * (other - values)
        return result

    others = [reference.modulations[index] for reference in references]
    scale = mixed(source.scale, [other.scale for other in others])
    if not shift or source.shift is None:
        return Modulation(scale, source.shift)
    return Modulation(scale, mixed(source.shift, [other.shift for other in others if other.shift is not None]))


def _check(contribution: Sequence[Tensor]) -> None:
    for m in contribution:
        if m.ndim != 1 or not bool(((m >= 0) & (m <= 1)).all()):
            raise PhotograftError("M must be [C] in [0,1] for every layer: build the catalog again")


def _check_budget(epsilons: Sequence[float], rhos: Sequence[float]) -> None:
    if not all(epsilon >= 0 for epsilon in epsilons) or not all(rho >= 0 for rho in rhos):
        raise PhotograftError("epsilon and rho must be 0 or more")
