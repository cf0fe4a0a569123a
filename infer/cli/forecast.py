"""How long projections take: said before a long one, and ended by --max-seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infer.cli.common import note
from infer.progress import Progress

if TYPE_CHECKING:
    from infer.projection.options import ProjectionOptions
    from models.zoo import Model

LONG = 20.0  # seconds of all photos' projections, from which they are said before

MaxSecondsOption = Annotated[
    float | None,
    typer.Option(
        "--max-seconds",
        min=0.001,
        metavar="N",
        help="End each photo's projection after so long; the best so far counts. Default: as long as it takes.",
        show_default=False,
        rich_help_panel="Projection",
    ),
]


def about(seconds: float) -> str:
    """Such as 8 s, 45 s, 3 min or 1.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds < 20 else f"{5 * round(seconds / 5)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def said(seconds: float, photos: int, what: str, max_seconds: float | None = None, at_once: int = 1) -> str | None:
    """The line that tells of long projections; None of those that are not.

    Args:
        seconds: of one projection, if it is not ended.
        photos: that are projected.
        what: takes so long, such as a preset.
        max_seconds: after which each is ended.
        at_once: photos side by side.
    """
    ends = max_seconds is not None and max_seconds < seconds
    seconds = min(seconds, seconds if max_seconds is None else max_seconds)
    total = seconds * -(-photos // at_once)
    if total < LONG:
        return None
    each, every = ("", "") if photos == 1 else (" for each photo", f" ({photos} photos: {about(total)})")
    hint = "" if ends else f"; --max-seconds N ends {'it' if photos == 1 else 'each'} earlier"
    return f"{what} takes about {about(seconds)}{each} here{every}{hint}"


class Forecast:
    """Says once how long the photos of a command take, after the first updates of the first that is projected.

    Args:
        model, preset, options: of `infer.projection.model.project_pictures`.
        at_once: photos that are projected side by side.
    """

    def __init__(self, model: Model, preset: str, options: ProjectionOptions, at_once: int = 1) -> None:
        from infer.projection.model import chosen_options

        self.options, self.at_once = chosen_options(model, preset, options), at_once
        changed = any(value is not None for value in (options.steps, options.restarts, options.tuning))
        self.what, self.told = "this projection" if changed else preset, False

    def of(self, photos: int, progress: Progress | None = None) -> Progress:
        """Progress of one photo, of so many that are still to be projected; `progress` is told of it too."""
        from infer.projection.estimate import Estimate

        def tell(seconds: float) -> None:
            line = said(seconds, photos, self.what, self.options.max_seconds, self.at_once)
            if line is not None and not self.told:
                note(line)
            self.told = True

        estimate = Estimate(self.options, tell)

        def update(what: str, done: int, total: int) -> None:
            if not self.told:
                estimate(what, done, total)
            if progress is not None:
                progress(what, done, total)

        return update
