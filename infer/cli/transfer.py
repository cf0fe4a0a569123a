"""The transfer command: parts of a picture take their look from others, be they samples or photos."""

from pathlib import Path

import typer

from infer.cli.common import CatalogOption, DeviceOption, ModelOption, OutOption, SeedOption, TruncationOption, prepared
from infer.cli.forecast import MaxSecondsOption
from infer.cli.options import (
    AnywhereOption,
    BoxOption,
    CacheOption,
    EpsilonOption,
    FormatOption,
    LamOption,
    LosslessOption,
    MethodOption,
    ModeOption,
    NoiseOption,
    PartOption,
    PerLayerOption,
    PhotoArgument,
    PresetOption,
    RecipeOption,
    ReferenceClassOption,
    ReferenceOption,
    ReferenceSeedOption,
    ReleasedOption,
    RhoOption,
    RollOption,
    ShiftOption,
    SourceClassOption,
    SpaceOption,
    TuneOption,
    WhichOption,
    chosen_format,
    searched,
)
from infer.edits.choices import RHO
from models.errors import PhotograftError
from models.zoo import DEFAULT


def transfer(
    context: typer.Context,
    photo: PhotoArgument = None,
    part: PartOption = None,
    reference: ReferenceOption = None,
    seed: SeedOption = 0,
    source_class: SourceClassOption = None,
    reference_seed: ReferenceSeedOption = None,
    reference_class: ReferenceClassOption = None,
    mode: ModeOption = "sequential",
    epsilon: EpsilonOption = None,
    rho: RhoOption = RHO,
    lam: LamOption = 1.0,
    per_layer: PerLayerOption = False,
    released: ReleasedOption = False,
    shift: ShiftOption = False,
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
    lossless: LosslessOption = False,
    file_format: FormatOption = None,
    catalog: CatalogOption = None,
    model: ModelOption = DEFAULT,
    device: DeviceOption = "auto",
    out: OutOption = Path("out"),
) -> None:
    """Transfer the look of parts: from samples or photos to a sample or a photo.

    Writes the result, a panel of source, references, regions, heat map and result (.panel.png), and a recipe (.json)
    from which --recipe does it again. A photo gets, where the parts are, what the transfer changes in its
    reconstruction: with the embedded model that is modest. With --recipe, what else the recipe does is done in the same
    pass.
    """
    from infer.cli.again import How
    from infer.cli.photos import kept_projections
    from infer.cli.pictures import OF_THE_RECIPE, Asked, Job, asked_references
    from infer.editor.recipe_file import read_recipe
    from infer.editor.steps import Transfer
    from infer.edits.query_transfer import check_transfers
    from infer.photo.place import Place

    if not (part or recipe):
        raise PhotograftError("say which part: --part PART (infer.py catalog show lists them)")
    names = part or []
    known = None if recipe is None else read_recipe(recipe)
    how = How(model, method, lossless, chosen_format(file_format, lossless)).again(context, known, OF_THE_RECIPE)
    steps = [Transfer(0, name, mode, epsilon, rho, lam, per_layer, released, shift) for name in names]
    asked = asked_references(reference, reference_seed, reference_class, len(names), "--part")
    networks = prepared(how.model, device)
    check_transfers(networks.model.generator)
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
