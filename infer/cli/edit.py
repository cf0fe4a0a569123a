"""The edit command, and how its options and a recipe together say what to do."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import typer
from numpy.typing import NDArray

from infer.cli.common import DeviceOption, Failures, ModelOption, OutOption, prepared, say
from infer.cli.options import (
    BoxOption,
    DrawSeedOption,
    FormatOption,
    FromOption,
    LayersOption,
    LosslessOption,
    MaskInvertOption,
    MaskOption,
    MethodOption,
    NoiseOption,
    PhotosArgument,
    PresetOption,
    RecipeOption,
    SegmenterName,
    SegmenterOption,
    SettleOption,
    SpaceOption,
    StepsOption,
    StrengthOption,
    TogetherOption,
    ToOption,
    TuneOption,
    chosen_format,
    fitted,
    parse_layers,
    searched,
)
from infer.cli.photos import need_photos, new_editor, projected
from infer.editor.editor import Editor
from infer.editor.output import contact_row, write_edit
from infer.editor.recipe import Recipe, read_recipe
from infer.editor.results import ResultFolder, check_folder, model_inputs
from infer.editor.targets import WHOLE_MASKS, Target
from infer.photo.box import Box
from infer.photo.compositing import DEFAULT_METHOD, Method
from infer.photo.write import FormatName
from infer.pictures.convert import png
from infer.pictures.sheet import sheet, tile
from infer.projection.model import check_projects
from models.errors import PhotograftError
from models.zoo import DEFAULT


@dataclass(frozen=True)
class _How:
    """Options that a recipe knows too."""

    model: str
    method: Method
    segmenter: str
    settle: int | None
    lossless: bool
    format: FormatName | None  # None: the photo's own


def edit(
    context: typer.Context,
    photos: PhotosArgument = None,
    to: ToOption = None,
    mask: MaskOption = None,
    mask_invert: MaskInvertOption = False,
    strength: StrengthOption = None,
    together: TogetherOption = False,
    layers: LayersOption = None,
    settle: SettleOption = None,
    box: BoxOption = None,
    segmenter: SegmenterOption = "deeplab",
    source: FromOption = None,
    preset: PresetOption = "balanced",
    steps: StepsOption = None,
    space: SpaceOption = None,
    noise: NoiseOption = True,
    tune: TuneOption = None,
    seed: DrawSeedOption = 0,
    recipe: RecipeOption = None,
    method: MethodOption = DEFAULT_METHOD,
    lossless: LosslessOption = False,
    file_format: FormatOption = None,
    model: ModelOption = DEFAULT,
    device: DeviceOption = "auto",
    out: OutOption = Path("out"),
) -> None:
    """Change the class of a region of photos.

    Writes NAME_to_CLASS for each photo and class: the photo itself, a panel that shows every stage (.panel.png), and
    the recipe (.json), from which --recipe edits again without projecting. Of several photos also contact_sheet.png.
    """
    known = None if recipe is None else read_recipe(recipe)
    how = _how(context, known, _How(model, method, segmenter, settle, lossless, chosen_format(file_format, lossless)))
    photos = need_photos(photos) if known is None else _photo_of(known, photos)
    regions = known.targets if known else ()
    groups = edit_groups(to or [], mask or [], strength or [], together, regions, invert=mask_invert)
    where = None if box is None else Box.parse(box)
    networks = prepared(how.model, device)
    loaded = networks.model
    chosen = known.layers if known and layers is None else parse_layers(layers, len(loaded.generator.modulated_layers))
    for name in [*(target.to for group in groups for target in group), *([source] if source else [])]:
        loaded.class_index(name)
    check_folder(out)
    results = ResultFolder(out, [*photos, *model_inputs(how.model), *_read(groups, known, recipe)])
    failures, job = Failures(len(photos)), _Job(groups, chosen, how, results)
    if known is not None:
        with failures.of(photos[0]):
            editor = new_editor(networks, how.segmenter, photos[0]).restore(known, photos[0])
            job.check(editor)
            job.run(editor, photos[0], failures)
    else:
        check_projects(loaded)
        asked = projected(
            networks,
            how.segmenter,
            photos,
            where,
            failures,
            source=source,
            preset=preset,
            steps=steps,
            options=searched(space, noise, tune, seed=seed),
            check=job.check,
        )
        for editor, photo in asked:
            job.run(editor, photo, failures)
        if len(photos) > 1:
            with failures.of(out):
                job.write_sheet()
    failures.finish()


@dataclass
class _Job:
    """The edits that every photo gets, and where they go."""

    groups: list[list[Target]]
    layers: Sequence[int] | None
    how: _How
    results: ResultFolder
    rows: dict[Path, list[NDArray[np.uint8]]] = field(default_factory=dict)

    def check(self, editor: Editor) -> None:
        """Before the work: do masks, classes and the format fit this photo?"""
        editor.write_as(self.how.format)
        for group in self.groups:
            editor.resolve(group)

    def run(self, editor: Editor, photo: Path, failures: Failures) -> None:
        """All edits of one photo, each written when it is made; one that fails does not stop the others."""
        written = 0
        for group in self.groups:
            with failures.of(photo):
                edit = editor.edit(group, layers=self.layers, method=self.how.method, settle=self.how.settle)
                write_edit(editor, edit, self.results, lossless=self.how.lossless, say=say)
                written += 1
        if written == len(self.groups):  # else its pictures would stand under wrong titles
            with failures.of(photo):
                self.rows[photo] = [tile(picture) for picture in contact_row(editor)]

    def write_sheet(self) -> None:
        """All photos with their projections and edits in one picture."""
        if len(self.rows) > 1:
            names = [" + ".join(target.to for target in group) for group in self.groups]
            photos = [photo.stem for photo in self.rows]
            picture = png(sheet(list(self.rows.values()), ["photo", "projection", *names], photos))
            self.results.write("contact_sheet", lambda name: {f"{name}.png": picture}, done=lambda paths: say(paths[0]))


def _how(context: typer.Context, known: Recipe | None, how: _How) -> _How:
    """What is not given on the command line is the recipe's. Raises PhotograftError for options that exclude it."""
    if known is None:
        return how
    options = {"box": "--box", "source": "--from", "preset": "--preset", "steps": "--steps", "seed": "--seed"}
    options |= {"space": "--space", "noise": "--noise", "tune": "--tune"}
    for name, option in options.items():
        if _given(context, name):
            raise PhotograftError(f"{option} and --recipe exclude each other: the recipe's projection is used as it is")
    kept = {
        name: getattr(known, name) for name in ("model", "method", "segmenter", "settle") if not _given(context, name)
    }
    if kept.get("segmenter", "deeplab") not in get_args(SegmenterName):
        raise PhotograftError(f"the recipe was made with a segmenter of its own ({known.segmenter}): give --segmenter")
    if how.format is not None:
        return replace(how, **kept)
    written = Path(known.files.get("photo", "")).suffix[1:]
    again = {name: name for name in get_args(FormatName)}.get(written)
    return replace(how, **kept, lossless=how.lossless or known.lossless, format=again)


