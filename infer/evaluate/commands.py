"""`infer.py evaluate ...`"""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from infer.cli_common import console, note
from infer.evaluate.convergence import compare
from infer.evaluate.convergence_report import Settings, write_report
from infer.evaluate.curves import Runner, Say, validation_photos
from infer.evaluate.generator import GeneratorReport, evaluate_generator
from infer.output import check_folder
from infer.photo import atomic_write
from models.errors import PhotograftError
from models.zoo import DEFAULT, load_model

evaluate_app = typer.Typer(help="Measure how good a model is.", no_args_is_help=True)


@evaluate_app.callback()
def _group() -> None:
    """Measure how good a model is."""


@evaluate_app.command()
def generator(
    data: Annotated[Path, typer.Option(help="The data it was trained on: class folders or tar shards.")],
    name: Annotated[str, typer.Argument(help="Name in the zoo, or path of a .generator.safetensors.")] = DEFAULT,
    samples: Annotated[int, typer.Option(min=600, help="Samples, and real pictures.")] = 4000,
    truncation: Annotated[float, typer.Option(min=0, max=2, help="Factor on z.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of random draws.")] = 1,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the table (CSV and Markdown).")] = Path("out"),
) -> None:
    """Fréchet distances and class hits of samples; real pictures give floor and ceiling."""
    model = load_model(name)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, object] = {}

        def say(what: str, done: int, total: int) -> None:
            task = tasks.setdefault(what, progress.add_task(what, total=total) if what not in tasks else None)
            progress.update(task, completed=done)  # type: ignore[arg-type]

        report = evaluate_generator(model, data, samples=samples, truncation=truncation, seed=seed, say=say)
    table = Table("measure", "samples", "real pictures", title=f"{name}: {samples} samples, seed {seed}")
    for row in report.rows():
        table.add_row(*row)
    Console().print(table)
    for path in write_tables(report, model.name, model.hashes, out):
        typer.echo(path)


@evaluate_app.command()
def convergence(
    data: Annotated[Path, typer.Option(help="The data it was trained on: class folders or tar shards.")],
    name: Annotated[str, typer.Argument(help="Name in the zoo, or path of a .generator.safetensors.")] = DEFAULT,
    photos: Annotated[int, typer.Option(min=2, help="Validation photos, evenly spaced.")] = 200,
    steps: Annotated[int, typer.Option(min=1, help="Updates.")] = 200,
    grid_photos: Annotated[int, typer.Option(min=2, help="Photos of them that choose the learning rates.")] = 32,
    grid_steps: Annotated[int, typer.Option(min=1, help="Updates after which rates are compared.")] = 100,
    max_norm: Annotated[float | None, typer.Option(help="Hold z in this ball, in all curves; paper: not.")] = None,
    bf16: Annotated[bool, typer.Option("--bf16", help="Networks in bfloat16.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos worked on at once.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random starts.")] = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables, figures and kept curves.")] = Path("out"),
) -> None:
    """How fast projection converges on z and zeta, from E and from random starts (the paper's Figures 16 and 17).

    Each curve's losses are kept in FOLDER/curves as soon as they are done: after an interruption the same command goes
    on, and new auxiliary networks do not cost the curves on z.
    """
    if max_norm is not None and not max_norm > 0:
        raise PhotograftError(f"--max-norm is a positive radius, not {max_norm}")
    model = load_model(name)
    check_folder(out)
    chosen = validation_photos(data, model, photos, seed)
    with _updates() as say:
        options: dict[str, Any] = {"max_norm": max_norm, "bf16": bf16, "batch_size": batch_size, "say": say}
        runner = Runner(model, out / "curves", **options)
        found = compare(runner, chosen, steps=steps, grid_photos=grid_photos, grid_steps=grid_steps)
    text = (
        f"{len(chosen)} validation photos of `{data.name}`, {steps} updates, rates by {min(grid_photos, len(chosen))}"
        f" photos after {grid_steps}, {'bfloat16' if bf16 else 'float32'}, z"
        f" {'free' if max_norm is None else f'within {max_norm:g}'}, seed {seed}"
    )
    for path in write_report(found, Settings(model.name, text, model.hashes), out):
        typer.echo(path)


@contextmanager
def _updates() -> Iterator[Say]:
    """One bar over all updates, with the time left, on terminals; a line per curve that begins, elsewhere too."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        seen: set[str] = set()

        def say(what: str, done: int, total: int) -> None:
            if what not in seen and not console.is_terminal:
                note(f"{what} ({done / max(total, 1):.0%} done)")
            seen.add(what)
            progress.update(task, description=what, completed=done, total=total)

        yield say


def write_tables(report: GeneratorReport, name: str, hashes: dict[str, str], out: Path) -> list[Path]:
    """The report as CSV and Markdown, with seed, counts and the weights' hashes."""
    header = ("measure", "samples", "real pictures")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(report.rows())
    lines = [
        f"{report.samples} samples, truncation {report.truncation}, seed {report.seed}; "
        + ", ".join(f"`{file}` {value[:12]}" for file, value in hashes.items()),
        "",
        "| " + " | ".join(header) + " |",
        "|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in report.rows()),
    ]
    stem = f"{Path(name).name.removesuffix('.generator.safetensors')}_generator"
    contents = {f"{stem}.csv": text.getvalue(), f"{stem}.md": "\n".join(lines) + "\n"}
    for file, content in contents.items():
        atomic_write(out / file, lambda stream, content=content: stream.write(content.encode()))  # type: ignore[misc]
    return [out / file for file in contents]
