"""What loggers are told of a run beside its metrics, and how a run on Weights & Biases goes on after a resume."""

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from pytorch_lightning.loggers import CSVLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from models.progress import tell
from models.writing import write_file
from train.callbacks.run import run_folder
from train.card import CARD, card_text
from train.counters import COUNTS
from train.place import CONFIG
from train.record import describe_run, flat

LOWEST = ("loss", "frechet_*", "val/*", "feature", "pixel", "autoencoder", "weighted_*", "step_*")
"""Metrics whose lowest value is kept in W&B's summary, beside the last."""


class Tracking(pl.Callback):
    """Tells every logger the whole config, the data, device, versions, networks and git state; W&B also gets files.

    Checkpoints get the same as `record`, from which export writes a card; the callback's state is W&B's id of the run.

    Args:
        config: of the command line, nested.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self._id: str | None = None
        self._about: dict[str, Any] = {}
        self._kept = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell what runs."""
        self._about = describe_run(trainer, pl_module)
        told = flat(self.config) | flat(self._about) | {"folder": str(run_folder(trainer))}
        told = {name: value for name, value in told.items() if value is not None}
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger):  # it has config.yaml beside it
                logger.log_hyperparams(told)
        for run in wandb_runs(trainer):
            self._id = run.id
            run.define_metric("images")
            for name in LOWEST:
                run.define_metric(name, step_metric="images", summary="min,last")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The config is on the disk from the first step on."""
        if not self._kept:
            self._kept = True
            _keep(trainer, CONFIG)

    @rank_zero_only
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the card of what is trained."""
        folder = run_folder(trainer)
        text = card_text(folder.name, self._record(trainer, pl_module))
        write_file(folder / CARD, lambda stream: stream.write(text.encode()))
        _keep(trainer, CARD)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what a card is written from."""
        checkpoint["record"] = self._record(trainer, pl_module)

    def _record(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
        reached = {name: float(value) for name, value in trainer.callback_metrics.items()}
        config = yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)
        counted = {name: getattr(module, name) for name in COUNTS if hasattr(module, name)}
        today = date.today().isoformat()
        return {**self._about, "counts": counted, "metrics": reached, "config": config, "date": today}

    def state_dict(self) -> dict[str, Any]:
        """Of a run on W&B."""
        return {} if self._id is None else {"wandb_id": self._id}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The logger was given the id before (see `train.fit`)."""


def kept_id(callbacks: dict[str, Any]) -> str | None:
    """The id of the W&B run in the callbacks' states of a checkpoint, if there is one."""
    found = callbacks.get(Tracking.__qualname__, {}).get("wandb_id")
    return found if isinstance(found, str) and found.isalnum() else None


def wandb_runs(trainer: pl.Trainer) -> list[Any]:
    """The runs behind the W&B loggers, on rank 0; none where W&B is disabled."""
    if not trainer.is_global_zero:
        return []
    runs = [logger.experiment for logger in trainer.loggers if isinstance(logger, WandbLogger)]
    return [run for run in runs if not run.disabled]


def finish(trainer: pl.Trainer, failed: bool) -> None:
    """End the W&B run, and say how one that was written offline is uploaded."""
    if not any(isinstance(logger, WandbLogger) for logger in trainer.loggers):
        return
    import wandb

    run = wandb.run
    if run is None:  # it ended before it began
        return
    offline, place = run.offline, Path(run.dir).parents[1]
    run.finish(exit_code=int(failed))
    wandb.teardown()  # returns when all is written
    if offline:
        tell(f"Weights & Biases: run {run.id}, offline; `wandb sync {place}/offline-run-*` uploads it")


def _keep(trainer: pl.Trainer, name: str) -> None:
    """Have W&B keep a copy of a file of the run's folder, below the folder's name: its own files are called alike."""
    path = run_folder(trainer) / name
    for run in wandb_runs(trainer):
        copy = Path(run.dir) / path.parent.name / name
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)
        run.save(str(copy), base_path=run.dir, policy="now", glob=False)
