"""`infer.py evaluate ...`"""

import csv
import io
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from infer.evaluate.generator import GeneratorReport, evaluate_generator
from infer.photo import atomic_write
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
