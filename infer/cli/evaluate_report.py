"""`infer.py evaluate report`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infer.cli.common import DeviceOption, bar, note, prepared, print_table, say
from infer.evaluate.choices import RESULTS
from models.errors import PhotograftError
from models.registry import suggest
from models.schema import short
from models.zoo import DEFAULT

if TYPE_CHECKING:
    from infer.evaluate.results.section import Section

STYLE = "stylegan2-heads-128"


def report(
    data: Annotated[Path, typer.Option(help="The data both were trained on: class folders or tar shards.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="SECTION", help=f"Some of {', '.join(RESULTS)}. Default: all.", show_default=False),
    ] = None,
    model: Annotated[str, typer.Option(help="For the first paper: classes in regions, projection.")] = DEFAULT,
    style_model: Annotated[str, typer.Option(help="For the second paper: parts by style, with a catalog.")] = STYLE,
    samples: Annotated[int, typer.Option(min=32, max=1_000_000, help="Samples, and real pictures.")] = 4000,
    pairs: Annotated[int, typer.Option(min=2, max=1_000_000, help="Samples with references, for parts.")] = 1000,
    curve_pairs: Annotated[
        int, typer.Option(min=2, max=1_000_000, help="The same of locality: each is edited some sixty times.")
    ] = 1000,
    photos: Annotated[int, typer.Option(min=2, max=1_000_000, help="Validation photos, evenly spaced.")] = 200,
    steps: Annotated[int, typer.Option(min=1, max=10_000, help="Updates of the curves of convergence.")] = 200,
    preset_photos: Annotated[
        int, typer.Option(min=2, max=1_000_000, help="Validation photos that every preset projects.")
    ] = 50,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of all draws.")] = 1,
    device: DeviceOption = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of results.md and its figures.")] = Path("out"),
    keep: Annotated[
        Path | None, typer.Option(help="Folder of what is kept on the way.  [default: OUT/results]", show_default=False)
    ] = None,
) -> None:
    """All tables and figures of both papers on our models, and which of their claims hold: OUT/results.md.

    It takes hours with the default counts. What is measured is kept: after an interruption the same command goes on,
    and it begins with what is done. The page is written anew after every section.
    """
    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.evaluate.results.report import claim_rows, measure_results
    from infer.evaluate.results.section import Scope

    for name in names or ():
        if name not in RESULTS:
            raise PhotograftError(f"unknown section {short(name)}{suggest(name, RESULTS)}")
    collage, style = prepared(model, device), prepared(style_model, device)
    check_folder(out)
    results = ResultFolder(out, [*model_inputs(model), *model_inputs(style_model)])
    with bar() as update:
        scope = Scope(
            collage,
            style,
            data,
            samples=samples,
            pairs=pairs,
            curve_pairs=curve_pairs,
            photos=photos,
            updates=steps,
            preset_photos=preset_photos,
            seed=seed,
            folder=keep or out / "results",
            progress=update,
        )
        found = measure_results(names or [*RESULTS], scope, results, done=_shown, skipped=note)
    claims = claim_rows(found)
    if len(claims) > 1:
        print_table(claims, "claims of the papers")


def _shown(section: Section, paths: list[Path]) -> None:
    note(f"{section.title}: done")
    for path in paths:
        say(path)
