"""Recipes of the versions before, when each command had a format of its own. They are read, and no longer written."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from infer.editor.point_file import ModelSaid, PhotoSaid, PictureSaid, ProjectionSaid, read_picture
from infer.editor.points import Projected, Sample
from infer.editor.recipe import KnownCatalog, Recipe
from infer.editor.steps import Blend, ChangeClass, Transfer
from infer.edits.choices import WHOLE_MASKS, Mode
from infer.photo.choices import Method
from models.errors import PhotograftError
from models.schema import FileName, Index, Name, PathText, Real, Schema, Seed, Settling, Share, Text, Weight, parse_json
from models.writing import path_of

_Layers = Annotated[tuple[Index, ...], Field(max_length=1000)] | None
_Files = Annotated[dict[Name, FileName], Field(max_length=100)]


class _Target(Schema):
    to: Text
    mask: FileName
    strength: Share


class _Edit(Schema):
    """The defaults are those of the time before an option was there."""

    targets: Annotated[tuple[_Target, ...], Field(max_length=100)] = ()
    layers: _Layers = None
    method: Method = "poisson"
    settle: Settling = 0
    segmenter: Text = "deeplab"
    lossless: bool = False


class _EditFile(Schema):
    photograft_recipe: int
    model: ModelSaid
    photo: PhotoSaid
    box: Text
    located_by: Text
    projection: ProjectionSaid
    edit: _Edit | None
    files: _Files


class _Picture(PictureSaid):
    """A photo, or a sample without its truncation, which was said once for all."""

    seed: Seed | None = None
    name: Text | None = Field(None, alias="class")


class _Catalog(Schema):
    file: PathText
    sha256: Text


class _BlendRegion(Schema):
    mask: PathText | None = None
    part: Text | None = None
    strength: Share
    move: tuple[Real, Real]
    reference: _Picture


class _TransferPart(Schema):
    part: Text
    clusters: Annotated[tuple[Index, ...], Field(min_length=1, max_length=1000)]
    reference: _Picture


class _Query(Schema):
    mode: Mode
    lam: Weight
    epsilon: Weight | None
    rho: Weight
    per_layer: bool
    released: bool


class _BlendFile(Schema):
    photograft_blend: int
    model: ModelSaid
    source: _Picture
    regions: Annotated[tuple[_BlendRegion, ...], Field(min_length=1, max_length=100)]
    catalog: _Catalog | None
    mask_invert: bool
    layers: _Layers
    truncation: Weight
    method: Method
    files: _Files


class _TransferFile(Schema):
    photograft_transfer: int
    model: ModelSaid
    source: _Picture
    parts: Annotated[tuple[_TransferPart, ...], Field(min_length=1, max_length=100)]
    catalog: _Catalog
    query: _Query
    shift: bool
    truncation: Weight
    method: Method
    files: _Files


def read(kind: str, text: str, folder: Path, where: str) -> Recipe:
    """A recipe of version 1.

    Args:
        kind: the key that holds the version: photograft_recipe, photograft_blend or photograft_transfer.
        text: the file.
        folder: where it lies, and files that belong to it.
        where: how errors begin.

    Raises:
        PhotograftError: damaged.
    """
    if kind == "photograft_recipe":
        return _edit(parse_json(_EditFile, text, where), folder)
    if kind == "photograft_blend":
        return _blend(parse_json(_BlendFile, text, where), folder)
    return _transfer(parse_json(_TransferFile, text, where), folder)


def _edit(content: _EditFile, folder: Path) -> Recipe:
    edit = content.edit or _Edit()
    said = PictureSaid(**{name: getattr(content, name) for name in ("photo", "box", "located_by", "projection")})
    steps = [
        ChangeClass(t.to, t.mask if t.mask in WHOLE_MASKS else folder / t.mask, t.strength, edit.layers)
        for t in edit.targets
    ]
    return Recipe(
        model=content.model.name,
        weights=content.model.sha256,
        source=read_picture(said, "", _delta(content.files, folder)),
        steps=tuple(steps),
        method=edit.method,
        settle=None if content.edit is None else edit.settle,
        segmenter=edit.segmenter,
        lossless=edit.lossless,
        files=_renamed(content.files),
    )


def _blend(content: _BlendFile, folder: Path) -> Recipe:
    pictures = [
        _picture(region.reference, f"regions.{i}.reference", content) for i, region in enumerate(content.regions)
    ]
    references, numbers = _listed(pictures)
    steps = []
    for region, number in zip(content.regions, numbers, strict=True):
        mask: str | Path | None = region.mask
        if mask is not None and mask != "box":
            mask = path_of(str(mask))
        invert = content.mask_invert and isinstance(mask, Path)
        steps.append(Blend(number, mask, region.part, region.move, region.strength, content.layers, invert))
    catalog = content.catalog
    known = None if catalog is None else KnownCatalog(path_of(catalog.file), catalog.sha256, {})
    return _recipe(content, folder, references, steps=tuple(steps), catalog=known)


def _transfer(content: _TransferFile, folder: Path) -> Recipe:
    pictures = [_picture(one.reference, f"parts.{i}.reference", content) for i, one in enumerate(content.parts)]
    references, numbers = _listed(pictures)
    query = content.query.model_dump()
    steps = [
        Transfer(number, part.part, shift=content.shift, **query)
        for part, number in zip(content.parts, numbers, strict=True)
    ]
    named = {part.part: part.clusters for part in content.parts}
    known = KnownCatalog(path_of(content.catalog.file), content.catalog.sha256, named)
    return _recipe(content, folder, references, steps=tuple(steps), catalog=known)


def _recipe(
    content: _BlendFile | _TransferFile, folder: Path, references: tuple[Projected | Sample, ...], **rest: Any
) -> Recipe:
    return Recipe(
        model=content.model.name,
        weights=content.model.sha256,
        source=_picture(content.source, "source", content, _delta(content.files, folder)),
        references=references,
        method=content.method,
        settle=0,
        lossless=Path(content.files.get("result", "")).suffix == ".png",
        files=_renamed(content.files),
        remarks=tuple(filter(None, map(_lost, references))),
        **rest,
    )


def _picture(
    said: _Picture, where: str, content: _BlendFile | _TransferFile, delta: Path | None = None
) -> Projected | Sample:
    if said.sample is not None or (said.seed is not None and said.photo is not None):
        raise PhotograftError(f"{where} must be a sample or a photo, not both")
    if said.seed is not None:
        return Sample(said.seed, said.name, content.truncation)
    return read_picture(said, where, delta)


def _listed(pictures: list[Projected | Sample]) -> tuple[tuple[Projected | Sample, ...], list[int]]:
    """Different pictures, and the number of each: one may serve several regions."""
    listed: list[Projected | Sample] = []
    for picture in pictures:
        if picture not in listed:
            listed.append(picture)
    return tuple(listed), [listed.index(picture) for picture in pictures]


def _lost(picture: Projected | Sample) -> str:
    """What that version did not keep of a reference: its delta."""
    if isinstance(picture, Sample):
        return ""
    settings = picture.settings
    noise = isinstance(picture.latent[0], tuple) and picture.iterations > 0 and settings.get("noise") is not False
    if not noise and not settings.get("tuning"):
        return ""
    return f"the recipe does not say what {picture.photo} changed in the generator: its parts may differ a little"


def _delta(files: dict[str, str], folder: Path) -> Path | None:
    return folder / files["delta"] if "delta" in files else None


def _renamed(files: dict[str, str]) -> dict[str, str]:
    """Names of kinds as they are now."""
    return {"result" if kind == "photo" else kind: name for kind, name in files.items()}
