"""Whole photos, measured, as files: a table, every edit as CSV, and a sheet of all photos."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import chain
from math import isnan, nan
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.editor.results import ResultFolder
from infer.evaluate.class_judge import Verdict
from infer.evaluate.detection import bootstrap, detectability, wilson
from infer.evaluate.edit_measures import EditMeasures, Picture
from infer.evaluate.photos import UNFOUND, EditResult, PhotoResult, PhotosReport
from infer.evaluate.report_files import (
    Row,
    csv_table,
    hashes_text,
    markdown_table,
    picture_png,
    report_name,
    write_report,
)
from infer.evaluate.translation_report import labelled
from infer.pictures.sheet import sheet
from models.zoo import Model

HEADER = ("measure", "mean", "95 %", "median", "95 %", "n")
SHARP = (0.7, 1.3)  # as sharp as its surroundings
WELL = 0.5  # IoU from which a square is not only right but fits
ABREAST = 3  # photos in a row of the sheet that has edits, and three times as many in one that has none
TILE = 128
_FOUND, _KNOWN = (255, 64, 32), (32, 200, 64)  # colours of squares and heads on the sheet
_HOW = {
    "cast": "colour cast: distance of mean colours (CIELAB)",
    "cast_pixels": "colour cast: mean distance of pixels (CIELAB)",
    "leftovers": "leftovers in the square / the old animal there",
    "leftovers_head": "leftovers in the head's box alone",
    "sharpness": "sharpness / that of the surroundings",
    "sharpness_before": "the same of the untouched photo",
    "seam": "seam: steepness across the rim / the photo's",
    "iou": "IoU of the animal in the square, before and after",
}
_VERDICTS = {"class among first five": "five", "first class": "first", "species": "group"}
NOTES = """\
Right place: the known head's centre lies in the found square, and the square overlaps the known head, grown to a
training crop, by an IoU of 0.25 at least; wrong: something was found and it is not that; none found: the centre of the
photo is all there is. Class: of a linear probe on SqueezeNet features, fitted to real training pictures (no training
looked through SqueezeNet); crop: what the generator made, finished: the same square of the finished photo. Species: the
group of the first class that the probe names. Colour cast: what the generator made against the finished photo, over the
mask's core on the new head (mask at least 0.9). Leftovers: pixels that DeepLab reads as animal before and after, where
the mask is below a half and the generator made no animal. Sharpness: quotient of the finest two bands of detail, of the
head over that of the animal around it. Seam: CIELAB gradient across the rim of the mask, 1 is none. Detectability: a
logistic regression on SqueezeNet features of the square before and after, cross-validated by photo; 0.5 is perfect.
Intervals: Wilson's of shares, else 2,000 bootstraps over photos; n counts photos of places and edits of the rest."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A measure: its mean or share, and its median, each with a 95 % interval; NaN where there is none."""

    name: str
    mean: float
    interval: tuple[float, float]
    count: int
    median: float = nan
    median_interval: tuple[float, float] = (nan, nan)
    is_share: bool = False

    def row(self) -> Row:
        """For a table."""
        kind = "%" if self.is_share else ""
        ends = (_between(self.interval, kind), _number(self.median, kind), _between(self.median_interval, kind))
        return (self.name, _number(self.mean, kind), *ends, str(self.count))


def _number(value: float, kind: str) -> str:
    if isnan(value):
        return "-"
    return f"{100 * value:.1f} %" if kind else f"{value:.3f}"


def _between(interval: tuple[float, float], kind: str) -> str:
    low, high = (_number(value, kind) for value in interval)
    return "-" if low == "-" else f"{low.removesuffix(' %')} to {high}"


def summary(report: PhotosReport) -> list[Line]:
    """All measures that there is anything for."""
    edits = [(number, edit) for number, one in enumerate(report.results) for edit in one.edits]
    groups = np.array([number for number, _ in edits], np.int64)
    found = [edit for _, edit in edits]
    return [*_places(report.results), *_classes(found, groups), *_pictures(found, groups), *_detection(found, groups)]


def summary_rows(report: PhotosReport) -> list[Row]:
    """The same with a header."""
    return [HEADER, *(line.row() for line in summary(report))]


def _share(name: str, hits: Sequence[bool]) -> Line:
    count = len(hits)
    return Line(name, sum(hits) / count if count else nan, wilson(sum(hits), count), count, is_share=True)


