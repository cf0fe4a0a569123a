"""The judge's verdict on samples as files: table (CSV, Markdown) and contact sheet."""

from pathlib import Path

from infer.editor.results import ResultFolder
from infer.evaluate.generator import GeneratorReport
from infer.evaluate.report_files import csv_table, hashes_text, markdown_table, picture_png, report_name, write_report
from infer.pictures.samples import sample_rows, spread_classes
from infer.pictures.sheet import sheet
from models.zoo import Model

CLASSES, COLUMNS = 8, 8
NOTES = """\
Real pictures: two halves of them for distances, precision, recall, density and coverage (samples are halved too for the
last four, so that both columns compare as many); validation pictures for class hits. Probe: linear, on SqueezeNet
features, fitted to the real training pictures. No training here looked through SqueezeNet. Group: species."""


def write_generator(report: GeneratorReport, model: Model, results: ResultFolder) -> list[Path]:
    """Write the table, with seed, counts and the weights' hashes, and a sheet of samples that nobody picked.

    Returns:
        CSV, Markdown, PNG.
    """
    rows = [("measure", "samples", "real pictures"), *report.rows()]
    left = f", {report.reject:.1%} rejected" if report.reject else ""
    how = f"truncation {report.truncation}{left}, seed {report.seed}"
    text = f"{report.samples} samples, {how}; {hashes_text(model.hashes)}"
    labels = spread_classes(len(model.class_names), CLASSES)
    pictures = sample_rows(model, labels, COLUMNS, report.truncation, report.seed, report.reject)
    shown = sheet(pictures, names=[model.class_names[k] for k in labels], size=model.generator.resolution)
    stem = report_name(model.name, "generator")
    contents: dict[str, str | bytes] = {
        f"{stem}.csv": csv_table(rows),
        f"{stem}.md": f"{text}\n\n{markdown_table(rows)}\n\n{NOTES}\n",
        f"{stem}.png": picture_png(shown),
    }
    return write_report(contents, results)
