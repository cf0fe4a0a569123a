"""What a human study found: how often the first picture of a pair was chosen, with 95 % intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from infer.editor.results import ResultFolder
from infer.evaluate.detection import wilson
from infer.evaluate.report_files import Row, csv_table, figure_png, write_report
from infer.evaluate.two_afc import Answer

HEADER = ("chosen", "against", "classes", "rate", "95 %", "n", "undecided")
_COLUMNS = ("question", "method", "rival", "source", "target", "chosen", "n", "rate", "low", "high", "undecided",
            "participants")  # fmt: skip
_CHANCE = 0.5


@dataclass(frozen=True)
class Rate:
    """How often one method's picture was chosen before its rival's.

    Attributes:
        question, method, rival: what was asked, and about what.
        source, target: the classes; "" for all together.
        chosen, count: decided answers that chose the method's picture, and all decided ones.
        undecided: answers beside those.
        participants: who answered.
    """

    question: str
    method: str
    rival: str
    source: str
    target: str
    chosen: int
    count: int
    undecided: int
    participants: int

    @property
    def rate(self) -> float:
        """The share; NaN of nothing."""
        return self.chosen / self.count if self.count else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, of 95 %; it takes the answers as independent of each other."""
        return wilson(self.chosen, self.count)

    @property
    def classes(self) -> str:
        """For a table."""
        return f"{self.source} → {self.target}" if self.source or self.target else "all"


def rates(answers: Sequence[Answer]) -> list[Rate]:
    """Of every method against every rival: over all, and for each pair of classes where there are any."""
    found = []
    for kind in sorted({(a.question, a.method, a.rival) for a in answers}):
        members = [a for a in answers if (a.question, a.method, a.rival) == kind]
        found.append(_rate(kind, "", "", members))
        for source, target in sorted({(a.source, a.target) for a in members} - {("", "")}):
            found.append(_rate(kind, source, target, [a for a in members if (a.source, a.target) == (source, target)]))
    return found


def _rate(kind: tuple[str, str, str], source: str, target: str, answers: Sequence[Answer]) -> Rate:
    decided = [a for a in answers if a.chosen]
    chosen = sum(a.chosen == "first" for a in decided)
    people = len({a.participant for a in answers})
    return Rate(*kind, source, target, chosen, len(decided), len(answers) - len(decided), people)


def rate_rows(found: Sequence[Rate]) -> list[Row]:
    """For a table to read, with a header; of one question."""
    rows: list[Row] = [HEADER]
    for one in found:
        share, ends = "-", "-"
        if one.count:
            low, high = one.interval
            share, ends = f"{100 * one.rate:.1f} %", f"{100 * low:.1f} to {100 * high:.1f}"
        rows.append((one.method, one.rival, one.classes, share, ends, str(one.count), str(one.undecided)))
    return rows


def described(answers: Sequence[Answer]) -> str:
    """How many answered, and how often the left picture was chosen: far from a half, people did not look."""
    decided = [a for a in answers if a.chosen]
    text = f"{len(answers)} answers of {len({a.participant for a in answers})} participants"
    if not decided:
        return f"{text}, all undecided"
    left = sum(a.answer == "left" for a in decided)
    low, high = wilson(left, len(decided))
    return f"{text}; the left picture in {100 * left / len(decided):.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def draw_rates(found: Sequence[Rate]) -> Figure:
    """A point with its interval for each rate, beside chance."""
    figure = Figure(figsize=(8, 1.2 + 0.35 * len(found)), layout="constrained")
    axes = figure.subplots()
    for y, one in enumerate(found):
        if one.count:
            low, high = one.interval
            colour = "C0" if one.classes == "all" else "C7"
            axes.plot([100 * low, 100 * high], [y, y], color=colour)
            axes.plot([100 * one.rate], [y], "o", color=colour)
    axes.axvline(100 * _CHANCE, color="black", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(found)), [_label(one) for one in found])
    axes.set(xlim=(0, 100), ylim=(len(found) - 0.5, -0.5), xlabel="chosen before the other, % (dotted: chance)")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _label(one: Rate) -> str:
    """As it is written, though it may look like a formula."""
    text = f"{one.method} against {one.rival}" if one.classes == "all" else one.classes
    return text.replace("$", r"\$")


def write_rates(answers: Sequence[Answer], results: ResultFolder) -> list[Path]:
    """Write `study.csv`, numbers for other programs, and `study.png`; returns their paths."""
    found = rates(answers)
    rows: list[Row] = [_COLUMNS]
    for one in found:
        numbers = [f"{value:.4f}" for value in (one.rate, *one.interval)] if one.count else [""] * 3
        counts = (str(one.chosen), str(one.count), *numbers, str(one.undecided), str(one.participants))
        rows.append((one.question, one.method, one.rival, one.source, one.target, *counts))
    return write_report({"study.csv": csv_table(rows), "study.png": figure_png(draw_rates(found))}, results)
