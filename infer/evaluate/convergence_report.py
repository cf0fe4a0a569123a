"""Convergence as files: curves, rates and comparisons as CSV, all tables as Markdown, the figures as PNG."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from infer.editor.results import ResultFolder
from infer.evaluate.convergence import Convergence, Crossing, comparisons, standard_error
from infer.evaluate.report_files import (
    Row,
    csv_table,
    figure_png,
    hashes_text,
    markdown_table,
    report_name,
    write_report,
)

MARKS = (0, 10, 50, 100, 200)  # updates after which the table gives the loss
COLOURS = {"z": "tab:blue", "zeta": "tab:red"}
SIGNS = {"z": "z", "zeta": "ζ"}


@dataclass(frozen=True)
class Settings:
    """What a reader needs in order to measure again: words for the model, data and loop, and the files' sha256."""

    model: str
    text: str
    hashes: dict[str, str]


def write_convergence(found: Convergence, settings: Settings, results: ResultFolder) -> list[Path]:
    """Write every table and figure; each is whole or not there.

    Returns:
        The files: Markdown, PNG (Fig. 16, Fig. 17), CSV (curves, rates, comparisons).
    """
    stem = report_name(settings.model, "convergence")
    compared = comparisons(found.curves)
    contents: dict[str, str | bytes] = {
        f"{stem}.md": markdown(found, settings, compared),
        f"{stem}.png": figure_png(figure_curves(found)),
        f"{stem}_rates.png": figure_png(figure_rates(found)),
        f"{stem}_curves.csv": csv_table(curve_rows(found)),
        f"{stem}_rates.csv": csv_table(rate_rows(found)),
        f"{stem}_reached.csv": csv_table(reached_rows(compared)),
    }
    return write_report(contents, results)


# --- tables, each with its header as the first row ---


def curve_rows(found: Convergence) -> list[Row]:
    """Iteration, then mean and standard error of every curve."""
    header = ["iteration", *(f"{name}, {what}" for name in found.curves for what in ("mean", "standard error"))]
    columns = [v.tolist() for losses in found.curves.values() for v in (losses.mean(1), standard_error(losses))]
    numbers = ([f"{v:.6f}" for v in column] for column in columns)
    return [header, *([str(t), *row] for t, row in enumerate(zip_longest(*numbers, fillvalue="")))]


def rate_rows(found: Convergence) -> list[Row]:
    """The grids: mean loss and its standard error after the grid's last update."""
    rows: list[Row] = [["curve", "learning rate", "updates", "photos", "mean", "standard error", "chosen"]]
    for name, search in found.searches.items():
        for rate, losses in zip(search.rates, search.losses, strict=True):
            mean, error = float(losses[-1].mean()), float(standard_error(losses)[-1])
            chosen = "yes" if rate == search.best else ""
            updates, photos = str(len(losses) - 1), str(losses.shape[1])
            rows.append([name, f"{rate:.6g}", updates, photos, f"{mean:.5f}", f"{error:.5f}", chosen])
    return rows


def loss_rows(found: Convergence) -> list[Row]:
    """The loss of every curve after some updates."""
    steps = max(map(len, found.curves.values())) - 1
    marks = sorted({mark for mark in MARKS if mark < steps} | {steps})
    rows: list[Row] = [["curve", "learning rate", *map(str, marks)]]
    for name, losses in found.curves.items():
        means, errors = losses.mean(1), standard_error(losses)
        values = [f"{means[mark]:.4f} ± {errors[mark]:.4f}" if mark < len(means) else "" for mark in marks]
        rows.append([name, f"{found.searches[name].best:.4g}", *values])
    return rows


