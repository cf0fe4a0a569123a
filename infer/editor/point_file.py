"""Pictures as recipes say them: a sample by its seed, a photo by its pixels and where its projection ended."""

from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from infer.editor.points import Projected, Sample, plain
from infer.photo.box import Box
from infer.photo.location import FoundHead
from models.errors import PhotograftError
from models.schema import Name, PathText, Real, Schema, Seed, Share, Steps, Text, Weight
from models.writing import path_of

_Numbers = Annotated[tuple[Real, ...], Field(min_length=1, max_length=2**16, fail_fast=True)]
_Rows = Annotated[tuple[_Numbers, ...], Field(min_length=1, max_length=64, fail_fast=True)]
_Mixture = Annotated[dict[Text, Annotated[float, Field(gt=0, le=1)]], Field(min_length=1, max_length=1000)]
_Side = Annotated[int, Field(ge=1, le=2**20)]


class ModelSaid(Schema):
    """The model of a recipe."""

    name: PathText
    sha256: Text


class PhotoSaid(Schema):
    """A photo's file and pixels."""

    path: PathText | None
    pixels_sha256: Text
    size: tuple[_Side, _Side]


class ProjectionSaid(Schema):
    """Where a projection ended."""

    source: Text | _Mixture | None
    loss: Real | None
    iterations: Steps
    settings: Annotated[dict[Name, bool | int | Real | Text], Field(max_length=100)]
    z: _Numbers | None = None
    w: _Rows | None = Field(None, alias="w+")
    origin: _Numbers | None = None


class SampleSaid(Schema):
    """A sample of the prior."""

    seed: Seed
    name: Text | None = Field(alias="class")
    truncation: Weight


class HeadSaid(Schema):
    """One of several heads."""

    box: Text
    confidence: Share


class PictureSaid(Schema):
    """Either kind of picture."""

    photo: PhotoSaid | None = None
    box: Text | None = None
    roll: Annotated[float, Field(gt=-180, le=180)] = 0.0
    located_by: Text | None = None
    confidence: Share | None = None
    heads: Annotated[tuple[HeadSaid, ...], Field(max_length=300)] = ()
    projection: ProjectionSaid | None = None
    sample: SampleSaid | None = None


def read_picture(said: PictureSaid, where: str, delta: Path | None) -> Projected | Sample:
    """A picture; `where` it is in the recipe, and the file of its delta.

    Raises:
        PhotograftError: parts of it are missing, or it is of both kinds.
    """
    photo, found = said.photo, said.projection
    if said.sample is not None:
        if said.model_fields_set != {"sample"} or delta is not None:
            raise PhotograftError(f"{where} must be a sample or a photo, not both")
        return Sample(said.sample.seed, said.sample.name, said.sample.truncation)
    for name in ("photo", "box", "located_by", "projection"):
        if getattr(said, name) is None:
            raise PhotograftError(f"{where}.{name} is missing".removeprefix("."))
    assert photo is not None and found is not None and said.box is not None and said.located_by is not None
    latent = found.z if found.w is None else found.w
    if latent is None or None not in (found.z, found.w):
        raise PhotograftError("projection needs z or w+, and not both")
    if found.w is not None and len({len(row) for row in found.w}) != 1:
        raise PhotograftError("the rows of w+ must be of one length")
    return Projected(
        photo=None if photo.path is None else path_of(photo.path),
        pixels=photo.pixels_sha256,
        size=photo.size,
        box=Box.parse(said.box),
        roll=said.roll,
        located=said.located_by,
        confidence=said.confidence,
        heads=tuple(FoundHead(Box.parse(head.box), head.confidence) for head in said.heads),
        class_name=found.source,
        latent=plain(torch.tensor(latent)),
        origin=found.origin,
        delta=delta,
        loss=found.loss,
        iterations=found.iterations,
        settings=found.settings,
    )
