"""The blend command: regions of other pictures are carried over in feature space, be they samples or photos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from infer.catalog.catalog import default_path, load_catalog, names_path
from infer.cli.common import (
    CatalogOption,
    DeviceOption,
    ModelOption,
    OutOption,
    SeedOption,
    TruncationOption,
    note,
    prepared,
    say,
)
from infer.cli.options import (
    BoxOption,
    FormatOption,
    LosslessOption,
    MaskInvertOption,
    MethodOption,
    NoiseOption,
    PresetOption,
    SpaceOption,
    TuneOption,
    chosen_format,
    fitted,
    parse_layers,
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
from infer.editor.editor import Editor
from infer.editor.results import ResultFolder, check_folder, model_inputs
from infer.editor.targets import given_mask
from infer.edits.feature_blending import DEFAULT_SIZE, Shift, blend_regions
from infer.photo import masks
from infer.photo.box import Box
from infer.photo.compositing import DEFAULT_METHOD
from infer.photo.painted_mask import read_mask
from models.errors import PhotograftError, UnsupportedEdit
from models.files import sha256
from models.zoo import DEFAULT

Mask = NDArray[np.float32]
RegionMaskOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mask",
        metavar="box|FILE",
        help="A region: the whole square, or a picture of the source's size painted white on black; repeat it.",
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
    preset: PresetOption = "balanced",
    space: SpaceOption = None,
    noise: NoiseOption = True,
    tune: TuneOption = None,
    method: MethodOption = DEFAULT_METHOD,
    lossless: LosslessOption = False,
    file_format: FormatOption = None,
    catalog: CatalogOption = None,
    model: ModelOption = DEFAULT,
    device: DeviceOption = "auto",
    out: OutOption = Path("out"),
) -> None:
    """Carry regions of samples or photos over into a sample or a photo by feature blending.

    Writes the result, a panel of source, references, result and heat map (.panel.png), and a recipe (.json) with all
    that it depends on. What is carried over lies at the same place in the reference, unless --move says otherwise, and
    takes the colours of what is around it. Later regions lie over earlier ones.
    """
    if bool(mask) == bool(part):
        raise PhotograftError("say where: --mask box|FILE or --part PART, not both")
    if mask_invert and all(name == "box" for name in mask or ["box"]):
        raise PhotograftError("--mask-invert needs a painted mask: give it with --mask FILE")
    written = chosen_format(file_format, lossless)
    names, of = (mask, "--mask") if mask else (part or [], "--part")
    strengths = fitted("--strength", strength, 1.0, len(names), of)
    shifts = [parse_move(text) for text in fitted("--move", move, "0,0", len(names), of)]
    bundle = prepared(model, device)
    networks = bundle.on_device
    count = len(networks.generator.feature_layers)
    if not count:
        raise UnsupportedEdit(f"model {networks.name} has no feature layers: features cannot be blended")
    chosen = list(range(count)) if layers == "all" else parse_layers(layers, count)
    path = None if mask else catalog or default_path(networks, out)
    known = None if path is None else load_catalog(path, networks)
    if known is not None:
        for name in names:
            known.clusters(name)
    check_folder(out)
    size = networks.generator.resolution
    for x, y in shifts:
        if max(abs(x), abs(y)) >= size:
            raise PhotograftError(f"--move {x:g},{y:g} moves all of the reference away: its picture has {size} pixels")
    pictures = Pictures(bundle, preset, searched(space, noise, tune), truncation)

    def check(editor: Editor) -> None:
        editor.write_as(written)
        for name in mask or []:
            painted(name, editor, size, mask_invert)

    source = pictures.one(photo, seed, source_class, None if box is None else Box.parse(box), check)
    regions = [
        source.area(known, [name]) if known else painted(name, source.editor, size, mask_invert) for name in names
    ]
    for name, area in zip(names, regions, strict=True):
        if not area.any():
            raise PhotograftError(f"the source has no {name}: choose another part, or paint the region (--mask FILE)")
    references = pictures.references(reference, reference_seed, reference_class, len(names), of)
    areas = [torch.from_numpy(_resized(area, size)) for area in regions]
    streams = [one.stream() for one in references]
    how: dict[str, Any] = {"strengths": strengths, "layers": chosen, "shifts": shifts}
    with torch.no_grad():
        image = blend_regions(source.generator, source.stream(), streams, areas, **how)
    result = Result("blend", networks, source, references, image)
    if source.editor is not None:
        result.pasted, _ = source.editor.paste(image, _union(regions), method=method)
    recipe = {
        "regions": [
            {of[2:]: name, "strength": amount, "move": moved, "reference": one.described()}
            for name, amount, moved, one in zip(names, strengths, shifts, references, strict=True)
        ],
        "catalog": None if path is None else {"file": str(path), "sha256": sha256(path)},
        "mask_invert": mask_invert,
        "layers": chosen,
        "truncation": truncation,
        "method": method,
    }
    read = [*model_inputs(model), *(reference or []), *map(Path, mask or []), *([photo] if photo else [])]
    read += [] if path is None else [path, names_path(path)]
    for file in result.write(
        ResultFolder(out, read), ["blend", *(Path(name).stem for name in names)], recipe, lossless
    ):
        say(file)


def parse_move(text: str) -> Shift:
    """(x, y) in pixels from "X,Y". Raises PhotograftError for another form."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        x = y = np.nan
    if not np.isfinite([x, y]).all():
        raise PhotograftError(f"--move takes X,Y, two numbers of pixels, not {text!r}")
    return x, y


def painted(name: str, editor: Editor | None, resolution: int, invert: bool) -> Mask:
    """A region [r,r] of "box" or a painted file, or what that leaves out.

    It lies on the square of an editor's photo, or on a sample of a resolution.

    Raises:
        PhotograftError: a mask that is unreadable, empty, of another size or outside of the square.
    """
    if name == "box":
        return np.ones((1, 1), np.float32)
    if editor is None or editor.photo is None:
        return read_mask(name, (resolution, resolution), invert=invert, say=note)
    shape = editor.photo.pixels.shape
    return masks.cut(given_mask(name, shape, editor.box, invert=invert, say=editor.say_once), editor.box)


def _resized(area: Mask, size: int) -> Mask:
    way = cv2.INTER_AREA if area.shape[0] > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(area, (size, size), interpolation=way), np.float32).clip(0, 1)


def _union(regions: Sequence[Mask]) -> Mask:
    """Where any region is, at the largest one's size."""
    size = max(area.shape[0] for area in regions)
    return np.maximum.reduce([_resized(area, size) for area in regions])
