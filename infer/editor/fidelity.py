"""Where a projection does not explain its photo: what an edit shows there is the generator's, not the photo's."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from infer.editor.regions import in_photo, painted
from infer.editor.session import Session
from infer.editor.steps import ChangeClass, Step
from infer.photo import masks
from infer.photo.masks import Mask
from models.layers.resampling import resize_pixels

LITTLE = 0.15


def unexplained(session: Session) -> NDArray[np.float32]:  # -> [R,R]
    """What of the photo's crop its projection, registered, does not explain, in [0,1]."""
    return 1 - session.registration().explained


def warn(session: Session, steps: Sequence[Step], areas: Sequence[Mask]) -> None:
    """Say of every region, once, if the projection explains little of it.

    Args:
        session: with a photo and its projection.
        steps, areas: resolved, see `infer.editor.regions.areas_of`.
    """
    explained = session.registration().explained
    for step, area in zip(steps, in_photo(session, steps, areas), strict=True):
        if isinstance(step, ChangeClass) and not painted(step) and step.region == "auto":
            area = masks.seen(session.segmented(), session.box, session.shape)  # of the animal alone
        weight = resize_pixels(area, *explained.shape)
        if weight.sum() < 1:
            continue
        found = float((weight * explained).sum() / weight.sum())
        if found < LITTLE:
            session.say_once(f"the projection explains little of {_name(step)} ({found:.2f}): expect it to change")


def _name(step: Step) -> str:
    if not isinstance(step, ChangeClass):
        return str(step.name)
    if painted(step):
        return f"what is painted as {step.to}"
    return "the animal" if step.region == "auto" else "the square"
