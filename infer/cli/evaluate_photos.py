"""`infer.py evaluate photos`"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from infer.cli.common import DeviceOption, ModelOption, SeedOption, bar, complain, note, prepared, print_table, say
from infer.cli.options import FinishOption, MethodOption, PresetOption, ProcessesOption, ToOption
from infer.evaluate.choices import REAL
from infer.photo.choices import DEFAULT_METHOD
from infer.projection.presets import DEFAULT_PRESET
from models.errors import PhotograftError
from models.zoo import DEFAULT

if TYPE_CHECKING:
    from infer.evaluate.photos import Wanted
    from models.prepared import Networks


def photos(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Photos with a boxes.jsonl, shards of scenes, or photos alone.")
    ],
    model: ModelOption = DEFAULT,
    to: ToOption = None,
    per_photo: Annotated[
        int, typer.Option(min=1, max=16, help="Classes drawn for each photo where no --to is given.")
    ] = 1,
    data: Annotated[
        Path | None,
        typer.Option(help="The data that the model was trained on: the probe that judges classes needs it."),
    ] = None,
    real: Annotated[int, typer.Option(min=2, max=1_000_000, help="Real pictures that the probe is fitted to.")] = REAL,
    preset: PresetOption = DEFAULT_PRESET,  # type: ignore[assignment]
    method: MethodOption = None,
    finish: FinishOption = "auto",
    places: Annotated[
        Literal["found", "known"], typer.Option(help="Edit the heads that are found, or those that are known.")
    ] = "found",
    place_only: Annotated[bool, typer.Option("--place-only", help="Find heads, and edit nothing.")] = False,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Keep photo and edit for `photograft study`, in FOLDER/pairs and pairs.csv.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="Photos at most, evenly spaced. Default: all.")
    ] = None,
    seed: SeedOption = 1,
    device: DeviceOption = "auto",
    devices: ProcessesOption = 1,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables, the sheet and kept edits.")] = Path(
        "out"
    ),
) -> None:
    """Whole photos, edited as `edit` does: place, class, colour cast, leftovers, sharpness, seam, detectability.

    Edits are kept in FOLDER/photos as they are done: after an interruption the same command goes on.
    """
    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.evaluate.class_judge import ClassJudge
    from infer.evaluate.known_photos import known_photos
    from infer.evaluate.photo_pairs import PairFolder, method_label
    from infer.evaluate.photos import Wanted, evaluate_photos
    from infer.evaluate.photos_report import described, left_out, summary_rows, write_photos
    from infer.folders.shared import share_evaluation
    from infer.photo.finishing import check_finish
    from models.progress import is_first_process

    networks = prepared(model, device)
    known, read = known_photos(folder), model_inputs(model)
    check_finish(finish)
    wanted = Wanted(
        tuple(to or ()), per_photo, preset, method or DEFAULT_METHOD, finish, seed, places == "known", place_only
    )
    if pairs and place_only:
        raise PhotograftError("--pairs needs edits: leave --place-only out")
    check_folder(out)
    if not place_only:
        share_evaluation(networks, partial(_edited, folder, wanted, limit, out / "photos"), devices)
    if not is_first_process():
        return
    kept = PairFolder(out, networks.model, method_label(networks.model, wanted)) if pairs else None
    with bar() as update:
        judge = None if place_only else ClassJudge(networks, data, real=real, folder=out / "photos", progress=update)
        report = evaluate_photos(
            networks,
            known,
            wanted,
            judge=judge,
            limit=limit,
            folder=out / "photos",
            keep=None if kept is None else kept.keep,
            progress=update,
        )
    print_table(summary_rows(report), f"{folder.name}: {described(report)}")
    for line in left_out(report):
        note(line)
    for path in write_photos(report, networks.model, folder.name, ResultFolder(out, read)):
        say(path)
    if kept is not None:
        say(kept.write())
    for text in report.failed.values():
        complain(text)
    if report.failed:
        raise typer.Exit(2)


def _edited(folder: Path, wanted: Wanted, limit: int | None, kept: Path, networks: Networks) -> None:
    """A process's share."""
    from infer.evaluate.known_photos import known_photos
    from infer.evaluate.photos import evaluate_photos

    evaluate_photos(networks, known_photos(folder), wanted, limit=limit, folder=kept)
