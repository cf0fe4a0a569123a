"""A section of the report, and the papers' claims that it decides; kept whole in a folder once it is measured."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from infer.evaluate.cache import ResultCache, Results
from infer.evaluate.detection import Interval
from infer.evaluate.report_files import Row
from infer.progress import Progress
from models.prepared import Networks

OPTIONS = {"updates": "steps"}  # counts that the command calls otherwise
HELD, NOT_HELD, OPEN = "held", "**not held**", "open"


@dataclass(frozen=True)
class Claim:
    """A number that a paper claims, beside the same of ours.

    Attributes:
        source: paper and where in it.
        text: what is claimed, with how it was measured here.
        paper: the paper's number, as it says it.
        value, low, high: ours, with its 95 % interval.
        bound: what it is held against; wanted: on which side of it the claim holds.
        unit: "%" for shares in [0,1], else behind the numbers as it is.
    """

    source: str
    text: str
    paper: str
    value: float
    low: float
    high: float
    bound: float
    wanted: Literal["at most", "at least"]
    unit: str = ""

    @property
    def verdict(self) -> str:
        """Held or not, if the whole interval lies on one side of the bound; else open."""
        if math.isnan(self.low) or math.isnan(self.high):
            return OPEN
        low, high, bound = self.low, self.high, self.bound
        if self.wanted == "at least":
            low, high, bound = -self.high, -self.low, -self.bound
        return HELD if high <= bound else NOT_HELD if low > bound else OPEN

    def row(self) -> Row:
        """For a table."""
        single = self.low == self.high == self.value  # measured once
        between = "-" if single else f"{self._number(self.low)} to {self._number(self.high)}"
        wanted = f"{self.wanted} {self._number(self.bound)}"
        return (self.source, self.text, self.paper, wanted, self._number(self.value), between, self.verdict)

    def _number(self, value: float) -> str:
        if math.isnan(value):
            return "-"
        if math.isinf(value):
            return "never"
        if self.unit == "%":
            return f"{100 * value:.{1 if value == 0 or value >= 0.01 else 2}f} %"
        return f"{value:.3g}{self.unit}"


CLAIM_HEADER: Row = ("source", "claim", "paper", "holds if", "here", "95 %", "")


def share_claim(source: str, text: str, paper: float, value: float, between: Interval) -> Claim:
    """Of a share of errors, which holds where ours is no larger than the paper's."""
    return Claim(source, text, f"{100 * paper:.1f} %", value, *between, bound=paper, wanted="at most", unit="%")


@dataclass(frozen=True)
class Section:
    """What one part of the report says.

    Attributes:
        title: of the part.
        text: counts, seeds, files' hashes.
        command: that measures the same alone.
        tables: with a line above each ("" for none); headers are their first rows.
        figures: name of a file -> its bytes.
        claims: of the papers.
    """

    title: str
    text: str
    command: str
    tables: Sequence[tuple[str, Sequence[Row]]] = ()
    figures: Mapping[str, bytes] = field(default_factory=dict)
    claims: Sequence[Claim] = ()

    def kept(self) -> Results:
        """As tensors, for a `ResultCache`."""
        said = {**asdict(self), "figures": list(self.figures)}
        found = {"said": json.dumps(said).encode()} | {f"figure {name}": data for name, data in self.figures.items()}
        return {name: torch.from_numpy(np.frombuffer(data, np.uint8).copy()) for name, data in found.items()}

    @classmethod
    def of(cls, kept: Results) -> "Section":
        """From `kept`."""
        said: dict[str, Any] = json.loads(kept["said"].numpy().tobytes())
        figures = {name: kept[f"figure {name}"].numpy().tobytes() for name in said["figures"]}
        claims = [Claim(**claim) for claim in said["claims"]]
        tables = [(text, rows) for text, rows in said["tables"]]
        return cls(**said | {"figures": figures, "claims": claims, "tables": tables})


@dataclass(frozen=True)
class Scope:
    """What all sections are measured with.

    Attributes:
        collage, style: networks of the model for the first paper (classes in regions) and of that for the second (parts
            by style).
        data: that both were trained on.
        samples: of the prior, and real pictures; pairs: samples with references, for edits of parts; curve_pairs: the
            same of locality, where each is edited some sixty times.
        photos: of the validation split; updates: of the curves of convergence.
        preset_photos: of the comparison of presets, whose slowest takes a minute for each.
        seed: of all draws.
        folder: where results are kept as they are found.
        progress: told of progress.
    """

    collage: Networks
    style: Networks
    data: Path
    samples: int
    pairs: int
    curve_pairs: int
    photos: int
    updates: int
    preset_photos: int
    seed: int
    folder: Path
    progress: Progress

    def counts(self, *names: str) -> dict[str, int]:
        """Some of the numbers, and the seed."""
        return {name: getattr(self, name) for name in (*names, "seed")}

    def command(self, sections: Iterable[str], counts: Iterable[str]) -> str:
        """That makes the report, or some sections of it, with these of the counts."""
        words = [
            f"--{OPTIONS.get(name, name).replace('_', '-')} {value}" for name, value in self.counts(*counts).items()
        ]
        models = f"--model {self.collage.model.stem} --style-model {self.style.model.stem}"
        return " ".join(["photograft evaluate report", *sections, "--data FOLDER", models, *words])


Measure = Callable[[Scope], Section]


def kept_section(name: str, measure: Measure, counts: Sequence[str], scope: Scope, cache: ResultCache) -> Section:
    """A section as it was kept, else measured now; counts: names of those that it depends on."""
    return Section.of(cache(lambda: measure(scope).kept(), section=name, **scope.counts(*counts)))
