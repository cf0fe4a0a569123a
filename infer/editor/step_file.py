"""Steps as recipes say them: JSON with bounds, read back strictly."""

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field

from infer.editor.steps import Step
from infer.edits.choices import WHOLE_MASKS, Mode
from models.schema import FileName, Index, Real, Schema, Share, Text, Weight

_Layers = Annotated[tuple[Index, ...], Field(max_length=1000)] | None


class ChangeClassSaid(Schema):
    """`ChangeClass` in a recipe."""

    step: Literal["class"]
    to: Text
    region: FileName
    strength: Share
    layers: _Layers


class BlendSaid(Schema):
    """`Blend` in a recipe."""

    step: Literal["blend"]
    reference: Index
    region: FileName | None
    part: Text | None
    move: tuple[Real, Real]
    strength: Share
    layers: _Layers
    name: Text


class TransferSaid(Schema):
    """`Transfer` in a recipe."""

    step: Literal["transfer"]
    reference: Index
    part: Text
    mode: Mode
    epsilon: Weight | None
    rho: Weight
    lam: Weight
    per_layer: bool
    released: bool
    shift: bool


StepSaid = Annotated[ChangeClassSaid | BlendSaid | TransferSaid, Field(discriminator="step")]
_KINDS: dict[str, type[Step]] = {kind.kind: kind for kind in get_args(Step)}


def read_step(said: ChangeClassSaid | BlendSaid | TransferSaid, folder: Path) -> Step:
    """A step of a recipe in a folder, where the masks are."""
    told = said.model_dump(exclude={"step"})
    if told.get("region") not in (None, *WHOLE_MASKS):
        told["region"] = folder / told["region"]
    return _KINDS[said.step](**told)
