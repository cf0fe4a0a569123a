"""`infer.py`: edit photos, look at models, convert weights."""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from infer.compositing import METHODS
from infer.editor import Editor, Target, project_all, to_pixels
from infer.output import panel, read_recipe, restore, sheet, write_edits, write_png
from infer.photo import Box
from models.errors import PhotograftError
from models.segmentation import SEGMENTERS
from models.zoo import DEFAULT, ZOO, Model, load_model

app = typer.Typer(
    help="Edit real photos inside a GAN: change the class of a region, and blend it back at native resolution.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console(stderr=True, highlight=False)
BATCH = 8  # photos that are projected together

Methods = StrEnum("Methods", {name: name for name in METHODS})
Segmenters = StrEnum("Segmenters", {name: name for name in SEGMENTERS})

ModelOption = Annotated[str, typer.Option("--model", "-m", help="Name in the zoo, or path of a .generator.safetensors.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]
SeedOption = Annotated[int, typer.Option(help="Seed of random draws.")]
StepsOption = Annotated[int, typer.Option(min=0, max=10_000, help="Updates of projection; 0: the encoder's answer.")]
FromOption = Annotated[str | None, typer.Option("--from", help="Class in the photo; found automatically if left out.")]
BoxOption = Annotated[str | None, typer.Option(help="Square to edit, x,y,w,h in photo pixels; found automatically.")]
SegmenterOption = Annotated[Segmenters, typer.Option(help="Finds the animal.")]
PhotosArgument = Annotated[list[Path], typer.Argument(help="Photos.", metavar="PHOTO...")]


@contextmanager
def _bar(text: str) -> Iterator[Any]:
    """A progress bar with the loss; gives a callback for projection."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(text, total=None, loss="-")

        def update(done: int, total: int, loss: float) -> None:
            progress.update(task, completed=done, total=total, loss=f"{loss:.3f}")

        yield update


def _editors(
    model: Model, photos: list[Path], box: str | None, segmenter: str, failures: list[str]
) -> Iterator[list[Editor]]:
    """Editors with their photos set, in batches; bad photos are reported and skipped."""
    where = None if box is None else Box.parse(box)
    batch: list[Editor] = []
    for path in photos:
        try:
            editor = Editor(model, segmenter, say=lambda text, name=path.name: console.print(f"[dim]{name}: {text}[/]"))
            batch.append(editor.set_photo(path, where))
        except PhotograftError as error:
            _report(failures, str(error))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _report(failures: list[str], text: str) -> None:
    failures.append(text)
    console.print(f"[red]error:[/] {text}", soft_wrap=True)


def _finish(failures: list[str], total: int) -> None:
    """Exit code 2 if something failed."""
    if failures:
        if total > 1:
            console.print(f"{len(failures)} of {total} photos failed, see above")
        raise typer.Exit(2)


def _layers(text: str | None, model: Model) -> list[int] | None:
    """"0-3", "2" or "0,2-4" as indices of modulated layers."""
    if text is None:
        return None
    chosen: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            chosen += range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise PhotograftError(f"--layers takes A-B or A,B,C, not {text!r}") from error
    count = len(model.generator.modulated_layers)
    if not chosen or not all(0 <= i < count for i in chosen):
        raise PhotograftError(f"--layers must lie in 0-{count - 1} for model {model.name}, not {text!r}")
    return chosen


def _targets(to: list[str], masks: list[str], strengths: list[float]) -> list[Target]:
    """One target per --to, with its mask and strength; one mask or strength serves all."""
    if not to:
        raise PhotograftError("say what to edit to: --to CLASS (infer.py classes lists them)")
    for name, values in (("--mask", masks), ("--strength", strengths)):
        if len(values) not in (0, 1, len(to)):
            raise PhotograftError(f"{len(values)} {name} for {len(to)} --to: give one, or one for each")
    masks = masks or ["auto"]
    strengths = strengths or [1.0]
    for strength in strengths:
        if not 0 <= strength <= 1:
            raise PhotograftError(f"--strength must be in 0..1, not {strength}")
    masks, strengths = masks * (len(to) // len(masks)), strengths * (len(to) // len(strengths))
    return [Target(t, m if m in ("auto", "box") else Path(m), s) for t, m, s in zip(to, masks, strengths, strict=True)]


@app.command()
def edit(
    photos: PhotosArgument,
    to: Annotated[list[str], typer.Option("--to", help="Target class; several make several edits.")] = [],  # noqa: B006
    source: FromOption = None,
    mask: Annotated[list[str], typer.Option(help="auto, box, or a painted PNG of the photo's size; per --to.")] = [],  # noqa: B006
    box: BoxOption = None,
    strength: Annotated[list[float], typer.Option(help="0..1, per --to.")] = [],  # noqa: B006
    together: Annotated[bool, typer.Option("--together", help="All --to regions in one edit, not one each.")] = False,
    layers: Annotated[str | None, typer.Option(help="Modulated layers to edit: A-B; early: shape, late: coat.")] = None,
    steps: StepsOption = 100,
    method: Annotated[Methods, typer.Option(help="Compositing.")] = Methods.poisson,
    segmenter: SegmenterOption = Segmenters.deeplab,
    recipe: Annotated[Path | None, typer.Option(help="Take box and latent from this recipe: no projection.")] = None,
    lossless: Annotated[bool, typer.Option("--lossless", help="Write PNG, also for JPEG photos.")] = False,
    seed: SeedOption = 0,
    model: ModelOption = DEFAULT,
    out: OutOption = Path("out"),
) -> None:
    """Change the class of a region of photos; writes each photo, a panel beside it and the recipe."""
    networks = load_model(model)
    chosen = _layers(layers, networks)
    known = read_recipe(recipe) if recipe is not None else None
    targets = _targets(to, mask, strength) if to or known is None else []
    for target in targets:
        networks.class_index(target.to)
    if source is not None:
        networks.class_index(source)
    failures: list[str] = []
    if known is not None:
        batches: Iterator[list[Editor]] = iter([[Editor(networks, segmenter.value)]])
    else:
        batches = _editors(networks, photos, box, segmenter.value, failures)
    for batch in batches:
        if known is not None:
            if len(photos) != 1:
                raise PhotograftError("a recipe belongs to one photo: give just that one")
            targets = targets or list(restore(batch[0], known, photos[0]))
            restore(batch[0], known, photos[0])
        else:
            with _bar("projecting") as progress:
                project_all(batch, source, steps=steps, progress=progress, seed=seed)
        for editor in batch:
            try:
                for group in [targets] if together else [[t] for t in targets]:
                    editor.edit(group, layers=chosen, method=method.value)  # type: ignore[arg-type]
                for path in write_edits(editor, out, lossless=lossless):
                    typer.echo(path)
            except PhotograftError as error:
                _report(failures, str(error))
    _finish(failures, len(photos))


@app.command()
def project(
    photos: PhotosArgument,
    source: FromOption = None,
    box: BoxOption = None,
    steps: StepsOption = 200,
    restarts: Annotated[int, typer.Option(min=0, max=64, help="Further random starts per photo, pruned.")] = 0,
    segmenter: SegmenterOption = Segmenters.deeplab,
    seed: SeedOption = 0,
    model: ModelOption = DEFAULT,
    out: OutOption = Path("out"),
) -> None:
    """Find the latents of photos; writes the reconstruction beside the crop, and z as JSON."""
    networks = load_model(model)
    failures: list[str] = []
    for batch in _editors(networks, photos, box, segmenter.value, failures):
        with _bar("projecting") as progress:
            project_all(batch, source, steps=steps, progress=progress, restarts=restarts, seed=seed)
        for editor in batch:
            assert editor.photo is not None and editor.photo.path is not None and editor.projection is not None
            assert editor.label is not None
            stem = editor.photo.path.stem
            crop = to_pixels(editor.target())
            write_png(sheet([[crop, editor.reconstruction()]], ["photo", "projection"]), out / f"{stem}.projection.png")
            values = {
                "class": networks.class_names[editor.label],
                "box": str(editor.box),
                "loss": float(editor.projection.loss[0]),
                "z": [float(v) for v in editor.projection.z[0]],
            }
            from infer.photo import atomic_write

            text = json.dumps(values, indent=1).encode()
            atomic_write(out / f"{stem}.projection.json", lambda stream, text=text: stream.write(text))
            typer.echo(out / f"{stem}.projection.png")
    _finish(failures, len(photos))


@app.command()
def classes(model: ModelOption = DEFAULT) -> None:
    """List a model's classes."""
    networks = load_model(model)
    table = Table("number", "class", "group")
    for i, name in enumerate(networks.class_names):
        table.add_row(str(i), name, networks.group_names[networks.groups[i]])
    Console().print(table)


@app.command(name="models")
def list_models() -> None:
    """List the models of the zoo."""
    table = Table("name", "what", "licence")
    for name, entry in ZOO.items():
        table.add_row(name, entry.summary, entry.licence)
    Console().print(table)


@app.command()
def sample(
    to: Annotated[list[str], typer.Option("--class", "-c", help="Classes, one row each; default: 8 of them.")] = [],  # noqa: B006
    columns: Annotated[int, typer.Option(min=1, max=64, help="Samples per class.")] = 8,
    truncation: Annotated[float, typer.Option(min=0, max=2, help="Factor on z: less is safer and less varied.")] = 1.0,
    seed: SeedOption = 0,
    model: ModelOption = DEFAULT,
    out: OutOption = Path("out"),
) -> None:
    """Draw samples: a grid with a class per row and a z per column."""
    networks = load_model(model)
    labels = [networks.class_index(name) for name in to] or _spread(len(networks.class_names), 8)
    z = networks.generator.sample_latent(columns, torch.Generator().manual_seed(seed)) * truncation
    rows = []
    with torch.no_grad():
        for label in labels:
            images = networks.generator(z, torch.full((columns,), label))
            rows.append([to_pixels(image[None]) for image in images])
    path = out / f"{Path(networks.name).name}_samples_{seed}.png"
    write_png(sheet(rows, size=networks.generator.resolution), path)
    typer.echo(f"{path}: {', '.join(networks.class_names[label] for label in labels)}")


def _spread(n: int, count: int) -> list[int]:
    return [round(i * (n - 1) / max(count - 1, 1)) for i in range(min(count, n))]


@app.command()
def inspect(file: Annotated[Path, typer.Argument(help="Our .safetensors, or an original Chainer .npz.")]) -> None:
    """Say what a weights file holds."""
    from models.checkpoints.chainer import describe
    from models.files import read_header

    if file.suffix == ".safetensors":
        header = read_header(file)
        lines = [f"{header.kind} of family {header.family}", json.dumps(header.config)]
        info = {k: v for k, v in header.info.items() if not isinstance(v, list)}
        typer.echo("\n".join([*lines, json.dumps(info)]))
    else:
        typer.echo(describe(file))


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="An original Chainer snapshot (.npz).")],
    out: Annotated[Path, typer.Argument(help="The .safetensors to write.")],
) -> None:
    """Convert the original authors' snapshots to our format."""
    from models.checkpoints.chainer import convert as convert_snapshot

    for path in convert_snapshot(file, out):
        typer.echo(path)