def _spread(name: str, values: Values, groups: NDArray[np.int64]) -> Line:
    """Mean and median of what is not NaN."""
    there = ~np.isnan(values)
    values, groups = values[there], groups[there]
    if not len(values):
        return Line(name, nan, (nan, nan), 0)
    mean = bootstrap(values, groups, lambda drawn: float(drawn.mean()))
    median = bootstrap(values, groups, lambda drawn: float(np.median(drawn)))
    return Line(name, float(values.mean()), mean, len(values), float(np.median(values)), median)


def _places(results: Sequence[PhotoResult]) -> list[Line]:
    known = [one for one in results if one.photo.heads]
    if not known or any(one.how == "box" for one in results):
        return []
    unfound = [one.how == UNFOUND for one in known]
    wrong = [one.place is not None and not one.place.right for one in known]
    found = [one.place for one in known]
    places = [place for place in found if place is not None]
    groups = np.arange(len(places))
    lines = [
        _share("right place", [not a and not b for a, b in zip(unfound, wrong, strict=True)]),
        _share("wrong place", wrong),
        _share("none found", unfound),
        _share(
            f"IoU of the square with the known head's at least {WELL}",
            [one is not None and one.iou >= WELL for one in found],
        ),
        _spread("IoU of the square with the known head's", np.array([place.iou for place in places]), groups),
        _spread("side of the square / the known head's", np.array([place.scale for place in places]), groups),
    ]
    empty = [one.how != UNFOUND for one in results if one.photo.heads == ()]
    return [*lines, *([_share("found where no head is known", empty)] if empty else [])]


def _classes(edits: Sequence[EditResult], groups: NDArray[np.int64]) -> list[Line]:
    judged = [(edit.crop, edit.finished) for edit in edits if edit.crop is not None and edit.finished is not None]
    if not judged:
        return []
    crops, finished = ([pair[side] for pair in judged] for side in (0, 1))
    lines = []
    for what, name in _VERDICTS.items():
        for where, verdicts in (("crop", crops), ("finished photo", finished)):
            lines.append(_share(f"{what} missed, {where}", [not getattr(verdict, name) for verdict in verdicts]))
    more = np.array([float(a.five) - float(b.five) for a, b in judged])
    interval = bootstrap(more, groups, lambda drawn: float(drawn.mean()))
    lost = "class among first five, lost after the crop"
    return [*lines, Line(lost, float(more.mean()), interval, len(more), is_share=True)]


def _pictures(edits: Sequence[EditResult], groups: NDArray[np.int64]) -> list[Line]:
    if not edits:
        return []
    lines = []
    for field in fields(EditMeasures):
        values = np.array([getattr(edit.measures, field.name) for edit in edits])
        lines.append(_spread(_HOW[field.name], values, groups))
        if field.name.startswith("sharpness"):
            there = values[~np.isnan(values)]
            name = "as sharp as its surroundings" if field.name == "sharpness" else "the untouched photo"
            lines.append(
                _share(f"{name}, {SHARP[0]} to {SHARP[1]}", [SHARP[0] <= v <= SHARP[1] for v in there.tolist()])
            )
    return lines


def _detection(edits: Sequence[EditResult], groups: NDArray[np.int64]) -> list[Line]:
    if not edits:
        return []
    features = np.stack([edit.features.numpy() for edit in edits]).astype(np.float64)  # [N,2,512]
    found = detectability(features[:, 0], features[:, 1], groups)
    if isnan(found.accuracy):
        return []
    return [
        Line("detectability: accuracy", found.accuracy, found.accuracy_interval, found.count),
        Line("detectability: area under the curve", found.auc, found.auc_interval, found.count),
    ]


# ---------------------------------------------------------------------- files

_COLUMNS = (
    "photo",
    "species",
    "breed",
    "found by",
    "box",
    "right place",
    "IoU of place",
    "scale of place",
    "source",
    "target",
    *(f"{where} {what}" for where in ("crop", "finished") for what in ("first", "first five", "species")),
    *(field.name for field in fields(EditMeasures)),
)


def edit_rows(report: PhotosReport) -> list[Row]:
    """A row for each edit, and one for a photo without; with a header."""
    rows: list[Row] = [_COLUMNS]
    for one in report.results:
        about = [one.photo.name, one.photo.species or "", one.photo.breed or "", one.how, str(one.box or "")]
        about += (
            ["", "", ""] if one.place is None else [str(int(one.place.right)), *_cells(one.place.iou, one.place.scale)]
        )
        for edit in one.edits:
            measures = _cells(*(getattr(edit.measures, field.name) for field in fields(EditMeasures)))
            verdicts = [*_verdict(edit.crop), *_verdict(edit.finished)]
            rows.append((*about, edit.source, edit.target, *verdicts, *measures))
        if not one.edits:
            rows.append((*about, *[""] * (len(_COLUMNS) - len(about))))
    return rows


