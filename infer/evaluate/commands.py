"""`infer.py evaluate ...`"""

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
from infer.evaluate.reconstruction import evaluate_reconstruction
from infer.evaluate.reconstruction_report import console_rows, write_reconstruction
from infer.evaluate.tables import csv_table, file_stem, hashes_text, markdown_table, write_files
from infer.output import check_folder
from models.errors import PhotograftError
from models.zoo import DEFAULT, Model, load_model, with_encoder

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
    random_steps: Annotated[int | None, typer.Option(min=1, help="From random starts; default: as many.")] = None,
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
        found = compare(
            runner, chosen, steps=steps, random_steps=random_steps, grid_photos=grid_photos, grid_steps=grid_steps
        )
    text = (
        f"{len(chosen)} validation photos of `{data.name}`, {steps} updates"
        f"{'' if random_steps is None else f' ({random_steps} from random starts)'},"
        f" rates by {min(grid_photos, len(chosen))} photos after {grid_steps}, {'bfloat16' if bf16 else 'float32'}, z"
        f" {'free' if max_norm is None else f'within {max_norm:g}'}, seed {seed}"
    )
    for path in write_report(found, Settings(model.name, text, model.hashes), out):
        typer.echo(path)


@evaluate_app.command()
def reconstruction(
    data: Annotated[Path, typer.Option(help="The data it was trained on: class folders or tar shards.")],
    name: Annotated[str, typer.Argument(help="Name in the zoo, or path of a .generator.safetensors.")] = DEFAULT,
    encoder: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Encoder instead of the model's; may be given again.")
    ] = None,
    steps: Annotated[str, typer.Option(metavar="N,N", help="Updates of projection; 0: the encoder's answer.")] = "0,20",
    photos: Annotated[int, typer.Option(min=2, help="Validation photos, evenly spaced.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of other photos.")] = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for table and pictures.")] = Path("out"),
) -> None:
    """How near reconstructions are to photos: of encoders as they are, and after updates of projection.

    Judged by SqueezeNet features and pixels, beside the loss that projection itself lowers; another photo of the same
    class and the mean code show what is no better than the class.
    """
    counts = _counts(steps)
    models = _with_encoders(load_model(name), encoder or [])
    check_folder(out)
    with _updates() as say:
        found = evaluate_reconstruction(models, data, photos=photos, steps=counts, seed=seed, say=say)
    header, *rows = console_rows(found)
    table = Table(*header, title=f"{found.count} validation photos, seed {seed}")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    for path in write_reconstruction(found, next(iter(models.values())).name, data.name, out):
        typer.echo(path)


def _counts(text: str) -> list[int]:
    """Numbers of updates: "0,20"."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise PhotograftError(f"--steps are numbers of updates such as 0,20, not {text!r}")
    return list(dict.fromkeys(map(int, parts)))


def _with_encoders(model: Model, files: list[Path]) -> dict[str, Model]:
    """The model with each of the encoders, by the names of their files; as it is if there are none."""
    if not files:
        return {model.stem: model}
    names = [path.name.removesuffix(".safetensors").removesuffix(".encoder") for path in files]
    if len(set(names)) < len(names):
        raise PhotograftError(f"the encoders' names must differ in the table, not {', '.join(names)}: rename a file")
    return {name: with_encoder(model, path) for name, path in zip(names, files, strict=True)}


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
    rows = [("measure", "samples", "real pictures"), *report.rows()]
    text = f"{report.samples} samples, truncation {report.truncation}, seed {report.seed}; {hashes_text(hashes)}"
    stem = f"{file_stem(name)}_generator"
    return write_files({f"{stem}.csv": csv_table(rows), f"{stem}.md": f"{text}\n\n{markdown_table(rows)}\n"}, out)
