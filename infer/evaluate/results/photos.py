"""Photos in other classes (Suzuki et al., Table 2), how projection converges (Figs. 16, 17), and what presets bring."""

from dataclasses import replace

import torch
from torch import Tensor

from infer.evaluate.choices import SETTLING
from infer.evaluate.convergence import Convergence, Crossing, Search, compare, reached
from infer.evaluate.convergence_report import figure_curves, figure_rates, loss_rows, rate_rows, reached_rows
from infer.evaluate.curves import Runner, validation_photos
from infer.evaluate.detection import Interval, wilson
from infer.evaluate.reconstruction import evaluate_reconstruction
from infer.evaluate.reconstruction_report import contact_sheet as reconstruction_sheet
from infer.evaluate.reconstruction_report import difference_rows, table_rows
from infer.evaluate.report_files import figure_png, hashes_text, picture_jpeg
from infer.evaluate.results.section import Claim, Scope, Section, share_claim
from infer.evaluate.speed import measure_overhead
from infer.evaluate.translation import Pair, evaluate_translation
from infer.evaluate.translation_report import contact_sheet, pair_rows, summary_rows
from infer.projection.model import BALL
from infer.projection.presets import PRESETS
from models.prepared import Networks

PAPER = "Suzuki et al."
PAPER_ERRORS = {("cat", "big cat"): 0.078, ("cat", "dog"): 0.211, ("dog", "dog"): 0.208}  # ImageNet, Inception v3
UPDATES = 40  # of projection before photos are translated
TRANSLATIONS = 4  # of each photo, behind the Fréchet distance
REACHED = 2 / 3  # of z's updates, after which zeta is as low
AHEAD = 2.0  # times E's updates that a random start takes
OVERHEAD = 0.01
GRID_SHARE, GRID_UPDATES = 4, 60  # one photo in four chooses the learning rates, by its loss after so many updates
ROOM = 4  # times the updates from E that a random start is given to be as low
RESAMPLED = 1000
NEIGHBOUR = 2.0  # factor on the best rate, for what a wrong rate costs


def translation(scope: Scope) -> Section:
    """Photos projected, given other classes and settled: is it the class (Table 2)."""
    networks, model = scope.collage, scope.collage.model
    report = evaluate_translation(
        networks,
        scope.data,
        photos=scope.photos,
        steps=[UPDATES],
        translations=TRANSLATIONS * scope.photos,
        real=scope.samples,
        masks=scope.photos,
        seed=scope.seed,
        folder=scope.folder / "translation",
        progress=scope.progress,
    )
    (found,) = report.found
    claims = [_error(pair) for pair in found.pairs if (pair.source, pair.target) in PAPER_ERRORS]
    return Section(
        "Photos in other classes (first paper, Table 2)",
        f"{report.photos} validation photos, {UPDATES} updates, {SETTLING} of settling, {report.translations}"
        f" translations for distances, seed {scope.seed}; {hashes_text(model.hashes)}. Judged by a probe on"
        " SqueezeNet features; the paper's are photos of ImageNet at 256 px, judged by Inception v3.",
        f"photograft evaluate translation {model.stem} --data FOLDER --photos {scope.photos} --steps {UPDATES}"
        f" --translations {TRANSLATIONS * scope.photos} --real {scope.samples}"
        f" --masks {scope.photos} --seed {scope.seed}",
        [("", pair_rows(report)), ("", summary_rows(report))],
        {f"results_{model.stem}_translation.jpg": picture_jpeg(contact_sheet(found.sheet, model.class_names))},
        claims,
    )


def _error(pair: Pair) -> Claim:
    paper = PAPER_ERRORS[pair.source, pair.target]
    between = wilson(round(pair.error * pair.photos), pair.photos)
    text = f"{pair.source} to {pair.target}: top-5 error (of real pictures here {100 * pair.real:.1f} %)"
    return share_claim(f"{PAPER}, Table 2", text, paper, pair.error, between)


