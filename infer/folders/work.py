"""What one process does: photos are read ahead, projected together, and finished behind the next ones' back."""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from infer.editor.edit import Edit
from infer.editor.editor import Editor, project_all, settle_all
from infer.editor.output import write_edit
from infer.editor.results import ResultFolder
from infer.folders.items import Item
from infer.folders.options import FolderOptions
from infer.folders.plan import Keys, Unit
from infer.folders.source import Source
from infer.folders.summary import Line
from infer.photo.place import NothingFound
from infer.progress import Progress
from infer.projection.cache import ProjectionCache
from models.errors import PhotograftError
from models.files import sha256
from models.prepared import Networks

_THREADS = 4  # that read and finish photos beside a GPU

T = TypeVar("T")


@dataclass(frozen=True)
class EditJob:
    """Photos to edit, as it is sent to the processes.

    Attributes:
        source: of the networks.
        networks: themselves, where no other process is asked.
        options: see there.
        out: for results.
        inputs: files that no result may replace.
        cache: whether the user's projections are kept and used.
        progress: gives the progress of projections in the first process.
    """

    source: Source
    networks: Networks | None
    options: FolderOptions
    out: Path
    inputs: tuple[Path, ...]
    cache: bool
    progress: Callable[[], Progress] | None

    def begin(self, rank: int, device: torch.device) -> "EditWorker":
        """See `infer.folders.engine.Job`."""
        return EditWorker(self, self.networks or self.source.networks(device), rank)


@dataclass
class _Photo:
    """One photo on its way."""

    item: Item
    line: Line
    editor: Editor | None = None  # once it is read, until it is written


@dataclass
class _Group:
    unit: Unit
    photos: list[_Photo]


