"""Convergence: curves are projection's, kept ones are used only where they fit, rates and reached losses are right."""

import csv
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from infer.cli.main import main
from infer.evaluate import curves as curves_module
from infer.evaluate.convergence import compare, comparisons, first_reach, grid_of, reached, search
from infer.evaluate.convergence_report import curve_rows, loss_rows
from infer.evaluate.curves import Curve, Photos, Runner, curves_of, evenly, validation_photos
from infer.projection.options import ProjectionOptions
from infer.projection.search import project
from models.errors import PhotograftError
from models.prepared import Networks
from models.zoo import Model, load_model
from tests.infer.projection.helpers import exact

GRIDS = {"z": (0.02, 0.1, 0.5), "zeta": (0.004, 0.02, 0.1)}


@pytest.fixture(scope="module")
def model(tiny_zeta: Path) -> Model:
    return load_model(str(tiny_zeta))


@pytest.fixture(scope="module")
def photos(pictures: Path, model: Model) -> Photos:
    return validation_photos(pictures, exact(model), 6, seed=0)


@pytest.fixture
def projections(monkeypatch: pytest.MonkeyPatch) -> list[ProjectionOptions]:
    """What `project` is asked for, in the order of the calls."""
    calls: list[ProjectionOptions] = []

    def counted(*arguments: object, **options: object) -> object:
        calls.append(arguments[3])  # type: ignore[arg-type]
        return project(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(curves_module, "project", counted)
    return calls


# --- photos and curves ---


def test_photos_are_spread_over_the_validation_split(pictures: Path, model: Model, photos: Photos) -> None:
    assert photos.target.shape == (6, 3, 32, 32)
    assert photos.label is not None
    assert photos.label.tolist() == [0, 0, 1, 2, 2, 3]  # 6 of 3 per class
    assert photos.target.mean(dim=(1, 2, 3)).argmin() in (0, 1)  # black cats
    assert model.encoder is not None
    assert torch.allclose(photos.start["encoder"], model.encoder.encode(photos.target, photos.label), atol=1e-5)
    other = validation_photos(pictures, exact(model), 100, seed=1)
    assert len(other) == 12
    assert not torch.equal(other.start["random"][:6], photos.start["random"])
    few = photos.spread(3)
    assert few.label is not None
    assert few.label.tolist() == [0, 1, 2]
    assert torch.equal(few.start["random"], photos.start["random"][::2])
    assert evenly(5, 9).tolist() == [0, 1, 2, 3, 4]


def test_data_of_other_classes_are_refused(pictures: Path, model: Model, tmp_path: Path) -> None:
    for split in ("train", "val"):
        folder = tmp_path / split / "fish"
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes((pictures / "val" / "lion" / "0.png").read_bytes())
    with pytest.raises(PhotograftError, match="classes"):
        validation_photos(tmp_path, exact(model), 6, seed=0)


def test_which_curves(model: Model, tiny: Path) -> None:
    assert [c.name for c in curves_of(model)] == ["z from E", "zeta from E", "z from random", "zeta from random"]
    assert [c.name for c in curves_of(load_model(str(tiny)))] == ["z from E", "z from random"]
    alone = Model("x", model.generator, model.discriminator, auxiliary=model.auxiliary)
    assert [c.name for c in curves_of(alone)] == ["z from random", "zeta from random"]


@pytest.mark.parametrize("space", ["z", "zeta"])
def test_a_curve_is_the_loss_of_projection(space: str, model: Model, photos: Photos, tmp_path: Path) -> None:
    losses = Runner(exact(model), tmp_path, batch_size=4).run(photos, Curve(space, "encoder"), 0.05, 3)
    assert losses.shape == (4, 6)
    options = ProjectionOptions(space=space, steps=3, learning_rate=0.05)  # type: ignore[arg-type]
    found = project(exact(model), photos.target, photos.label, options)
    assert torch.allclose(losses, found.feature_curve + 0.2 * found.pixel_curve, atol=1e-5)
    assert losses[3].mean() < losses[0].mean()


# --- kept curves ---


def test_kept_curves_are_used_and_only_for_the_same_settings(
    model: Model, photos: Photos, tmp_path: Path, projections: list[ProjectionOptions]
) -> None:
    curve, other = Curve("z", "encoder"), Curve("z", "random")
    first = Runner(exact(model), tmp_path, batch_size=4).run(photos, curve, 0.05, 2)
    assert len(projections) == 2
    assert torch.equal(Runner(exact(model), tmp_path, batch_size=6).run(photos, curve, 0.05, 2), first)
    assert len(projections) == 2
    moved = Photos(photos.target * 0.5, photos.label, photos.start)
    for runner, arguments in (
        (Runner(exact(model), tmp_path), (photos, curve, 0.06, 2)),
        (Runner(exact(model), tmp_path), (photos, curve, 0.05, 3)),
        (Runner(exact(model), tmp_path), (photos, other, 0.05, 2)),
        (Runner(exact(model), tmp_path), (moved, curve, 0.05, 2)),
        (Runner(exact(model), tmp_path), (photos.spread(3), curve, 0.05, 2)),
        (Runner(exact(model), tmp_path, max_norm=1.0), (photos, curve, 0.05, 2)),
        (Runner(Networks.of(model, "cpu", dtype=torch.bfloat16), tmp_path), (photos, curve, 0.05, 2)),
    ):
        before = len(projections)
        runner.run(*arguments)
        assert len(projections) == before + 1, arguments[1:]
        assert len(list(tmp_path.iterdir())) == before


def test_other_auxiliary_networks_cost_the_curves_on_zeta_alone(
    tiny_zeta: Path, photos: Photos, tmp_path: Path, projections: list[ProjectionOptions]
) -> None:
    changed = load_model(str(tiny_zeta))
    for expected in (2, 3):
        runner = Runner(exact(changed), tmp_path)
        for space in ("z", "zeta"):
            runner.run(photos, Curve(space, "encoder"), 0.05, 1)
        assert len(projections) == expected
        assert changed.auxiliary is not None
        with torch.no_grad():
            changed.auxiliary.b2.bias += 0.1


def test_damaged_curves_are_computed_again(
    model: Model, photos: Photos, tmp_path: Path, projections: list[ProjectionOptions]
) -> None:
    runner, curve = Runner(exact(model), tmp_path), Curve("z", "encoder")
    first = runner.run(photos, curve, 0.05, 1)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    assert torch.equal(runner.run(photos, curve, 0.05, 1), first)
    save_file({"losses": load_file(file)["losses"]}, file, {"settings": "others"})
    assert torch.equal(runner.run(photos, curve, 0.05, 1), first)
    assert len(projections) == 3


# --- rates ---


def parabola(best: float, tried: list[float]) -> Callable[[float], Tensor]:
    def run(rate: float) -> Tensor:
        tried.append(rate)
        end = math.log(rate / best) ** 2
        return torch.tensor([[9.0, 9.0], [9.0 - end, 0.0], [end, end + 1]])

    return run


@pytest.mark.parametrize(("best", "grown"), [(2.0, []), (8.0, [8.0, 16.0]), (0.5, [0.5, 0.25])])
def test_a_grid_grows_until_the_best_rate_is_inside(best: float, grown: list[float]) -> None:
    tried: list[float] = []
    found = search(parabola(best, tried), [4.0, 1.0, 2.0])
    assert tried == [1.0, 2.0, 4.0, *grown]
    assert found.best == best
    assert found.rates == sorted(tried)
    expected = [math.log(rate / best) ** 2 for rate in found.rates]
    assert [float(losses[-1, 0]) for losses in found.losses] == pytest.approx(expected)


def test_a_grid_stops_growing_and_passes_over_infinite_losses() -> None:
    tried: list[float] = []
    assert search(parabola(1e9, tried), [1.0, 2.0]).best == 2.0**7
    assert (
        search(lambda rate: torch.full((2, 2), math.inf if rate > 1 else rate), [1.0, 2.0, 0.5, 0.25]).best == 0.25 / 64
    )


def test_grid_begins_with_the_originals_rate_and_around_the_files(model: Model) -> None:
    assert grid_of(model)["z"] == pytest.approx((0.075, 0.15, 0.3))  # the original's and above
    assert grid_of(model)["zeta"][1] == model.projection_learning_rate


def test_every_curve_has_its_own_best_rate(model: Model, photos: Photos, tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    runner = Runner(exact(model), tmp_path, batch_size=4, progress=lambda *a: said.append(a))
    found = compare(runner, photos, steps=4, grid_photos=3, grid_steps=3, grid=GRIDS)
    assert list(found.curves) == [c.name for c in curves_of(model)]
    for name, losses in found.curves.items():
        assert losses.shape == (5, 6)
        tried = found.searches[name]
        ends = [float(grid[-1].mean()) for grid in tried.losses]
        assert tried.rates[ends.index(min(ends))] == tried.best
        assert tried.losses[0].shape == (4, 3)
    start = {name.split(" ")[-1]: losses[0] for name, losses in found.curves.items() if name.startswith("z ")}
    assert not torch.allclose(start["E"], start["random"])
    assert said[-1][1] == said[-1][2]
    assert [done for _, done, _ in said] == sorted(done for _, done, _ in said)


# --- reached losses ---


def line(*values: float) -> Tensor:
    return torch.tensor(values)[:, None].repeat(1, 4)


def test_reached_losses_of_known_curves() -> None:
    losses = {
        "z from E": line(1.0, 0.8, 0.6, 0.5, 0.4),
        "zeta from E": line(1.0, 0.6, 0.4, 0.3, 0.2),
        "z from random": line(2.0, 1.5, 1.0, 0.9, 0.8),
    }
    assert first_reach(losses["z from E"], torch.tensor([1.0, 0.6, 0.55, 0.1])).tolist() == [0, 2, 3, math.inf]
    found = comparisons(losses, marks=[0, 2, 200])
    assert [(r.curve, r.reference, r.at, r.iterations) for r in found] == [
        ("z from E", "z from E", 4, 4),
        ("zeta from E", "z from E", 4, 2),
        ("z from random", "z from E", 4, math.inf),
        ("zeta from E", "z from E", 2, 1),
        ("z from random", "z from E", 0, 2),
        ("z from random", "z from E", 2, math.inf),
    ]
    assert (found[1].low, found[1].high, found[1].median, found[1].share) == (2, 2, 2, 1)
    assert (found[2].low, found[2].median, found[2].share) == (math.inf, math.inf, 0)


def test_medians_are_of_single_photos_and_intervals_of_means() -> None:
    reference = torch.tensor([[1.0] * 5, [0.9] * 5, [0.5] * 5])
    own = torch.tensor([[1.0] * 5, [0.5, 0.5, 0.5, 0.8, 0.8], [0.5, 0.5, 0.5, 0.4, 0.8]])
    found = reached({"a": own, "b": reference}, "a", "b", 2)
    assert found.iterations == math.inf  # of the mean, 0.54
    assert (found.median, found.share) == (1, 0.8)
    assert found.low == 1  # photos without the last two are drawn now and then
    assert found.high == math.inf


def test_both_curves_are_drawn_from_the_same_photos() -> None:
    scale = torch.tensor([1.0, 10.0, 100.0])  # of the photos: means depend much on the draw
    decay = 0.8 ** torch.arange(10.0)[:, None]
    losses = {"a": scale * decay * 0.8, "b": scale * decay}
    found = reached(losses, "a", "b", 6)
    assert (found.low, found.iterations, found.high) == (5, 5, 5)


# --- the command ---


def test_command_writes_tables_and_figures_and_goes_on(
    tiny_zeta: Path,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    projections: list[ProjectionOptions],
) -> None:
    command = ["evaluate", "convergence", str(tiny_zeta), "--data", str(pictures), "--photos", "6", "--steps", "12"]
    command += ["--grid-photos", "2", "--grid-steps", "1", "--max-norm", "3", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert {path.suffix for path in paths} == {".md", ".png", ".csv"}
    assert all(path.stat().st_size > 100 for path in paths)
    assert all(call.max_norm == 3 for call in projections)
    with (tmp_path / "out" / "tiny_convergence_curves.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0][:3] == ["iteration", "z from E, mean", "z from E, standard error"]
    assert len(rows) == 1 + 13
    text = paths[0].read_text()
    assert f"| {float(rows[1][1]):.4f} ± {float(rows[1][2]):.4f} |" in text
    assert load_model(str(tiny_zeta)).fingerprint[:12] in text
    assert "within 3" in text
    first, count = {path: path.read_bytes() for path in paths}, len(projections)
    assert main(command) == 0
    assert len(projections) == count, "all curves were kept"
    assert {path: path.read_bytes() for path in paths} == first
    assert main([*command, "--max-norm", "0"]) == 2
    assert "positive radius" in capsys.readouterr().err


def test_means_and_errors_in_the_table(model: Model, photos: Photos, tmp_path: Path) -> None:
    found = compare(Runner(exact(model), tmp_path), photos, steps=12, grid_photos=2, grid_steps=1, grid=GRIDS)
    losses = found.curves["zeta from E"]
    rows, table = curve_rows(found), loss_rows(found)
    assert float(rows[3][3]) == pytest.approx(losses[2].mean().item(), abs=1e-5)
    assert float(rows[3][4]) == pytest.approx((losses[2].var() / 6).sqrt().item(), abs=1e-5)
    assert table[0] == ["curve", "learning rate", "0", "10", "12"]
    assert table[2][3].startswith(f"{losses[10].mean():.4f}")