def reached_rows(compared: Iterable[Crossing]) -> list[Row]:
    """When curves reach a reference's loss; ratios are iterations over those of the reference."""
    header = ["curve", "reference", "updates of the reference", "its loss", "iterations", "95 % interval"]
    header += ["ratio", "95 % interval of the ratio", "median of photos", "its ratio", "photos that reach it"]
    rows: list[Row] = [header]
    for r in compared:
        counts = [_number(r.iterations), f"{_number(r.low)} to {_number(r.high)}"]
        ratios = [_ratio(r.iterations, r.at), f"{_ratio(r.low, r.at)} to {_ratio(r.high, r.at)}" if r.at else "-"]
        median = [_number(r.median), _ratio(r.median, r.at), f"{r.share:.0%}"]
        rows.append([r.curve, r.reference, str(r.at), f"{r.level:.4f}", *counts, *ratios, *median])
    return rows


def _number(iterations: float) -> str:
    return f"{iterations:.0f}" if math.isfinite(iterations) else "never"


def _ratio(iterations: float, at: int) -> str:
    if at == 0:
        return "-"
    return f"{iterations / at:.3f}" if math.isfinite(iterations) else "never"


def markdown(found: Convergence, settings: Settings, compared: Iterable[Crossing]) -> str:
    """All tables with what they mean."""
    parts = [
        f"# Convergence of projection: {Path(settings.model).name}",
        f"{settings.text}; {hashes_text(settings.hashes)}.",
        "## Loss",
        "Mean over the photos ± standard error after so many updates, each curve at its best learning rate.",
        markdown_table(loss_rows(found)),
        "## Iterations to the same loss",
        "The first update at which the mean curve is as low as the reference's after its updates; intervals over photos"
        " drawn with replacement. The median is over single photos, each against its own loss under the reference.",
        markdown_table(reached_rows(compared)),
        "## Learning rates",
        "Mean loss after the last update of the grid, by which the rates were chosen.",
        markdown_table(rate_rows(found)),
    ]
    return "\n\n".join(parts) + "\n"


# --- figures ---


def figure_curves(found: Convergence) -> Figure:
    """Fig. 16: a panel per start, a line per space, with two standard errors around it."""
    starts = list(dict.fromkeys(name.split(" from ")[1] for name in found.curves))
    figure = Figure(figsize=(5.5 * len(starts), 4.2), layout="constrained")
    for axes, start in zip(figure.subplots(1, len(starts), squeeze=False, sharey=True)[0], starts, strict=True):
        for name, losses in found.curves.items():
            space, begins = name.split(" from ")
            if begins == start:
                label = f"{SIGNS[space]}, α = {found.searches[name].best:.3g}"
                _line(axes, losses, label, COLOURS[space])
        _finish(axes, "start: E(x)" if start == "E" else "random start")
    return figure


def figure_rates(found: Convergence) -> Figure:
    """Fig. 17: from E (or else from random starts) at every learning rate of the grid, a panel per space."""
    start = "E" if any(name.endswith("from E") for name in found.searches) else "random"
    shown = [name for name in found.searches if name.endswith(f"from {start}")]
    figure = Figure(figsize=(5.5 * len(shown), 4.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False, sharey=True)[0], shown, strict=True):
        search, space = found.searches[name], name.split(" from ")[0]
        for i, (rate, losses) in enumerate(zip(search.rates, search.losses, strict=True)):
            colour = (i / max(len(search.rates) - 1, 1), 0.25, 0.6)
            chosen = " (chosen)" if rate == search.best else ""
            _line(axes, losses, f"α = {rate:.3g}{chosen}", colour, band=False)
        where = "E(x)" if start == "E" else "random"
        _finish(axes, f"{SIGNS[space]}, start: {where}, {search.losses[0].shape[1]} photos")
    return figure


def _line(axes: Axes, losses: Tensor, label: str, colour: Any, band: bool = True) -> None:
    mean, error, t = losses.mean(1).numpy(), standard_error(losses).numpy(), range(len(losses))
    axes.plot(t, mean, label=label, color=colour, linewidth=1.8)
    if band and losses.shape[1] > 1:
        axes.fill_between(t, mean - 2 * error, mean + 2 * error, color=colour, alpha=0.15, linewidth=0)


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_yscale("log")
    axes.set_xlabel("iteration")
    axes.set_ylabel("1 − Ψ·Ψ + 0.2 MSE")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=10)