@app.command()
def bench() -> None:
    """Time projection at the original's 256 px configuration."""
    from infer.bench import bench as run

    run()


@app.command()
def demo(out: OutOption = Path("out/demo"), steps: StepsOption = 100) -> None:
    """Edit the cat photo that ships with scikit-image into another cat, a dog and a big cat."""
    import skimage
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cat.png"
        Image.fromarray(skimage.data.cat()).save(path)
        editor = Editor(load_model(), say=lambda text: console.print(f"[dim]{text}[/]")).set_photo(path)
        with _bar("projecting") as progress:
            editor.project(steps=steps, progress=progress)
        for target in DEMO_CLASSES:
            editor.edit(target)
        for written in write_edits(editor, out):
            typer.echo(written)
        rows = [[panel(editor, edit)] for edit in editor.edits]
        side = max(picture.shape[1] for row in rows for picture in row)
        write_png(_stack([picture for row in rows for picture in row], side), out / "demo.png")
    typer.echo(f"all of it in one picture: {out / 'demo.png'}")


DEMO_CLASSES = ("black cat", "golden retriever", "lion")


def _stack(pictures: list[Any], width: int) -> Any:
    import numpy as np

    return np.concatenate([np.pad(p, ((0, 8), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in pictures])


def main() -> None:
    """Entry point: errors that a user can mend are one line and exit code 2."""
    try:
        app(standalone_mode=False)
    except PhotograftError as error:
        console.print(f"[red]error:[/] {' '.join(str(error).split())}", soft_wrap=True)
        sys.exit(2)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:  # click's own: bad options
        if hasattr(error, "format_message"):
            console.print(f"[red]error:[/] {error.format_message()}", soft_wrap=True)
            sys.exit(2)
        raise


if __name__ == "__main__":
    main()
