"""The report: claims are decided by intervals, sections come back as kept, the page says what was measured."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from infer.catalog.catalog import build_catalog
from infer.cli.main import main
from infer.editor.results import ResultFolder
from infer.evaluate.choices import RESULTS
from infer.evaluate.convergence import Convergence, Search
from infer.evaluate.locality import Curve
from infer.evaluate.results import report
from infer.evaluate.results.photos import convergence_claims, rate_costs
from infer.evaluate.results.pictures import outside_ratio
from infer.evaluate.results.report import COUNTS, MEASURES, page
from infer.evaluate.results.section import HELD, NOT_HELD, OPEN, Claim, Scope, Section, share_claim
from infer.evaluate.speed import Overhead
from infer.progress import untold
from models.discriminators.sn_projection import SNProjectionDiscriminator
from models.files import save_network
from models.prepared import Networks
from models.zoo import load_model
from tests.infer.conftest import ellipse
from tests.infer.tiny_model import CLASSES, write_tiny_model
from tests.infer.tiny_styles import tiny_generator, write_catalog

OVERHEAD = Overhead(1.0, 1.1, 0.05)
CLAIM = Claim("paper, Fig. 1", "less is better", "< 1", 0.5, 0.4, 0.6, 1.0, "at most")


@pytest.mark.parametrize(
    ("low", "high", "wanted", "verdict"),
    [
        (0.4, 0.9, "at most", HELD),
        (0.4, 1.0, "at most", HELD),
        (0.9, 1.1, "at most", OPEN),
        (1.1, 1.2, "at most", NOT_HELD),
        (1.1, math.inf, "at most", NOT_HELD),
        (0.9, math.inf, "at most", OPEN),
        (1.1, math.inf, "at least", HELD),
        (0.4, 0.9, "at least", NOT_HELD),
        (0.9, 1.1, "at least", OPEN),
        (math.nan, math.nan, "at least", OPEN),
    ],
)
def test_a_claim_is_decided_by_its_whole_interval(low: float, high: float, wanted: str, verdict: str) -> None:
    claim = replace(CLAIM, low=low, high=high, wanted=wanted)  # type: ignore[arg-type]
    assert claim.verdict == verdict
    assert claim.row()[-1] == verdict


def test_shares_are_told_in_hundredths() -> None:
    row = share_claim("paper, Table 2", "cat to dog", 0.211, 0.05, (0.02, 0.11)).row()
    assert row[2:] == ("21.1 %", "at most 21.1 %", "5.0 %", "2.0 % to 11.0 %", HELD)
    assert replace(CLAIM, value=math.inf, high=math.inf).row()[4:6] == ("never", "0.4 to never")


def test_a_section_comes_back_as_it_was_kept() -> None:
    section = Section("t", "x", "c", [("a", [("h", "i"), ("1", "2")])], {"f.png": b"\x89PNG"}, [CLAIM])
    back = Section.of(section.kept())
    assert back.figures == section.figures
    assert back.claims == section.claims
    assert [[text, [list(row) for row in rows]] for text, rows in back.tables] == [["a", [["h", "i"], ["1", "2"]]]]
    assert page({"samples": back}, "c") == page({"samples": section}, "c")


def curve(outside: list[float], pairs: int = 40, seed: int = 0) -> Curve:
    """In-MSE 0, 0.5, 1, and these shares outside, of pairs that differ."""
    random = torch.Generator().manual_seed(seed)
    size = torch.rand(pairs, 2, generator=random, dtype=torch.float64) + 0.5
    shares = torch.tensor([[0.0, 0.5, 1.0], outside], dtype=torch.float64).T  # [P,2]
    return Curve.of([0, 1, 2], shares[:, None] * size, size)


def test_locality_is_compared_pair_by_pair() -> None:
    one, other = curve([0.0, 0.1, 1.0]), curve([0.0, 0.2, 1.0])
    assert one.inside.tolist() == pytest.approx([0, 0.5, 1])
    value, (low, high) = outside_ratio(one, other, 0.25)
    assert value == pytest.approx(0.5)
    assert low == pytest.approx(0.5)  # every draw of pairs says the same
    assert high == pytest.approx(0.5)
    noisy = replace(one, errors=one.errors * (torch.rand(3, 40, 2, dtype=torch.float64) + 0.5))  # type: ignore[operator]
    value, (low, high) = outside_ratio(Curve.of([0, 1, 2], noisy.errors, one.whole), other, 0.25)  # type: ignore[arg-type]
    assert low < value < high


def searched(below: float, best: float, above: float) -> Search:
    photos = torch.rand(12, generator=torch.Generator().manual_seed(0)) + 0.5
    losses = [torch.stack([photos * 9, photos * value]) for value in (below, best, above)]
    return Search([0.1, 0.2, 0.4], losses, 0.2)


def test_what_wrong_rates_cost() -> None:
    value, (low, high) = rate_costs(searched(1.1, 1.0, 1.1), searched(1.2, 1.0, 1.4))
    assert value == pytest.approx(0.1 / 0.3)
    assert low == pytest.approx(value) and high == pytest.approx(value)  # noqa: PT018


def test_claims_of_convergence() -> None:
    steps = torch.arange(31)[:, None].float()
    noise = torch.rand(31, 20, generator=torch.Generator().manual_seed(0)) * 1e-3
    curves = {
        "z from E": 1 / (steps + 3) + noise,
        "zeta from E": 1 / (2 * steps + 3) + noise,  # twice as fast
        "z from random": 1 / (steps / 3 + 1) + noise,  # three times as slow, and later
        "zeta from random": 1 / (2 * steps + 3) + noise,  # no slower than from E
    }
    grid = {"z from E": searched(1.2, 1.0, 1.4), "zeta from E": searched(1.1, 1.0, 1.1)}
    fewer, saves_z, saves_zeta, forgives = convergence_claims(Convergence(curves, grid))
    assert fewer.value == pytest.approx(0.5, abs=0.05)
    assert fewer.verdict == HELD
    assert saves_z.verdict == HELD
    assert saves_zeta.value == pytest.approx(1, abs=0.05)
    assert saves_zeta.verdict == NOT_HELD
    assert forgives.verdict == HELD
    assert convergence_claims(Convergence({"z from random": curves["z from random"]}, {})) == []


def test_sections_are_named_and_measured() -> None:
    assert list(RESULTS) == list(MEASURES) == list(COUNTS)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A model for each paper, of the same classes; the second has a catalog. DeepLab would see nothing in them."""
    monkeypatch.setattr("infer.evaluate.translation.create_segmenter", lambda **options: ellipse)
    monkeypatch.setattr("infer.evaluate.distances.RESAMPLED", 2)  # each costs a tenth of a second
    monkeypatch.setattr("infer.evaluate.results.photos.measure_overhead", lambda *args, **options: OVERHEAD)
    folder = tmp_path / "models"
    folder.mkdir()
    collage = write_tiny_model(folder, auxiliary=True)
    info = {"class_names": CLASSES, "groups": [1, 1, 2, 0], "group_names": ["big cat", "cat", "dog"]}
    save_network(folder / "style.generator.safetensors", tiny_generator(num_classes=4), "generator", info)
    discriminator = SNProjectionDiscriminator([8, 16], num_classes=4)
    save_network(folder / "style.discriminator.safetensors", discriminator, "discriminator", info)
    style = folder / "style.generator.safetensors"
    catalog = build_catalog(load_model(str(style)), clusters=3, samples=8, layer="blocks.0")
    write_catalog(replace(catalog, names={"eyes": (0,), "ears": (1,)}), folder / "style.catalog.safetensors")
    return collage, style


