"""Measures of transfers as files: curves (Fig. 7 b, c), averaged heat maps (Fig. 7 a), distances (Table 1)."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infer.editor.results import ResultFolder
from infer.evaluate.report_files import (
    Row,
    csv_table,
    figure_png,
    hashes_text,
    markdown_table,
    model_title,
    report_name,
    write_report,
)
from infer.evaluate.transfers import TransferReport
from models.terminal import visible

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # of In-MSE at which modes are compared
COLUMNS = 3  # panels of a figure side by side
COLOURS = {"global": "tab:gray", "simultaneous": "tab:orange", "sequential": "tab:blue"}
NOTES = """\
In- and Out-MSE: squared error of pixels inside and outside of the part's clusters in the source, divided by those of
the whole style of the reference (global, λ = 1). At the same In-MSE less Out-MSE is more local. Heat maps: squared
CIELAB error, L, a and b scaled to ranges of 1, mean over the pairs; sequential at the budget in the table.
Fréchet: SqueezeNet features, against real pictures if the data were given, else against other samples; each row has as
many pictures, so compare rows, not with other reports."""


def curve_rows(report: TransferReport) -> list[Row]:
    """Every point of every curve, with a header."""
    rows: list[Row] = [("part", "mode", "lambda or epsilon", "In-MSE", "Out-MSE")]
    for part, modes in report.curves.items():
        for mode, curve in modes.items():
            for value, inside, outside in zip(curve.values, curve.inside, curve.outside, strict=True):
                rows.append((part, mode, f"{value:.5g}", f"{float(inside):.5f}", f"{float(outside):.5f}"))
    return rows


def level_rows(report: TransferReport) -> list[Row]:
    """Out-MSE of each mode at some levels of In-MSE, with a header."""
    rows: list[Row] = [("part", "mode", *(f"Out-MSE at In-MSE {level:g}" for level in LEVELS))]
    for part, modes in report.curves.items():
        for mode, curve in modes.items():
            rows.append((part, mode, *(f"{curve.outside_at(level):.3f}" for level in LEVELS)))
    return rows


def heat_rows(report: TransferReport) -> list[Row]:
    """Budgets and mean errors of the heat maps, with a header."""
    rows: list[Row] = [("part", "epsilon", "mean squared CIELAB error")]
    for part, error in report.heat.items():
        rows.append((part, f"{report.budgets[part]:.4g}", f"{float(error.mean()):.3g}"))
    return rows


def distance_rows(report: TransferReport) -> list[Row]:
    """Fréchet distances, with a header."""
    return [("pictures", "Fréchet distance"), *((what, f"{value:.1f}") for what, value in report.distances.items())]


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels of a size in inches, at most `COLUMNS` in a row."""
    columns, rows = min(count, COLUMNS), -(-count // COLUMNS)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(count)]


def curves_figure(report: TransferReport) -> Figure:
    """Out-MSE over In-MSE, a panel for each part."""
    figure, panels = _panels(len(report.curves), 4.2, 4)
    for axes, (part, modes) in zip(panels, report.curves.items(), strict=True):
        for mode, curve in modes.items():
            axes.plot(curve.inside, curve.outside, "o-", ms=3, color=COLOURS[mode], label=mode)
        axes.set_title(visible(part), parse_math=False)
        axes.set(xlabel="In-MSE (high is good)", ylabel="Out-MSE (low is good)")
        axes.legend()
    return figure


def heat_figure(report: TransferReport) -> Figure:
    """Averaged heat maps side by side."""
    figure, panels = _panels(len(report.heat), 3.4, 3.2)
    for axes, (part, error) in zip(panels, report.heat.items(), strict=True):
        figure.colorbar(axes.imshow(error.cpu(), cmap="inferno"), ax=axes)
        axes.set_title(visible(part), parse_math=False)
        axes.set(xticks=[], yticks=[])
    return figure


def write_transfer(report: TransferReport, results: ResultFolder) -> list[Path]:
    """Write tables (Markdown, CSV) and figures (PNG), each whole or not at all. Returns their paths."""
    stem = report_name(report.model, "transfer")
    made = report.catalog
    about = f"catalog of {made.clusters} clusters of {made.layer}, {made.samples} samples, seed {made.seed}"
    tables = [level_rows(report), heat_rows(report), *([distance_rows(report)] if report.distances else [])]
    text = [
        f"# Transfer of parts: {model_title(report.model)}",
        f"{report.text}; {about}; {hashes_text(report.hashes)}.",
    ]
    contents: dict[str, str | bytes] = {
        f"{stem}.md": "\n\n".join([*text, *map(markdown_table, tables), NOTES]) + "\n",
        f"{stem}_curves.csv": csv_table(curve_rows(report)),
        f"{stem}_curves.png": figure_png(curves_figure(report)),
        f"{stem}_heat.csv": csv_table(heat_rows(report)),
        f"{stem}_heat.png": figure_png(heat_figure(report)),
    }
    if report.distances:
        contents[f"{stem}_frechet.csv"] = csv_table(distance_rows(report))
    return write_report(contents, results)
