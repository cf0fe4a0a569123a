"""What the commands share: messages, the progress bar, some options, failures among many photos."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column, Table
from rich.text import Text

from infer.evaluate.judging import Say
from infer.projection import Progress
from models.errors import PhotograftError
from models.terminal import visible

console = Console(stderr=True, highlight=False)

ModelOption = Annotated[
    str,
    typer.Option("--model", "-m", metavar="NAME|FILE", help="A model's name, or path of a .generator.safetensors."),
]
OutOption = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the results go.")]
SeedOption = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of random draws.")]

TruncationOption = Annotated[
    float, typer.Option(min=0, max=2, help="Of samples: less is safer and less varied. 1: none.")
]
CatalogOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A catalog's .safetensors; default: the model's own.", show_default=False),
]


def complain(text: str) -> None:
    """One line on stderr that begins with "error:"."""
    console.print(Text.assemble(("error:", "red"), " ", visible(" ".join(text.split()))), soft_wrap=True)


def note(text: str) -> None:
    """One line on stderr for a person to read."""
    console.print(Text(visible(text), style="dim"), soft_wrap=True)


def say(text: object) -> None:
    """One line on stdout: a path that was written, or a fact that was asked for."""
    typer.echo(visible(text))


def print_table(rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Rows on stdout, the first as the header; texts of files are shown as they are."""
    header, *rest = [[Text(visible(cell)) for cell in row] for row in rows]
    table = Table(*(Column(cell) for cell in header), title=None if title is None else Text(visible(title)))
    for row in rest:
        table.add_row(*row)
    Console().print(table)


@contextmanager
def bar(text: str) -> Iterator[Progress]:
    """A progress bar with the loss, on terminals only; gives the callback that moves it."""
    with bars(text) as (update,):
        yield update


@contextmanager
def bars(*texts: str) -> Iterator[list[Progress]]:
    """Bars for one kind of work after another, each of which appears when its callback is first called; see `bar`."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]}"),
    )
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def mover(text: str, first: bool) -> Progress:
            task = progress.add_task(text, total=None, loss="-", visible=first)

            def update(done: int, total: int, loss: float) -> None:
                progress.update(task, completed=done, total=total, loss=f"{loss:.3f}", visible=True)

            return update

        yield [mover(text, i == 0) for i, text in enumerate(texts)]


@contextmanager
def updates() -> Iterator[Say]:
    """One bar over all updates, with the time left, on terminals; a line per curve that begins, elsewhere too."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        seen: set[str] = set()

        def update(what: str, done: int, total: int) -> None:
            if what not in seen and not console.is_terminal:
                note(f"{what} ({done / max(total, 1):.0%} done)")
            seen.add(what)
            progress.update(task, description=visible(what), completed=done, total=total)

        yield update


class Failures:
    """What went wrong with single photos: told at once, and once more by the exit code when all are done.

    Args:
        total: number of photos.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._failed: dict[Path, None] = {}
        self._bug: Exception | None = None

    @contextmanager
    def of(self, photo: Path) -> Iterator[None]:
        """Report what the block raises as this photo's failure; the others go on."""
        try:
            yield
        except PhotograftError as error:
            self._failed[photo] = None
            complain(str(error) if str(photo) in str(error) else f"{photo}: {error}")
        except BrokenPipeError:  # nobody reads on: no fault of the photo's
            raise
        except Exception as error:  # our bug: the other photos first, then the traceback
            self._failed[photo] = None
            self._bug = self._bug or error

    def finish(self) -> None:
        """Raise typer.Exit with code 2 if a photo failed, or the first error that was no PhotograftError."""
        if self._bug is not None:
            raise self._bug
        if self._failed:
            if self.total > 1:
                note(f"{len(self._failed)} of {self.total} photos failed")
            raise typer.Exit(2)
