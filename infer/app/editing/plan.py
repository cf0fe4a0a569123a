"""What a person has asked for on the page: regions in their order, each what becomes of it; and the way back."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import cv2
import numpy as np

from infer.editor.points import Sample
from infer.edits.choices import Mode, Scale
from infer.photo.choices import DEFAULT_FINISH, Finish, Method
from infer.photo.masks import Mask

Kind = Literal["class", "blend", "transfer"]
ANIMAL, SQUARE, PAINTED = "the animal", "the whole square", "painted"
WHERE = {ANIMAL: "auto", SQUARE: "box"}
"""Regions that steps know by a word; `PAINTED`, and the parts of a catalog, are masks."""
OF_RECIPES = ("method", "finish", "recolour_body", "settle", "scale", "registered")
"""What plans and recipes say alike."""
_MOST, _TOGETHER = 100, 1.0  # steps back; seconds within which changes of one control are one step


@dataclass(frozen=True, eq=False)
class Region:
    """One region and what becomes of it.

    Attributes:
        key: its number, for as long as it is there; its colour too.
        kind: another class, features of a reference, or a part's look from a reference.
        to: the class; "" where none is chosen yet.
        where: ANIMAL, SQUARE, PAINTED, or a part of the catalog.
        mask: float32 [h,w] in [0,1] of the whole photo, of any size; None where nothing is painted.
        feather: by how much the mask is softened, as a share of the photo's longer side.
        strength, layers: see `infer.editor.steps`; layers as people write them.
        reference: a sample, or the number of another photo of the page.
        move, mode: of blends, and of transfers.
        on: whether it counts.
        stamp: names the mask: a browser that has painted it knows it already.
    """

    key: int
    kind: Kind = "class"
    to: str = ""
    where: str = ANIMAL
    mask: Mask | None = None
    feather: float = 0.01
    strength: float = 1.0
    layers: str = ""
    reference: Sample | int | None = None
    move: tuple[float, float] = (0.0, 0.0)
    mode: Mode = "sequential"
    on: bool = True
    stamp: str = ""

    @cached_property
    def soft(self) -> Mask | None:
        """The mask with its feather."""
        if self.mask is None or self.feather <= 0:
            return self.mask
        sigma = self.feather * max(self.mask.shape)
        return np.asarray(cv2.GaussianBlur(self.mask, (0, 0), sigma), np.float32).clip(0, 1)

    @property
    def title(self) -> str:
        """For people."""
        what = {"class": self.to or "choose a class", "blend": "blend", "transfer": f"{self.mode} transfer"}[self.kind]
        amount = "" if self.strength == 1 or self.kind == "transfer" else f" ({self.strength:g})"
        return f"{what}{amount}: {self.where}"


@dataclass(frozen=True, eq=False)
class Plan:
    """All regions, the later ones over the earlier ones, and how they go into the photo (see `Editor.edit`).

    settle, scale and registered have no controls: they are those of a recipe that was opened.
    """

    regions: tuple[Region, ...] = (Region(1),)
    chosen: int = 1
    method: Method | None = None
    finish: Finish = DEFAULT_FINISH
    recolour_body: bool | None = None
    settle: int | None = None
    scale: Scale = "photo"
    registered: bool = True

    @property
    def region(self) -> Region:
        """The chosen one."""
        return next(region for region in self.regions if region.key == self.chosen)

    def changed(self, **values: Any) -> "Plan":
        """With other values of the chosen region."""
        found = tuple(replace(one, **values) if one.key == self.chosen else one for one in self.regions)
        return replace(self, regions=found)

    def toggled(self, key: int) -> "Plan":
        """With a region switched on or off."""
        found = tuple(replace(one, on=not one.on) if one.key == key else one for one in self.regions)
        return replace(self, regions=found)

    def added(self) -> "Plan":
        """With one more region, which is chosen."""
        key = max(one.key for one in self.regions) + 1
        return replace(self, regions=(*self.regions, Region(key)), chosen=key)

    def without(self, key: int) -> "Plan":
        """Without a region; of the last one a new one is left."""
        kept = tuple(one for one in self.regions if one.key != key) or (Region(key + 1),)
        chosen = self.chosen if any(one.key == self.chosen for one in kept) else kept[-1].key
        return replace(self, regions=kept, chosen=chosen)

    def moved(self, key: int, by: int) -> "Plan":
        """With a region so many places later, where there are that many."""
        order = list(self.regions)
        at = next(i for i, one in enumerate(order) if one.key == key)
        to = min(max(at + by, 0), len(order) - 1)
        order.insert(to, order.pop(at))
        return replace(self, regions=tuple(order))


@dataclass
class History:
    """Plans one after another, with the way back and forth; bounded."""

    plans: list[Plan] = field(default_factory=lambda: [Plan()])
    at: int = 0
    clock: Callable[[], float] = time.monotonic
    _last: tuple[str, float] = ("", 0.0)

    @property
    def now(self) -> Plan:
        """The plan that counts."""
        return self.plans[self.at]

    def add(self, plan: Plan, what: str) -> None:
        """One step; of one control that is being dragged, all of it is one step.

        Args:
            plan: from now on.
            what: names the control and its region; "": none that is dragged.
        """
        moment = self.clock()
        if what and what == self._last[0] and moment - self._last[1] < _TOGETHER and self.at:
            self.plans[self.at :] = [plan]
        else:
            self.plans[self.at + 1 :] = [plan]
            self.plans = self.plans[-_MOST:]
            self.at = len(self.plans) - 1
        self._last = (what, moment)

    def go(self, by: int) -> bool:
        """Steps back (-1) or forth (1); False where there is none."""
        to = self.at + by
        if not 0 <= to < len(self.plans):
            return False
        self.at, self._last = to, ("", 0.0)
        return True
