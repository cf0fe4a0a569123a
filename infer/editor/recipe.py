"""Recipes: everything that is needed to do an edit again, or another one, without projecting. Plain JSON.

A recipe belongs to one photo (by its pixels) and one generator (by the hash of its file). One without targets is what
`infer.py project` writes: a projection to start from.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from torch import Tensor

from infer.editor.session import Edit, Session
from infer.editor.targets import WHOLE_MASKS, Target
from infer.photo.box import Box
from infer.photo.choices import DEFAULT_METHOD, Method
from models.errors import PhotograftError
from models.reading import read_text
from models.schema import FileName, Index, Name, PathText, Real, Schema, Settling, Share, Steps, Text, parse_json, short
from models.writing import path_of, path_text

RECIPE_VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """What was done to one photo.

    Attributes:
        model, weights: name of the model, sha256 of its generator's file.
        photo, pixels, size: path (None: an array), sha256 of the upright RGB pixels, (width, height).
        box, located: the square that was edited, and how it was found.
        source: class of the crop; None if the model is unconditional.
        latent: of the crop, z of latent_dim values or w+ of num_ws rows; origin: the z that w+ came from, if known.
        delta: file of what the photo changes in the generator, see `infer.projection.delta.Delta`; None for nothing.
        loss, iterations, settings: of the projection.
        targets: of the edit; masks are "auto", "box" or files. Empty for a projection alone.
        layers, method, segmenter, lossless: of the edit. A segmenter of the caller's own is named by its type.
        settle: of the edit; None without one.
        files: what was written, by kind.
    """

    model: str
    weights: str
    photo: Path | None
    pixels: str
    size: tuple[int, int]
    box: Box
    located: str
    source: str | None
    latent: tuple[float, ...] | tuple[tuple[float, ...], ...]
    loss: float | None
    iterations: int
    settings: dict[str, Any]
    targets: tuple[Target, ...] = ()
    layers: tuple[int, ...] | None = None
    method: Method = DEFAULT_METHOD
    settle: int | None = None
    segmenter: str = "deeplab"
    lossless: bool = False
    origin: tuple[float, ...] | None = None
    delta: Path | None = None
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, session: Session, edit: Edit | None = None, **rest: Any) -> "Recipe":
        """The recipe of an session's projection and, if given, of an edit; rest: targets, lossless, files.

        The session's delta is the caller's to write, under the name files["delta"] beside the recipe.
        """
        assert session.photo is not None and session.projection is not None
        photo, found, loss = session.photo, session.projection, float(session.projection.loss)
        if edit is not None:
            rest = {"targets": edit.targets, "layers": edit.layers, "method": edit.method, "settle": edit.settle} | rest
        return cls(
            model=session.model.name,
            weights=session.model.fingerprint,
            photo=None if photo.path is None else photo.path.absolute(),
            pixels=pixels_hash(photo.pixels),
            size=(photo.pixels.shape[1], photo.pixels.shape[0]),
            box=session.box,
            located=session.located,
            source=session.class_name,
            latent=_plain(found.latent[0]),
            origin=None if found.origin is None or found.origin.isnan().any() else tuple(found.origin[0].tolist()),
            loss=loss if np.isfinite(loss) else None,
            iterations=int(found.iterations),
            settings=session.settings,
            segmenter=session.segmenter if isinstance(session.segmenter, str) else type(session.segmenter).__name__,
            **rest,
        )

    def to_json(self) -> str:
        """As text; the order of keys is fixed, so equal recipes are equal text."""
        edit = {
            "targets": [{"to": t.to, "mask": str(t.mask), "strength": t.strength} for t in self.targets],
            "layers": None if self.layers is None else list(self.layers),
            "method": self.method,
            "settle": self.settle,
            "segmenter": self.segmenter,
            "lossless": self.lossless,
        }
        content = {
            "photograft_recipe": RECIPE_VERSION,
            "model": {"name": self.model, "sha256": self.weights},
            "photo": {
                "path": None if self.photo is None else path_text(self.photo),
                "pixels_sha256": self.pixels,
                "size": list(self.size),
            },
            "box": str(self.box),
            "located_by": self.located,
            "projection": {
                "source": self.source,
                "loss": self.loss,
                "iterations": self.iterations,
                "settings": self.settings,
                **self._latent(),
            },
            "edit": edit if self.targets else None,
            "files": self.files,
        }
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    def _latent(self) -> dict[str, Any]:
        """z as it is; w+ under a key of its own, with its origin."""
        if isinstance(self.latent[0], float):
            return {"z": list(self.latent)}
        return {"w+": self.latent, "origin": self.origin}


def _plain(latent: Tensor) -> Any:
    """A tensor's numbers as nested tuples."""
    return tuple(map(_plain, latent)) if latent.ndim > 1 else tuple(latent.tolist())


