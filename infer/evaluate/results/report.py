"""The report's sections by name, measured one after another, and its page written anew after each."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from data.loaders import PictureStore
from data.splits import open_splits
from infer.catalog.catalog import names_path
from infer.editor.results import ResultFolder
from infer.evaluate.cache import ResultCache
from infer.evaluate.choices import RESULTS
from infer.evaluate.curves import evenly
from infer.evaluate.report_files import Row, markdown_table, write_report
from infer.evaluate.results import photos, pictures
from infer.evaluate.results.section import CLAIM_HEADER, Measure, Scope, Section, kept_section
from models.digests import code_digest, digest, digests
from models.errors import UnsupportedEdit
from models.files import sha256
from models.terminal import Say

FORMAT = 3  # of kept sections
PAGE = "results.md"
MEASURES: Mapping[str, Measure] = {
    "samples": pictures.samples,
    "edits": pictures.edits,
    "locality": pictures.locality,
    "translation": photos.translation,
    "convergence": photos.convergence,
    "presets": photos.presets,
}
COUNTS = {  # section -> what of the scope's counts it depends on, beside the seed
    "samples": ("samples",),
    "edits": ("samples", "pairs"),
    "locality": ("curve_pairs",),
    "translation": ("samples", "photos"),
    "convergence": ("photos", "updates"),
    "presets": ("preset_photos",),
}
LOOKED_AT = 32  # pictures of each split by which data are told apart
INTRODUCTION = """\
What the papers claim, on the models of today: R. Suzuki et al., "Spatially Controllable Image Synthesis with Internal
Representation Collaging" (2018), and E. Collins et al., "Editing in Style: Uncovering the Local Semantics of GANs"
(2020). Networks, data, resolution and judges are others than the papers', so numbers stand side by side, and a claim is
held to its own words. Held, not held: the whole 95 % interval lies on one side of the bound; else it is open."""
ELSEWHERE = """\
The papers' other figures are sheets to look at: `photograft evaluate studies`. Table 3 of the first paper asks people:
`photograft study`."""


def measure_results(
    names: Sequence[str],
    scope: Scope,
    results: ResultFolder,
    *,
    done: Callable[[Section, list[Path]], object],
    skipped: Say,
) -> dict[str, Section]:
    """Measure sections, and write the page and its figures after each.

    Args:
        names: keys of `MEASURES`.
        scope: what they are measured with.
        results: where the page goes.
        done: is told of each section and of the files.
        skipped: is told of one that the models cannot take; the others go on.

    Returns:
        The sections by name.

    Raises:
        PhotograftError: data of other classes, networks that are missing, or a folder that cannot be written.
    """
    catalog = pictures.catalog_path(scope)
    cache = ResultCache(
        scope.folder / "sections",
        format=FORMAT,
        code=code_digest("infer", "models", suffixes=(".py",)),  # what measures keep themselves is not computed again
        models=[digests(networks.model) for networks in (scope.collage, scope.style)],
        forms=[[str(networks.dtype), networks.psi_name] for networks in (scope.collage, scope.style)],
        catalog=[sha256(path) for path in (catalog, names_path(catalog)) if path.is_file()],
        data=_data_digest(scope.data),
    )
    found: dict[str, Section] = {}
    for name in (name for name in MEASURES if name in names):
        try:
            found[name] = kept_section(name, MEASURES[name], COUNTS[name], scope, cache)
        except UnsupportedEdit as error:
            skipped(f"{name} is left out: {error}")
            continue
        part = found if len(found) < len(MEASURES) else ()
        counts = dict.fromkeys(count for name in found for count in COUNTS[name])
        contents: dict[str, str | bytes] = {PAGE: page(found, scope.command(part, counts)), **found[name].figures}
        done(found[name], write_report(contents, results))
    return found


def _data_digest(root: Path) -> str:
    """Of all labels and some pictures of both splits."""
    parts: list[Tensor] = []
    for split in open_splits(root):
        store = PictureStore(split, resolution=64, crop="center", in_memory=False)
        parts += [torch.as_tensor(split.labels), store.many(evenly(len(split), LOOKED_AT))[0]]
    return digest(parts)


def claim_rows(found: Mapping[str, Section]) -> list[Row]:
    """All claims, with a header."""
    return [CLAIM_HEADER, *(claim.row() for section in found.values() for claim in section.claims)]


def page(found: Mapping[str, Section], command: str) -> str:
    """The report as Markdown: claims first, then every section with the command that measures it alone."""
    parts = ["# The papers' claims, on our models", INTRODUCTION, f"```sh\n{command}\n```"]
    claims = claim_rows(found)
    if len(claims) > 1:
        parts += ["## Claims", markdown_table(claims)]
    for section in found.values():
        parts += [f"## {section.title}", section.text, f"```sh\n{section.command}\n```"]
        for text, rows in section.tables:
            parts += [*([text] if text else []), markdown_table(rows)]
        parts += [f"![{section.title}]({file})" for file in section.figures]
    left = [name for name in RESULTS if name not in found]
    if left:
        parts.append(f"Not measured here: {', '.join(left)}.")
    return "\n\n".join([*parts, ELSEWHERE]) + "\n"