class EditWorker:
    """See the module.

    Args:
        job: what to do.
        networks: on the process's device.
        rank: the process's number, whose lines go into a summary of its own.
    """

    def __init__(self, job: EditJob, networks: Networks, rank: int) -> None:
        self.job, self.networks, self.rank, self.options = job, networks, rank, job.options
        self.keys = Keys(networks, job.options)
        full = networks.device.type == "cpu"  # with what is projected there
        self.cache = ProjectionCache.default() if job.cache else None
        self.folders: dict[Path, ResultFolder] = {}
        self.reader, self.finisher, self.photos = (_Now() if full else ThreadPoolExecutor(n) for n in (1, 1, _THREADS))
        self.behind: Future[None] | None = None
        self.progress = job.progress() if job.progress is not None and rank == 0 else None

    # ------------------------------------------------------------------ ahead

    def read(self, units: Sequence[Unit]) -> Iterator[_Group]:
        """Groups whose photos are read and located, one ahead of the one that is handed out."""
        ahead: Future[_Group] | None = None
        for unit in [*units, None]:
            following = None if unit is None else self.reader.submit(self._read_all, unit)
            if ahead is not None:
                yield ahead.result()
            ahead = following

    def _read_all(self, unit: Unit) -> _Group:
        return _Group(unit, list(self.photos.map(self._read, unit.items)))

    def _read(self, item: Item) -> _Photo:
        photo = _Photo(item, Line(item.name.as_posix()))
        line, options = photo.line, self.options
        with _Telling(photo, "read"):
            line.key = self.keys(item)
            if item.error is not None:
                raise PhotograftError(item.error)
            editor = Editor(self.networks, options.segmenter, line.warnings.append, cache=self.cache)
            place = replace(options.place, box=item.box, which=None) if item.box is not None else options.place
            if options.skip_unfound:
                line.state = "skipped"  # until it is found
            editor.set_photo(item.path, place.box, which=place.which, anywhere=place.anywhere, roll=place.roll)
            line.state = "done"
            editor.write_as(options.format)
            for group in item.groups:
                editor.resolve(group)
            line.box, line.located, line.confidence = str(editor.placed), editor.located, editor.confidence
            photo.editor = editor
        return photo

    # ------------------------------------------------------------------ projection

    def work(self, read: _Group) -> None:
        """Project a group and let its latents settle; what follows is done while the next one is projected."""
        photos = [photo for photo in read.photos if photo.editor is not None]
        began = time.perf_counter()
        if photos:
            try:
                self._project(photos)
            except Exception:  # of one of them, which is found by itself, or of all together, such as too little memory
                for photo in photos:
                    with _Telling(photo, "project"):
                        self._project([photo])
        for photo in photos:
            photo.line.seconds["project"] = round((time.perf_counter() - began) / len(photos), 3)
        if self.behind is not None:
            self.behind.result()
        self.behind = self.finisher.submit(self._finish_all, read)

    def _project(self, photos: Sequence[_Photo]) -> None:
        editors, options = [photo.editor for photo in photos if photo.editor is not None], self.options
        project_all(
            editors,
            options.source,
            preset=options.preset,
            options=options.projection,
            progress=self.progress,
            together=True,
        )
        for photo, editor in zip(photos, editors, strict=True):
            assert editor.projection is not None
            loss = float(editor.projection.loss)
            photo.line.class_name, photo.line.loss = editor.source, loss if loss == loss else None
        for number in range(max(len(photo.item.groups) for photo in photos)):
            some = [photo for photo in photos if number < len(photo.item.groups)]
            edits = [photo.item.groups[number] for photo in some]
            settle_all([photo.editor for photo in some if photo.editor], edits, settle=options.settle)

    # ------------------------------------------------------------------ behind

    def finish(self) -> None:
        """See `infer.folders.engine.Worker`."""
        if self.behind is not None:
            self.behind.result()
        for pool in (self.reader, self.finisher, self.photos):
            pool.shutdown()

    def _finish_all(self, group: _Group) -> None:
        wanted = [photo for photo, wanted in zip(group.photos, group.unit.wanted, strict=True) if wanted]
        for photo, edits in zip(wanted, self.photos.map(self._edit, wanted), strict=True):
            with _Telling(photo, "write"):
                for edit in edits:
                    assert photo.editor is not None
                    folder = self._folder(photo.item)
                    paths = write_edit(photo.editor, edit, folder, lossless=self.options.lossless)
                    out = self.job.out
                    photo.line.files |= {path.relative_to(out).as_posix(): sha256(path) for path in paths}
            photo.editor = None
            photo.line.write(self.job.out, self.rank)

    def _edit(self, photo: _Photo) -> list[Edit]:
        made: list[Edit] = []
        if photo.editor is None or photo.line.state == "failed":
            return made
        clock = _Telling(photo, "edit")
        for group in photo.item.groups:
            with clock:
                made.append(photo.editor.edit(group, **self.options.of_edit))
                photo.line.to.append(" + ".join(str(step.name) for step in made[-1].steps))
        return made

    def _folder(self, item: Item) -> ResultFolder:
        folder = self.job.out / item.name.parent
        if folder not in self.folders:
            self.folders[folder] = ResultFolder(folder, self.job.inputs)
        return self.folders[folder]


class _Now(Executor):
    """Does at once what others do in threads."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class _Telling:
    """Writes into a photo's line how long a part took, and why it failed; the other parts go on."""

    def __init__(self, photo: _Photo, part: str) -> None:
        self.line, self.part = photo.line, part

    def __enter__(self) -> None:
        self.since = time.perf_counter()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        took = self.line.seconds.get(self.part, 0.0) + time.perf_counter() - self.since
        self.line.seconds[self.part] = round(took, 3)
        if not isinstance(error, Exception):
            return False
        if not (isinstance(error, NothingFound) and self.line.state == "skipped"):
            self.line.state = "failed"
        self.line.error = str(error)
        if not isinstance(error, PhotograftError):  # our bug: the other photos first
            self.line.error = f"{type(error).__name__}: {error}"
            self.line.bug = "".join(traceback.format_exception(error))
        return True
