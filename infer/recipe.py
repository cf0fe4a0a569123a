"""Recipes: everything that is needed to do an edit again, or another one, without projecting. Plain JSON.

A recipe belongs to one photo (by its pixels) and one generator (by the hash of its file). One without targets is what
`infer.py project` writes: a projection to start from.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.compositing import DEFAULT_METHOD, Method
from infer.delta import load_delta
from infer.editor import Edit, Editor
from infer.photo import Box, Photo
from infer.photo_read import read_photo
from infer.targets import WHOLE_MASKS, Target
from models.errors import PhotograftError

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
        delta: file of what the photo changes in the generator, see `infer.delta.Delta`; None for nothing.
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
    def of(cls, editor: Editor, edit: Edit | None = None, **rest: Any) -> "Recipe":
        """The recipe of an editor's projection and, if given, of an edit; rest: targets, lossless, files.

        The editor's delta is the caller's to write, under the name files["delta"] beside the recipe.
        """
        assert editor.photo is not None and editor.projection is not None
        photo, found, loss = editor.photo, editor.projection, float(editor.projection.loss)
        if edit is not None:
            rest = {"targets": edit.targets, "layers": edit.layers, "method": edit.method, "settle": edit.settle} | rest
        return cls(
            model=editor.model.name,
            weights=editor.model.fingerprint,
            photo=None if photo.path is None else photo.path.absolute(),
            pixels=pixels_hash(photo.pixels),
            size=(photo.pixels.shape[1], photo.pixels.shape[0]),
            box=editor.box,
            located=editor.located,
            source=editor.class_name,
            latent=_plain(found.latent[0]),
            origin=None if found.origin is None or found.origin.isnan().any() else tuple(found.origin[0].tolist()),
            loss=loss if np.isfinite(loss) else None,
            iterations=int(found.iterations),
            settings=editor.settings,
            segmenter=editor.segmenter if isinstance(editor.segmenter, str) else type(editor.segmenter).__name__,
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
                "path": None if self.photo is None else str(self.photo),
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


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; files of masks are looked for beside it.

    Raises:
        PhotograftError: missing, not a recipe, of another version, or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PhotograftError(f"recipe {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise PhotograftError(f"{path} is not a recipe: it holds no JSON") from error
    if not isinstance(content, dict) or "photograft_recipe" not in content:
        raise PhotograftError(f"{path} is not a recipe: give a .json that `edit` or `project` wrote")
    if content["photograft_recipe"] != RECIPE_VERSION:
        version = content["photograft_recipe"]
        raise PhotograftError(f"{path} is a recipe of version {version!r}, this program reads {RECIPE_VERSION}")
    try:
        return _parse(content, path.absolute().parent)
    except PhotograftError as error:
        raise PhotograftError(f"recipe {path} is damaged: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise PhotograftError(f"recipe {path} is damaged: {what}") from error


def _parse(content: dict[str, Any], folder: Path) -> Recipe:
    photo, found, edit = content["photo"], content["projection"], content["edit"] or {}
    origin, delta = found.get("origin"), content["files"].get("delta")
    latent = torch.tensor(found["w+"] if "w+" in found else found["z"])
    if latent.ndim != (2 if "w+" in found else 1) or latent.numel() == 0:
        raise ValueError("its latent has no numbers")
    method, layers = edit.get("method", "poisson"), edit.get("layers")  # the default of old ones
    if method not in get_args(Method):
        raise ValueError(f"unknown method {method!r}")
    targets = [
        Target(str(t["to"]), t["mask"] if t["mask"] in WHOLE_MASKS else folder / t["mask"], float(t["strength"]))
        for t in edit.get("targets", [])
    ]
    return Recipe(
        model=str(content["model"]["name"]),
        weights=str(content["model"]["sha256"]),
        photo=None if photo["path"] is None else Path(photo["path"]),
        pixels=str(photo["pixels_sha256"]),
        size=(int(photo["size"][0]), int(photo["size"][1])),
        box=Box.parse(content["box"]),
        located=str(content["located_by"]),
        source=None if found["source"] is None else str(found["source"]),
        latent=_plain(latent.float()),
        origin=None if origin is None else tuple(float(v) for v in origin),
        delta=None if delta is None else folder / delta,
        loss=None if found["loss"] is None else float(found["loss"]),
        iterations=int(found["iterations"]),
        settings=dict(found["settings"]),
        targets=tuple(targets),
        layers=None if layers is None else tuple(int(i) for i in layers),
        method=method,
        settle=int(edit.get("settle", 0)) if edit else None,
        segmenter=str(edit.get("segmenter", "deeplab")),
        lossless=bool(edit.get("lossless", False)),
        files=dict(content["files"]),
    )


def restore(editor: Editor, recipe: Recipe, photo: str | Path | Photo | None = None) -> Editor:
    """Bring an editor to where a recipe's projection ended.

    Args:
        editor: with the recipe's model.
        recipe: of one photo.
        photo: that photo, if it is not where the recipe says.

    Raises:
        PhotograftError: another model's weights, another photo than the recipe's, no photo, or no file of the delta.
    """
    if recipe.weights != editor.model.fingerprint:
        raise PhotograftError(f"the recipe was made with other weights than those of model {editor.model.name}")
    photo = photo or recipe.photo
    if photo is None:
        raise PhotograftError("the recipe does not say where its photo is: give the photo too")
    if not isinstance(photo, Photo):
        photo = read_photo(photo)
    if pixels_hash(photo.pixels) != recipe.pixels:
        name = "this" if photo.path is None else photo.path
        raise PhotograftError(f"{name} is not the photo of the recipe: edit it without --recipe")
    editor.set_photo(photo, recipe.box)
    loss = float("nan") if recipe.loss is None else recipe.loss
    editor.set_projection(
        torch.tensor([recipe.latent]),
        None if recipe.source is None else editor.model.class_index(recipe.source),
        origin=None if recipe.origin is None else torch.tensor([recipe.origin]),
        delta=None if recipe.delta is None else load_delta(recipe.delta, recipe.weights),
        loss=loss,
        iterations=recipe.iterations,
    )
    editor.located, editor.settings = recipe.located, dict(recipe.settings)
    return editor
