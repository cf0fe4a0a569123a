"""The transfer command: parts of a picture take their look from others, be they samples or photos."""

from dataclasses import asdict
from pathlib import Path

from infer.catalog.catalog import default_path, load_catalog, names_path
from infer.catalog.part_transfer import PartTransfer, transfer_parts
from infer.cli.common import (
    CatalogOption,
    DeviceOption,
    ModelOption,
    OutOption,
    SeedOption,
    TruncationOption,
    prepared,
    say,
)
from infer.cli.options import (
    BoxOption,
    EpsilonOption,
    FormatOption,
    LamOption,
    LosslessOption,
    MethodOption,
    ModeOption,
    NoiseOption,
    PartOption,
    PerLayerOption,
    PresetOption,
    ReleasedOption,
    RhoOption,
    ShiftOption,
    SpaceOption,
    TuneOption,
    chosen_format,
    searched,
)
from infer.cli.pictures import (
    PhotoArgument,
    Pictures,
    ReferenceClassOption,
    ReferenceOption,
    ReferenceSeedOption,
    Result,
    SourceClassOption,
)
from infer.editor.results import ResultFolder, check_folder, model_inputs
from infer.edits.query_transfer import RHO, Query, check_transfers
from infer.photo.box import Box
from models.files import sha256
from models.zoo import DEFAULT


def transfer(
    part: PartOption,
    photo: PhotoArgument = None,
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
    preset: PresetOption = "balanced",
    space: SpaceOption = None,
    noise: NoiseOption = True,
    tune: TuneOption = None,
    method: MethodOption = "paste",
    lossless: LosslessOption = False,
    file_format: FormatOption = None,
    catalog: CatalogOption = None,
    model: ModelOption = DEFAULT,
    device: DeviceOption = "auto",
    out: OutOption = Path("out"),
) -> None:
    """Transfer the look of parts: from samples or photos to a sample or a photo.

    Writes the result, a panel of source, references, result and heat map (.panel.png), and a recipe (.json) with all
    that it depends on. A photo gets, where the parts are, what the transfer changes in its reconstruction: with the
    embedded model that is modest.
    """
    written = chosen_format(file_format, lossless)
    query = Query(mode, lam, epsilon, rho, per_layer, released)
    bundle = prepared(model, device)
    networks = bundle.on_device
    check_transfers(networks.generator)
    path = catalog or default_path(networks, out)
    known = load_catalog(path, networks)
    for name in part:
        known.clusters(name)
    check_folder(out)
    pictures = Pictures(bundle, preset, searched(space, noise, tune), truncation)
    where = None if box is None else Box.parse(box)
    source = pictures.one(photo, seed, source_class, where, lambda editor: editor.write_as(written))
    references = pictures.references(reference, reference_seed, reference_class, len(part), "--part")
    asked = [PartTransfer(name, one.stream(), query) for name, one in zip(part, references, strict=True)]
    image = transfer_parts(source.generator, known, source.stream(), asked, shift=shift)
    result = Result("transfer", networks, source, references, image)
    if source.editor is not None:
        area = source.area(known, part)
        result.pasted, _ = source.editor.paste(image, area, change=True, method=method)
    parts = [
        {"part": name, "clusters": list(known.clusters(name)), "reference": one.described()}
        for name, one in zip(part, references, strict=True)
    ]
    recipe = {
        "catalog": {"file": str(path), "sha256": sha256(path)},
        "parts": parts,
        "query": asdict(query),
        "shift": shift,
        "truncation": truncation,
        "method": method,
    }
    read = [*model_inputs(model), path, names_path(path), *(reference or []), *([photo] if photo else [])]
    for file in result.write(ResultFolder(out, read), part, recipe, lossless):
        say(file)
