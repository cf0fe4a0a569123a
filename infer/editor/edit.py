"""One edit of a picture: what was asked for, what the generator made, and what of it went into the photo."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from infer.editor.steps import Step
from infer.edits.choices import Scale
from infer.photo.choices import Finish, Method


@dataclass(frozen=True)
class Paste:
    """Pixels for the square of a photo.

    Attributes:
        patch: uint8 [S,S,3], at the photo's scale.
        mask: float [S,S] in [0,1], where they go.
        change: the patch is the photo's own with what an edit changes in its reconstruction.
        background: the patch is the photo's own with background where an old head would show beside the new one.
        joined: [s,s] in [0,1], where photo and patch show one body, for grafting; None: everywhere.
        at: (x, y) of the corner of pixels that are not for the square but for the body around it; patch and mask are of
            another size then.
    """

    patch: NDArray[np.uint8]
    mask: NDArray[np.floating]
    change: bool = False
    background: bool = False
    joined: NDArray[np.float32] | None = None
    at: tuple[int, int] | None = None


@dataclass(frozen=True)
class Edit:
    """One edit of the current picture.

    Attributes:
        steps: what was asked for, with the model's class names; painted regions as float32 [H,W], references as points.
        areas: where each step acts, float32 [s,s] on the square, to be looked at.
        method: of compositing.
        settle: updates of the latent for this edit.
        finish: how what is pasted was sharpened.
        image: uint8 [R,R,3], what the generator made.
        pastes: what goes into the photo, one over the other; none for a sample.
        pixels: uint8 [H,W,3], the edited photo, or the sample.
        scale: what the steps' strengths measure, see `infer.editor.editor.Editor.edit`.
        registered: whether painted regions and changes were carried between photo and reconstruction.
        recolour_body: whether the rest of the animal takes the colours of its new head.
    """

    steps: tuple[Step, ...]
    areas: tuple[NDArray[np.float32], ...]
    method: Method
    settle: int
    image: NDArray[np.uint8]
    pastes: tuple[Paste, ...]
    pixels: NDArray[np.uint8]
    finish: Finish = "off"
    scale: Scale = "photo"
    registered: bool = False
    recolour_body: bool = False

    @property
    def body(self) -> Paste | None:
        """What was recoloured beside the new head; all else that was pasted lies in the square."""
        return next((paste for paste in self.pastes if paste.at is not None), None)

    @property
    def patch(self) -> NDArray[np.uint8]:  # -> [S,S,3]
        """The edited crop at the photo's scale, as it was pasted last; where nothing is, what the generator made."""
        return self.pastes[-1].patch if self.pastes else self.image

    @property
    def mask(self) -> NDArray[np.float32]:  # -> [S,S]
        """Where anything was pasted into the square; `body` goes beyond."""
        whole = np.ones(self.image.shape[:2], np.float32)
        found = [paste.mask for paste in self.pastes if paste.at is None]
        return reduce(np.maximum, found) if found else whole
