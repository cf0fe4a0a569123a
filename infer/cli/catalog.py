"""`infer.py catalog ...`: make a generator's catalog, look at it, name its parts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infer.catalog.choices import CLUSTERS, SAMPLES, Resize
from infer.cli.common import (
    CatalogOption,
    DeviceOption,
    ModelOption,
    OutOption,
    SeedOption,
    TruncationOption,
    bar,
    note,
    prepared,
    say,
)
from models.errors import PhotograftError
from models.writing import Writer, file_name
from models.zoo import DEFAULT, Model, load_model

if TYPE_CHECKING:
    from infer.catalog.catalog import Catalog
    from models.samples import Samples

catalog_app = typer.Typer(help="Semantic parts of a generator: make, look at, name.", no_args_is_help=True)

SEEN = 16  # samples on which a segmenter says what is animal


@catalog_app.callback()
def _group() -> None:
    """Semantic parts of a generator: make, look at, name."""


@catalog_app.command()
def build(
    layer: Annotated[
        str | None, typer.Option(metavar="NAME|NUMBER", help="Layer to cluster; default: the first of 32 px.")
    ] = None,
    clusters: Annotated[int, typer.Option("--clusters", "-k", min=2, max=500, help="Number of clusters.")] = CLUSTERS,
    samples: Annotated[int, typer.Option(min=2, max=10_000, help="Samples to cluster.")] = SAMPLES,
    truncation: TruncationOption = 1.0,
    restarts: Annotated[int, typer.Option(min=1, max=100, help="Of k-means.")] = 4,
    max_vectors: Annotated[
        int | None, typer.Option(min=2, max=100_000_000, help="Cluster at most so many vectors.")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Hold activations as float16: half the memory.")] = False,
    resize: Annotated[Resize, typer.Option(help="Of cluster maps; nearest: as the released code.")] = "bilinear",
    segment: Annotated[bool, typer.Option(help="Propose names with a segmentation's help.")] = True,
    seed: SeedOption = 0,
    model: ModelOption = DEFAULT,
    device: DeviceOption = "auto",
    out: OutOption = Path("out"),
) -> None:
    """Cluster a layer's activations and propose names.

    Writes MODEL.catalog.safetensors, MODEL.catalog.yaml with names to correct, and MODEL.catalog.png, which shows
    every cluster on samples.
    """
    import torch

    from infer.catalog.catalog import SUFFIX, build_catalog, catalog_files
    from infer.editor.results import ResultFolder, check_folder, model_inputs

    networks = prepared(model, device).on_device
    check_folder(out)
    results, path = ResultFolder(out, model_inputs(model)), out / f"{file_name(networks.stem)}{SUFFIX}"
    with bar() as update:
        made = build_catalog(
            networks,
            layer=layer,
            clusters=clusters,
            samples=samples,
            truncation=truncation,
            restarts=restarts,
            max_vectors=max_vectors,
            dtype=torch.float16 if half else torch.float32,
            resize=resize,
            seed=seed,
            progress=update,
        )
        update("proposing names", 0, 1)
        made = replace(made, names=_proposed(made, networks, segment))
    files = {file.name: writer for file, writer in catalog_files(made, path).items()} | _sheet(made, networks, path)
    written = results.replace(files)
    note(f"names are proposals by position: look at {written[-1].name} and correct {written[1].name}")
    for file in written:
        say(file)


@catalog_app.command()
def show(
    layers: Annotated[
        list[str] | None, typer.Option("--layer", metavar="NAME|NUMBER", help="A layer to try; repeat it.")
    ] = None,
    clusters: Annotated[
        list[int] | None, typer.Option("--clusters", "-k", min=2, max=500, help="A number to try; repeat it.")
    ] = None,
    samples: Annotated[int, typer.Option(min=2, max=10_000, help="Samples to cluster.")] = 100,
    truncation: TruncationOption = 1.0,
    catalog: CatalogOption = None,
    seed: SeedOption = 0,
    model: ModelOption = DEFAULT,
    device: DeviceOption = "auto",
    out: OutOption = Path("out"),
) -> None:
    """Show clusters on samples, in colours.

    With --layer or --clusters: a row for each layer and number, to choose from before `catalog build`. Else the sheet
    of the catalog that there is, and its parts.
    """
    from infer.catalog.catalog import SUFFIX, default_path, load_catalog
    from infer.catalog.catalog_sheet import choices_sheet
    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.pictures.convert import png
    from models.samples import draw

    networks = prepared(model, device).on_device
    check_folder(out)
    results = ResultFolder(out, model_inputs(model))
    if layers or clusters:
        tried = layers or [one.name for one in networks.generator.modulated_layers if one.resolution in (16, 32, 64)]
        drawn = draw(networks, samples, seed=seed, truncation=truncation)
        with bar() as update:
            picture = png(choices_sheet(networks, tried, clusters or [8, 14, 20], drawn, seed=seed, progress=update))
        for path in results.replace({f"{file_name(networks.stem, 'clusters')}.png": picture}):
            say(path)
        return
    path = catalog or default_path(networks, out)
    found = load_catalog(path, networks)
    results.protect(path)
    about = found.settings
    say(f"{about.clusters} clusters of layer {about.layer}, {about.samples} samples, seed {about.seed}")
    for name, numbers in found.names.items():
        say(f"{name}: {', '.join(map(str, numbers))}")
    for picture_path in results.replace(_sheet(found, networks, Path(f"{file_name(networks.stem)}{SUFFIX}"))):
        say(picture_path)


@catalog_app.command()
def name(
    parts: Annotated[
        list[str], typer.Argument(metavar="NAME=K,K...", help="A part and its clusters; NAME= takes it away.")
    ],
    catalog: CatalogOption = None,
    model: ModelOption = DEFAULT,
    out: OutOption = Path("out"),
) -> None:
    """Name parts: one cluster or several that are merged. What is not mentioned stays as it is."""
    from infer.catalog.catalog import default_path, load_catalog, names_path, save_names

    networks = load_model(model)
    path = catalog or default_path(networks, out)
    found = load_catalog(path, networks)
    names = dict(found.names)
    asked = [parse_part(text, len(found.centres)) for text in parts]
    if len(dict(asked)) < len(asked):
        raise PhotograftError("a part is named twice: give all its clusters at once, such as eyes=3,7")
    for part, clusters in asked:
        if clusters:
            names[part] = clusters
        elif names.pop(part, None) is None:
            raise PhotograftError(f"there is no part {part!r} to take away: there are {', '.join(names) or 'none'}")
    found = replace(found, names=names)
    save_names(found, path)
    say(names_path(path))


def parse_part(text: str, count: int) -> tuple[str, tuple[int, ...]]:
    """ "eyes=3,7" -> ("eyes", (3, 7)); no clusters for "eyes=".

    Raises:
        PhotograftError: another form, or clusters that are not 0..count-1.
    """
    from infer.catalog.catalog import check_name, checked

    part, sign, numbers = (piece.strip() for piece in text.partition("="))
    pieces = [piece.strip() for piece in numbers.split(",")] if numbers else []
    if not part or not sign or not all(re.fullmatch("[0-9]{1,6}", piece) for piece in pieces):
        raise PhotograftError(f"a part is named as NAME=NUMBER,NUMBER such as eyes=3,7, not {text!r}")
    return check_name(part), checked(tuple(map(int, pieces)), count, "this catalog") if pieces else ()


def _shown(made: Catalog, model: Model, n: int) -> Samples:
    from models.samples import draw

    return draw(model, n, seed=made.settings.seed, truncation=made.settings.truncation)


def _proposed(made: Catalog, model: Model, segment: bool) -> dict[str, tuple[int, ...]]:
    """Names by position and, if asked for, by what a segmenter takes for animal."""
    from infer.catalog.catalog_sheet import pictures
    from infer.catalog.naming import animal_shares, propose
    from models.perception.segmentation import create_segmenter

    if not segment:
        return propose(made.maps)
    seen = _shown(made, model, SEEN)
    maps = made.cluster_maps(model.generator, seen)
    shares = animal_shares(maps, pictures(model, seen), create_segmenter(device=model.generator.device))
    return propose(made.maps, shares if max(shares) > 0.5 else None)  # else there are no animals in these pictures


def _sheet(made: Catalog, model: Model, path: Path) -> dict[str, Writer]:
    """The sheet of a catalog, under the name of its file."""
    from infer.catalog.catalog_sheet import SHOWN, catalog_sheet
    from infer.pictures.convert import png

    return {path.with_suffix(".png").name: png(catalog_sheet(made, model, _shown(made, model, SHOWN)))}
