"""Recipes: everything that is needed to do an edit again, or another one, without projecting. Plain JSON.

A recipe belongs to one picture (a photo by its pixels, a sample by its seed) and one generator (by the hash of its
file). One without steps is what `infer.py project` writes: a projection to start from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infer.editor.edit import Edit
from infer.editor.points import Projected, Sample
from infer.editor.session import Session
from infer.editor.steps import Blend, Step, Transfer
from infer.edits.choices import Scale
from infer.photo.choices import DEFAULT_BEFORE, Finish, Method
from models.writing import path_text

RECIPE_VERSION = 2
_OF_EDIT = ("method", "settle", "finish", "scale", "registered", "recolour_body")


@dataclass(frozen=True)
class KnownCatalog:
    """A catalog that a recipe's steps name parts of: its file, the file's sha256, and the clusters of these parts."""

    path: Path
    sha256: str
    parts: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Recipe:
    """What was done to one picture.

    Attributes:
        model, weights: name of the model, sha256 of its generator's file.
        source: the picture.
        references: pictures that steps name by their numbers.
        steps: of the edit; painted regions are files. Empty for a projection alone.
        catalog: if steps name parts.
        scale: what strengths measure, see `infer.editor.editor.Editor.edit`; recipes that do not say it are from before
            there were two.
        registered, recolour_body: of the edit, see there; recipes from before they were there are not.
        sweep: strengths at which the steps were done one after another, each relative to the steps' own; empty for an
            edit by itself.
        method, segmenter, lossless: of the edit. A segmenter of the caller's own is named by its type.
        settle: of the edit; None without one.
        finish: of the edit; recipes from before there was one do without.
        files: what was written, by kind; deltas of the source ("delta") and of references ("delta0", ...) among them.
        remarks: what a recipe of an earlier version does not say.
    """

    model: str
    weights: str
    source: Projected | Sample
    references: tuple[Projected | Sample, ...] = ()
    steps: tuple[Step, ...] = ()
    catalog: KnownCatalog | None = None
    method: Method = DEFAULT_BEFORE
    settle: int | None = None
    finish: Finish = "off"
    scale: Scale = "mix"
    registered: bool = False
    recolour_body: bool = False
    sweep: tuple[float, ...] = ()
    segmenter: str = "deeplab"
    lossless: bool = False
    files: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, session: Session, edit: Edit | None = None, **rest: Any) -> "Recipe":
        """The recipe of a session's picture and, if given, of an edit.

        Args:
            session, edit: what was done.
            rest: steps, with files for painted regions and numbers for references; references, lossless and files. The
                files of deltas are the caller's to write.
        """
        if edit is not None:
            told = {name: getattr(edit, name) for name in _OF_EDIT}
            rest = told | {"catalog": _catalog(session, edit)} | rest
        return cls(
            model=session.model.name,
            weights=session.model.fingerprint,
            source=session.said(),
            segmenter=session.segmenter if isinstance(session.segmenter, str) else type(session.segmenter).__name__,
            **rest,
        )

    @property
    def inputs(self) -> list[Path]:
        """Files that belong to it: deltas, and photos of references."""
        known = [picture for picture in (self.source, *self.references) if isinstance(picture, Projected)]
        return [path for picture in known for path in (picture.delta, picture.photo) if path is not None]

    def to_json(self) -> str:
        """As text; the order of keys is fixed, so equal recipes are equal text."""
        catalog = self.catalog
        edit = {
            "steps": [step.to_json() for step in self.steps],
            "method": self.method,
            "settle": self.settle,
            "finish": self.finish,
            "scale": self.scale,
            "registered": self.registered,
            **({"recolour_body": True} if self.recolour_body else {}),
            **({"sweep": list(self.sweep)} if self.sweep else {}),
            "segmenter": self.segmenter,
            "lossless": self.lossless,
        }
        content = {
            "photograft_recipe": RECIPE_VERSION,
            "model": {"name": self.model, "sha256": self.weights},
            "source": _said(self.source),
            "references": [_said(reference) for reference in self.references],
            "catalog": None
            if catalog is None
            else {
                "file": path_text(catalog.path),
                "sha256": catalog.sha256,
                "parts": {part: list(clusters) for part, clusters in catalog.parts.items()},
            },
            "edit": edit if self.steps else None,
            "files": self.files,
        }
        return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _catalog(session: Session, edit: Edit) -> KnownCatalog | None:
    """The catalog, if steps name parts of it."""
    parts = [step.part for step in edit.steps if isinstance(step, Blend | Transfer) and step.part is not None]
    if not parts or session.catalog is None:
        return None
    known = session.catalog
    return KnownCatalog(
        known.path.absolute(), known.sha256, {part: known.catalog.clusters(part) for part in dict.fromkeys(parts)}
    )


def _certainty(picture: Projected) -> dict[str, Any]:
    """How sure the place was, if a head was found, and all heads if there were several."""
    if picture.confidence is None:
        return {}
    heads = [{"box": str(head.box), "confidence": round(head.confidence or 0, 4)} for head in picture.heads]
    return {"confidence": round(picture.confidence, 4)} | ({"heads": heads} if heads else {})


def _said(picture: Projected | Sample) -> dict[str, Any]:
    """A picture as JSON: z as it is, w+ under a key of its own, with its origin."""
    if isinstance(picture, Sample):
        return {"sample": {"seed": picture.seed, "class": picture.class_name, "truncation": float(picture.truncation)}}
    in_z = isinstance(picture.latent[0], float)
    latent = {"z": list(picture.latent)} if in_z else {"w+": picture.latent, "origin": picture.origin}
    return {
        "photo": {
            "path": None if picture.photo is None else path_text(picture.photo),
            "pixels_sha256": picture.pixels,
            "size": list(picture.size),
        },
        "box": str(picture.box),
        **({"roll": picture.roll} if picture.roll else {}),
        "located_by": picture.located,
        **_certainty(picture),
        "projection": {
            "source": picture.class_name if isinstance(picture.class_name, str | None) else dict(picture.class_name),
            "loss": picture.loss,
            "iterations": picture.iterations,
            "settings": picture.settings,
            **latent,
        },
    }
