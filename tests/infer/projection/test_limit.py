"""Projections that end when their time is over: the least loss seen is kept, and nothing stopped is taken for whole."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from infer.editor.editor import Editor
from infer.projection.cache import ProjectionCache
from infer.projection.model import project_pictures
from infer.projection.options import ProjectionOptions
from infer.projection.tuning import tune
from models.errors import PhotograftError
from models.prepared import Networks
from models.zoo import load_model
from tests.infer.conftest import CAT, ellipse
from tests.infer.projection.helpers import exact


@pytest.fixture
def networks(tiny: Path) -> Networks:
    return exact(load_model(str(tiny)))


@pytest.fixture
def target() -> Tensor:
    return torch.linspace(-0.8, 0.8, 32).expand(1, 3, 32, 32)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the time is a second after the one before: one to begin with, and one for each update."""
    ticks = itertools.count()
    monkeypatch.setattr("infer.projection.limit.time", SimpleNamespace(monotonic=lambda: float(next(ticks))))


def test_search_stops_and_keeps_the_best(networks: Networks, target: Tensor, clock: None) -> None:
    rising = ProjectionOptions(steps=50, learning_rate=9.0, schedule="steady", max_seconds=8)
    (found,) = project_pictures(networks, target, "lion", options=rising)
    total = (found.feature_curve + 0.2 * found.pixel_curve)[:, 0]
    seen = total[total.isfinite()]
    made = int(found.iterations)
    assert 3 <= made < 10
    assert found.stopped is not None
    assert found.stopped.tolist() == [True]
    assert len(seen) == made + 1
    assert float(found.loss) == pytest.approx(float(seen.min()), abs=1e-6)
    assert float(found.loss) < float(seen[-1]), "a rate this high must not end at its best"


def test_the_last_latent_of_a_stopped_search_has_its_own_loss(networks: Networks, target: Tensor, clock: None) -> None:
    last = ProjectionOptions(steps=50, learning_rate=9.0, schedule="steady", max_seconds=8, keep="last")
    (found,) = project_pictures(networks, target, "lion", options=last)
    total = (found.feature_curve + 0.2 * found.pixel_curve)[:, 0]
    assert float(found.loss) == pytest.approx(float(total[int(found.iterations)]), abs=1e-6)


def test_one_update_is_always_made(networks: Networks, target: Tensor) -> None:
    options = ProjectionOptions(steps=9, tuning=9, max_seconds=1e-9)
    (found,) = project_pictures(networks, target, "lion", options=options)
    assert found.tuned is not None
    assert found.stopped is not None
    assert (int(found.iterations), int(found.tuned), bool(found.stopped)) == (1, 1, True)
    assert bool(found.loss.isfinite().all())


def test_search_leaves_half_of_the_time_to_tuning(networks: Networks, target: Tensor, clock: None) -> None:
    options = ProjectionOptions(steps=500, tuning=500, max_seconds=40)
    (found,) = project_pictures(networks, target, "lion", options=options)
    assert found.tuned is not None
    assert 15 <= int(found.iterations) <= 20
    assert 12 <= int(found.tuned) <= 20


def test_tuning_goes_back_to_the_least_loss(networks: Networks, target: Tensor, clock: None) -> None:
    latent, label = torch.full((1, networks.model.generator.latent_dim), 0.3), torch.tensor([0])
    losses: list[float] = []
    wild = {"steps": 50, "rate": 1.0, "locality": 0.0, "rank": 512}
    found = tune(
        networks,
        target,
        latent,
        label,
        max_seconds=8,
        progress=lambda what, *_: losses.append(float(what.rpartition(" ")[2])),
        **wild,  # type: ignore[arg-type]
    )
    assert len(losses) == found.iterations < 50
    assert max(losses) > min(losses)
    assert found.loss == pytest.approx(min(losses), abs=2e-3)


def test_time_enough_changes_nothing(networks: Networks, target: Tensor) -> None:
    asked = {"steps": 4, "restarts": 2, "tuning": 3}
    (whole,) = project_pictures(networks, target, "lion", options=ProjectionOptions(**asked))  # type: ignore[arg-type]
    limited = ProjectionOptions(**asked, max_seconds=1e6)  # type: ignore[arg-type]
    (found,) = project_pictures(networks, target, "lion", options=limited)
    assert found.stopped is None
    assert torch.equal(found.latent, whole.latent)
    assert torch.equal(found.loss, whole.loss)
    assert found.tuned is not None
    assert found.tuned.tolist() == [3]


def test_of_several_pictures_each_has_its_time(networks: Networks, target: Tensor, clock: None) -> None:
    options = ProjectionOptions(steps=6, max_seconds=4)
    found = project_pictures(networks, torch.cat([target, -target]), "lion", options=options)
    assert [int(row.iterations) for row in found] == [4, 4]
    whole = project_pictures(networks, torch.cat([target, -target]), "lion", options=ProjectionOptions(steps=6))
    assert [row.stopped for row in whole] == [None, None]


def test_only_whole_projections_are_kept(
    networks: Networks, target: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, said = ProjectionCache(tmp_path / "kept"), list[str]()
    hurried = ProjectionOptions(steps=5, max_seconds=1e-9)
    assert cache.project(networks, target, "lion", options=hurried, say=said.append)[0].stopped is not None
    assert (cache.files(), said) == ([], [])
    (whole,) = cache.project(networks, target, "lion", options=ProjectionOptions(steps=5))
    assert len(cache.files()) == 1
    (again,) = cache.project(networks, target, "lion", options=hurried, say=said.append)
    assert said == ["the projection is taken from the cache"], "one that is there already takes no time"
    assert again.stopped is None
    assert torch.equal(again.latent, whole.latent)


def test_what_was_stopped_is_said_and_recorded(networks: Networks) -> None:
    said: list[str] = []
    editor = Editor(networks, ellipse, said.append).set_photo(CAT, anywhere=True)
    editor.project("lion", options=ProjectionOptions(steps=7, tuning=5, max_seconds=1e-9))
    assert "stopped after 1e-09 s: 1 of 7 updates and 1 of 5 of tuning, of which the best are kept" in said
    assert editor.settings["max_seconds"] == 1e-9
    said.clear()
    editor.project("lion", options=ProjectionOptions(steps=2))
    assert not any("stopped" in line for line in said)


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), "10", True])
def test_seconds_must_be_a_positive_number(seconds: object) -> None:
    with pytest.raises(PhotograftError, match="max_seconds"):
        ProjectionOptions(max_seconds=seconds)  # type: ignore[arg-type]
