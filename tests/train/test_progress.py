"""What a training says on its way: plain lines off a terminal, a bar on one, and where it will end."""

import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning.callbacks import Timer

from tests.train.trainings import Train
from train.callbacks import TrainingProgress
from train.callbacks.progress import first_end, losses
from train.counters import CountingModule

Capture = pytest.CaptureFixture[str]


def test_plain_lines(train: Train, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingProgress.__init__, "__defaults__", (0.0,))  # a line for every step
    assert train("--model.init_args.optimizer.decay=[12, 16]", steps=100) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "training on cpu (32-true) from 0 pictures on" in lines
    assert sum(line.startswith("first step after ") for line in lines) == 1
    step = re.compile(r"(\d+) of 16 pictures, [\d.]+/s, snprojection -?[\d.]+, generator -?[\d.]+, .* to go \(decay\)")
    assert [int(found[1]) for line in lines if (found := step.fullmatch(line))] == [8, 12]
    assert lines[-1].startswith("ended at 16 pictures, after ")
    assert not any("Epoch" in line or "/-2" in line for line in lines)
    assert capsys.readouterr().out == ""


def test_silent_where_asked(train: Train, capsys: Capture) -> None:
    train("--trainer.enable_progress_bar=false", steps=1)
    assert "first step" not in capsys.readouterr().err


def test_a_bar_of_ones_own_stays(train: Train, capsys: Capture) -> None:
    bar = "--trainer.callbacks+={class_path: pytorch_lightning.callbacks.TQDMProgressBar}"
    assert train(bar, steps=1) == 0
    assert "first step" not in capsys.readouterr().err


def test_a_terminal_gets_a_bar(train: Train, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert train(steps=2) == 0
    assert "ended at 8 pictures" in capsys.readouterr().err


class Module(CountingModule):
    """So far."""

    def __init__(self, seen: int, end: float | None = None) -> None:
        super().__init__()
        self.images_seen, self.end = seen, end

    @property
    def ends_at(self) -> float | None:
        return self.end


def trainer(**changes: Any) -> Any:
    progress = SimpleNamespace(current=SimpleNamespace(completed=50))
    loop = SimpleNamespace(max_batches=100, epoch_loop=SimpleNamespace(batch_progress=progress))
    settings = {"max_steps": -1, "max_epochs": -1, "global_step": 100, "current_epoch": 0, "callbacks": []}
    return SimpleNamespace(**{**settings, "fit_loop": loop, **changes})


@pytest.mark.parametrize(
    ("changes", "decay", "expected"),
    [
        ({}, None, None),
        ({"max_steps": 150}, None, (1000 + 50 * 8, "max_steps")),  # 8 pictures per step of an optimiser
        ({"max_steps": 150}, 1200.0, (1200, "decay")),
        ({"max_steps": 110}, 1200.0, (1080, "max_steps")),
        ({"max_epochs": 3}, None, (6000, "max_epochs")),  # half an epoch is 1000 pictures
    ],
)
def test_what_comes_first_ends_it(changes: dict[str, Any], decay: float | None, expected: Any) -> None:
    assert first_end(trainer(**changes), Module(1000, decay), rate=10.0, per_step=8.0) == expected


def test_max_time_is_in_seconds() -> None:
    timer = Timer(timedelta(seconds=100))  # not started
    assert first_end(trainer(callbacks=[timer]), Module(1000), rate=10.0, per_step=8.0) == (2000, "max_time")
    assert first_end(trainer(callbacks=[timer]), Module(1000, 1500.0), rate=10.0, per_step=8.0) == (1500, "decay")


def test_losses() -> None:
    gan = {"projected/real": 1.0, "projected/fake": 0.5, "generator/a": 2.0, "images": 8.0, "gradient_norm/x": 9.0}
    assert losses(gan) == {"projected": 1.5, "generator": 2.0}
    encoder = {"loss": 0.5, "feature": 0.4, "val/feature": 0.3, "learning_rate": 1e-3, "frechet_squeezenet": 7.0}
    assert losses(encoder) == {"loss": 0.5, "val/feature": 0.3, "frechet_squeezenet": 7.0}


def test_folder_is_said(train: Train, capsys: Capture, tmp_path: Path) -> None:
    train(steps=1)
    lines = capsys.readouterr().err.splitlines()
    assert f"new run in {tmp_path / 'runs' / 'tiny'}" in lines
