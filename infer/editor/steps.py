"""An edit is a list of steps: the class of one region, features of another, a part of a third. One pass does them all.

A step turns what goes through the generator, modulations and taps, into other modulations and taps (Suzuki et al.,
Fig. 2d). Later steps lie over earlier ones. Steps of one kind and the same layers that follow each other act together,
as the edits of `infer.edits` do with several regions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from itertools import groupby
from numbers import Real as Number
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from infer.catalog.catalog import Catalog
from infer.catalog.part_transfer import PartTransfer, part_modulations
from infer.editor.points import Point, Pointing, Sample
from infer.edits.choices import RHO, WHOLE_MASKS, Mode
from infer.edits.feature_blending import Shift, Stream, regions_tap
from infer.edits.query_transfer import Query
from infer.edits.scbn import Region, class_modulations, region_maps
from infer.photo.photo import Photo
from models.base import Generator, Layer, Modulation, Tap
from models.errors import PhotograftError
from models.samples import Samples
from models.schema import Flag, Index, Real, Text, Weight, check, short
from models.zoo import Model

RegionMask = str | Path | NDArray[Any]
Reference = Point | Pointing | Sample | Photo | Path | str | int
LayerIndices = Annotated[Sequence[Index], Field(max_length=1000)]


# ---------------------------------------------------------------------- what goes through the generator


@dataclass(frozen=True)
class Pass:
    """A picture on its way through the generator, and what steps have made of it so far.

    Attributes:
        generator: that makes it.
        latent, label, origin: see `models.samples.Samples`.
        modulations: one per modulated layer.
        taps: on its features, one after another.
    """

    generator: Generator
    latent: Tensor
    label: Tensor | None
    origin: Tensor | None
    modulations: Sequence[Modulation]
    taps: tuple[Tap, ...] = ()

    def image(self) -> Tensor:  # -> [N,3,R,R]
        """The picture in [-1,1]."""

        def tap(layer: Layer, features: Tensor) -> Tensor:
            return reduce(lambda found, one: one(layer, found), self.taps, features)

        return self.generator.synthesize(self.latent, self.modulations, tap if self.taps else None)


Change = Callable[[Pass], Pass]


@dataclass(frozen=True)
class Ground:
    """What steps stand on: the model, the generator that makes the picture, and its catalog if parts are named."""

    model: Model
    generator: Generator
    catalog: Catalog | None


# ---------------------------------------------------------------------- the steps


@dataclass(frozen=True, eq=False)
class _Step:
    """What all steps can: be compared, and be said as JSON."""

    kind: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """For a recipe: a region is auto, box or the file of a mask beside it, a reference its number in a list."""
        told = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "invert"}
        return {"step": self.kind} | {
            name: list(value) if isinstance(value, tuple) else value for name, value in told.items()
        }


@dataclass(frozen=True)
class ChangeClass(_Step):
    """A region becomes another class by sCBN (Suzuki et al., section 3.1).

    Attributes:
        to: class name.
        region: "auto" (the animal), "box" (the whole crop), a picture file of the photo's size, or an array [H,W],
            float in [0,1] or bool.
        strength: how much of the class, in [0,1].
        layers: indices of modulated layers; all if None. Early ones carry shape, late ones the coat.
        invert: change what the painted region leaves out.

    Raises:
        PhotograftError: a value that is no such thing, or a region to invert that is not painted.
    """

    to: str
    region: RegionMask = "auto"
    strength: float = 1.0
    layers: Sequence[int] | None = None
    invert: bool = False
    kind: ClassVar[str] = "class"

    def __post_init__(self) -> None:
        _check_strength(self.strength)
        _check_region(self.region, self.invert)
        object.__setattr__(self, "layers", _tuple_of(self.layers))

    @property
    def name(self) -> str:
        """For people."""
        return self.to

    def target(self, model: Model, area: Tensor) -> Region:
        """For the functions of `infer.edits.scbn`; area is [h,w] in [0,1]."""
        return Region(area, model.class_index(self.to), self.strength)

    @staticmethod
    def together(steps: Sequence["ChangeClass"], areas: Sequence[Tensor], ground: Ground) -> Change:
        """What these steps do to a pass."""
        regions = [step.target(ground.model, area) for step, area in zip(steps, areas, strict=True)]
        maps = region_maps(ground.generator, regions, steps[0].layers)

        def change(before: Pass) -> Pass:
            assert before.label is not None
            mixed = class_modulations(
                before.generator,
                before.latent,
                before.label,
                regions,
                origin=before.origin,
                base=before.modulations,
                maps=maps,
            )
            return replace(before, modulations=mixed)

        return change


@dataclass(frozen=True)
class Blend(_Step):
    """A region takes the features of a reference (Suzuki et al., section 3.2).

    What is carried over lies at the same place in the reference, and takes the colours of what is around it.

    Attributes:
        reference: a photo (path or `Photo`), a `Sample`, or an editor with either.
        region: see `ChangeClass`; or
        part: one of the catalog, where the picture has it.
        move: (x, y) in pixels of the model's picture by which the reference is moved first, to the right and down.
        strength: how much, in [0,1].
        layers: indices of feature layers; None: those up to 32 px.
        invert: see `ChangeClass`.
        name: what the region is called; None: as its part or file.

    Raises:
        PhotograftError: a value that is no such thing, neither region nor part, or both.
    """

    reference: Reference
    region: RegionMask | None = None
    part: str | None = None
    move: Shift = (0.0, 0.0)
    strength: float = 1.0
    layers: Sequence[int] | None = None
    invert: bool = False
    name: str | None = None
    kind: ClassVar[str] = "blend"

    def __post_init__(self) -> None:
        if (self.region is None) == (self.part is None):
            raise PhotograftError("say where to blend: a region or a part of the catalog, not both")
        _check_reference(self.reference)
        _check_strength(self.strength)
        if self.region is not None:
            _check_region(self.region, self.invert)
        check(Text | None, self.part, "part")
        object.__setattr__(self, "move", tuple(map(float, check(_Move, self.move, "move"))))
        object.__setattr__(self, "layers", _tuple_of(self.layers))
        if self.name is None:
            object.__setattr__(self, "name", self.part or _region_name(self.region))

    @staticmethod
    def together(steps: Sequence["Blend"], areas: Sequence[Tensor], ground: Ground) -> Change:
        """What these steps do to a pass; their references are points by now, areas are [R,R]."""
        tap = regions_tap(
            ground.generator,
            [_point(step).stream for step in steps],
            areas,
            strengths=[step.strength for step in steps],
            layers=steps[0].layers,
            shifts=[step.move for step in steps],
        )
        return lambda before: replace(before, taps=(*before.taps, tap))


@dataclass(frozen=True)
class Transfer(_Step):
    """A part takes its look from a reference by a query over the channels (Collins et al., section 3.2).

    Attributes:
        reference: see `Blend`.
        part: one of the catalog, by its name or the numbers of its clusters.
        mode, epsilon, rho, lam, per_layer, released: see `infer.edits.query_transfer.Query`.
        shift: carry shifts over too; the paper carries over scales alone.

    Raises:
        PhotograftError: a value that is no such thing.
    """

    reference: Reference
    part: str
    mode: Mode = "sequential"
    epsilon: float | None = None
    rho: float = RHO
    lam: float = 1.0
    per_layer: bool = False
    released: bool = False
    shift: bool = False
    layers: ClassVar[None] = None
    kind: ClassVar[str] = "transfer"

    def __post_init__(self) -> None:
        _check_reference(self.reference)
        check(Text, self.part, "part")
        for name, kind in _NUMBERS.items():
            check(kind, getattr(self, name), name)
        _ = self.query  # checks the rest

    @property
    def name(self) -> str:
        """For people."""
        return self.part

    @property
    def query(self) -> Query:
        """How channels are chosen."""
        return Query(self.mode, self.lam, self.epsilon, self.rho, self.per_layer, self.released)

    @staticmethod
    def together(steps: Sequence["Transfer"], areas: Sequence[Tensor], ground: Ground) -> Change:
        """What these steps do to a pass; their references are points by now. Where the parts are, channels decide."""
        assert ground.catalog is not None
        catalog = ground.catalog

        def change(before: Pass) -> Pass:
            modulations = before.modulations
            for step in steps:
                asked = [PartTransfer(step.part, _point(step).stream, step.query)]
                source = Stream(before.latent, modulations)
                modulations = part_modulations(catalog, source, asked, shift=step.shift)
            return replace(before, modulations=modulations)

        return change


Step = ChangeClass | Blend | Transfer


def check_classes(model: Model, steps: Sequence[Step]) -> None:
    """Raise PhotograftError for a class that the model does not have."""
    for step in steps:
        if isinstance(step, ChangeClass):
            model.class_index(step.to)


def in_layers(steps: Sequence[Step], layers: Sequence[int] | None) -> list[Step]:
    """The same with these layers for their classes; None: all."""
    return [replace(step, layers=layers) if isinstance(step, ChangeClass) else step for step in steps]


def referring(step: Step, reference: Point) -> Step:
    """A step with this reference; one that has none is left as it is."""
    return step if isinstance(step, ChangeClass) else replace(step, reference=reference)


def changes(steps: Sequence[Step], areas: Sequence[Tensor], ground: Ground) -> list[Change]:
    """What steps do to a pass, one after another.

    Args:
        steps: with points for references.
        areas: of each, [h,w] in [0,1] on the crop's square; [R,R] for a blend.
        ground: what they stand on.
    """
    pairs = zip(steps, areas, strict=True)
    found: list[Change] = []
    for (kind, _), group in groupby(pairs, lambda pair: (type(pair[0]), pair[0].layers)):
        together: Any = kind.together
        found.append(together(*zip(*group, strict=True), ground))
    return found


def passed(changes: Sequence[Change], ground: Ground, samples: Samples) -> Pass:
    """The one pass of samples, with all that is changed in it."""
    modulations = ground.generator.modulations(samples.latent, samples.label)
    start = Pass(ground.generator, samples.latent, samples.label, samples.origin, modulations)
    return reduce(lambda before, change: change(before), changes, start)


def _point(step: Blend | Transfer) -> Point:
    assert isinstance(step.reference, Point), step.reference
    return step.reference


# ---------------------------------------------------------------------- values


_Move = Annotated[Sequence[Real], Field(min_length=2, max_length=2)]
_NUMBERS: dict[str, Any] = {
    "mode": Mode,
    "epsilon": Weight | None,
    "rho": Weight,
    "lam": Weight,
    "per_layer": Flag,
    "released": Flag,
    "shift": Flag,
}


def _check_strength(strength: Any) -> None:
    real = isinstance(strength, Number) and not isinstance(strength, bool)
    if not real or not 0 <= strength <= 1:  # also false for NaN
        raise PhotograftError(f"strength must be in 0..1, not {short(strength)}")


def _check_region(region: Any, invert: bool) -> None:
    if not isinstance(region, str | Path | np.ndarray):
        raise PhotograftError(f"a mask is auto, box, a file or an array, not {short(region)}")
    if invert and isinstance(region, str) and region in WHOLE_MASKS:
        raise PhotograftError(f"mask {region!r} cannot be inverted: give a painted one")


def _check_reference(reference: Any) -> None:
    known = isinstance(reference, Point | Sample | Photo | Path | str | int) or hasattr(reference, "point")
    if not known or isinstance(reference, bool):
        raise PhotograftError(f"a reference is a photo, a Sample or an editor, not {short(reference)}")


def _region_name(region: RegionMask | None) -> str:
    return Path(region).stem if isinstance(region, str | Path) else "region"


def _tuple_of(layers: Any) -> tuple[int, ...] | None:
    if layers is None:
        return None
    return tuple(check(LayerIndices, tuple(layers[:1000]) if isinstance(layers, range) else layers, "layers"))
