"""What a user asks for: which region of the photo shall become which class."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.photo import masks
from infer.photo.box import Box
from infer.photo.painted_mask import read_mask
from models.errors import PhotograftError
from models.schema import short
from models.terminal import Say
from models.zoo import Model

_ROUNDING = 1e-3  # beyond 0..1, of an area that was resized
WHOLE_MASKS = ("auto", "box")  # what a mask can be besides a file or an array


@dataclass(frozen=True)
class Target:
    """A region of the photo and the class that it shall become.

    Attributes:
        to: class name.
        mask: "auto" (the animal), "box" (the whole crop), a picture file of the photo's size, or an array [H,W], float
            in [0,1] or bool.
        strength: how much of the class, in [0,1].
        invert: edit what the painted mask leaves out.

    Raises:
        PhotograftError: a strength outside [0,1], or a mask to invert that is not painted.
    """

    to: str
    mask: str | Path | NDArray[Any] = "auto"
    strength: float = 1.0
    invert: bool = False

    def __post_init__(self) -> None:
        strength: Any = self.strength
        real = isinstance(strength, Real) and not isinstance(strength, bool)
        if not real or not 0 <= strength <= 1:  # also false for NaN
            raise PhotograftError(f"strength must be in 0..1, not {short(strength)}")
        if not isinstance(self.mask, str | Path | np.ndarray):
            raise PhotograftError(f"a mask is auto, box, a file or an array, not {short(self.mask)}")
        if self.invert and isinstance(self.mask, str) and self.mask in WHOLE_MASKS:
            raise PhotograftError(f"mask {self.mask!r} cannot be inverted: give a painted one")


def resolve(
    targets: Sequence[Target], model: Model, photo_shape: tuple[int, ...], box: Box, *, say: Say | None = None
) -> tuple[Target, ...]:
    """Check targets against the model and the photo: the model's own class names, masks as float32 [H,W].

    Args:
        targets: as they were asked for.
        model: whose classes count.
        photo_shape: (H, W, ...).
        box: the square that is edited.
        say: is told how mask files were understood.

    Raises:
        PhotograftError: unknown class; a mask that is unreadable, empty, of another size, or outside of the box.
    """
    given: Any = targets
    if not isinstance(given, Sequence) or not all(isinstance(target, Target) for target in given):
        raise PhotograftError(f"give a class or a list of targets, not {short(given)}")
    resolved = []
    for target in targets:
        name = model.class_names[model.class_index(target.to)]
        mask = target.mask
        if not (isinstance(mask, str) and mask in WHOLE_MASKS):
            mask = given_mask(mask, photo_shape, box, invert=target.invert, say=say)
        resolved.append(replace(target, to=name, mask=mask, invert=False))
    return tuple(resolved)


def given_mask(
    mask: str | Path | NDArray[Any],
    photo_shape: tuple[int, ...],
    box: Box,
    *,
    invert: bool = False,
    say: Say | None = None,
) -> masks.Mask:  # -> [H,W]
    """A painted mask of a photo, a file or an array, checked; what it leaves out, if it is to be inverted.

    Raises:
        PhotograftError: a mask that is unreadable, empty, of another size, or outside of the box.
    """
    if isinstance(mask, np.ndarray):
        whole = masks.painted(mask, photo_shape)
        whole = 1 - whole if invert else whole
    else:
        shape = (photo_shape[0], photo_shape[1])
        whole = masks.painted(read_mask(mask, shape, invert=invert, say=say), photo_shape)
    if not masks.cut(whole, box).any():
        what = "the mask" if isinstance(mask, np.ndarray) else f"mask {mask}"
        raise PhotograftError(f"{what} lies outside the edited square {box}: choose that with --box x,y,w,h")
    return whole


def check_paste(image: object, area: object, resolution: int) -> None:
    """Raise PhotograftError unless these are one picture of the resolution and a square area, see `Editor.paste`."""
    wanted = (1, 3, resolution, resolution)
    one = image if isinstance(image, Tensor) and tuple(image.shape) == wanted else None
    if one is None or not one.is_floating_point() or not bool(torch.isfinite(one).all()):
        found = list(image.shape) if isinstance(image, Tensor) else short(image)
        raise PhotograftError(f"the picture must be finite and {list(wanted)} in [-1,1], not {found}")
    square = isinstance(area, np.ndarray) and area.size > 0 and area.shape == (len(area),) * 2
    if not isinstance(area, np.ndarray) or not square or area.dtype.kind != "f":
        found = list(area.shape) if isinstance(area, np.ndarray) else short(area)
        raise PhotograftError(f"the area must be [r,r] in floats, not {found}")
    if not (area.min() >= -_ROUNDING and area.max() <= 1 + _ROUNDING):  # also false for NaN
        raise PhotograftError("the area's values must lie in 0..1")
