"""Many photos by one command: how the edit command's options become a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infer.cli.common import complain, note, prepared, say
from infer.edits.layers import parse_layers
from models.device import DeviceName

if TYPE_CHECKING:
    from infer.editor.steps import Step
    from infer.folders.items import Item
    from infer.folders.options import FolderOptions
    from infer.folders.summary import Line


_MANY = "Many photos"

MaskFolderOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="A painted mask for each photo, of its stem.", rich_help_panel=_MANY),
]
BoxesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="JSONL", help='A square for photos: {"photo": "a.jpg", "box": "X,Y,W,H"} a line.', rich_help_panel=_MANY
    ),
]
TargetsOption = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="Classes for photos: columns photo,to[,strength].", rich_help_panel=_MANY),
]
ResumeOption = Annotated[
    bool,
    typer.Option("--resume", help="Leave out what an earlier run has finished in the same way.", rich_help_panel=_MANY),
]
LimitOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="So many photos at most.", show_default=False, rich_help_panel=_MANY),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.", rich_help_panel=_MANY)
]
DevicesOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        metavar="N",
        help="Processes, one for each device; a processor's threads are shared out among them, on whose number a"
        " photo's bytes depend. Default: all GPUs, or as many as there are threads and memory for.",
        show_default=False,
        rich_help_panel=_MANY,
    ),
]
BatchOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        metavar="N",
        help="Photos that are projected together: faster, and a photo's rounding depends on the others. 1: the bytes of"
        " single commands. Default: 4, and 16 on a GPU.",
        show_default=False,
        rich_help_panel=_MANY,
    ),
]


@dataclass(frozen=True)
class Many:
    """What the options say that are for many photos alone.

    Attributes:
        masks, boxes, targets: a folder, a file of JSON lines, a CSV.
        devices, batch, resume: see `infer.folders.options.Work`.
        limit: so many photos at most.
        dry_run: say what would be done.
    """

    masks: Path | None = None
    boxes: Path | None = None
    targets: Path | None = None
    devices: int | None = None
    batch: int | None = None
    resume: bool = False
    limit: int | None = None
    dry_run: bool = False

    def wanted(self, photos: Sequence[Path]) -> bool:
        """Whether the command is of many: a folder or a pattern is named, or an option that others do not have."""
        from infer.folders.items import is_many

        return self != Many() or any(map(is_many, photos))


@dataclass(frozen=True)
class Said:
    """Options that need the model to be understood, and the rest."""

    source: str | None
    layers: str | None
    invert: bool
    cache: bool


def edit_many(
    photos: Sequence[Path],
    groups: Sequence[Sequence[Step]],
    many: Many,
    options: FolderOptions,
    asked: Said,
    *,
    model: str,
    device: DeviceName,
    out: Path,
) -> None:
    """Edit photos of folders; see `infer.folders.run.run`. Ends with exit code 2 if one failed.

    Raises:
        PhotograftError: nothing to edit, a list that does not fit the photos, an unknown class.
    """
    from infer.folders.items import Beside, find_items

    beside = Beside(many.masks, asked.invert, many.boxes, many.targets)
    items = find_items(photos, groups, out, beside, many.limit)
    if many.dry_run:
        _say_plan(items)
        return
    from infer.cli.forecast import Forecast
    from infer.editor.steps import in_layers
    from infer.folders.options import Work
    from infer.folders.run import run
    from infer.projection.mixture import parse_source
    from models.progress import counting, is_first_process

    networks = prepared(model, device)
    loaded = networks.model
    if asked.source is not None:
        options = replace(options, source=parse_source(loaded, asked.source))
    if asked.layers is not None:
        layers = parse_layers(asked.layers, len(loaded.generator.modulated_layers))
        items = [replace(item, groups=tuple(tuple(in_layers(g, layers)) for g in item.groups)) for item in items]
    with counting("editing", len(items), "photos") as count:

        def told(line: Line) -> None:
            count(count.done + 1)
            if line.state == "failed":
                complain(f"{line.photo}: {line.error}")

        work = Work(many.devices, many.batch, many.resume).chosen(networks.device.type, len(items))
        at_once = min((work.devices or 1) * (work.batch or 1), len(items))
        forecast = Forecast(loaded, options.preset, options.projection, at_once).of
        report = run(
            networks, items, out, options, work, inputs=beside.lists, cache=asked.cache, forecast=forecast, told=told
        )
    if not is_first_process():
        return
    say(f"{report.done} photos edited, {report.before} before, {report.skipped} skipped, {report.failed} failed: {out}")
    if report.bug is not None:
        raise RuntimeError(f"a fault of the program:\n{report.bug}")
    if report.failed:
        raise typer.Exit(2)


def _say_plan(items: Sequence[Item]) -> None:
    """A line for each photo, and exit code 2 if one cannot be edited."""
    failed = 0
    for item in items:
        failed += item.error is not None
        steps = "; ".join(" + ".join(str(step.name) for step in group) for group in item.groups)
        where = "" if item.box is None else f" at {item.box}"
        say(f"{item.name}: {item.error or f'to {steps}{where}'}")
    note(f"{len(items)} photos, {failed} of them cannot be edited; nothing was done")
    if failed:
        raise typer.Exit(2)
