"""Where steps act in the generator's picture."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from infer.editor.points import part_area
from infer.editor.session import CatalogFile, Session
from infer.editor.steps import Blend, ChangeClass, RegionMask, Step, Transfer
from infer.edits.choices import WHOLE_MASKS
from infer.edits.query_transfer import check_transfers
from infer.photo import masks
from infer.photo.masks import Mask
from infer.photo.painted_mask import read_mask
from models.errors import PhotograftError, UnsupportedEdit
from models.layers.resampling import resize_pixels
from models.schema import short
from models.terminal import Say

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
    photo = session.photo
    shape = session.shape if photo is None else photo.pixels.shape
    mask = given_mask(region, shape, invert=step.invert, say=session.say_once)
    if not masks.cut(session.carried(mask), session.box).any():
        what = "the mask" if isinstance(region, np.ndarray) else f"mask {region}"
        raise PhotograftError(f"{what} lies outside the edited square {session.placed}: choose that with --box x,y,w,h")
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
    mask: RegionMask, shape: tuple[int, ...], *, invert: bool = False, say: Say | None = None
) -> Mask:  # -> [H,W]
    """A painted mask of a picture of this shape, a file or an array, checked; what it leaves out, if it is inverted.

    Raises:
        PhotograftError: a mask that is unreadable, empty, or of another size.
    """
    if isinstance(mask, np.ndarray):
        whole = masks.painted(mask, shape)
        return 1 - whole if invert else whole
    return masks.painted(read_mask(mask, (shape[0], shape[1]), invert=invert, say=say), shape)


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
        area = masks.cut(session.carried(step.region), session.box)
        return resize_pixels(area, side, side).clip(0, 1) if isinstance(step, ChangeClass) else area
    if step.region == "auto":
        return masks.to_change(masks.seen(session.segmented(), session.box, session.shape))
    return np.ones((side, side), np.float32)


def for_generator(
    session: Session, steps: Sequence[Step], areas: Sequence[Mask], *, registered: bool = False
) -> list[Tensor]:
    """Areas as the steps take them: those of blends at the generator's size, [R,R].

    Registered, what was painted on the photo is where the reconstruction shows it: an eye on its eye.
    """
    size = session.model.generator.resolution
    sized = [resized(area, size) if isinstance(step, Blend) else area for step, area in zip(steps, areas, strict=True)]
    if registered and session.sample is None:
        move = session.registration().to_generator
        sized = [move(area) if painted(step) else area for step, area in zip(steps, sized, strict=True)]
    return [torch.from_numpy(area) for area in sized]


def in_photo(session: Session, steps: Sequence[Step], areas: Sequence[Mask]) -> list[Mask]:
    """Areas where the photo shows what they are of: parts were found in the reconstruction."""
    move = session.registration().to_photo
    return [move(area) if _of_a_part(step) else area for step, area in zip(steps, areas, strict=True)]


def painted(step: Step) -> bool:
    """Whether a resolved step's region was painted on the picture."""
    return isinstance(step, ChangeClass | Blend) and isinstance(step.region, np.ndarray)


def local(step: Step) -> bool:
    """Whether a resolved step changes a painted region or a part, and not all of the animal or of the square."""
    return painted(step) or _of_a_part(step)


def _of_a_part(step: Step) -> bool:
    return isinstance(step, Transfer) or (isinstance(step, Blend) and step.part is not None)


def resized(area: Mask, size: int) -> Mask:  # -> [size,size]
    """An area at another size."""
    way = cv2.INTER_AREA if area.shape[0] > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(area, (size, size), interpolation=way), np.float32).clip(0, 1)


def part_on_photo(session: Session, part: str, size: tuple[int, int]) -> Mask:  # -> [h,w]
    """Where the photo has a part of the catalog, as a mask of the whole photo at another size.

    Args:
        session: with a photo, its projection and a catalog.
        part: its name.
        size: height and width of the mask.

    Raises:
        PhotograftError: an unknown part, or one that the picture does not have.
    """
    assert session.photo is not None
    found = part_area(_need_catalog(session).catalog, session.generator, session.samples(), part)
    area = session.registration().to_photo(found)
    if not area.any():
        raise PhotograftError(f"the photo has no {part}: choose another part, or paint the region")
    box, height, width = session.box.square(), *session.photo.pixels.shape[:2]
    step = box.w / len(area)  # pixels' indices are their centres
    matrix = np.array([[step, 0, box.x + step / 2 - 0.5], [0, step, box.y + step / 2 - 0.5]])
    if session.upright is not None:
        turn = session.upright.matrix
        matrix = turn[:, :2] @ matrix + np.array([[0, 0, 1]]) * turn[:, 2:]
    across, down = size[1] / width, size[0] / height
    matrix = np.array([[across], [down]]) * matrix
    matrix[:, 2] += across / 2 - 0.5, down / 2 - 0.5
    flags = cv2.INTER_LINEAR if step * across >= 1 else cv2.INTER_AREA
    return np.asarray(cv2.warpAffine(area, matrix, size[::-1], flags=flags), np.float32).clip(0, 1)
