"""Reconstructions as files: the table as CSV and Markdown, and some of the pictures."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from infer.editor.results import ResultFolder
from infer.evaluate.convergence import standard_error
from infer.evaluate.distances import mean_interval
from infer.evaluate.reconstruction import Answer, Reconstruction
from infer.evaluate.report_files import (
    Row,
    csv_table,
    hashes_text,
    markdown_table,
    model_title,
    picture_png,
    report_name,
    write_report,
)
from infer.pictures.sheet import sheet

HEADER = (
    "reconstruction",
    "updates",
    "SqueezeNet, 1 − cos",
    "difference to the first row",
    "EfficientNet, 1 − cos",
    "SqueezeNet, Fréchet",
    "MSE",
    "PSNR, dB",
    "MS-SSIM",
    "LPIPS",
    "optimised by projection: 1 − Ψ·Ψ",
    "optimised by projection: total",
    "norm of z",
)
NOTES = """\
Means over the photos ± standard error. The photos are the same in every row, so the difference to the first row, photo
by photo, tells more than the errors of the means. SqueezeNet: features of pictures resized to 224 pixels (512, mean
over positions), which no training here looked at: 1 − cosine between a photo's and its reconstruction's, and the
Fréchet distance between those of all reconstructions and of all photos, which depends on the number of photos. MSE: of
pixels in [-1,1]. EfficientNet: features of EfficientNet-Lite0 (extra [judge]), which no training looked at either. MS-
SSIM: at as many scales as fit; 1 is the same picture. LPIPS: with `--lpips`. Ψ: features that projection compares;
total: 1 − Ψ·Ψ + 0.2 MSE, which projection minimises, and the training of encoders the like. 0 updates: the encoder's
answer as it is. References: the picture of z = 0, one for all photos of a class; and a random training photo of the
same class, whose Fréchet distance is that of real pictures."""
DIFFERENCES = "Each row less the one before it, photo by photo; 95 % of the mean, photos resampled."
TILE = 96


def mean_error(values: Tensor, digits: int = 4, signed: bool = False) -> str:
    """Mean ± standard error of values [N]."""
    error = float(standard_error(values.double()[None]))
    return f"{float(values.double().mean()):{'+' if signed else ''}.{digits}f} ± {error:.{digits}f}"


def table_rows(found: Reconstruction) -> list[Row]:
    """All measures as text, with the header as the first row."""
    first = found.answers[0]
    return [HEADER, *(_row(answer, first) for answer in found.answers)]


def _row(answer: Answer, first: Answer) -> Row:
    return [
        answer.name,
        "-" if answer.steps is None else str(answer.steps),
        mean_error(answer.judge),
        "-" if answer is first else mean_error(answer.judge - first.judge, signed=True),
        "-" if answer.second is None else mean_error(answer.second),
        f"{answer.frechet:.1f}",
        mean_error(answer.pixel),
        f"{float(answer.psnr.mean()):.2f}",
        "-" if bool(answer.ssim.isnan().all()) else mean_error(answer.ssim),
        "-" if answer.lpips is None else mean_error(answer.lpips),
        f"{float(answer.feature.mean()):.4f}",
        f"{float(answer.total.mean()):.4f}",
        "-" if answer.norm is None else f"{float(answer.norm.mean()):.2f}",
    ]


def measures(answer: Answer) -> dict[str, Tensor]:
    """What is compared photo by photo, by name: [N] each, of what was measured."""
    all_of_them = {
        "SqueezeNet": answer.judge,
        "EfficientNet": answer.second,
        "MSE": answer.pixel,
        "MS-SSIM": None if bool(answer.ssim.isnan().all()) else answer.ssim,
        "LPIPS": answer.lpips,
    }
    return {name: values for name, values in all_of_them.items() if values is not None}


def difference_rows(answers: Sequence[Answer]) -> list[Row]:
    """Each answer less the one before it, photo by photo, with 95 % intervals of the mean; a header first."""
    rows: list[Row] = [("reconstruction", "less", *measures(answers[0]))]
    for before, answer in pairwise(answers):
        pairs = zip(measures(before).values(), measures(answer).values(), strict=True)
        rows.append((label(answer), label(before), *(_difference(now - then) for then, now in pairs)))
    return rows


def _difference(values: Tensor) -> str:
    low, high = mean_interval(values)
    return f"{float(values.double().mean()):+.4f} ({low:+.4f} to {high:+.4f})"


def label(answer: Answer) -> str:
    """What a row is of."""
    return answer.name if answer.steps is None else f"{answer.name}, {answer.steps} updates"


def console_rows(found: Reconstruction) -> list[Row]:
    """What fits on a terminal: means of the independent measures."""
    return [[row[i].split(" ±")[0] for i in (0, 1, 2, 4, 6, 8)] for row in table_rows(found)]


def contact_sheet(found: Reconstruction) -> NDArray[np.uint8]:
    """A row of photos, and a row per answer below it, as [H,W,3]."""
    rows = [found.photos, *(answer.shown for answer in found.answers)]
    names = [*map(label, found.answers)]
    pictures = [[picture.permute(1, 2, 0).numpy() for picture in row] for row in rows]
    return sheet(pictures, names=["photo", *names], size=TILE)


def write_reconstruction(found: Reconstruction, model: str, data: str, results: ResultFolder) -> list[Path]:
    """Write the table and the contact sheet, each whole or not at all.

    Args:
        found: what to write.
        model, data: names of the model and of its data.
        results: where to.

    Returns:
        The files: Markdown, CSV, PNG.
    """
    stem, rows = report_name(model, "reconstruction"), table_rows(found)
    text = f"{found.count} validation photos of `{data}`, true classes, seed {found.seed}; {hashes_text(found.hashes)}."
    title = f"# Reconstruction of photos: {model_title(model)}"
    differences = markdown_table(difference_rows(found.answers))
    parts = (title, text, markdown_table(rows), NOTES, DIFFERENCES, differences)
    contents: dict[str, str | bytes] = {
        f"{stem}.md": "\n\n".join(parts) + "\n",
        f"{stem}.csv": csv_table(rows),
        f"{stem}.png": picture_png(contact_sheet(found)),
    }
    return write_report(contents, results)
