"""`infer.py evaluate studies`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infer.cli.common import CatalogOption, DeviceOption, ModelOption, SeedOption, bar, note, prepared, print_table, say
from infer.cli.completion import class_names
from infer.cli.options import PresetOption, StepsOption
from infer.evaluate.choices import REAL, STUDIES
from models.errors import PhotograftError, UnsupportedEdit
from models.registry import suggest
from models.schema import short
from models.zoo import DEFAULT

if TYPE_CHECKING:
    from infer.catalog.catalog import Catalog
    from infer.evaluate.studies.setting import Found
    from infer.photo.photo import Photo
    from models.prepared import Networks

_TARGET = "lion"  # of the morph


def studies(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help=f"Some of {', '.join(STUDIES)}. Default: all.", show_default=False),
    ] = None,
    model: ModelOption = DEFAULT,
    pictures: Annotated[int, typer.Option(min=1, max=2000, help="Samples that are measured.")] = 200,
    shown: Annotated[int, typer.Option(min=1, max=24, help="Of them on each sheet, the first ones.")] = 4,
    truncation: Annotated[float, typer.Option(min=0, max=2, help="Of the samples: less is safer.")] = 1.0,
    photo: Annotated[
        Path | None, typer.Option(help="For classes and morph. Default: a cat that comes with scikit-image.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help=f"Of the morph. Default: {_TARGET}.", autocompletion=class_names),
    ] = None,
    preset: PresetOption = "balanced",
    steps: StepsOption = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The data that the model was trained on, for an independent judge of classes."),
    ] = None,
    real: Annotated[int, typer.Option(min=2, max=1_000_000, help="Real pictures that it is fitted to.")] = REAL,
    catalog: CatalogOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables, sheets and films.")] = Path("out"),
) -> None:
    """The papers' figures with a model: a sheet to look at, and a table of what was measured on more pictures."""
    from infer.catalog.catalog import default_path, names_path
    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.evaluate.studies.report import run_studies
    from infer.evaluate.studies.setting import Setting, StudyJudge, check_pictures

    for name in names or ():
        if name not in STUDIES:
            raise PhotograftError(f"unknown study {short(name)}{suggest(name, STUDIES)}")
    check_pictures(pictures, shown)
    taken = _photo(photo)
    networks = prepared(model, device)
    target = to or _TARGET
    if "morph" in (names or STUDIES) and networks.model.class_names:
        target = networks.model.class_names[networks.model.class_index(target)]
    file = catalog or default_path(networks.model, out)
    check_folder(out)
    read = [*model_inputs(model), file, names_path(file), *([] if photo is None else [photo])]
    with bar() as update:
        judge = StudyJudge(networks, data, real=real, progress=update)
        setting = Setting(
            networks,
            judge,
            pictures,
            shown,
            seed,
            truncation,
            taken,
            preset,
            steps,
            target,
            lambda: _catalog(file, networks),
            update,
        )
        run_studies(
            list(dict.fromkeys(names or STUDIES)),
            setting,
            ResultFolder(out, read),
            done=_shown,
            skipped=None if names else note,
        )
    note(f"{pictures} samples, seed {seed}, truncation {truncation:g}; classes are judged by {judge.name}")


def _shown(name: str, found: Found, paths: list[Path]) -> None:
    print_table(found.rows, f"{name}: {STUDIES[name]}")
    for path in paths:
        say(path)


def _catalog(file: Path, networks: Networks) -> Catalog:
    """The model's catalog. Raises UnsupportedEdit where there is none: of all studies, that one is left out."""
    from infer.catalog.catalog import load_catalog

    if not file.is_file():
        raise UnsupportedEdit(f"no catalog at {file}: make one (infer.py catalog build), or give --catalog FILE")
    return load_catalog(file, networks.on_device)


def _photo(path: Path | None) -> Photo:
    """The photo, or the cat of scikit-image."""
    import numpy as np
    from skimage import data

    from infer.photo.photo import Photo
    from infer.photo.read import read_photo

    return Photo(Path("cat.png"), np.asarray(data.cat()), "PNG") if path is None else read_photo(path)
