"""Loggers: each writes to the run's folder, and the log of metrics is whole after a resume."""

import csv
import importlib
import io
import os
from pathlib import Path
from typing import Any

from jsonargparse import Namespace, dict_to_namespace
from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from models.progress import tell
from models.writing import write_file


class CSVLog(CSVLogger):
    """`metrics.csv` of a run that goes on where the run that it resumes had its checkpoint.

    Lightning's CSVLogger deletes what is there.

    Args:
        save_dir, name, version: the file is save_dir/name/version/metrics.csv. `train.py fit` chooses the run's folder.
    """

    def __init__(self, save_dir: str | Path = ".", name: str = "", version: str = "") -> None:
        super().__init__(save_dir, name=name, version=version)
        self._trimmed = False

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer."""
        if self._experiment is None:
            path = Path(self.log_dir) / ExperimentWriter.NAME_METRICS_FILE
            earlier = path.read_bytes() if path.is_file() else b""
            writer: ExperimentWriter = super().experiment  # deletes the file
            if earlier:
                write_file(path, lambda stream: stream.write(earlier))
                writer.metrics_keys = earlier.decode().splitlines()[0].split(",")
        return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Record metrics; before the first, rows of steps that are now made again are dropped."""
        if not self._trimmed and step is not None:
            self._trimmed = True
            self._drop_from(step)
        super().log_metrics(metrics, step)

    def _drop_from(self, step: int) -> None:
        path = Path(self.experiment.metrics_file_path)
        if not path.is_file():
            return
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) < step]
        if not rows:
            path.unlink()
            self.experiment.metrics_keys = []
            return
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=self.experiment.metrics_keys)
        writer.writeheader()
        writer.writerows(rows)
        write_file(path, lambda stream: stream.write(text.getvalue().encode()))


def place_loggers(trainer: Any, folder: Path, name: str, wandb_id: str | None) -> None:
    """Have the loggers of a config write to the run's folder; the default is `CSVLog`.

    Args:
        trainer: part of a parsed config; changed in place.
        folder: of the run.
        name: of the run, for W&B; a name in the config stays.
        wandb_id: of the W&B run that goes on.
    """
    if trainer["logger"] in (None, True):
        trainer["logger"] = dict_to_namespace({"class_path": f"{__name__}.{CSVLog.__name__}", "init_args": {}})
    loggers = trainer["logger"] if isinstance(trainer["logger"], list) else [trainer["logger"]]
    for logger in loggers:
        if not isinstance(logger, Namespace):  # none
            continue
        package, _, kind = logger["class_path"].rpartition(".")
        found, given = getattr(importlib.import_module(package), kind), logger["init_args"]
        if issubclass(found, WandbLogger):
            given["save_dir"], given["name"] = str(folder), given.get("name") or name
            given["version"] = given.get("version") or wandb_id
            _settle_wandb(folder, bool(given.get("offline")), wandb_id)
        elif issubclass(found, CSVLogger | TensorBoardLogger):
            given["save_dir"], given["name"], given["version"] = str(folder), "", ""


def _settle_wandb(folder: Path, offline: bool, wandb_id: str | None) -> None:
    """Have W&B say only what matters and keep what it still has to upload with the run; a user's settings stay."""
    offline = offline or os.environ.get("WANDB_MODE") in ("offline", "dryrun")
    os.environ.setdefault("WANDB_SILENT" if offline else "WANDB_QUIET", "true")
    # pictures of tables wait here for their upload, by default in the user's home
    os.environ.setdefault("WANDB_DATA_DIR", str((folder / "wandb" / "waiting").absolute()))
    if wandb_id is not None:
        how = f"offline; `wandb sync {folder}/wandb/offline-run-*` joins its parts" if offline else "online"
        tell(f"Weights & Biases: run {wandb_id} goes on ({how})")


def without_notices(loggers: list[Logger]) -> None:
    """Take away a setting that Lightning hands on to W&B though it is not set: W&B warns of it (2.6, 0.31)."""
    for logger in loggers:
        if isinstance(logger, WandbLogger) and logger._wandb_init.get("anonymous") is None:
            logger._wandb_init.pop("anonymous", None)
