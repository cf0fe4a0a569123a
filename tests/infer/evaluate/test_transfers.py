"""The measures of transfers: kept, resumed, written."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from infer.catalog.catalog import Catalog, build_catalog
from infer.cli.main import main
from infer.edits.query_transfer import Query
from infer.evaluate import transfers
from infer.evaluate.locality import POINTS, Curve, spaced, sweeps
from infer.evaluate.transfers import Evaluation
from models.errors import PhotograftError
from models.zoo import Model, load_model
from tests.infer.tiny_styles import write_catalog


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load_model(str(tiny))


@pytest.fixture(scope="module")
def catalog(model: Model) -> Catalog:
    made = build_catalog(model, clusters=4, samples=12)
    return replace(made, names={"one": (0,), "two": (1, 2)})


def evaluation(model: Model, catalog: Catalog, folder: Path, **changes: Any) -> Evaluation:
    options: dict[str, Any] = {"query": Query(), "shift": True, "pairs": 6, "samples": 10, "truncation": 1.0, "seed": 0}
    return Evaluation(model, catalog, folder=folder, **options | changes)


def test_report(model: Model, catalog: Catalog, tmp_path: Path) -> None:
    report = evaluation(model, catalog, tmp_path).run(["one", "two"])
    assert list(report.curves) == list(report.heat) == ["one", "two"]
    assert list(report.distances) == ["samples", "after a transfer of one", "after a transfer of two"]
    assert all(value > 0 for value in report.distances.values())
    for error in report.heat.values():
        assert error.shape == (32, 32)
        assert error.max() > 0
    for modes in report.curves.values():
        assert list(modes) == ["global", "simultaneous", "sequential"]
        assert float(modes["global"].inside[-1]) == pytest.approx(1)
    nothing = evaluation(model, catalog, tmp_path, query=Query(epsilon=0)).run(["one"])
    assert nothing.heat["one"].max() == 0
    assert nothing.distances["after a transfer of one"] == pytest.approx(nothing.distances["samples"], rel=1e-6)


def test_what_is_done_is_not_done_again(
    model: Model, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluation(model, catalog, tmp_path).run(["one"])
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5  # curves, heat, and features of samples, of other samples, of edited ones
    monkeypatch.setattr(transfers, "draw_pairs", None)
    monkeypatch.setattr(transfers, "measure_curves", None)
    monkeypatch.setattr(transfers, "mean_heat", None)
    again = evaluation(model, catalog, tmp_path).run(["one"])
    assert again.distances == first.distances
    assert torch.equal(again.heat["one"], first.heat["one"])
    assert torch.equal(again.curves["one"]["sequential"].outside, first.curves["one"]["sequential"].outside)
    for change in ({"shift": False}, {"seed": 3}, {"pairs": 4}, {"query": Query(rho=0.5)}):
        with pytest.raises(TypeError):  # something has changed: it would be measured again
            evaluation(model, catalog, tmp_path, **change).run(["one"])
    files[0].write_bytes(b"damaged")
    with pytest.raises(TypeError):
        evaluation(model, catalog, tmp_path).run(["one"])


def test_sweeps_go_from_nothing_to_everything() -> None:
    m = [torch.tensor([0.05, 0.5, 0.9]), torch.tensor([0.2, 0.0])]
    for per_layer in (False, True):
        found = sweeps(m, per_layer=per_layer)
        for mode, queries in found.items():
            assert all(float(q.max()) == 0 for q in queries[0].of(m)), mode
        assert torch.cat(found["global"][-1].of(m)).tolist() == [1] * 5
        assert torch.cat(found["simultaneous"][-1].of(m)).tolist() == pytest.approx([1, 1, 1, 1, 0])
        assert torch.cat(found["sequential"][-1].of(m)).tolist() == pytest.approx([0, 1, 1, 1, 0])


def test_sweeps_take_the_same_shares_in_every_mode() -> None:
    m = [torch.tensor([0.05, 0.5, 0.9]), torch.tensor([0.2, 0.3])]
    for mode, queries in sweeps(m, rho=0.0).items():
        shares = [float(torch.cat(q.of(m)).mean()) for q in queries]
        assert shares == pytest.approx(spaced(POINTS[mode]), abs=1e-4), mode
    assert spaced(5) == pytest.approx([0, 0.125, 0.3535534, 0.6495191, 1])


def test_levels_between_points() -> None:
    curve = Curve([0, 1, 2], torch.tensor([0.0, 0.2, 0.6]), torch.tensor([0.0, 0.1, 0.5]))
    assert curve.outside_at(0.2) == pytest.approx(0.1)
    assert curve.outside_at(0.4) == pytest.approx(0.3)
    assert curve.outside_at(0.7) != curve.outside_at(0.7)  # NaN


def test_no_parts(model: Model, catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match="names no parts"):
        evaluation(model, catalog, tmp_path).run([])


def test_command(tiny: Path, catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_catalog(catalog, tmp_path / "tiny.catalog.safetensors")
    command = ["evaluate", "transfer", str(tiny), "--pairs", "4", "--samples", "6", "-o", str(tmp_path), "-p", "two"]
    assert main(command) == 0, capsys.readouterr().err
    with (tmp_path / "tiny_transfer_curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(POINTS.values())
    assert {row["mode"] for row in rows} == {"global", "simultaneous", "sequential"}
    for name in ("curves.png", "heat.png", "heat.csv", "frechet.csv"):
        assert (tmp_path / f"tiny_transfer_{name}").is_file()
    assert "other samples" in capsys.readouterr().out
    assert "| two | sequential |" in (tmp_path / "tiny_transfer.md").read_text()
