"""The edit command, and how its options and a recipe together say what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from infer.cli.common import DeviceOption, Failures, ModelOption, OutOption, prepared, say
from infer.cli.folders import (
    BatchOption,
    BoxesOption,
    DevicesOption,
    DryRunOption,
    LimitOption,
    Many,
    MaskFolderOption,
    ResumeOption,
    Said,
    TargetsOption,
    edit_many,
)
from infer.cli.forecast import MaxSecondsOption
from infer.cli.options import (
    AnywhereOption,
    BoxOption,
    CacheOption,
    DrawSeedOption,
    FinishOption,
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
    RecolourOption,
    RollOption,
    SegmenterOption,
    SettleOption,
    SkipUnfoundOption,
    SpaceOption,
    StepsOption,
    StrengthOption,
    SweepOption,
    TogetherOption,
    ToOption,
    TuneOption,
    WhichOption,
    chosen_format,
    fitted,
    searched,
)
from infer.edits.choices import WHOLE_MASKS
from infer.edits.layers import parse_layers
from models.errors import PhotograftError
from models.zoo import DEFAULT

if TYPE_CHECKING:
    from infer.cli.again import How
    from infer.editor.editor import Editor
    from infer.editor.recipe import Recipe
    from infer.editor.results import ResultFolder
    from infer.editor.steps import Step
    from infer.edits.choices import Scale
    from infer.folders.options import FolderOptions
    from infer.photo.photo import Pixels
    from models.prepared import Networks

_OF_THE_RECIPE = {
    name: f"--{option}"
    for name, option in (
        ("box", "box"),
        ("which", "which"),
        ("anywhere", "anywhere"),
        ("roll", "roll"),
        ("skip_unfound", "skip-unfound"),
        ("source", "from"),
        ("preset", "preset"),
        ("steps", "steps"),
        ("seed", "seed"),
        ("space", "space"),
        ("noise", "noise"),
        ("tune", "tune"),
        ("max_seconds", "max-seconds"),
    )
}


def edit(
    context: typer.Context,
    photos: PhotosArgument = None,
    to: ToOption = None,
    mask: MaskOption = None,
    mask_invert: MaskInvertOption = False,
    strength: StrengthOption = None,
    sweep: SweepOption = None,
    together: TogetherOption = False,
    layers: LayersOption = None,
    settle: SettleOption = None,
    box: BoxOption = None,
    which: WhichOption = None,
    anywhere: AnywhereOption = False,
    roll: RollOption = "auto",
    skip_unfound: SkipUnfoundOption = False,
    segmenter: SegmenterOption = "deeplab",
    source: FromOption = None,
    preset: PresetOption = "balanced",
    steps: StepsOption = None,
    space: SpaceOption = None,
    noise: NoiseOption = True,
    tune: TuneOption = None,
    max_seconds: MaxSecondsOption = None,
    seed: DrawSeedOption = 0,
    cache: CacheOption = True,
    recipe: RecipeOption = None,
    method: MethodOption = None,
    finish: FinishOption = "auto",
    recolour_body: RecolourOption = False,
    lossless: LosslessOption = False,
    file_format: FormatOption = None,
    model: ModelOption = DEFAULT,
    device: DeviceOption = "auto",
    mask_dir: MaskFolderOption = None,
    boxes: BoxesOption = None,
    targets: TargetsOption = None,
    resume: ResumeOption = False,
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
    devices: DevicesOption = None,
    batch: BatchOption = None,
    out: OutOption = Path("out"),
) -> None:
    """Change the class of a region of photos.

    Writes NAME_to_CLASS for each photo and class: the photo itself, a panel that shows every stage (.panel.png), and
    the recipe (.json), from which --recipe edits again without projecting. Of several photos also contact_sheet.png.
    Of folders and patterns ("photos/**/*.jpg") the results lie in the same tree, with summary.jsonl and a contact sheet
    for every 50 photos.
    Several strengths are in NAME_to_CLASS_s000, _s025, ...; _sweep shows all of them in a row (.png) and moving (.gif).
    """
    from infer.cli.again import How, photo_of
    from infer.cli.photos import need_photos
    from infer.cli.sweep import parse_strengths, scale_of
    from infer.editor.recipe_file import read_recipe
    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.editor.steps import check_classes, in_layers
    from infer.folders.options import FolderOptions
    from infer.photo.finishing import check_finish
    from infer.photo.place import Place

    known = None if recipe is None else read_recipe(recipe)
    how = How(
        model,
        method,
        lossless,
        chosen_format(file_format, lossless),
        segmenter,
        settle,
        finish,
        recolour_body=recolour_body,
    )
    how = how.again(context, known, _OF_THE_RECIPE)
    check_finish(how.finish)
    if known is None:
        photos = need_photos(photos)
    else:
        again = photo_of(known, photos)
        photos = [] if again is None else [again]
    strengths, swept = parse_strengths(strength or [], sweep)
    sought = searched(space, noise, tune, seed=seed, max_seconds=max_seconds)
    many = Many(mask_dir, boxes, targets, devices, batch, resume, limit, dry_run)
    options = FolderOptions(
        Place.parse(box, which, anywhere, roll),
        skip_unfound=skip_unfound,
        preset=preset,
        projection=sought if steps is None else replace(sought, steps=steps),
        method=how.method,
        settle=how.settle,
        finish=how.finish,
        recolour_body=how.recolour_body,
        segmenter=how.segmenter,
        format=how.format,
        lossless=how.lossless,
    )
    asked = Said(source, layers, mask_invert, cache)
    if many.wanted(photos):
        if known is not None or swept:
            raise PhotograftError("recipes and sweeps are of photos by name: give no folder and no option for many")
        invert = mask_invert and mask is not None
        groups = edit_groups(to or [], mask or [], strengths, together, invert=invert) if to or targets is None else ()
        edit_many(photos, groups, many, options, asked, model=how.model, device=device, out=out)
        return
    groups = edit_groups(to or [], mask or [], strengths, together, known, invert=mask_invert)
    scale = scale_of(known, asked=bool(to or strength or sweep))
    if known is not None and not (to or strength or sweep):
        swept = known.sweep
    networks = prepared(how.model, device)
    loaded = networks.model
    if layers is not None:
        chosen = parse_layers(layers, len(loaded.generator.modulated_layers))
        groups = [in_layers(group, chosen) for group in groups]
    for group in groups:
        check_classes(loaded, group)
    check_folder(out)
    results = ResultFolder(out, [*photos, *model_inputs(how.model), *([] if recipe is None else [recipe])])
    job = _Job(groups, how, results, Failures(max(len(photos), 1)), known, scale, swept)
    if known is None:
        job.run_photos(networks, photos, options, asked)
    else:
        job.run_again(networks, known, photos)
    job.failures.finish()


@dataclass
class _Job:
    """The edits that every photo gets, and where they go."""

    groups: list[list[Step]]
    how: How
    results: ResultFolder
    failures: Failures
    known: Recipe | None
    scale: Scale
    sweep: tuple[float, ...] = ()
    rows: dict[Path, list[Pixels]] = field(default_factory=dict)

    def run_photos(self, networks: Networks, photos: Sequence[Path], options: FolderOptions, asked: Said) -> None:
        """Project photos, one after another, and edit them."""
        from infer.cli.photos import kept_projections, projected
        from infer.projection.mixture import parse_source
        from infer.projection.model import check_projects

        check_projects(networks.model)
        found = projected(
            networks,
            options.segmenter,
            photos,
            options.place,
            self.failures,
            skip=options.skip_unfound,
            source=None if asked.source is None else parse_source(networks.model, asked.source),
            preset=options.preset,
            steps=None,
            options=options.projection,
            cache=kept_projections(asked.cache),
            check=self.check,
        )
        for editor, photo in found:
            self.run(editor, photo)
        if len(photos) > 1:
            with self.failures.of(self.results.folder):
                self.write_sheet()

    def run_again(self, networks: Networks, known: Recipe, photos: Sequence[Path]) -> None:
        """Go back to a recipe's projection, of its photo or sample, and edit it."""
        from infer.cli.photos import new_editor

        photo = photos[0] if photos else Path(f"{networks.model.stem} sample")
        with self.failures.of(photo):
            editor = new_editor(networks, self.how.segmenter, photo).restore(known, photos[0] if photos else None)
            self.check(editor)
            self.run(editor, photo)

    def check(self, editor: Editor) -> None:
        """Before the work: do masks, classes, strengths and the format fit this photo?"""
        from infer.editor.strengths import at_strength

        if editor.photo is not None:
            editor.write_as(self.how.format)
        for group in self.groups:
            editor.resolve(group)
            for strength in self.sweep:
                at_strength(group, strength)

    def run(self, editor: Editor, photo: Path) -> None:
        """All edits of one photo, each written when it is made; one that fails does not stop the others."""
        from infer.cli.sweep import run_sweep
        from infer.editor.output import contact_row
        from infer.pictures.sheet import tile

        written = 0
        swept: list[Pixels] = []
        for group in self.groups:
            with self.failures.of(photo):
                if self.sweep:
                    swept += run_sweep(editor, group, self.sweep, self.results, self.how, self.known)
                else:
                    self._edit(editor, group)
                written += 1
        if editor.photo is not None and written == len(self.groups):  # else its pictures would stand under wrong titles
            with self.failures.of(photo):
                self.rows[photo] = [*map(tile, contact_row(editor)), *swept]

    def _edit(self, editor: Editor, group: Sequence[Step]) -> None:
        from infer.editor.output import write_edit

        edit = editor.edit(group, scale=self.scale, **self.how.of_edit(group, self.known))
        write_edit(editor, edit, self.results, lossless=self.how.lossless, done=lambda paths: say(str(paths[0])))

    def write_sheet(self) -> None:
        """All photos with their projections and edits in one picture."""
        from infer.pictures.convert import png
        from infer.pictures.sheet import sheet

        if len(self.rows) > 1:
            names = [" + ".join(str(step.name) for step in group) for group in self.groups]
            if self.sweep:
                names = [f"{name} {strength:g}" for name in names for strength in self.sweep]
            photos = [photo.stem for photo in self.rows]
            picture = png(sheet(list(self.rows.values()), ["photo", "projection", *names], photos))
            self.results.write("contact_sheet", lambda name: {f"{name}.png": picture}, done=lambda paths: say(paths[0]))


