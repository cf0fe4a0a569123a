"""Many photos by one command: how the edit command's options become a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from infer.cli.common import complain, note, prepared, say
from infer.edits.layers import parse_layers
from models.device import DeviceName

if TYPE_CHECKING:
    from infer.editor.steps import Step
    from infer.folders.items import Item
    from infer.folders.options import FolderOptions
    from infer.folders.summary import Line
    from models.zoo import Model


@dataclass(frozen=True)
class Many:
    """What the options say that are for many photos alone.

    Attributes:
        masks, boxes, targets: a folder, a file of JSON lines, a CSV.
        workers, resume: see `infer.folders.options.Work`.
        limit: so many photos at most.
        dry_run: say what would be done.
    """

    masks: Path | None = None
    boxes: Path | None = None
    targets: Path | None = None
    workers: int | None = None
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
    """Edit photos of folders; see `infer.folders.run.edit_folder`. Ends with exit code 2 if one failed.

    Raises:
        PhotograftError: nothing to edit, a list that does not fit the photos, an unknown class.
    """
    from infer.folders.items import find_photos, read_boxes, read_targets, with_boxes, with_masks, with_targets

    items = find_photos(photos, out)
    targets = {} if many.targets is None else read_targets(many.targets, items)
    boxes = {} if many.boxes is None else read_boxes(many.boxes, items)
    items = with_targets(with_boxes(items, boxes), groups, targets)
    if many.masks is not None:
        items = with_masks(items, many.masks, invert=asked.invert)
    items = items[: many.limit]
    if many.dry_run:
        _say_plan(items)
        return
    import torch

    from infer.cli.forecast import Forecast
    from infer.cli.photos import kept_projections
    from infer.editor.results import check_folder, model_inputs
    from infer.folders.options import Work
    from infer.folders.run import edit_folder
    from infer.projection.mixture import parse_source
    from infer.projection.model import check_projects
    from models.progress import counting

    networks = prepared(model, device)
    loaded = networks.model
    check_projects(loaded)
    if asked.source is not None:
        options = replace(options, source=parse_source(loaded, asked.source))
    layers = parse_layers(asked.layers, len(loaded.generator.modulated_layers))
    items = [_checked(loaded, item, layers) for item in items]
    check_folder(out)
    inputs = [*model_inputs(model), *(path for path in (many.boxes, many.targets) if path is not None)]
    with counting("editing", len(items), "photos") as count:

        def told(line: Line) -> None:
            count(count.done + 1)
            if line.state == "failed":
                complain(f"{line.photo}: {line.error}")

        work, threads = Work(many.workers, many.resume), torch.get_num_threads()
        at_once = min(threads if many.workers is None else many.workers, len(items))
        forecast = Forecast(loaded, options.preset, options.projection, at_once).of(len(items))
        kept = kept_projections(asked.cache)
        report = edit_folder(
            networks, items, out, options, work, inputs=inputs, cache=kept, progress=forecast, done=told
        )
    say(f"{report.done} photos edited, {report.before} before, {report.skipped} skipped, {report.failed} failed: {out}")
    if report.bug is not None:
        raise report.bug
    if report.failed:
        raise typer.Exit(2)


def _checked(model: Model, item: Item, layers: list[int] | None) -> Item:
    """The photo's classes with these layers. Raises PhotograftError for an unknown class."""
    for name in (str(step.name) for group in item.groups for step in group):
        model.class_index(name)
    if layers is None:
        return item
    return replace(item, groups=tuple(tuple(_layered(step, layers) for step in group) for group in item.groups))


def _layered(step: Step, layers: list[int]) -> Step:
    from infer.editor.steps import ChangeClass

    return replace(step, layers=layers) if isinstance(step, ChangeClass) else step


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
