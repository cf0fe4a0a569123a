"""How a recipe and the options beside it together say what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os.path import exists  # False where pathlib raises
from pathlib import Path
from typing import Any, get_args

import typer

from infer.cli.options import SegmenterName, graph_of
from infer.editor.points import Projected
from infer.editor.recipe import Recipe
from infer.editor.steps import ChangeClass, Step, Transfer
from infer.photo.choices import DEFAULT_FINISH, Finish, FormatName, Method
from models.errors import PhotograftError

_OF_STEPS = ("method", "finish", "registered", "recolour_body")


@dataclass(frozen=True)
class How:
    """Options that a recipe knows too."""

    model: str
    method: Method | None  # None: that of the steps' kind
    lossless: bool
    format: FormatName | None  # None: the photo's own
    segmenter: str = "deeplab"
    settle: int | None = None
    finish: Finish = DEFAULT_FINISH
    registered: bool = True
    recolour_body: bool = False

    def again(self, context: typer.Context, known: Recipe | None, excluded: Mapping[str, str]) -> "How":
        """What is not given on the command line is the recipe's.

        Args:
            context: says what was given.
            known: the recipe; None leaves everything as it is.
            excluded: parameters that say what the recipe has said already, with the options that users know them by.

        Raises:
            PhotograftError: one of those, or a segmenter that no option names.
        """
        if known is None:
            return self
        for name, option in excluded.items():
            if _given(context, name):
                raise PhotograftError(
                    f"{option} and --recipe exclude each other: the recipe's picture is used as it is"
                )
        classes = any(isinstance(step, ChangeClass) for step in known.steps)
        names = ["model", "segmenter", *(["settle"] if classes else []), *(_OF_STEPS if known.steps else [])]
        kept = {name: getattr(known, name) for name in names if not _given(context, name)}
        segmenter = kept.get("segmenter", "deeplab")
        if segmenter not in get_args(SegmenterName) and not exists(graph_of(segmenter) or ""):  # nothing is fetched
            raise PhotograftError(
                f"the recipe was made with a segmenter of its own ({known.segmenter}): give --segmenter"
            )
        if self.format is not None:
            return replace(self, **kept)
        written = Path(known.files.get("result", "")).suffix[1:]
        again = {name: name for name in get_args(FormatName)}.get(written)
        return replace(self, **kept, lossless=self.lossless or known.lossless, format=again)

    def of_edit(self, steps: Sequence[Step], known: Recipe | None) -> dict[str, Any]:
        """What `Editor.edit` takes of them for these steps."""
        named = {name: getattr(self, name) for name in ("settle", "finish", "registered", "recolour_body")}
        return named | {"method": self.method_of(steps, known)}

    def method_of(self, steps: Sequence[Step], known: Recipe | None) -> Method | None:
        """The method for these steps: that of a recipe of transfers alone does not hold for other kinds."""
        if known is None or self.method != known.method or not known.steps:
            return self.method
        only_before, only_now = (all(isinstance(step, Transfer) for step in one) for one in (known.steps, steps))
        return self.method if only_before == only_now else None


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def photo_of(known: Recipe, photos: Sequence[Path] | None) -> Path | None:
    """The photo to edit again: the one that is given, else the recipe's; None for a sample.

    Raises:
        PhotograftError: several, or none at all.
    """
    if photos and len(photos) > 1:
        raise PhotograftError("a recipe belongs to one photo: give that one alone, or none")
    if photos:
        return photos[0]
    if isinstance(known.source, Projected) and known.source.photo is None:
        raise PhotograftError("the recipe does not say where its photo is: give the photo too")
    return known.source.photo if isinstance(known.source, Projected) else None


def kept_steps(known: Recipe | None, kind: type[Step]) -> list[Step]:
    """Those of a recipe's steps that a command for another kind does not replace."""
    return [] if known is None else [step for step in known.steps if not isinstance(step, kind)]
