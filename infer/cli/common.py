"""What the commands share: messages, the progress bar, some options, failures among many photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column, Table
from rich.text import Text

from infer.cli.completion import model_names
from infer.progress import Progress
from models.device import DeviceName, find_device
from models.errors import PhotograftError
from models.names.published import is_assumed
from models.terminal import visible
from models.zoo import load_model

if TYPE_CHECKING:
    from models.prepared import Networks

console = Console(stderr=True, highlight=False)

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE|ADDRESS",
        help="A model's name, path of a .generator.safetensors, hf:OWNER/NAME, or https://…#sha256=….",
        autocompletion=model_names,
    ),
]
OutOption = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the results go.")]
DeviceOption = Annotated[
    DeviceName, typer.Option(help="Where the networks run. auto: CUDA or MPS if there is one, else the processor.")
]
SeedOption = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of random draws.")]

TruncationOption = Annotated[
    float, typer.Option(min=0, max=2, help="Of samples: less is safer and less varied. 1: none.")
]
CatalogOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A catalog's .safetensors; default: the model's own.", show_default=False),
]


def prepared(model: str, device: DeviceName, *, bf16: bool | None = None, psi: str | None = None) -> Networks:
    """A model's networks on a device, by the model's name; the device is looked for before files are read.

    Args:
        model, device: as on the command line.
        bf16: bfloat16 or float32, instead of what is fastest.
        psi: see `models.prepared.Networks.of`.
    """
    import torch

    from models.prepared import Networks

    find_device(device)
    dtype = None if bf16 is None else torch.bfloat16 if bf16 else torch.float32
    loaded = load_model(model)
    if is_assumed(loaded.names_from):  # nobody has said so: never in silence
        note(f"class names are {loaded.names_from}")
    return Networks.of(loaded, device, dtype=dtype, psi=psi)


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
def bar(before: str = "") -> Iterator[Progress]:
    """One bar over all that is told, with the time left, on terminals; elsewhere a line per thing that begins.

    Args:
        before: begins what is shown; of lines off a terminal too.
    """
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("", total=None)
        begun: set[str] = set()

        def update(what: str, done: int, total: int) -> None:
            thing = what.partition(", loss ")[0]
            if thing not in begun and not console.is_terminal:
                note(f"{before}{thing} ({done / max(total, 1):.0%} done)")
            begun.add(thing)
            shown.update(task, description=visible(before + what), completed=done, total=total)

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
