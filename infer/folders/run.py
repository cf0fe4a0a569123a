"""Photos edited side by side and written in their order.

Each photo is one worker's from its file to its edits: the processor's threads are shared out, as most of the work does
not fill several of them. What is done waits for the photos before it, in a queue that is bounded by photos and by
their pixels; so memory does not grow with the run, and results and their names do not depend on who was first.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from PIL import Image

from infer.editor.edit import Edit
from infer.editor.editor import Editor
from infer.editor.output import write_edit
from infer.editor.results import ResultFolder
from infer.editor.steps import ChangeClass, Step
from infer.folders.items import Item
from infer.folders.options import USUAL, FolderOptions, Work
from infer.folders.sheets import SHEET, SheetRow, sheet_row, write_sheet
from infer.folders.summary import Finished, Line, finished, is_whole, key_of
from infer.photo.place import NothingFound
from infer.progress import Progress
from infer.projection.cache import ProjectionCache, surroundings
from models.digests import code_digest
from models.errors import PhotograftError
from models.files import sha256
from models.prepared import Networks
from models.writing import remove_half

_ROOMS = ("infer/editor", "infer/edits", "infer/folders", "infer/photo", "infer/pictures", "infer/projection", "models")
_AHEAD = 2  # photos that wait to be written, for each worker


@dataclass
class _Made:
    """A photo's edits, not written yet."""

    line: Line
    editor: Editor | None = None
    edits: list[Edit] = field(default_factory=list)
    bug: Exception | None = None


@dataclass
class Report:
    """How a run ended: numbers of photos, and the first error that was no PhotograftError."""

    done: int = 0
    before: int = 0
    skipped: int = 0
    failed: int = 0
    bug: Exception | None = None


def edit_folder(
    networks: Networks,
    items: Sequence[Item],
    out: Path,
    options: FolderOptions,
    work: Work = USUAL,
    *,
    inputs: Sequence[Path] = (),
    cache: ProjectionCache | None = None,
    progress: Progress | None = None,
    done: Callable[[Line], object] = lambda line: None,
) -> Report:
    """Edit photos as `Editor` does, and write what `infer.editor.output.write_edit` writes, in the tree they lie in.

    Beside them in `out`: summary.jsonl, a line for each photo (`infer.folders.summary.Line`), and a contact sheet for
    every fifty. A photo that fails is told of in its line, and the others go on. A run that was killed leaves no half
    file that a later one with `resume` would not take away, and that one writes the same files.

    Args:
        networks: of a model with classes and a discriminator.
        items: the photos, see `infer.folders.items`.
        out: for results.
        options, work: see there.
        inputs: further files that no result may replace.
        cache: of projections.
        progress: of every photo's projection, told from the photo's thread.
        done: is told of each photo, in order.

    Raises:
        PhotograftError: a folder that cannot be written to.
    """
    with _threads(work.workers) as workers:
        return _Run(networks, items, out, options, work, workers, inputs, cache, progress, done).run()