def pixels_hash(pixels: NDArray[np.uint8]) -> str:  # [H,W,3]
    """sha256 of size and pixels: the same however the file is packed."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


# ---------------------------------------------------------------------- the file

_Numbers = Annotated[tuple[Real, ...], Field(min_length=1, max_length=2**16, fail_fast=True)]
_Rows = Annotated[tuple[_Numbers, ...], Field(min_length=1, max_length=64, fail_fast=True)]
_Side = Annotated[int, Field(ge=1, le=2**20)]


class _Version(BaseModel):
    photograft_recipe: Any


class _Model(Schema):
    name: PathText
    sha256: Text


class _Photo(Schema):
    path: PathText | None
    pixels_sha256: Text
    size: tuple[_Side, _Side]


class _Found(Schema):
    source: Text | None
    loss: Real | None
    iterations: Steps
    settings: Annotated[dict[Name, bool | int | Real | Text], Field(max_length=100)]
    z: _Numbers | None = None
    w: _Rows | None = Field(None, alias="w+")
    origin: _Numbers | None = None


class _Region(Schema):
    to: Text
    mask: FileName
    strength: Share


class _Edit(Schema):
    """The defaults are those of the time before an option was there."""

    targets: Annotated[tuple[_Region, ...], Field(max_length=100)] = ()
    layers: Annotated[tuple[Index, ...], Field(max_length=1000)] | None = None
    method: Method = "poisson"
    settle: Settling = 0
    segmenter: Text = "deeplab"
    lossless: bool = False


class _File(Schema):
    photograft_recipe: int
    model: _Model
    photo: _Photo
    box: Text
    located_by: Text
    projection: _Found
    edit: _Edit | None
    files: Annotated[dict[Name, FileName], Field(max_length=100)]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; files of masks are looked for beside it.

    Raises:
        PhotograftError: missing, not a recipe, of another version, or damaged.
    """
    text = read_text(path, "recipe")
    try:
        version = parse_json(_Version, text, "").photograft_recipe
    except PhotograftError as error:
        raise PhotograftError(f"{path} is not a recipe: give a .json that `edit` or `project` wrote") from error
    if version != RECIPE_VERSION:
        raise PhotograftError(f"{path} is a recipe of version {short(version)}, this program reads {RECIPE_VERSION}")
    where = f"recipe {path} is damaged"
    content: _File = parse_json(_File, text, where)
    try:
        return _recipe(content, path.absolute().parent)
    except PhotograftError as error:
        raise PhotograftError(f"{where}: {error}") from error


def _recipe(content: _File, folder: Path) -> Recipe:
    found, edit, delta = content.projection, content.edit or _Edit(), content.files.get("delta")
    latent = found.z if found.w is None else found.w
    if latent is None or None not in (found.z, found.w):
        raise PhotograftError("projection needs z or w+, and not both")
    targets = [Target(t.to, t.mask if t.mask in WHOLE_MASKS else folder / t.mask, t.strength) for t in edit.targets]
    return Recipe(
        model=content.model.name,
        weights=content.model.sha256,
        photo=None if content.photo.path is None else path_of(content.photo.path),
        pixels=content.photo.pixels_sha256,
        size=content.photo.size,
        box=Box.parse(content.box),
        located=content.located_by,
        source=found.source,
        latent=_plain(torch.tensor(latent)),
        origin=found.origin,
        delta=None if delta is None else folder / delta,
        loss=found.loss,
        iterations=found.iterations,
        settings=found.settings,
        targets=tuple(targets),
        layers=edit.layers,
        method=edit.method,
        settle=None if content.edit is None else edit.settle,
        segmenter=edit.segmenter,
        lossless=edit.lossless,
        files=content.files,
    )
