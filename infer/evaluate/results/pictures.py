"""Samples of both models, and samples after edits of parts (Collins et al., Table 1 and Fig. 7)."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from infer.catalog.catalog import Catalog, default_path, load_catalog
from infer.edits.query_transfer import Query, check_transfers
from infer.evaluate.cache import ResultCache, Results
from infer.evaluate.detection import Interval
from infer.evaluate.distances import frechet_error, frechet_ratio, kid
from infer.evaluate.generator import evaluate_generator
from infer.evaluate.judging import judge_features, real_pictures
from infer.evaluate.locality import GLOBAL, SEQUENTIAL, SIMULTANEOUS, Curve
from infer.evaluate.report_files import Row, figure_png, hashes_text
from infer.evaluate.results.section import Claim, Scope, Section
from infer.evaluate.studies.setting import pairs
from infer.evaluate.studies.transfer_study import WAYS, by_every_way, paper_parts, part_mask
from infer.evaluate.transfers import Evaluation
from infer.evaluate.transfers_report import curves_figure, heat_figure, level_rows
from infer.progress import Progress
from models.base import Generator
from models.digests import digest, digests
from models.errors import UnsupportedEdit
from models.perception.judges import SqueezeNetFeatures, frechet, to_uint8
from models.prepared import Networks, prepare
from models.zoo import Model

PAPER = "Collins et al."
PAPER_DISTANCES = {"none": "4.4", "query": "5.4", "blend 64 px": "5.4"}  # FFHQ, 50,000, Inception
PAPER_RATIO = 5.4 / 4.4
LEVEL = 0.3  # of In-MSE at which modes are compared: an edit that is seen, and that all modes reach
RESAMPLED = 500  # of the pairs, for intervals of locality
FORMAT = 1  # of kept features


def samples(scope: Scope) -> Section:
    """Prior samples of both models against real pictures."""
    models = {networks.model.stem: networks for networks in (scope.collage, scope.style)}
    reports = {
        name: evaluate_generator(each, scope.data, samples=scope.samples, seed=scope.seed, progress=told)
        for name, each, told in ((n, e, _named(scope.progress, n)) for n, e in models.items())
    }
    columns = {name: report.rows() for name, report in reports.items()}
    measures = [row[0] for row in next(iter(columns.values()))]
    real = [row[2] for row in next(iter(columns.values()))]
    found = zip(measures, *([row[1] for row in rows] for rows in columns.values()), real, strict=True)
    rows: list[Row] = [("measure", *columns, "real pictures"), *found]
    hashes = hashes_text({k: v for networks in models.values() for k, v in networks.model.hashes.items()})
    return Section(
        "Samples",
        f"{scope.samples} samples of the whole prior, seed {scope.seed}; {hashes}.",
        f"photograft evaluate generator MODEL --data FOLDER --samples {scope.samples} --seed {scope.seed}",
        [("", rows)],
    )


def _named(progress: Progress, name: str) -> Progress:
    return lambda what, done, total: progress(f"{name}: {what}", done, total)


@dataclass(frozen=True)
class _Drawn:
    """Pairs of samples, see `infer.evaluate.studies.setting.Drawing`."""

    model: Model
    generator: Generator
    pictures: int
    seed: int
    progress: Progress
    truncation: float = 1.0


def edits(scope: Scope) -> Section:
    """Fréchet and kernel distances before and after edits of parts, by every way (Table 1)."""
    networks = scope.style
    model, catalog = networks.on_device, _catalog(scope)
    parts = paper_parts(catalog)
    features = _features(scope, networks, catalog, parts)
    real = real_pictures(scope.data, networks.model, scope.samples, scope.seed)[0]
    judge = prepare(SqueezeNetFeatures(), device=networks.device)
    target = judge_features(judge, real, scope.progress, "judging real pictures")
    plain = features["none"]
    header = ("part", "edited by", "Fréchet", "of the unedited", "95 %", "KID", "the paper's FID")
    rows: list[Row] = [
        (*header,),
        ("-", "-", _distance(plain, target), "1", "-", str(kid(plain, target)), PAPER_DISTANCES["none"]),
    ]
    claims = []
    for part in parts:
        for way in WAYS:
            found = features[f"{part}, {way}"]
            ratio, between = frechet_ratio(found, plain, target)
            value = (_distance(found, target), f"{ratio:.3f}", _between(between), str(kid(found, target)))
            rows.append((part, way, *value, PAPER_DISTANCES.get(way, "-")))
            if way == WAYS[0]:
                text = f"edited pictures ({part}) are about as natural: Fréchet distance over that of the unedited"
                claims.append(
                    Claim(f"{PAPER}, Table 1", text, f"{PAPER_RATIO:.2f}", ratio, *between, PAPER_RATIO, "at most")
                )
    return Section(
        "Before and after edits of parts (second paper, Table 1)",
        f"{scope.pairs} samples, as many references, seed {scope.seed}; against {scope.samples} real pictures,"
        f" SqueezeNet features; {hashes_text(model.hashes)}. Poisson: pixels of the part, blended; the paper left it"
        " out. The paper blends at 64 px of 1024, which is 8 px here; blending in all layers up to 32 and 64 px is"
        " nearly all of a picture of 128 px.",
        scope.command(["edits"], ["samples", "pairs"]),
        [("", rows)],
        claims=claims,
    )


def _features(scope: Scope, networks: Networks, catalog: Catalog, parts: list[str]) -> dict[str, Tensor]:
    """SqueezeNet features [N,512] of samples ("none"), and of the same after every edit ("PART, WAY")."""
    cache = ResultCache(
        scope.folder / "edits",
        format=FORMAT,
        catalog=digest([catalog.centres, *catalog.contributions.values()]),
        parts={part: list(catalog.clusters(part)) for part in parts},
        generator=digests(networks.model)["generator"],
    )

    @torch.no_grad()
    def compute() -> Results:
        judge, generator = prepare(SqueezeNetFeatures(), device=networks.device), networks.exact
        drawn = _Drawn(networks.on_device, generator, scope.pairs, scope.seed, scope.progress)
        found: dict[str, list[Tensor]] = {}

        def judged(name: str, images: Tensor) -> None:
            found.setdefault(name, []).append(judge(to_uint8(images).to(networks.device)).cpu())

        for pair in pairs(drawn, "editing samples", same_class=False):
            maps = catalog.cluster_maps(generator, pair.samples)
            judged("none", pair.image)
            for part in parts:
                mask = part_mask(generator, catalog, part, maps)
                for way, images in by_every_way(generator, pair, part, mask, catalog).items():
                    judged(f"{part}, {way}", images)
        return {name: torch.cat(batches) for name, batches in found.items()}

    return cache(compute, samples=scope.pairs, seed=scope.seed)


def _catalog(scope: Scope) -> Catalog:
    """Of the style model. Raises UnsupportedEdit: there is none, or the model cannot transfer."""
    networks = scope.style
    check_transfers(networks.model.generator)
    file = catalog_path(scope)
    if not file.is_file():
        raise UnsupportedEdit(f"no catalog at {file}: make one (infer.py catalog build)")
    return load_catalog(file, networks.on_device)


def catalog_path(scope: Scope) -> Path:
    """Where the style model's catalog is, or would be."""
    return default_path(scope.style.on_device, scope.folder)


