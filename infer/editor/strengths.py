"""What a strength means: how much of an edit there is, from the photo itself at 0 to all of it at 1."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from infer.editor.steps import Blend, ChangeClass, Step, Transfer
from models.errors import PhotograftError

_ROUNDED = 6  # digits of strengths relative to each other: the same ones for all strengths of a sweep


def amount(step: Step) -> float:
    """How much of a step there is, in [0,1]; sequential transfers have a budget instead, they are there or not."""
    if not isinstance(step, Transfer):
        return float(step.strength)
    return 1.0 if step.mode == "sequential" else min(float(step.lam), 1.0)


def strongest(steps: Iterable[Step]) -> float:
    """The amount of the strongest step; 0 without any."""
    return max(map(amount, steps), default=0.0)


def at_strength(steps: Sequence[Step], factor: float) -> list[Step]:
    """The same steps, each with so much of its own strength (of transfers: lambda).

    Raises:
        PhotograftError: a factor outside [0,1], or a sequential transfer, which has no strength.
    """
    if not 0 <= factor <= 1:  # also for NaN
        raise PhotograftError(f"strength must be in 0..1, not {factor:g}")
    return [_scaled(step, factor) for step in steps]


def _scaled(step: Step, factor: float) -> Step:
    if not isinstance(step, Transfer):
        return replace(step, strength=step.strength * factor)
    if step.mode == "sequential":
        raise PhotograftError("a sequential transfer has no strength: give --mode simultaneous or global to sweep")
    return replace(step, lam=step.lam * factor)


def whole(steps: Sequence[ChangeClass]) -> list[ChangeClass]:
    """What steps are at full strength: the strongest one's is 1, the others keep theirs in relation to it.

    All strengths of a sweep have one whole. Raises ValueError where there is nothing of any.
    """
    top = strongest(steps)
    if top == 0:
        raise ValueError("steps of strength 0 have no whole")
    return [replace(step, strength=min(1.0, round(step.strength / top, _ROUNDED))) for step in steps]


def presence(steps: Iterable[Step]) -> float:
    """How much there is of what steps paste; what transfers do is added to the photo, and small by itself."""
    return strongest(step for step in steps if isinstance(step, ChangeClass | Blend))


def between(first: NDArray[np.uint8], second: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:  # [S,S,3]
    """The way from one picture to another: the first at 0, the second at 1."""
    out = np.empty_like(first)
    for c in range(first.shape[2]):  # one colour at a time: memory
        mixed = first[..., c].astype(np.float32)
        mixed += share * (second[..., c] - mixed)
        out[..., c] = np.rint(mixed, out=mixed)
    return out
