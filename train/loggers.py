"""Logs of a training that are whole after it was resumed."""

import csv
import io
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from models.writing import write_file


class CSVLog(CSVLogger):
    """`metrics.csv` of a run that goes on where the run that it resumes had its checkpoint.

    Lightning's CSVLogger deletes what is there.

    Args:
        save_dir, name, version: the file is save_dir/name/version/metrics.csv.
    """

    def __init__(self, save_dir: str | Path, name: str, version: str = "") -> None:
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
