"""How long a projection takes, by its first updates."""

from typing import Any

import pytest
import torch

from infer.projection.estimate import TUNING_ENDS, TUNING_UPDATE, Estimate, work
from infer.projection.model import project_pictures
from infer.projection.options import ProjectionOptions
from models.projection.objective import Objective
from models.zoo import load_model
from tests.infer.projection.helpers import exact


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("infer.projection.estimate.time", clock)
    return clock


def told(clock: Clock, options: ProjectionOptions, seconds: list[float]) -> list[float]:
    """What is told where the updates take these seconds."""
    found: list[float] = []
    estimate = Estimate(options, found.append)
    for done, took in enumerate(seconds, 1):
        clock.now += took
        estimate("projecting, loss 0.100", done, int(options.steps or 0))
    return found


def test_by_the_first_updates_but_the_very_first(clock: Clock) -> None:
    options = ProjectionOptions(steps=50, restarts=0)
    assert told(clock, options, [9.0, 0.5, 0.5]) == []
    assert told(clock, options, [9.0, 0.5, 0.7, 0.6, 0.1, 0.1]) == [pytest.approx(50 * 0.5)]


def test_starts_are_fewer_later_and_tuning_takes_longer(clock: Clock) -> None:
    tuned = ProjectionOptions(steps=50, restarts=3, tuning=20)
    (seconds,) = told(clock, tuned, [9.0, 4.0, 4.0, 4.0])
    assert seconds == pytest.approx(1.0 * work(tuned))
    bare = ProjectionOptions(steps=50, restarts=3)
    assert work(tuned) - work(bare) == pytest.approx(20 * TUNING_UPDATE + TUNING_ENDS)
    assert 50 < work(bare) < 4 * 50


def test_other_work_is_not_looked_at(clock: Clock) -> None:
    found: list[float] = []
    estimate = Estimate(ProjectionOptions(steps=9), found.append)
    for done in range(1, 10):
        estimate("looking for a start", done, 9)
        estimate("tuning, loss 0.1", done, 9)
    assert found == []


def test_work_is_what_search_does(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    gradient = Objective.gradient
    monkeypatch.setattr(Objective, "gradient", lambda self, v, r: (rows.append(len(v)), gradient(self, v, r))[1])
    networks = exact(load_model(str(tiny)))
    for options in (ProjectionOptions(steps=23, restarts=6), ProjectionOptions(steps=3), ProjectionOptions(steps=40)):
        rows.clear()
        project_pictures(networks, torch.zeros(1, 3, 32, 32), "lion", options=options)
        restarts = options.restarts or 0
        assert sum(rows) == work(ProjectionOptions(steps=options.steps, restarts=restarts))
