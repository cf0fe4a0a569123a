"""Reconstructions as files: the table as CSV and Markdown, and some of the pictures."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from infer.editor.results import ResultFolder
from infer.evaluate.convergence import standard_error
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
    "SqueezeNet, Fréchet",
    "MSE",
    "PSNR, dB",
    "optimised by projection: 1 − Ψ·Ψ",
    "optimised by projection: total",
    "norm of z",
)
NOTES = """\
Means over the photos ± standard error. The photos are the same in every row, so the difference to the first row,
photo by photo, tells more than the errors of the means. SqueezeNet: features of pictures resized to 224 pixels (512,
mean over positions), which no training here looked at: 1 − cosine between a photo's and its reconstruction's, and the
Fréchet distance between those of all reconstructions and of all photos, which depends on the number of photos. MSE: of
pixels in [-1,1]. Ψ: features of the SN discriminator; total: 1 − Ψ·Ψ + 0.2 MSE, which projection minimises, and the
training of encoders the like. 0 updates: the encoder's answer as it is. References: the picture of z = 0, one for all
photos of a class; and a random training photo of the same class, whose Fréchet distance is that of real pictures."""
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
        f"{answer.frechet:.1f}",
        mean_error(answer.pixel),
        f"{float(answer.psnr.mean()):.2f}",
        f"{float(answer.feature.mean()):.4f}",
        f"{float(answer.total.mean()):.4f}",
        "-" if answer.norm is None else f"{float(answer.norm.mean()):.2f}",
    ]


def console_rows(found: Reconstruction) -> list[Row]:
    """What fits on a terminal: means of the independent measures."""
    return [[row[i].split(" ±")[0] for i in (0, 1, 2, 4, 5)] for row in table_rows(found)]


def contact_sheet(found: Reconstruction) -> NDArray[np.uint8]:
    """A row of photos, and a row per answer below it, as [H,W,3]."""
    rows = [found.photos, *(answer.shown for answer in found.answers)]
    names = [a.name if a.steps is None else f"{a.name}, {a.steps} updates" for a in found.answers]
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
    contents: dict[str, str | bytes] = {
        f"{stem}.md": "\n\n".join((title, text, markdown_table(rows), NOTES)) + "\n",
        f"{stem}.csv": csv_table(rows),
        f"{stem}.png": picture_png(contact_sheet(found)),
    }
    return write_report(contents, results)