def edit_groups(
    to: Sequence[str],
    masks: Sequence[str],
    strengths: Sequence[float],
    together: bool,
    recipe: Recipe | None = None,
    *,
    invert: bool = False,
) -> list[list[Step]]:
    """The edits to make, each a list of steps.

    Args:
        to: classes; a recipe's if empty.
        masks, strengths: one for all, or one per class; a recipe's, else "auto" and 1, if empty.
        together: all regions in one edit, the later ones over the earlier ones; else an edit each.
        recipe: whose classes are one edit; its other steps are part of every edit.
        invert: edit what painted masks leave out.

    Raises:
        PhotograftError: no class, numbers that do not fit, a strength outside [0,1], no painted mask to invert, or a
            region that hides another.
    """
    from infer.cli.again import kept_steps
    from infer.editor.steps import ChangeClass

    known = [step for step in recipe.steps if isinstance(step, ChangeClass)] if recipe else []
    kept = kept_steps(recipe, ChangeClass)
    if not to and not known and not kept:
        raise PhotograftError("say what to change to: --to CLASS (infer.py classes lists them)")
    again, to = not to, to or [step.to for step in known]
    where: list[Any] = [mask if mask in WHOLE_MASKS else Path(mask) for mask in masks]
    regions = fitted("--mask", where or [step.region for step in known], "auto", len(to), "--to")
    amounts = fitted("--strength", strengths or [step.strength for step in known], 1.0, len(to), "--to")
    layers = fitted("--layers", [step.layers for step in known], None, len(to), "--to")
    painted = [region not in WHOLE_MASKS for region in regions]
    if invert and not any(painted):
        raise PhotograftError("--mask-invert needs a painted mask: give it with --mask FILE")
    inverted = [invert and is_painted for is_painted in painted]
    steps: list[Step] = [ChangeClass(*parts) for parts in zip(to, regions, amounts, layers, inverted, strict=True)]
    if again:
        return [steps if recipe is None else _in_order(recipe, steps)]
    if not together:
        return [[step, *kept] for step in steps]
    _check_seen(steps)
    return [[*steps, *kept]]


def _in_order(recipe: Recipe, classes: Sequence[Step]) -> list[Step]:
    """The recipe's steps where they are, its classes with what was asked for now."""
    from infer.editor.steps import ChangeClass

    changed = iter(classes)
    return [next(changed) if isinstance(step, ChangeClass) else step for step in recipe.steps]


def _check_seen(steps: Sequence[Step]) -> None:
    """Raise PhotograftError for a class that hides another."""
    from infer.editor.steps import ChangeClass

    classes = [step for step in steps if isinstance(step, ChangeClass)]
    for i, later in enumerate(classes):
        for earlier in classes[:i]:
            if later.strength == 1 and later.region == earlier.region:
                raise PhotograftError(
                    f"{later.to} would hide {earlier.to}: with --together give each --to its own --mask,"
                    " or the later ones a --strength below 1"
                )
