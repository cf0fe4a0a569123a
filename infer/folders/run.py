"""A run over many photos: planned in one process, done by several, joined by the first."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from infer.editor.results import check_folder, model_inputs
from infer.editor.steps import check_classes
from infer.folders.items import Item
from infer.folders.options import USUAL, FolderOptions, Work
from infer.folders.plan import Keys, find_finished, units_of
from infer.folders.sheets import write_sheets
from infer.folders.source import Source, may_be_one_of_several
from infer.folders.summary import Finished, Follower, Line, finished, join
from infer.progress import Progress
from infer.projection.model import check_projects
from models.errors import PhotograftError
from models.prepared import Networks
from models.progress import is_first_process
from models.writing import remove_half

_LOOK = 0.2  # seconds between two looks at what the processes have written


@dataclass
class Report:
    """How a run ended: numbers of photos, and the traceback of the first error that was no PhotograftError."""

    done: int = 0
    before: int = 0
    skipped: int = 0
    failed: int = 0
    bug: str | None = None

    def add(self, line: Line) -> None:
        """One more photo."""
        self.done += line.state == "done"
        self.failed += line.state == "failed"
        self.skipped += line.state == "skipped"
        self.bug = self.bug or line.bug


Forecast = Callable[[int], Progress]
Told = Callable[[Line], object]
"""Is told of each photo when it is done: of those that an earlier run has finished first, then in the order in which
processes finish them."""


def run(
    networks: Networks,
    items: Sequence[Item],
    out: Path,
    options: FolderOptions,
    work: Work = USUAL,
    *,
    inputs: Sequence[Path] = (),
    cache: bool = True,
    forecast: Forecast | None = None,
    told: Told = lambda line: None,
) -> Report:
    """Edit photos as `Editor` does, and write what `infer.editor.output.write_edit` writes, in the tree they lie in.

    Beside them in `out`: summary.jsonl, a line for each photo (`infer.folders.summary.Line`), and a contact sheet for
    every fifty. A photo that fails is told of in its line, and the others go on. A run that was killed leaves no half
    file that a later one with `resume` would not take away, and that one writes the same files.

    Args:
        networks: of a model with classes and a discriminator; where there are several processes, each reads its files.
        items: the photos, see `infer.folders.items`.
        out: for results.
        options, work: see there.
        inputs: further files that no result may replace.
        cache: keep the user's projections, and use them.
        forecast: gives the progress of projections, of so many photos, in the first process; can be pickled.
        told: see `Told`.

    Raises:
        PhotograftError: a model that projects no photos, an unknown class, a folder that cannot be written to, or a
            process that ended.
    """
    check_projects(networks.model)
    for item in items:
        for group in item.groups:
            check_classes(networks.model, group)
    check_folder(out)
    work = work.chosen(networks.device.type, len(items))
    first, report, before = is_first_process(), Report(), dict[PurePosixPath, Finished]()
    files: dict[str, list[str]] = {}  # of each photo in this run; the summary knows others' too

    def tell(line: Line) -> None:
        files[line.photo] = list(line.files) if line.state == "done" else []
        told(line)

    if first:
        before = _begin(networks, items, out, options, resume=work.resume)
        for line in before.values():
            tell(Line(line.photo, line.key, files=line.files))
        report.before = len(before)
    _do(
        networks,
        items,
        before,
        out,
        options,
        work,
        inputs=inputs,
        cache=cache,
        forecast=forecast,
        told=_both(report.add, tell),
    )
    if first:
        write_sheets(out, items, files)
    return report


def _begin(
    networks: Networks, items: Sequence[Item], out: Path, options: FolderOptions, *, resume: bool
) -> dict[PurePosixPath, Finished]:
    """What need not be done again; half files and what a killed run had not joined are seen to first."""
    join(out)
    if not resume:
        return {}
    for folder in {out, *(out / item.name.parent for item in items)}:
        remove_half(folder)
    return find_finished(items, Keys(networks, options), finished(out), out)


def _do(
    networks: Networks,
    items: Sequence[Item],
    before: Collection[PurePosixPath],
    out: Path,
    options: FolderOptions,
    work: Work,
    *,
    inputs: Sequence[Path],
    cache: bool,
    forecast: Forecast | None,
    told: Told,
) -> None:
    from infer.folders.engine import share_out  # Lightning takes its time
    from infer.folders.work import EditJob

    assert work.batch is not None
    assert work.devices is not None
    model = networks.model
    units = units_of(items, before, batch=work.batch, pixels=work.pixels)
    own = None if work.devices > 1 or may_be_one_of_several() else networks
    read = (*inputs, *_files(model.name, needed=own is None), *(item.path for item in items))
    ahead = sum(sum(unit.wanted) for unit in units)
    progress = None if forecast is None else partial(forecast, ahead)
    job = EditJob(Source.of(networks), own, options, out, read, cache, progress)
    first = is_first_process()
    try:
        with _followed(out, told) if first else nullcontext():
            share_out(job, units, devices=min(work.devices, max(1, len(units))), device=networks.device.type)
    finally:
        if first:
            join(out, [item.name.as_posix() for item in items])


def _files(name: str, *, needed: bool) -> list[Path]:
    try:
        return model_inputs(name)
    except PhotograftError:
        if needed:
            raise PhotograftError(f"model {name} is no file that other processes can read: run on one device") from None
        return []  # made by the caller


def _both(*tell: Told) -> Told:
    def told(line: Line) -> None:
        for one in tell:
            one(line)

    return told


@contextmanager
def _followed(out: Path, told: Told) -> Iterator[None]:
    """Meanwhile tell of what processes have done."""
    follow, over = Follower(out), threading.Event()

    def look() -> None:
        while not over.wait(_LOOK):
            for line in follow():
                told(line)

    thread = threading.Thread(target=look, name="follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for line in follow():
            told(line)