def _read(groups: list[list[Target]], known: Recipe | None, recipe: Path | None) -> list[Path]:
    """Files that are read besides photo and model: masks, and a recipe with what belongs to it."""
    masks = [target.mask for group in [*groups, known.targets if known else ()] for target in group]
    files = [recipe, known.photo if known else None, known.delta if known else None, *masks]
    return [file for file in files if isinstance(file, Path)]


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _photo_of(known: Recipe, photos: Sequence[Path] | None) -> list[Path]:
    if photos and len(photos) > 1:
        raise PhotograftError("a recipe belongs to one photo: give that one alone, or none")
    if not photos and known.photo is None:
        raise PhotograftError("the recipe does not say where its photo is: give the photo too")
    return list(photos) if photos else [known.photo] if known.photo else []


def edit_groups(
    to: Sequence[str],
    masks: Sequence[str],
    strengths: Sequence[float],
    together: bool,
    known: Sequence[Target] = (),
    *,
    invert: bool = False,
) -> list[list[Target]]:
    """The edits to make, each a list of regions.

    Args:
        to: classes; a recipe's if empty.
        masks, strengths: one for all, or one per class; a recipe's, else "auto" and 1, if empty.
        together: all regions in one edit, the later ones over the earlier ones; else an edit each.
        known: a recipe's regions, which are one edit.
        invert: edit what painted masks leave out.

    Raises:
        PhotograftError: no class, numbers that do not fit, a strength outside [0,1], no painted mask to invert, or a
            region that hides another.
    """
    if not to and not known:
        raise PhotograftError("say what to change to: --to CLASS (infer.py classes lists them)")
    again, to = not to, to or [target.to for target in known]
    where: list[Any] = [mask if mask in WHOLE_MASKS else Path(mask) for mask in masks]
    regions = fitted("--mask", where or [target.mask for target in known], "auto", len(to), "--to")
    amounts = fitted("--strength", strengths or [target.strength for target in known], 1.0, len(to), "--to")
    painted = [region not in WHOLE_MASKS for region in regions]
    if invert and not any(painted):
        raise PhotograftError("--mask-invert needs a painted mask: give it with --mask FILE")
    inverted = [invert and is_painted for is_painted in painted]
    targets = [Target(*parts) for parts in zip(to, regions, amounts, inverted, strict=True)]
    if again:
        return [targets]
    if not together:
        return [[target] for target in targets]
    for i, later in enumerate(targets):
        for earlier in targets[:i]:
            if later.strength == 1 and later.mask == earlier.mask:
                raise PhotograftError(
                    f"{later.to} would hide {earlier.to}: with --together give each --to its own --mask,"
                    " or the later ones a --strength below 1"
                )
    return [targets]
