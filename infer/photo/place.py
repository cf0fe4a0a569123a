"""What a caller says about the place of an edit: a square, or which of the heads that are found."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from infer.photo.box import Box
from infer.photo.location import FoundHead
from infer.photo.turning import normal
from models.errors import PhotograftError
from models.schema import short

Which = int | Literal["largest"] | None
"""A head by its number, the best being 1; the largest; None: the best by confidence, size and the animal's mask."""


RollSaid = float | Literal["auto", "off"]
"""How a head is turned."""


class NothingFound(PhotograftError):
    """No head is found in a photo, and nobody said to edit a guess."""


@dataclass(frozen=True)
class Place:
    """Where to edit photos.

    Attributes:
        box: the square; None: the head is found.
        which: of several heads.
        anywhere: where none is found, edit a guess instead of refusing.
        roll: degrees by which the head is turned clockwise; "auto": as far as it is seen to be; "off": not at all.
    """

    box: Box | None = None
    which: Which = None
    anywhere: bool = False
    roll: RollSaid = "auto"

    def __post_init__(self) -> None:
        if self.box is not None and not isinstance(self.box, Box):
            raise PhotograftError(f"a box is a Box(x, y, w, h), not {short(self.box)}")
        number = isinstance(self.which, int) and not isinstance(self.which, bool) and self.which >= 1
        if not (number or self.which in (None, "largest")):
            raise PhotograftError(f"which head is a number from 1 on, or largest, not {short(self.which)}")
        if self.roll != "auto" and self.roll != "off":
            normal(self.roll)
        if self.box is not None and self.which is not None:
            raise PhotograftError("--which chooses among the heads that are found: give it or --box, not both")

    @classmethod
    def parse(cls, box: str | None, which: str | None, anywhere: bool, roll: str = "auto") -> "Place":
        """From the command line: X,Y,W,H or auto, N or largest, and degrees, auto or off.

        Raises PhotograftError for another form.
        """
        square = None if box is None or box.strip() == "auto" else Box.parse(box)
        turned = _roll(roll)
        if which is None or which == "largest":
            return cls(square, which, anywhere, turned)  # type: ignore[arg-type]
        if which == "all":
            raise PhotograftError("--which all is not offered: give each head its number in a run of its own")
        if not re.fullmatch(r"[1-9]\d{0,2}", which):
            raise PhotograftError(f"--which takes the number of a head, from 1 on, or largest, not {which!r}")
        return cls(square, int(which), anywhere, turned)


def _roll(text: str) -> RollSaid:
    if text in ("auto", "off"):
        return text  # type: ignore[return-value]
    if not re.fullmatch(r"[-+]?\d{1,3}(\.\d{1,3})?", text):
        raise PhotograftError(f"--roll takes degrees clockwise, auto or off, not {short(text)}")
    return float(text)


def chosen_head(heads: Sequence[FoundHead], which: Which) -> int:
    """Index of the head that is meant, of one or more. Raises PhotograftError for a number that there is not."""
    if which == "largest":
        return max(range(len(heads)), key=lambda i: heads[i].box.w)
    if which is not None and which > len(heads):
        there = "one head is" if len(heads) == 1 else f"{len(heads)} heads are"
        raise PhotograftError(f"only {there} found, there is no --which {which}: {listed(heads)}")
    return 0 if which is None else which - 1


def listed(heads: Sequence[FoundHead]) -> str:
    """The heads with their numbers, squares and confidences, in words."""
    return ", ".join(f"{i} at {head}" for i, head in enumerate(heads, 1))
