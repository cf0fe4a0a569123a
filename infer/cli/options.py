"""Options of the commands on photos and of transfers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args

import typer

from infer.cli.completion import class_names
from infer.edits.choices import Mode
from infer.photo.choices import Finish, FormatName, Method
from infer.projection.options import ProjectionOptions, SpaceName
from infer.projection.presets import PRESETS
from models.errors import PhotograftError

T = TypeVar("T")
U = TypeVar("U")
SegmenterName = Literal["deeplab", "grabcut", "torchvision"]
PresetName = Literal["fast", "balanced", "best"]

_EDIT, _PROJECTION, _RESULT = "What to edit", "Projection", "Result"
_WORK = ", ".join(
    f"{name} ({preset.steps} updates{f', {preset.tuning} of tuning' if preset.tuning else ''})"
    for name, preset in PRESETS.items()
)
PhotosArgument = Annotated[list[Path] | None, typer.Argument(metavar="PHOTO", help="Photos.", show_default=False)]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="CLASS",
        help="Class in the photo, or a mixture: pug:0.6,beagle:0.4. Found if left out.",
        rich_help_panel=_PROJECTION,
        autocompletion=class_names,
    ),
]
BoxOption = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,W,H|auto",
        help="Square to edit, in photo pixels; auto, or left out: the head is found.",
        rich_help_panel=_EDIT,
    ),
]
WhichOption = Annotated[
    str | None,
    typer.Option(
        metavar="N|largest",
        help="Of several heads the one with this number, as the panel shows them, or the largest. Default: the best.",
        show_default=False,
        rich_help_panel=_EDIT,
    ),
]
AnywhereOption = Annotated[
    bool,
    typer.Option(
        "--anywhere",
        help="Edit a guess where no head is found: an animal's upper end, else the centre. Without: exit code 2.",
        rich_help_panel=_EDIT,
    ),
]
RollOption = Annotated[
    str,
    typer.Option(
        metavar="auto|off|DEGREES",
        help="How far the head is turned clockwise: it is edited upright and turned back. auto: where that is sure.",
        rich_help_panel=_EDIT,
    ),
]
SkipUnfoundOption = Annotated[
    bool,
    typer.Option(
        "--skip-unfound", help="Leave photos out where no head is found, with exit code 0.", rich_help_panel=_EDIT
    ),
]
SegmenterOption = Annotated[
    str,
    typer.Option(
        metavar="deeplab|grabcut|torchvision|tensorflow:FILE",
        help="What finds the animal. tensorflow: a frozen graph or SavedModel with PASCAL VOC's labels"
        " (tensorflow-coco: COCO's).",
        callback=lambda name: _segmenter(name),
        rich_help_panel=_EDIT,
    ),
]


def graph_of(name: str) -> str | None:
    """The file, folder or address of a segmenter of TensorFlow; None of another one, or if there is nothing."""
    kind, _, place = name.partition(":")
    return place.strip() or None if kind in ("tensorflow", "tensorflow-coco") else None


def _segmenter(name: str) -> str:
    """A segmenter's name as it is. Raises PhotograftError for one that is not known."""
    if name not in get_args(SegmenterName) and graph_of(name) is None:
        raise PhotograftError(
            f"unknown segmenter {name!r}: use one of {', '.join(get_args(SegmenterName))}, or tensorflow:FILE"
        )
    return name


DrawSeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of random draws.", rich_help_panel=_PROJECTION)
]
PresetOption = Annotated[
    PresetName,
    typer.Option(help=f"How much work the projection is: {_WORK}.", rich_help_panel=_PROJECTION),
]
RestartsOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=64,
        help="More starts, random ones; the best counts. Default: the preset's.",
        rich_help_panel=_PROJECTION,
    ),
]
StepsOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=10_000,
        help="Updates at most; 0: the encoder's answer. Default: the preset's.",
        rich_help_panel=_PROJECTION,
    ),
]
SpaceOption = Annotated[
    SpaceName | None,
    typer.Option(
        help="What is searched; w (one for all layers) and w+ (one for each) of style generators. Default: zeta if the"
        f" model has A and B, else z; of style generators w+, with best {PRESETS['best'].style_space}.",
        show_default=False,
        rich_help_panel=_PROJECTION,
    ),
]
NoiseOption = Annotated[
    bool,
    typer.Option(
        "--noise/--no-noise",
        help="Search a style generator's noise maps too, in w and w+.",
        rich_help_panel=_PROJECTION,
    ),
]
TuneOption = Annotated[
    bool | None,
    typer.Option(
        "--tune/--no-tune",
        help="Tune a copy of the generator on the photo after that. Default: the preset's.",
        show_default=False,
        rich_help_panel=_PROJECTION,
    ),
]
CacheOption = Annotated[
    bool,
    typer.Option(
        "--cache/--no-cache",
        help="Keep projections, and take those of earlier runs, which are the same; see `cache info`.",
        rich_help_panel=_PROJECTION,
    ),
]

ProcessesOption = Annotated[
    int, typer.Option("--devices", min=1, max=256, metavar="N", help="Processes that share the work, each on a device.")
]


def searched(
    space: SpaceName | None = None,
    noise: bool = True,
    tune: bool | None = None,
    *,
    restarts: int | None = None,
    seed: int = 0,
    max_seconds: float | None = None,
) -> ProjectionOptions:
    """These options as one."""
    return ProjectionOptions(
        space=space, noise=noise, tuning=tune, restarts=restarts, seed=seed, max_seconds=max_seconds
    )


