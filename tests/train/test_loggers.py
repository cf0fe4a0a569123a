"""The log of a run that was resumed."""

import csv
from pathlib import Path

import pytest

from train.loggers import CSVLog

pytestmark = pytest.mark.filterwarnings("ignore:Experiment logs directory")


def log(folder: Path, steps: dict[int, dict[str, float]]) -> CSVLog:
    logger = CSVLog(folder, "run")
    _ = logger.experiment  # as the trainer does before the first step
    for step, metrics in steps.items():
        logger.log_metrics(metrics, step)
    logger.finalize("success")
    return logger


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "run" / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


def test_a_resumed_log_goes_on(tmp_path: Path) -> None:
    log(tmp_path, {9: {"loss": 3.0}, 19: {"loss": 2.0}, 29: {"loss": 1.5}})
    log(tmp_path, {19: {"loss": 1.9}, 29: {"loss": 1.0, "images": 640.0}})  # its checkpoint was at step 15
    assert rows(tmp_path) == [
        {"step": "9", "loss": "3.0"},
        {"step": "19", "loss": "1.9"},
        {"step": "29", "loss": "1.0", "images": "640.0"},
    ]


def test_a_run_killed_before_its_first_step_loses_nothing(tmp_path: Path) -> None:
    log(tmp_path, {9: {"loss": 3.0}})
    _ = CSVLog(tmp_path, "run").experiment
    assert rows(tmp_path) == [{"step": "9", "loss": "3.0"}]


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    log(tmp_path, {9: {"loss": 3.0}, 19: {"loss": 2.0}})
    log(tmp_path, {9: {"other": 1.0}})
    assert rows(tmp_path) == [{"step": "9", "other": "1.0"}]