def test_a_section_is_measured_again_when_what_it_depends_on_changes(
    models: tuple[Path, Path], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def measure(name: str) -> Callable[[Scope], Section]:
        def section(scope: Scope) -> Section:
            measured.append(name)
            return Section(name, "", "")

        return section

    monkeypatch.setattr(report, "MEASURES", {name: measure(name) for name in MEASURES})
    data = tmp_path / "data"
    shutil.copytree(pictures, data)
    collage, style = (Networks.of(load_model(str(file)), "cpu") for file in models)
    scope = Scope(collage, style, data, 32, 4, 5, 6, 7, 2, 1, tmp_path / "kept", untold)

    def again(scope: Scope = scope) -> list[str]:
        measured.clear()
        report.measure_results(
            list(MEASURES), scope, ResultFolder(tmp_path / "out"), done=lambda *told: None, skipped=lambda text: None
        )
        return list(measured)

    assert again() == list(MEASURES)
    assert again() == []
    assert again(replace(scope, photos=8)) == ["translation", "convergence"]
    assert again(replace(scope, pairs=9)) == ["edits"]
    assert again(replace(scope, seed=2)) == list(MEASURES)
    assert "--photos 6" in (tmp_path / "out" / "results.md").read_text()
    names = models[1].with_name("style.catalog.yaml")
    kept = names.read_bytes()
    names.write_text(names.read_text().replace("eyes", "nose"))
    assert again() == list(MEASURES)
    names.write_bytes(kept)
    assert again() == []
    picture = next((data / "val" / "lion").iterdir())
    picture.write_bytes(next((data / "val" / "black cat").iterdir()).read_bytes())
    assert again() == list(MEASURES)


@pytest.mark.slow
def test_command(
    models: tuple[Path, Path],
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    small = [
        "--samples",
        "32",
        "--pairs",
        "4",
        "--curve-pairs",
        "4",
        "--photos",
        "6",
        "--steps",
        "3",
        "--preset-photos",
        "2",
    ]
    given = ["--model", str(models[0]), "--style-model", str(models[1]), "--data", str(pictures), "--out", str(out)]
    assert main(["evaluate", "report", *given, *small]) == 0, capsys.readouterr().err
    text = (out / "results.md").read_text()
    for title in ("Samples", "Table 1", "Fig. 7", "Table 2", "Figs. 16 and 17", "presets"):
        assert title in text
    for claim in (
        "Table 1 | edited pictures",
        "Fig. 7 | sequential",
        "Table 2 | cat to dog",
        "Fig. 16",
        "Fig. 17",
    ):
        assert claim in text
    assert "--samples 32" in text
    assert "--steps 3" in text
    assert str(tmp_path) not in text
    for figure in (line.split("(")[-1].rstrip(")") for line in text.splitlines() if line.startswith("![")):
        assert (out / figure).stat().st_size > 1000
    # what is done is not done again, and what was not asked for is named
    monkeypatch.setitem(MEASURES, "locality", None)  # type: ignore[arg-type]
    capsys.readouterr()
    assert main(["evaluate", "report", "locality", "samples", *given, *small]) == 0, capsys.readouterr().err
    assert "Not measured here: edits, translation, convergence, presets." in (out / "results.md").read_text()


def test_command_refuses(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "report", "localty", "--data", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "did you mean locality" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
