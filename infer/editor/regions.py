"""Where steps act: in the generator's picture, and where their result goes into the photo."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.editor.points import part_area
from infer.editor.session import CatalogFile, Session
from infer.editor.steps import Blend, ChangeClass, RegionMask, Step, Transfer
from infer.edits.choices import WHOLE_MASKS
from infer.edits.query_transfer import check_transfers
from infer.photo import masks
from infer.photo.box import Box, uncrop
from infer.photo.masks import Mask
from infer.photo.painted_mask import read_mask
from models.errors import PhotograftError, UnsupportedEdit
from models.layers.resampling import resize_pixels
from models.schema import short
from models.terminal import Say

SHOWN = 256  # px, of areas to be looked at


# ---------------------------------------------------------------------- what is asked for


def resolve(session: Session, steps: Sequence[Step]) -> tuple[Step, ...]:
    """Check steps against the model and the picture: the model's own class names, painted regions as float32 [H,W].

    Args:
        session: with a picture.
        steps: as they were asked for; references stay as they are.

    Raises:
        PhotograftError: no steps, an unknown class or part, a mask that is unreadable, empty, of another size, or
            outside of the box, a move that takes all of the reference away.
        UnsupportedEdit: steps that the model cannot take.
    """
    given: Any = steps
    if not isinstance(given, Sequence) or not all(isinstance(step, Step) for step in given):
        raise PhotograftError(f"give a class or a list of steps, not {short(given)}")
    if not steps:
        raise PhotograftError("no region was given: an edit needs at least one step")
    return tuple(_resolved(session, step) for step in steps)


def _resolved(session: Session, step: Step) -> Step:
    model = session.model
    check_parts(session, [step])
    if isinstance(step, Transfer):
        check_transfers(model.generator)
        return step
    if isinstance(step, ChangeClass):
        if not model.class_names:
            raise UnsupportedEdit(f"model {model.name} is unconditional: changing a class needs classes")
        step = replace(step, to=model.class_names[model.class_index(step.to)])
    elif not model.generator.feature_layers:
        raise UnsupportedEdit(f"model {model.name} has no feature layers: features cannot be blended")
    elif max(map(abs, step.move)) >= model.generator.resolution:
        x, y = step.move
        size = model.generator.resolution
        raise PhotograftError(f"a move by {x:g},{y:g} moves all of the reference away: its picture has {size} pixels")
    region = step.region
    if region is None or (isinstance(region, str) and region in WHOLE_MASKS):
        return step
    if isinstance(region, str | Path):
        session.inputs.append(Path(region))
    mask = given_mask(region, session.shape, session.box, invert=step.invert, say=session.say_once)
    return replace(step, region=mask, invert=False)


def check_parts(session: Session, steps: Sequence[Step]) -> None:
    """Raise PhotograftError for a part that no catalog of the session has; the picture need not be set yet."""
    for step in steps:
        if isinstance(step, Transfer | Blend) and step.part is not None:
            _need_catalog(session).catalog.clusters(step.part)


def _need_catalog(session: Session) -> CatalogFile:
    if session.catalog is None:
        raise PhotograftError("parts are those of a catalog: call set_catalog first")
    return session.catalog


def given_mask(
    mask: RegionMask, shape: tuple[int, ...], box: Box, *, invert: bool = False, say: Say | None = None
) -> Mask:  # -> [H,W]
    """A painted mask of a picture of this shape, a file or an array, checked; what it leaves out, if it is inverted.

    Raises:
        PhotograftError: a mask that is unreadable, empty, of another size, or outside of the box.
    """
    if isinstance(mask, np.ndarray):
        whole = masks.painted(mask, shape)
        whole = 1 - whole if invert else whole
    else:
        whole = masks.painted(read_mask(mask, (shape[0], shape[1]), invert=invert, say=say), shape)
    if not masks.cut(whole, box).any():
        what = "the mask" if isinstance(mask, np.ndarray) else f"mask {mask}"
        raise PhotograftError(f"{what} lies outside the edited square {box}: choose that with --box x,y,w,h")
    return whole


# ---------------------------------------------------------------------- in the generator's picture


def areas_of(session: Session, steps: Sequence[Step]) -> list[Mask]:
    """Where resolved steps act on the crop's square, [s,s] of any size each.

    Raises:
        PhotograftError: the picture does not have a part that shall be blended.
    """
    return [_area(session, step) for step in steps]


def _area(session: Session, step: Step) -> Mask:
    if isinstance(step, Transfer) or (isinstance(step, Blend) and step.part is not None):
        assert step.part is not None
        catalog = _need_catalog(session).catalog
        area = part_area(catalog, session.generator, session.samples(), step.part)
        if isinstance(step, Blend) and not area.any():
            what = f"the source has no {step.part}"
            raise PhotograftError(f"{what}: choose another part, or paint the region (--mask FILE)")
        return area
    side = masks.working_side(session.box)
    if isinstance(step.region, np.ndarray):
        area = masks.cut(step.region, session.box)
        return resize_pixels(area, side, side).clip(0, 1) if isinstance(step, ChangeClass) else area
    if step.region == "auto":
        return masks.to_change(masks.seen(session.segmented(), session.box, session.shape))
    return np.ones((side, side), np.float32)


def for_generator(session: Session, steps: Sequence[Step], areas: Sequence[Mask]) -> list[Tensor]:
    """Areas as the steps take them: those of blends at the generator's size, [R,R]."""
    size = session.model.generator.resolution
    sized = [_resized(area, size) if isinstance(step, Blend) else area for step, area in zip(steps, areas, strict=True)]
    return [torch.from_numpy(area) for area in sized]