def convergence(scope: Scope) -> Section:
    """Updates in z and in zeta, from E and from random starts (Fig. 16), at other learning rates (Fig. 17)."""
    networks, model = scope.collage, scope.collage.model
    exact = Networks.of(model, networks.device.type, dtype=torch.float32)
    photos = validation_photos(scope.data, exact, scope.photos, scope.seed)
    radius = BALL * model.generator.latent_dim**0.5
    runner = Runner(exact, scope.folder / "curves", max_norm=radius, progress=scope.progress)
    few, rate_updates = max(len(photos) // GRID_SHARE, 2), min(GRID_UPDATES, scope.updates)
    found = compare(runner, photos, steps=scope.updates, grid_photos=few, grid_steps=rate_updates)
    claims = convergence_claims(found)
    if model.auxiliary is not None:
        share = measure_overhead(model.auxiliary, device=networks.device.type).share
        text = "B costs next to nothing: its share of an update, at the paper's size of the other networks"
        claims.append(Claim(f"{PAPER}, appendix B", text, "< 1 %", share, share, share, OVERHEAD, "at most", "%"))
    stem = f"results_{model.stem}"
    return Section(
        "How projection converges (first paper, Figs. 16 and 17)",
        f"{len(photos)} validation photos, {scope.updates} updates, rates by {few} photos, float32, Psi of"
        f" the {exact.psi_name} network, z within {radius:.3g}, seed {scope.seed}; {hashes_text(model.hashes)}.",
        f"photograft evaluate convergence {model.stem} --data FOLDER --photos {scope.photos} --steps"
        f" {scope.updates} --grid-photos {few} --grid-steps {rate_updates} --max-norm"
        f" {radius:.4f} --seed {scope.seed}",
        [
            ("Mean loss ± standard error after so many updates.", loss_rows(found)),
            ("Updates after which a curve is as low as another one.", reached_rows(_comparisons(found))),
            ("Learning rates.", rate_rows(found)),
        ],
        {f"{stem}_fig16.png": figure_png(figure_curves(found)), f"{stem}_fig17.png": figure_png(figure_rates(found))},
        claims,
    )


def _comparisons(found: Convergence) -> list[Crossing]:
    last = len(next(iter(found.curves.values()))) - 1
    pairs = (("zeta from E", "z from E"), ("z from random", "z from E"), ("zeta from random", "zeta from E"))
    marks = sorted({mark for mark in (10, 25, 50, max(last // ROOM, 1), last) if mark <= last})
    known = [pair for pair in pairs if set(pair) <= set(found.curves)]
    return [reached(found.curves, *pair, at) for pair in known for at in marks]


def convergence_claims(found: Convergence) -> list[Claim]:
    """What Figs. 16 and 17 say, of the curves that there are."""
    curves, claims = found.curves, []
    last = len(next(iter(curves.values()))) - 1
    if {"zeta from E", "z from E"} <= set(curves):
        r = reached(curves, "zeta from E", "z from E", last)
        text = f"zeta needs fewer updates: its updates to the loss of z after {last}, over these"
        claims.append(_ratio("Fig. 16", text, "< 2/3", r, REACHED, "at most"))
    at = max(last // ROOM, 1)
    for space in ("z", "zeta"):
        if {f"{space} from E", f"{space} from random"} <= set(curves):
            r = reached(curves, f"{space} from random", f"{space} from E", at)
            text = f"E saves updates in {space}: a random start's to the loss from E after {at}, over these"
            claims.append(_ratio("Fig. 16", text, "≥ 2", r, AHEAD, "at least"))
    if {"zeta from E", "z from E"} <= set(found.searches):
        value, between = rate_costs(found.searches["zeta from E"], found.searches["z from E"])
        text = "zeta forgives wrong rates: what half and twice the best rate add to the loss, over the same in z"
        claims.append(Claim(f"{PAPER}, Fig. 17", text, "< 1", value, *between, 1.0, "at most"))
    return claims


def _ratio(figure: str, text: str, paper: str, r: Crossing, bound: float, wanted: str) -> Claim:
    values = (r.iterations / r.at, r.low / r.at, r.high / r.at)
    return Claim(f"{PAPER}, {figure}", text, paper, *values, bound, wanted)  # type: ignore[arg-type]


def rate_costs(search: Search, other: Search) -> tuple[float, Interval]:
    """How much more the loss is at half and twice the best rate, in shares of the best, over the same of another grid.

    The interval is over photos drawn with replacement, the same for both.
    """
    parts = [_at_rates(each) for each in (search, other)]
    count, random = parts[0].shape[1], torch.Generator().manual_seed(0)

    def cost(losses: Tensor, rows: Tensor) -> Tensor:
        below, best, above = losses[:, rows].mean(1)
        return (below + above) / (2 * best) - 1

    drawn = [torch.randint(count, (count,), generator=random) for _ in range(RESAMPLED)]
    ratios = torch.stack([cost(parts[0], rows) / cost(parts[1], rows) for rows in drawn])
    low, high = ratios.quantile(torch.tensor([0.025, 0.975], dtype=ratios.dtype)).tolist()
    everyone = torch.arange(count)
    return float(cost(parts[0], everyone) / cost(parts[1], everyone)), (low, high)


def _at_rates(search: Search) -> Tensor:  # -> [3,n]
    """Last losses at half the best rate, at the best, and at twice that; the search has tried all three."""
    at = search.rates.index(search.best)
    return torch.stack([search.losses[i][-1].double() for i in (at - 1, at, at + 1)])


def presets(scope: Scope) -> Section:
    """How near each preset comes to the photo, at the same class."""
    networks, model = scope.collage, scope.collage.model
    found = evaluate_reconstruction(
        {model.stem: networks},
        scope.data,
        photos=scope.preset_photos,
        steps=[0],
        presets=list(PRESETS),
        folder=scope.folder / "presets",
        seed=scope.seed,
        progress=scope.progress,
    )
    asked = " ".join(f"--preset {name}" for name in PRESETS)
    shown = replace(found, answers=found.answers[: 1 + len(PRESETS)])  # no picture that was trained on
    return Section(
        "What presets bring",
        f"{found.count} validation photos under their own classes, seed {scope.seed}; {hashes_text(found.hashes)}."
        " For comparison E alone, the mean code of the class, and another photo of it. LPIPS needs weights that are"
        " fetched: `photograft evaluate reconstruction --lpips alex`.",
        f"photograft evaluate reconstruction {model.stem} --data FOLDER --photos {scope.preset_photos} --steps 0"
        f" {asked} --seed {scope.seed}",
        [
            ("Means ± standard error; nearer is less, but for PSNR and MS-SSIM.", table_rows(found)),
            (
                "Each preset less the one before it, photo by photo, with 95 % intervals.",
                difference_rows(found.answers[1 : 1 + len(PRESETS)]),
            ),
        ],
        {f"results_{model.stem}_presets.jpg": picture_jpeg(reconstruction_sheet(shown))},
    )
