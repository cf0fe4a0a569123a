"""The commands that find latents and do little more: project, demo."""

from pathlib import Path
from typing import Annotated

import typer

from infer.cli.common import DeviceOption, Failures, ModelOption, OutOption, bar, prepared, say
from infer.cli.completion import class_names
from infer.cli.forecast import Forecast, MaxSecondsOption
from infer.cli.options import (
    AnywhereOption,
    BoxOption,
    CacheOption,
    DrawSeedOption,
    FromOption,
    NoiseOption,
    PhotosArgument,
    PresetOption,
    RestartsOption,
    RollOption,
    SegmenterOption,
    SkipUnfoundOption,
    SpaceOption,
    StepsOption,
    TuneOption,
    WhichOption,
    searched,
)
from infer.projection.options import ProjectionOptions
from models.zoo import DEFAULT

DEMO_CLASSES = ["black cat", "golden retriever", "lion"]


def project(
    photos: PhotosArgument = None,
    source: FromOption = None,
    box: BoxOption = None,
    which: WhichOption = None,
    anywhere: AnywhereOption = False,
    roll: RollOption = "auto",
    skip_unfound: SkipUnfoundOption = False,
    preset: PresetOption = "balanced",
    steps: StepsOption = None,
    restarts: RestartsOption = None,
    space: SpaceOption = None,
    noise: NoiseOption = True,
    tune: TuneOption = None,
    segmenter: SegmenterOption = "deeplab",
    max_seconds: MaxSecondsOption = None,
    seed: DrawSeedOption = 0,
    cache: CacheOption = True,
    model: ModelOption = DEFAULT,
    device: DeviceOption = "auto",
    out: OutOption = Path("out"),
) -> None:
    """Find the latents of photos.

    Writes NAME.projection.png, the crop beside what the generator makes of it, and NAME.projection.json, from which
    `edit --recipe` starts; with it NAME.projection.delta.safetensors where the generator changes with the photo.
    """
    from infer.cli.photos import kept_projections, need_photos, projected
    from infer.editor.output import write_projection
    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.photo.place import Place
    from infer.projection.mixture import parse_source
    from infer.projection.model import check_projects

    photos = need_photos(photos)
    place = Place.parse(box, which, anywhere, roll)
    networks = prepared(model, device)
    check_projects(networks.model)
    said = None if source is None else parse_source(networks.model, source)
    check_folder(out)
    failures, results = Failures(len(photos)), ResultFolder(out, [*photos, *model_inputs(model)])
    options = searched(space, noise, tune, restarts=restarts, seed=seed, max_seconds=max_seconds)
    asked = projected(
        networks,
        segmenter,
        photos,
        place,
        failures,
        skip=skip_unfound,
        source=said,
        preset=preset,
        steps=steps,
        options=options,
        cache=kept_projections(cache),
    )
    for editor, photo in asked:
        with failures.of(photo):
            write_projection(editor, results, say)
    failures.finish()


def demo(
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="CLASS", help="Classes; default: three.", autocompletion=class_names),
    ] = None,
    preset: PresetOption = "fast",  # by eye better on this photo than more updates
    steps: StepsOption = None,
    model: ModelOption = DEFAULT,
    device: DeviceOption = "auto",
    out: OutOption = Path("out/demo"),
) -> None:
    """Edit a photo of a cat into another cat, a dog and a lion.

    The photo comes with scikit-image. Writes the edits as `edit` does, and demo.png, which shows all of them.
    """
    import numpy as np
    from skimage import data

    from infer.cli.photos import new_editor
    from infer.editor.output import PANEL_TITLES, edit_files, edit_name, panel_row
    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.photo.photo import Photo
    from infer.pictures.convert import png
    from infer.pictures.sheet import sheet
    from infer.projection.model import check_projects

    networks = prepared(model, device)
    numbers = dict.fromkeys(networks.model.class_index(name) for name in to or DEMO_CLASSES)
    classes = [networks.model.class_names[number] for number in numbers]
    check_projects(networks.model)
    check_folder(out)
    cat = Photo(out / "cat.png", np.asarray(data.cat()), "PNG")
    editor = new_editor(networks, "deeplab", out / "cat.png").set_photo(cat)
    forecast = Forecast(networks.model, preset, ProjectionOptions(steps=steps))
    with bar() as progress:
        editor.project(preset=preset, steps=steps, progress=forecast.of(1, progress))
    edits = {edit_name(editor, edit): edit for edit in map(editor.edit, classes)}
    montage = sheet([panel_row(editor, edit) for edit in edits.values()], PANEL_TITLES, classes)
    jobs = {"cat.png": png(cat.pixels), "demo.png": png(montage)}
    for name, edit in edits.items():
        jobs |= edit_files(editor, edit, name)
    ResultFolder(out, model_inputs(model)).replace(jobs)
    for file in [*(f"{name}.png" for name in edits), "demo.png"]:
        say((out / file).absolute())