def _resized(area: Mask, size: int) -> Mask:
    way = cv2.INTER_AREA if area.shape[0] > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(area, (size, size), interpolation=way), np.float32).clip(0, 1)


# ---------------------------------------------------------------------- in the photo


def paste_masks(
    session: Session, steps: Sequence[Step], areas: Sequence[Mask], patch: NDArray[np.uint8]
) -> tuple[Mask | None, Mask | None, tuple[Mask, ...]]:
    """Where the result of resolved steps goes into the photo.

    Args:
        session: with a photo.
        steps, areas: see `areas_of`.
        patch: uint8 [S,S,3], the edited crop at the photo's scale.

    Returns:
        Where the patch is pasted and where only what it changes is added, [S,S] or None, and what of both is each
        step's, `SHOWN` px at most.
    """
    pasted: list[Mask] = []
    classes = [step for step in steps if isinstance(step, ChangeClass)]
    own = [_class_mask(session, step, patch) for step in classes]
    shown = {id(step): _shown(area) for step, area in zip(classes, own, strict=True)}
    if own:
        pasted.append(reduce(lambda first, second: np.maximum(first, second, out=first), own))
        if not pasted[0].any():
            session.say("no animal is found in the square: the whole square is pasted")
            pasted[0] = masks.fade_to_border(session.box, session.shape)
    shown |= {id(step): _shown(area) for step, area in zip(steps, areas, strict=True) if id(step) not in shown}
    by_kind = [
        [area for step, area in zip(steps, areas, strict=True) if isinstance(step, kind)] for kind in (Blend, Transfer)
    ]
    blended, added = (faded(session, _union(kind)) if kind else None for kind in by_kind)
    pasted += [] if blended is None else [blended]
    return reduce(np.maximum, pasted) if pasted else None, added, tuple(shown[id(step)] for step in steps)


def shown_areas(areas: Sequence[Mask]) -> tuple[Mask, ...]:
    """Areas to be looked at, `SHOWN` px at most."""
    return tuple(map(_shown, areas))


def faded(session: Session, area: Mask) -> Mask:  # [r,r] -> [S,S]
    """An area of the square in the photo, fading out at those of the square's sides that lie inside it."""
    mask = uncrop(area, session.box, session.shape)[0].clip(0, 1)
    mask *= masks.fade_to_border(session.box, session.shape)
    return np.asarray(mask, np.float32)


def _union(areas: Sequence[Mask]) -> Mask:
    """Where any area is, at the largest one's size."""
    size = max(area.shape[0] for area in areas)
    return np.maximum.reduce([_resized(area, size) for area in areas])


def _shown(area: Mask) -> Mask:
    side = min(SHOWN, len(area))
    return resize_pixels(area, side, side).clip(0, 1)


def _class_mask(session: Session, step: ChangeClass, patch: NDArray[np.uint8]) -> Mask:  # -> [S,S]
    """Where the patch goes into the photo for one class."""
    box, shape = session.box, session.shape
    if isinstance(step.region, np.ndarray):
        if masks.reaches_out(step.region, box):
            session.say(f"the mask reaches out of the edited square {box}: only the part inside is edited")
        return masks.to_paste(step.region, box)
    if step.region == "auto":
        side = masks.working_side(box)
        frame = max(1, side // 16)  # GrabCut needs some background around the animal
        within = Box(frame, frame, side - 2 * frame, side - 2 * frame)
        return masks.automatic(session.segmented(), patch, box, shape, partial(session.segment, box=within))
    return masks.fade_to_border(box, shape)