@contextmanager
def _threads(workers: int | None) -> Iterator[int]:
    """The number of workers; meanwhile each has its share of the processor's threads."""
    before = torch.get_num_threads()
    workers = before if workers is None else workers
    torch.set_num_threads(max(1, before // workers))
    try:
        yield workers
    finally:
        torch.set_num_threads(before)


class _Run:
    def __init__(
        self,
        networks: Networks,
        items: Sequence[Item],
        out: Path,
        options: FolderOptions,
        work: Work,
        workers: int,
        inputs: Sequence[Path],
        cache: ProjectionCache | None,
        progress: Progress | None,
        done: Callable[[Line], object],
    ) -> None:
        self.networks, self.items, self.out, self.options, self.work = networks, items, out, options, work
        self.workers, self.cache, self.progress, self.done = workers, cache, progress, done
        self.inputs = [*inputs, *(item.path for item in items)]
        self.known = finished(out) if work.resume else {}
        self.common = [surroundings(networks, _ROOMS), code_digest("models"), asdict(options)]
        self.report, self.rows = Report(), list[SheetRow]()
        self.folders: dict[Path, ResultFolder] = {}
        self.waiting: deque[tuple[Future[_Made] | Finished, Item, int]] = deque()

    def run(self) -> Report:
        if self.work.resume:
            for folder in {self.out, *(self.out / item.name.parent for item in self.items)}:
                remove_half(folder)
        with ThreadPoolExecutor(self.workers, thread_name_prefix="photo") as pool:
            try:
                for item in self.items:
                    self._submit(pool, item)
                while self.waiting:
                    self._take()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return self.report

    def _submit(self, pool: ThreadPoolExecutor, item: Item) -> None:
        """Give a photo to a worker as soon as there is room for it."""
        size, key = _pixels(item.path), self._key(item)
        known = self.known.get(key)
        if known is not None and is_whole(known, self.out):
            self.waiting.append((known, item, 0))
            return
        while self.waiting and (
            len(self.waiting) >= self.workers * _AHEAD
            or sum(pixels for _, _, pixels in self.waiting) + size > self.work.pixels
        ):
            self._take()
        self.waiting.append((pool.submit(self._make, item, key), item, size))

    def _key(self, item: Item) -> str:
        """What a photo's results depend on; "" where its files cannot be read, which is told later."""
        try:
            steps = [[(repr(step), _hash_of(step)) for step in group] for group in item.groups]
            photo = [sha256(item.path), str(item.path.absolute()), str(item.name)]
            return key_of({"photo": photo, "steps": steps, "box": str(item.box), "common": self.common})
        except OSError:
            return ""

    # ------------------------------------------------------------------ a worker's

    def _make(self, item: Item, key: str) -> _Made:
        """All edits of a photo."""
        line = Line(item.name.as_posix(), key)
        made = _Made(line)
        try:
            if item.error is not None:
                raise PhotograftError(item.error)
            made.editor = self._projected(item, line)
        except NothingFound as nothing:
            line.state = "skipped" if self.options.skip_unfound else "failed"
            line.error = str(nothing)
        except PhotograftError as error:
            line.state, line.error = "failed", str(error)
        except Exception as error:  # our bug: the other photos first
            line.state, line.error, made.bug = "failed", f"{type(error).__name__}: {error}", error
        if made.editor is not None:
            self._edit(item, made.editor, made)
        return made

    def _projected(self, item: Item, line: Line) -> Editor:
        options, clock = self.options, _Clock(line)
        editor = Editor(self.networks, options.segmenter, line.warnings.append, cache=self.cache)
        place = replace(options.place, box=item.box, which=None) if item.box is not None else options.place
        editor.set_photo(item.path, place.box, which=place.which, anywhere=place.anywhere, roll=place.roll)
        editor.write_as(options.format)
        for group in item.groups:
            editor.resolve(group)
        line.box, line.located, line.confidence = str(editor.placed), editor.located, editor.confidence
        clock("read")
        editor.project(options.source, preset=options.preset, options=options.projection, progress=self.progress)
        assert editor.projection is not None
        loss = float(editor.projection.loss)
        line.class_name, line.loss = editor.source, loss if loss == loss else None
        clock("project")
        return editor

    def _edit(self, item: Item, editor: Editor, made: _Made) -> None:
        clock = _Clock(made.line)
        for group in item.groups:
            try:
                made.edits.append(editor.edit(group, **self.options.of_edit))
                made.line.to.append(" + ".join(str(step.name) for step in made.edits[-1].steps))
            except PhotograftError as error:
                made.line.state, made.line.error = "failed", str(error)
            except Exception as error:
                made.line.state, made.line.error = "failed", f"{type(error).__name__}: {error}"
                made.bug = made.bug or error
        clock("edit")

    # ------------------------------------------------------------------ in order

    def _take(self) -> None:
        """Write what the first photo that waits has become."""
        first, item, _ = self.waiting.popleft()
        if isinstance(first, Finished):
            self.report.before += 1
            self._row(item, list(first.files))
            self.done(Line(first.photo, first.key, files=first.files))
            return
        made = first.result()
        line, clock = made.line, _Clock(made.line)
        try:
            for edit in made.edits:
                self._write(item, made, edit)
        except PhotograftError as error:
            line.state, line.error = "failed", str(error)
        clock("write")
        self.report.bug = self.report.bug or made.bug
        self.report.done += line.state == "done"
        self.report.failed += line.state == "failed"
        self.report.skipped += line.state == "skipped"
        line.write(self.out)
        self._row(item, list(line.files) if line.state == "done" else [])
        self.done(line)

    def _write(self, item: Item, made: _Made, edit: Edit) -> None:
        assert made.editor is not None
        folder = self.out / item.name.parent
        if folder not in self.folders:
            self.folders[folder] = ResultFolder(folder, self.inputs)
        paths = write_edit(made.editor, edit, self.folders[folder], lossless=self.options.lossless)
        made.line.files |= {path.relative_to(self.out).as_posix(): sha256(path) for path in paths}

    def _row(self, item: Item, files: Sequence[str]) -> None:
        """One more photo for the contact sheet, which is written when it is full."""
        self.rows.append(sheet_row(item, self.out, files))
        count = self.report.before + self.report.done + self.report.failed + self.report.skipped
        if len(self.rows) == SHEET or count == len(self.items):
            write_sheet(self.out, self.rows, number=-(-count // SHEET))
            self.rows = []


class _Clock:
    """Writes into a line how long each part took."""

    def __init__(self, line: Line) -> None:
        self.line, self.since = line, time.perf_counter()

    def __call__(self, part: str) -> None:
        now = time.perf_counter()
        self.line.seconds[part] = round(now - self.since, 3)
        self.since = now


def _pixels(path: Path) -> int:
    """Of a photo, by its header; 0 where it cannot be read, which is told when it is opened."""
    try:
        with Image.open(path) as image:
            return image.width * image.height
    except Exception:  # readers raise anything
        return 0


def _hash_of(step: Step) -> str | None:
    """Of a painted region's file."""
    if isinstance(step, ChangeClass) and isinstance(step.region, Path) and os.path.isfile(step.region):
        return sha256(step.region)
    return None