SettleOption = Annotated[
    int | None,
    typer.Option(
        "--settle",
        min=0,
        max=1000,
        metavar="N",
        help="Updates of the latent for each edit, towards the photo's outline and the class. Default: the preset's.",
        show_default=False,
        rich_help_panel=_EDIT,
    ),
]
ToOption = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="CLASS",
        help="Class to change to; repeat it for more edits.",
        rich_help_panel=_EDIT,
        autocompletion=class_names,
    ),
]
MaskOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="auto|box|FILE",
        help="Where: the animal, the whole square, or a picture of the photo's size painted white on black. One for"
        " all, or one per --to. Default: auto.",
        rich_help_panel=_EDIT,
    ),
]
StrengthOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="0..1",
        help="How much: 0 is the photo itself. One for all, or one per --to; several with commas (0,0.5,1) are a sweep."
        " Default: 1.",
        rich_help_panel=_EDIT,
    ),
]
SweepOption = Annotated[
    int | None,
    typer.Option(
        min=2,
        max=64,
        metavar="N",
        help="N strengths from 0 to the one asked for: pictures, a row of them and an animation.",
        show_default=False,
        rich_help_panel=_EDIT,
    ),
]
TogetherOption = Annotated[
    bool,
    typer.Option(
        "--together",
        help="All --to in one picture, later ones over earlier ones, instead of one picture each.",
        rich_help_panel=_EDIT,
    ),
]
LayersOption = Annotated[
    str | None,
    typer.Option(
        metavar="A-B|A,B|all",
        help="Which modulated layers; early ones change shape, late ones the coat. Default: all.",
        rich_help_panel=_EDIT,
    ),
]
MethodOption = Annotated[
    Method | None,
    typer.Option(
        help="How the edit is put in; graft: the new head in its own colours. Default: graft; paste for transfers.",
        show_default=False,
        rich_help_panel=_RESULT,
    ),
]
FinishOption = Annotated[
    Finish,
    typer.Option(
        help="Sharpen what is pasted, as far as the photo is sharp; teacher: by a large, slow network (extra `sharp`).",
        rich_help_panel=_RESULT,
    ),
]
RecolourOption = Annotated[
    bool,
    typer.Option(
        "--recolour-body/--no-recolour-body",
        help="The coat of the rest of the animal takes the colours of its new head, fading with the distance.",
        rich_help_panel=_RESULT,
    ),
]
RecipeOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Start from this .json of an earlier run: no projection, and what is not given here is taken from it.",
        rich_help_panel=_PROJECTION,
    ),
]
LosslessOption = Annotated[
    bool, typer.Option("--lossless", help="Write PNG, also for JPEG photos.", rich_help_panel=_RESULT)
]
FormatOption = Annotated[
    FormatName | None,
    typer.Option(
        "--format",
        help="Format of the photo that is written. Default: its own.",
        show_default=False,
        rich_help_panel=_RESULT,
    ),
]
MaskInvertOption = Annotated[
    bool, typer.Option("--mask-invert", help="Edit what the painted masks leave out.", rich_help_panel=_EDIT)
]
PhotoArgument = Annotated[Path | None, typer.Argument(metavar="PHOTO", help="Photo to edit; else a sample.")]
ReferenceOption = Annotated[
    list[Path] | None,
    typer.Option("--reference", "-r", metavar="PHOTO", help="One for all regions, or one for each; else samples."),
]
ReferenceSeedOption = Annotated[
    list[int] | None,
    typer.Option(min=0, max=2**31 - 1, help="One for all regions, or one for each. Default: 1."),
]
ReferenceClassOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLASS",
        help="One for all regions, or one for each. Default: drawn, or found in the photo.",
        autocompletion=class_names,
    ),
]
SourceClassOption = Annotated[
    str | None,
    typer.Option(
        "--class",
        "-c",
        metavar="CLASS",
        help="Of the source. Default: drawn, or found.",
        autocompletion=class_names,
    ),
]
PartOption = Annotated[
    list[str] | None,
    typer.Option("--part", "-p", metavar="PART", help="Part of the catalog, or cluster numbers; repeat it."),
]
ModeOption = Annotated[Mode, typer.Option(help="How channels are chosen: Eq. 5, 4 or 2 of the paper.")]
EpsilonOption = Annotated[
    float | None,
    typer.Option(min=0, max=1e9, help="sequential: budget for change elsewhere. Default: a tenth of the channels."),
]
RhoOption = Annotated[
    float, typer.Option(min=0, max=1e9, help="sequential: only channels with M above rho / (1 + rho).")
]
LamOption = Annotated[float, typer.Option("--lam", min=0, max=1e9, help="simultaneous, global: lambda.")]
PerLayerOption = Annotated[bool, typer.Option("--per-layer", help="sequential: the budget for each layer by itself.")]
ReleasedOption = Annotated[bool, typer.Option("--released", help="sequential: as the released code computes it.")]
ShiftOption = Annotated[bool, typer.Option("--shift", help="Carry shifts over too, not scales alone.")]


def chosen_format(name: FormatName | None, lossless: bool) -> FormatName | None:
    """The format to write; None: the photo's own. Raises PhotograftError where the two options contradict."""
    if lossless and name not in (None, "png"):
        raise PhotograftError(f"--lossless writes PNG: give it or --format {name}, not both")
    return "png" if lossless else name


def fitted(option: str, values: Sequence[T] | None, default: U, count: int, of: str) -> list[T | U]:
    """One value for each of `count` things that option `of` names.

    Raises:
        PhotograftError: there is neither one nor one for each, or there is nothing to give it to.
    """
    if not values:
        return [default] * count
    if not count:
        raise PhotograftError(f"{option} is for {of}: give that too")
    if len(values) not in (1, count):
        raise PhotograftError(f"{len(values)} {option} for {count} {of}: give one for all, or one for each")
    return [*values] * (count if len(values) == 1 else 1)
