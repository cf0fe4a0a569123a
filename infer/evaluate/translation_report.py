"""Translations as files: a table (CSV, Markdown) and a contact sheet per number of updates."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from infer.editor.results import ResultFolder
from infer.evaluate.report_files import (
    Row,
    csv_table,
    hashes_text,
    markdown_table,
    picture_png,
    report_name,
    write_report,
)
from infer.evaluate.translation import Sheet, TranslationReport, TranslationResult
from infer.pictures.sheet import sheet, tile
from infer.projection.settling import CLASS_WEIGHT, SHAPE_WEIGHT
from models.zoo import Model

PAIR_HEADER = ("from", "to", "photos", "updates", "top-5 error", "real pictures", "photo unchanged")
HEADER = (
    "updates",
    "settled by",
    "Fréchet of translations",
    "real pictures",
    "IoU of the animal, median",
    "below 0.7",
    "reconstruction",
)
NOTES = """\
Top-5 error: share of translations whose target class is not among the first five of a linear probe on SqueezeNet
features (fitted to real training pictures; no training here looked through SqueezeNet); beside it the same of real
validation pictures of the target group, and of the photos left as they are. One random target class per photo, all
classes of the target group as likely. Fréchet: SqueezeNet features of translations into classes drawn as in training,
against real pictures; beside it of as many real ones (at most half of them) against the others; reconstruction: of the
photos' reconstructions against the photos (few: compare values of one number only). IoU: of the animal's DeepLab mask
(p > 0.5) in photo and translation. 0 updates: the encoder alone. Settled by: updates of each translation's latent after
projection, towards the photo's DeepLab mask and the class, both as small layers on MobileNet features read them in the
translation."""
TILE = 128


def pair_rows(report: TranslationReport) -> list[Row]:
    """Class errors of every pair of groups, with a header."""
    rows: list[Row] = [PAIR_HEADER]
    for found in report.found:
        for pair in found.pairs:
            errors = (f"{100 * value:.1f} %" for value in (pair.error, pair.real, pair.unchanged))
            rows.append((pair.source, pair.target, str(pair.photos), str(found.steps), *errors))
    return rows


def summary_rows(report: TranslationReport) -> list[Row]:
    """What is not about the class, with a header."""
    return [HEADER, *(_summary(found, report.floor) for found in report.found)]


def _summary(found: TranslationResult, floor: float) -> Row:
    seen = found.overlap[~found.overlap.isnan()]
    median = f"{float(seen.median()):.3f} (n = {len(seen)})" if len(seen) else "-"
    low = f"{100 * float((seen < 0.7).float().mean()):.0f} %" if len(seen) else "-"
    settled, distances = str(found.settling or "-"), (found.frechet, floor, found.reconstruction)
    translated, least, rebuilt = (f"{value:.1f}" for value in distances)
    return (str(found.steps), settled, translated, least, median, low, rebuilt)


def contact_sheet(shown: Sheet, names: list[str]) -> NDArray[np.uint8]:
    """A row per photo: photo, reconstruction, translations with their classes on them, as [H,W,3]."""
    rows = []
    for i in range(len(shown.photos)):
        plain = [picture.permute(1, 2, 0).numpy() for picture in (shown.photos[i], shown.reconstructions[i])]
        made = [picture.permute(1, 2, 0).numpy() for picture in shown.translations[i]]
        classes = [names[k] for k in shown.targets[i].tolist()]
        rows.append(plain + [labelled(picture, name) for picture, name in zip(made, classes, strict=True)])
    count = shown.translations.shape[1]
    return sheet(rows, titles=["photo", "projection", *["translation"] * count], size=TILE)


def labelled(pixels: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """The picture at the size of a tile with a line of text along its lower edge."""
    image = Image.fromarray(tile(pixels, TILE))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    draw.rectangle((0, TILE - 15, TILE, TILE), fill="white")
    draw.text((TILE // 2, TILE - 8), text, fill="black", anchor="mm", font=font)
    return np.array(image)


def write_translation(report: TranslationReport, model: Model, data: str, results: ResultFolder) -> list[Path]:
    """Write tables and contact sheets, each whole or not at all.

    Returns:
        Markdown, two CSVs (class errors, the rest), and a PNG per number of updates.
    """
    stem = report_name(model.name, "translation")
    settled = any(found.settling for found in report.found)
    weights = f" settling weighs outline {SHAPE_WEIGHT:g} and class {CLASS_WEIGHT:g};" if settled else ""
    text = (
        f"{report.photos} validation photos of `{data}`, true classes; {report.translations} translations,"
        f" {report.real} real pictures;{weights} seed {report.seed}; {hashes_text(model.hashes)}."
    )
    title = f"# Translation of photos: {model.stem}"
    pairs, summary = pair_rows(report), summary_rows(report)
    contents: dict[str, str | bytes] = {
        f"{stem}.md": "\n\n".join((title, text, markdown_table(summary), markdown_table(pairs), NOTES)) + "\n",
        f"{stem}.csv": csv_table(summary),
        f"{stem}_classes.csv": csv_table(pairs),
    }
    for found in report.found:
        contents[f"{stem}_{found.steps}.png"] = picture_png(contact_sheet(found.sheet, model.class_names))
    return write_report(contents, results)
