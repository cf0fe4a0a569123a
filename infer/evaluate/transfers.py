"""Transfers of parts measured: locality (Collins et al., Fig. 7) and realism (Table 1), kept as they are done."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from infer.catalog.catalog import Catalog, Settings
from infer.catalog.part_transfer import PartTransfer, transfer_parts
from infer.edits.query_transfer import BUDGET, Query
from infer.evaluate.cache import ResultCache, Results
from infer.evaluate.judging import real_pictures
from infer.evaluate.locality import (
    GLOBAL,
    POINTS,
    SEQUENTIAL,
    SIMULTANEOUS,
    Curve,
    draw_pairs,
    mean_heat,
    measure_curves,
)
from infer.progress import Progress, untold
from models.digests import digest
from models.errors import PhotograftError
from models.perception.judges import SqueezeNetFeatures, frechet, to_uint8
from models.zoo import Model

FORMAT = 3  # of what is kept
BATCH = 64  # pictures that the judge sees at once


@dataclass(frozen=True)
class TransferReport:
    """What was measured.

    Attributes:
        model, hashes: name and files' sha256.
        catalog: how it was made.
        text: words for counts and seeds.
        curves: part -> mode -> curve.
        heat: part -> [R,R]; budgets: the epsilon of each.
        distances: what -> Fréchet distance; empty if it was not asked for.
    """

    model: str
    hashes: Mapping[str, str]
    catalog: Settings
    text: str
    curves: Mapping[str, Mapping[str, Curve]]
    heat: Mapping[str, Tensor]
    budgets: Mapping[str, float]
    distances: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Everything that the measures depend on.

    Attributes:
        model, catalog: what is measured.
        query: sequential, of heat maps and distances; its rho and per_layer are those of the curves too.
        shift: carry shifts over too.
        pairs: of curves and heat maps; samples: behind each Fréchet distance, 0 for none.
        truncation, seed: of sources and references.
        folder: where measures are kept.
        progress: told of progress.
    """

    model: Model
    catalog: Catalog
    query: Query
    shift: bool
    pairs: int
    samples: int
    truncation: float
    seed: int
    folder: Path
    progress: Progress = untold

    def run(self, parts: Sequence[str], data: Path | None = None) -> TransferReport:
        """Measure parts.

        Args:
            parts: of the catalog.
            data: the data that the model was trained on, for distances to real pictures; None: to other samples.

        Raises:
            PhotograftError: no parts, unknown ones, one that no sample shows, or data of other classes.
        """
        if not parts:
            raise PhotograftError("the catalog names no parts: name some (infer.py catalog name), or give --part")
        curves = {part: self.curves(part) for part in parts}
        heat = {part: self.heat(part) for part in parts}
        about = f"{self.pairs} pairs, {self.samples} samples" if self.samples else f"{self.pairs} pairs"
        moved = "scale and shift" if self.shift else "scale only"
        return TransferReport(
            self.model.name,
            self.model.hashes,
            self.catalog.settings,
            f"{about}, truncation {self.truncation:g}, seed {self.seed}, {moved}",
            curves,
            heat,
            dict.fromkeys(parts, self.budget),
            self.distances(parts, data) if self.samples else {},
        )

    @property
    def budget(self) -> float:
        """Epsilon of the query, of one layer's mean width where each has its own."""
        if self.query.epsilon is not None:
            return self.query.epsilon
        layers = [m.shape[1] for m in self.catalog.contributions.values()]
        return BUDGET * sum(layers) / (len(layers) if self.query.per_layer else 1)

    def _sampling(self) -> dict[str, Any]:
        return {"seed": self.seed, "truncation": self.truncation, "progress": self.progress}

    def curves(self, part: str) -> dict[str, Curve]:
        """Curves of all modes for a part."""

        def compute() -> Results:
            how: dict[str, Any] = {"rho": self.query.rho, "per_layer": self.query.per_layer, "shift": self.shift}
            found = measure_curves(self.model, self.catalog, part, pairs=self.pairs, **how, **self._sampling())
            kept = {f"{mode}.values": torch.tensor(curve.values, dtype=torch.float64) for mode, curve in found.items()}
            for mode, curve in found.items():
                assert curve.errors is not None
                assert curve.whole is not None
                kept |= {f"{mode}.errors": curve.errors.clone(), "whole": curve.whole.clone()}  # one holds the other
            return kept

        query = {"rho": self.query.rho, "per_layer": self.query.per_layer}
        kept = self._kept({"what": "curves", "points": POINTS, "pairs": self.pairs, "query": query}, part, compute)
        return {
            mode: Curve.of(kept[f"{mode}.values"].tolist(), kept[f"{mode}.errors"], kept["whole"])
            for mode in (GLOBAL, SIMULTANEOUS, SEQUENTIAL)
        }

    def heat(self, part: str) -> Tensor:  # -> [R,R]
        """Averaged heat map of a part."""

        def compute() -> Results:
            how: dict[str, Any] = {"pairs": self.pairs, "shift": self.shift}
            return {"heat": mean_heat(self.model, self.catalog, {part: self.query}, **how, **self._sampling())[part]}

        settings = {"what": "heat", "pairs": self.pairs, "query": asdict(self.query)}
        return self._kept(settings, part, compute)["heat"]

    def distances(self, parts: Sequence[str], data: Path | None) -> dict[str, float]:
        """Fréchet distances of samples, and of the same samples after a transfer of each part."""
        if data is not None:
            images = real_pictures(data, self.model, self.samples, self.seed)[0]
            target = self._judged(iter(images.split(BATCH)), len(images), "real pictures")
        else:
            target = self.features(None, self.seed + 1)
        found = {"samples": frechet(self.features(None, self.seed), target)}
        for part in parts:
            found[f"after a transfer of {part}"] = frechet(self.features(part, self.seed), target)
        return found

    def features(self, part: str | None, seed: int) -> Tensor:  # -> [N,D]
        """The judge's features of samples, after a transfer of a part if one is named."""

        def images() -> Iterator[Tensor]:
            quiet: dict[str, Any] = {"truncation": self.truncation, "progress": untold}
            for drawn in draw_pairs(self.model, self.catalog, [], self.samples, seed=seed, **quiet):
                if part is None:
                    yield to_uint8(drawn.image)
                else:
                    ask = PartTransfer(part, drawn.reference, self.query)
                    generator = self.model.generator
                    yield to_uint8(transfer_parts(generator, self.catalog, drawn.source, [ask], shift=self.shift))

        query = None if part is None else asdict(self.query)
        settings = {"what": "features", "samples": self.samples, "query": query, "seed": seed}
        what = "judging samples" if part is None else f"judging {part}"
        return self._kept(settings, part, lambda: {"features": self._judged(images(), self.samples, what)})["features"]

    @torch.no_grad()
    def _judged(self, images: Iterator[Tensor], total: int, what: str) -> Tensor:
        device = self.model.generator.device
        judge, parts, done = SqueezeNetFeatures().to(device), [], 0
        for batch in images:
            parts.append(judge(batch.to(device)).cpu())
            done += len(batch)
            self.progress(what, done, total)
        return torch.cat(parts)

    def _kept(self, settings: dict[str, Any], part: str | None, compute: Callable[[], Results]) -> Results:
        """What was computed under these settings before, else what is computed now."""
        kept = ResultCache(
            self.folder,
            format=FORMAT,
            generator=digest(self.model.generator.state_dict().values()),
            catalog=digest([self.catalog.centres, *self.catalog.contributions.values()]),
            shift=self.shift,
            truncation=self.truncation,
            seed=self.seed,
        )
        return kept(compute, **settings, clusters=[] if part is None else list(self.catalog.clusters(part)))
