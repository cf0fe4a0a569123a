"""From photos on the command line to editors with projections, and the commands that do little more: project, demo."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from infer.cli.common import DeviceOption, Failures, ModelOption, OutOption, bar, note, prepared, say
from infer.cli.options import (
    BoxOption,
    DrawSeedOption,
    FromOption,
    NoiseOption,
    PhotosArgument,
    PresetOption,
    RestartsOption,
    SegmenterOption,
    SpaceOption,
    StepsOption,
    TuneOption,
    searched,
)
from infer.editor.editor import Editor, project_all
from infer.editor.output import PANEL_TITLES, edit_files, edit_name, panel_row, write_projection
from infer.editor.results import ResultFolder, check_folder, model_inputs
from infer.photo.box import Box
from infer.photo.photo import Photo
from infer.pictures.convert import png
from infer.pictures.sheet import sheet
from infer.projection.model import check_projects
from infer.projection.options import ProjectionOptions
from models.errors import PhotograftError
from models.prepared import Networks
from models.zoo import DEFAULT

DEMO_CLASSES = ["black cat", "golden retriever", "lion"]

Check = Callable[[Editor], object]


def need_photos(photos: Sequence[Path] | None) -> list[Path]:
    """The photos without repetitions. Raises PhotograftError if there are none."""
    if not photos:
        raise PhotograftError("no photo was given: name one or more files")
    return list(dict.fromkeys(photos))


def new_editor(model: Networks, segmenter: str, photo: Path) -> Editor:
    """An editor that says things under the photo's name."""
    return Editor(model, segmenter, say=lambda text: note(f"{photo.name}: {text}"))


def projected(
    model: Networks,
    segmenter: str,
    photos: Sequence[Path],
    box: Box | None,
    failures: Failures,
    *,
    source: str | None,
    preset: str,
    steps: int | None,
    options: ProjectionOptions,
    check: Check = lambda editor: None,
) -> Iterator[tuple[Editor, Path]]:
    """Editors with projected photos, one after another; bad photos are reported and left out.

    Args:
        model, segmenter, photos, box: see `Editor`.
        failures: where bad photos are reported.
        source, preset, steps, options: see `project_all`.
        check: raises PhotograftError for a photo that should not be projected at all.
    """
    for i, photo in enumerate(photos, 1):
        which = f"{i} of {len(photos)}: " if len(photos) > 1 else ""
        with failures.of(photo):
            editor = new_editor(model, segmenter, photo).set_photo(photo, box)
            check(editor)
            with bar(which) as progress:
                project_all([editor], source, preset=preset, steps=steps, options=options, progress=progress)
            yield editor, photo


def project(
    photos: PhotosArgument = None,
    source: FromOption = None,
    box: BoxOption = None,
    preset: PresetOption = "balanced",
    steps: StepsOption = None,
    restarts: RestartsOption = None,
    space: SpaceOption = None,
    noise: NoiseOption = True,
    tune: TuneOption = None,
    segmenter: SegmenterOption = "deeplab",
    seed: DrawSeedOption = 0,
    model: ModelOption = DEFAULT,
    device: DeviceOption = "auto",
    out: OutOption = Path("out"),
) -> None:
    """Find the latents of photos.

    Writes NAME.projection.png, the crop beside what the generator makes of it, and NAME.projection.json, from which
    `edit --recipe` starts; with it NAME.projection.delta.safetensors where the generator changes with the photo.
    """
    photos = need_photos(photos)
    where = None if box is None else Box.parse(box)
    networks = prepared(model, device)
    check_projects(networks.model)
    if source is not None:
        networks.model.class_index(source)
    check_folder(out)
    failures, results = Failures(len(photos)), ResultFolder(out, [*photos, *model_inputs(model)])
    options = searched(space, noise, tune, restarts=restarts, seed=seed)
    asked = projected(
        networks, segmenter, photos, where, failures, source=source, preset=preset, steps=steps, options=options
    )
    for editor, photo in asked:
        with failures.of(photo):
            write_projection(editor, results, say)
    failures.finish()


def demo(
    to: Annotated[list[str] | None, typer.Option("--to", metavar="CLASS", help="Classes; default: three.")] = None,
    preset: PresetOption = "fast",  # by eye better on this photo than more updates
    steps: StepsOption = None,
    model: ModelOption = DEFAULT,
    device: DeviceOption = "auto",
    out: OutOption = Path("out/demo"),
) -> None:
    """Edit a photo of a cat into another cat, a dog and a lion.

    The photo comes with scikit-image. Writes the edits as `edit` does, and demo.png, which shows all of them.
    """
    from skimage import data

    networks = prepared(model, device)
    numbers = dict.fromkeys(networks.model.class_index(name) for name in to or DEMO_CLASSES)
    classes = [networks.model.class_names[number] for number in numbers]
    check_projects(networks.model)
    check_folder(out)
    cat = Photo(out / "cat.png", np.asarray(data.cat()), "PNG")  # type: ignore[no-untyped-call]
    editor = new_editor(networks, "deeplab", out / "cat.png").set_photo(cat)
    with bar() as progress:
        editor.project(preset=preset, steps=steps, progress=progress)
    edits = {edit_name(editor, edit): edit for edit in map(editor.edit, classes)}
    montage = sheet([panel_row(editor, edit) for edit in edits.values()], PANEL_TITLES, classes)
    jobs = {"cat.png": png(cat.pixels), "demo.png": png(montage)}
    for name, edit in edits.items():
        jobs |= edit_files(editor, edit, name)
    ResultFolder(out, model_inputs(model)).replace(jobs)
    for file in [*(f"{name}.png" for name in edits), "demo.png"]:
        say((out / file).absolute())