def _cells(*values: float) -> list[str]:
    return ["" if isnan(value) else f"{value:.4f}" for value in values]


def _verdict(verdict: Verdict | None) -> list[str]:
    return [""] * 3 if verdict is None else [str(int(v)) for v in (verdict.first, verdict.five, verdict.group)]


def photo_sheet(report: PhotosReport) -> Picture:
    """All photos with the found square and the known head; beside each edit's crop and finished head, [H,W,3]."""
    cells: list[list[Picture]] = []
    for one in report.results:
        framed = labelled(_framed(one), one.photo.name)
        cells += [[framed, *_tiles(edit)] for edit in one.edits] or [[framed]]
    abreast = ABREAST if any(one.edits for one in report.results) else 3 * ABREAST
    white = np.full((TILE, TILE, 3), 255, np.uint8)
    widest = max(map(len, cells))
    cells = [[*cell, *[white] * (widest - len(cell))] for cell in cells]
    rows = [list(chain(*cells[i : i + abreast])) for i in range(0, len(cells), abreast)]
    return sheet(rows, size=TILE)


def _tiles(edit: EditResult) -> list[Picture]:
    texts = [edit.target, "finished"]
    for side, verdict in enumerate((edit.crop, edit.finished)):
        if verdict is not None and not verdict.five:
            texts[side] += " (missed)"
    return [labelled(pixels, text) for pixels, text in zip(edit.shown, texts, strict=True)]


def _framed(one: PhotoResult) -> Picture:
    """The small photo with what is known and what was found."""
    pixels = one.pixels.copy()
    thickness = max(1, max(pixels.shape[:2]) // 100)
    boxes = [(head, _KNOWN) for head in one.photo.heads or ()]
    if one.box is not None:
        boxes.append(((float(one.box.x), float(one.box.y), float(one.box.w), float(one.box.h)), _FOUND))
    for (x, y, w, h), colour in boxes:
        first, last = (
            (round(x * one.scale), round(y * one.scale)),
            (round((x + w) * one.scale), round((y + h) * one.scale)),
        )
        cv2.rectangle(pixels, first, last, colour, thickness)
    return pixels


def described(report: PhotosReport) -> str:
    """What was done, in a line."""
    wanted, edits = report.wanted, sum(len(one.edits) for one in report.results)
    parts = [f"{len(report.results)} photos"]
    if not wanted.places_only:
        parts += [
            f"{edits} edits",
            f"preset {wanted.preset}",
            f"method {wanted.method}",
            f"finish {wanted.finish}",
            f"seed {wanted.seed}",
        ]
    if wanted.known_places:
        parts.append("at the known heads")
    if report.failed:
        parts.append(f"{len(report.failed)} failed")
    return ", ".join(parts)


def left_out(report: PhotosReport) -> list[str]:
    """What could not be measured, and why."""
    lines = []
    if not any(one.photo.heads for one in report.results):
        lines.append("places are not measured: no head is known in these photos (boxes.jsonl, or shards of scenes)")
    if not report.wanted.places_only and all(edit.crop is None for one in report.results for edit in one.edits):
        lines.append("classes are not measured: give the data that the model was trained on with --data")
    return lines


def write_photos(report: PhotosReport, model: Model, folder: str, results: ResultFolder) -> list[Path]:
    """Write the table (Markdown, CSV), every edit (CSV) and the sheet (PNG), all or none; returns their paths."""
    stem = report_name(model.name, "places" if report.wanted.places_only else "photos")
    rows = summary_rows(report)
    text = f"`{folder}`: {described(report)}; {hashes_text(model.hashes)}."
    left = [f"{line}." for line in left_out(report)]
    contents: dict[str, str | bytes] = {
        f"{stem}.md": "\n\n".join((f"# Whole photos: {model.stem}", text, markdown_table(rows), *left, NOTES)) + "\n",
        f"{stem}.csv": csv_table(edit_rows(report)),
        f"{stem}_summary.csv": csv_table(rows),
        f"{stem}_sheet.png": picture_png(photo_sheet(report)),
    }
    return write_report(contents, results)
