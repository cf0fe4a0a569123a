"""What a run does with every photo, and how it goes about it."""

from dataclasses import dataclass, field
from typing import Any

from infer.edits.choices import Scale
from infer.photo.choices import DEFAULT_FINISH, Finish, FormatName, Method
from infer.photo.place import Place
from infer.projection.mixture import Source
from infer.projection.options import UNSET, ProjectionOptions
from infer.projection.presets import DEFAULT_PRESET


@dataclass(frozen=True)
class FolderOptions:
    """What a run does with every photo; its edits are the photo's own, see `infer.folders.items.Item`.

    Attributes:
        place: where, for photos without a box of their own; see `infer.editor.opening.Opening.set_photo`.
        skip_unfound: photos without a head are no failures.
        source, preset, projection: see `infer.projection.model.project_pictures`.
        method, settle, finish, recolour_body, scale: see `infer.editor.editor.Editor.edit`.
        segmenter: see `infer.editor.session.Session`.
        format, lossless: of results.
    """

    place: Place = field(default_factory=Place)
    skip_unfound: bool = False
    source: Source | None = None
    preset: str = DEFAULT_PRESET
    projection: ProjectionOptions = UNSET
    method: Method | None = None
    settle: int | None = None
    finish: Finish = DEFAULT_FINISH
    recolour_body: bool = False
    scale: Scale = "photo"
    segmenter: str = "deeplab"
    format: FormatName | None = None
    lossless: bool = False

    @property
    def of_edit(self) -> dict[str, Any]:
        """What `Editor.edit` takes of them."""
        return {name: getattr(self, name) for name in ("method", "settle", "finish", "recolour_body", "scale")}


@dataclass(frozen=True)
class Work:
    """How a run goes about it.

    Attributes:
        workers: photos that are worked on at once; the processor's threads are shared out among them, and a photo's
            bytes depend on how many it has. None: as many as there are threads. 1: the bytes of a command of its own.
        resume: leave out what an earlier run has done in the same way.
        pixels: of all photos at once, at most; a larger photo is alone.
    """

    workers: int | None = None
    resume: bool = False
    pixels: int = 60_000_000


USUAL = Work()
