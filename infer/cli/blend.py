"""The blend command: regions of other pictures are carried over in feature space, be they samples or photos."""

import math
from pathlib import Path
from typing import Annotated

import typer

from infer.cli.common import CatalogOption, DeviceOption, ModelOption, OutOption, SeedOption, TruncationOption, prepared
from infer.cli.forecast import MaxSecondsOption
from infer.cli.options import (
    AnywhereOption,
    BoxOption,
    CacheOption,
    FinishOption,
    FormatOption,
    LosslessOption,
    MaskInvertOption,
    MethodOption,
    NoiseOption,
    PhotoArgument,
    PresetOption,
    RecipeOption,
    ReferenceClassOption,
    ReferenceOption,
    ReferenceSeedOption,
    RollOption,
    SourceClassOption,
    SpaceOption,
    TuneOption,
    WhichOption,
    chosen_format,
    fitted,
    searched,
)
from infer.edits.choices import DEFAULT_SIZE, WHOLE_MASKS
from infer.edits.layers import parse_layers
from models.errors import PhotograftError, UnsupportedEdit
from models.zoo import DEFAULT

RegionMaskOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mask",
        metavar="auto|box|FILE",
        help="A region: the animal, the whole square, or a picture of the source's size painted white on black; repeat"
        " it.",
    ),
]
RegionPartOption = Annotated[
    list[str] | None,
    typer.Option("--part", "-p", metavar="PART", help="Or a part of the catalog, where the source has it; repeat it."),
]
StrengthOption = Annotated[
    list[float] | None,
    typer.Option(min=0, max=1, metavar="0..1", help="How much; one for all, or one for each region. Default: 1."),
]
MoveOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="X,Y",
        help="Moves the reference to the right and down first, in pixels of the model's picture; one for all, or one"
        " for each region.",
    ),
]
FeatureLayersOption = Annotated[
    str | None,
    typer.Option(
        metavar="A-B|A,B|all",
        help="Which feature layers; early ones carry shape, late ones the coat. Default: those up to"
        f" {DEFAULT_SIZE} px.",
    ),
]


def blend(
    context: typer.Context,
    photo: PhotoArgument = None,
    mask: RegionMaskOption = None,
    mask_invert: MaskInvertOption = False,
    part: RegionPartOption = None,
    reference: ReferenceOption = None,
    seed: SeedOption = 0,
    source_class: SourceClassOption = None,
    reference_seed: ReferenceSeedOption = None,
    reference_class: ReferenceClassOption = None,
    strength: StrengthOption = None,
    move: MoveOption = None,
    layers: FeatureLayersOption = None,
    truncation: TruncationOption = 1.0,
    box: BoxOption = None,
    which: WhichOption = None,
    anywhere: AnywhereOption = False,
    roll: RollOption = "auto",
    preset: PresetOption = "balanced",
    space: SpaceOption = None,
    noise: NoiseOption = True,
    tune: TuneOption = None,
    max_seconds: MaxSecondsOption = None,
    cache: CacheOption = True,
    recipe: RecipeOption = None,
    method: MethodOption = None,
    finish: FinishOption = "auto",
    lossless: LosslessOption = False,
    file_format: FormatOption = None,
    catalog: CatalogOption = None,
    model: ModelOption = DEFAULT,
    device: DeviceOption = "auto",
    out: OutOption = Path("out"),
) -> None:
    """Carry regions of samples or photos over into a sample or a photo by feature blending.

    Writes the result, a panel of source, references, regions, heat map and result (.panel.png), and a recipe (.json)
    from which --recipe does it again. What is carried over lies at the same place in the reference, unless --move says
    otherwise, and takes the colours of what is around it. Later regions lie over earlier ones. With --recipe, what else
    the recipe does is done in the same pass.
    """
    from infer.cli.again import How
    from infer.cli.photos import kept_projections
    from infer.cli.pictures import OF_THE_RECIPE, Asked, Job, asked_references
    from infer.editor.recipe_file import read_recipe
    from infer.editor.steps import Blend
    from infer.photo.finishing import check_finish
    from infer.photo.place import Place

    names, of = (mask, "--mask") if mask else (part or [], "--part")
    if (mask and part) or not (names or recipe):
        raise PhotograftError("say where: --mask auto|box|FILE or --part PART, not both")
    if mask_invert and all(name in WHOLE_MASKS for name in mask or ["box"]):
        raise PhotograftError("--mask-invert needs a painted mask: give it with --mask FILE")
    known = None if recipe is None else read_recipe(recipe)
    how = How(model, method, lossless, chosen_format(file_format, lossless), finish=finish)
    how = how.again(context, known, OF_THE_RECIPE)
    check_finish(how.finish)
    strengths = fitted("--strength", strength, 1.0, len(names), of)
    shifts = [parse_move(text) for text in fitted("--move", move, "0,0", len(names), of)]
    asked = asked_references(reference, reference_seed, reference_class, len(names), of)
    networks = prepared(how.model, device)
    count = len(networks.model.generator.feature_layers)
    if not count:
        raise UnsupportedEdit(f"model {networks.model.name} has no feature layers: features cannot be blended")
    chosen = range(count) if layers == "all" else parse_layers(layers, count)
    steps = [
        Blend(
            0,
            region=None if of == "--part" else name if name in WHOLE_MASKS else Path(name),
            part=name if of == "--part" else None,
            move=moved,
            strength=amount,
            layers=chosen,
            invert=mask_invert and of == "--mask" and name not in WHOLE_MASKS,
        )
        for name, moved, amount in zip(names, shifts, strengths, strict=True)
    ]
    job = Job(
        networks,
        known,
        how,
        Asked(photo, seed, source_class),
        Place.parse(box, which, anywhere, roll),
        truncation,
        preset,
        searched(space, noise, tune, max_seconds=max_seconds),
        kept_projections(cache),
        catalog,
        out,
        [] if recipe is None else [recipe],
    )
    job.run(steps, asked)


def parse_move(text: str) -> tuple[float, float]:
    """(x, y) in pixels from "X,Y". Raises PhotograftError for another form."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise PhotograftError(f"--move takes X,Y, two numbers of pixels, not {text!r}")
    return x, y