def _distance(features: Tensor, target: Tensor) -> str:
    return f"{frechet(features, target):.1f} ± {frechet_error(features, target):.1f}"


def _between(between: Interval) -> str:
    return f"{between[0]:.3f} to {between[1]:.3f}"


def locality(scope: Scope) -> Section:
    """How much changes outside of a part when it changes inside (Fig. 7)."""
    networks = scope.style
    catalog = _catalog(scope)
    parts = paper_parts(catalog)
    evaluation = Evaluation(
        networks.on_device,
        catalog,
        Query(rho=0.0),
        shift=False,
        pairs=scope.curve_pairs,
        samples=0,
        truncation=1.0,
        seed=scope.seed,
        folder=scope.folder / "transfers",
        progress=scope.progress,
    )
    report = evaluation.run(parts)
    claims = []
    for part, curves in report.curves.items():
        value, between = outside_ratio(curves[SEQUENTIAL], curves[SIMULTANEOUS], LEVEL)
        text = f"sequential is more local than simultaneous ({part}): Out-MSE over the other's at In-MSE {LEVEL:g}"
        claims.append(Claim(f"{PAPER}, Fig. 7", text, "below 1", value, *between, 1.0, "at most"))
        value, between = outside_ratio(curves[SEQUENTIAL], curves[GLOBAL], LEVEL)
        text = f"and than global ({part})"
        claims.append(Claim(f"{PAPER}, Fig. 7", text, "below 1", value, *between, 1.0, "at most"))
    stem = f"results_{networks.model.stem}"
    asked = " ".join(f"-p {part}" for part in parts)
    return Section(
        "Locality of transfers (second paper, Fig. 7)",
        f"{report.text}, ρ 0; {hashes_text(report.hashes)}. In- and Out-MSE over those of the whole style of the"
        " reference; at the same In-MSE less Out-MSE is more local.",
        f"photograft evaluate transfer {networks.model.stem} {asked} --rho 0 --pairs {scope.curve_pairs} --samples 0"
        f" --seed {scope.seed}",
        [("", level_rows(report))],
        {f"{stem}_curves.png": figure_png(curves_figure(report)), f"{stem}_heat.png": figure_png(heat_figure(report))},
        claims,
    )


def outside_ratio(curve: Curve, other: Curve, level: float) -> tuple[float, Interval]:
    """Out-MSE of a curve over another one's at a level of In-MSE, and its 95 % interval, pairs resampled."""
    value = curve.outside_at(level) / other.outside_at(level)
    assert curve.whole is not None
    count, random = len(curve.whole), torch.Generator().manual_seed(0)
    found = []
    for _ in range(RESAMPLED):
        rows = torch.randint(count, (count,), generator=random)
        one, two = (each.of_pairs(rows).outside_at(level) for each in (curve, other))
        found.append(one / two if two else math.nan)
    drawn = torch.tensor(found, dtype=torch.float64)
    low, high = drawn[~drawn.isnan()].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return value, (low, high)
