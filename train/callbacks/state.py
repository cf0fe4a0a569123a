"""Checkpoints by the clock, and exact resume of random streams."""

import random
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from models.errors import PhotograftError
from models.writing import remove_stale, written_beside
from train.callbacks.run import images_seen, run_folder
from train.divergence import check_weights


class RandomState(pl.Callback):
    """Keeps the random streams in the checkpoint, so that a killed run resumes on the same trajectory.

    Each rank starts from its own seed: with one seed for all, every rank would draw the same noise. The checkpoint
    holds rank 0's streams, so a resume is exact on one device; other ranks branch off from them.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Offset the seed by the rank."""
        if trainer.global_rank:
            torch.manual_seed(torch.initial_seed() + trainer.global_rank)

    def state_dict(self) -> dict[str, Any]:
        """States of torch's, NumPy's and Python's global generators."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        version, words, position, *gauss = np.random.get_state()
        return {
            "torch": torch.get_rng_state(),
            "cuda": cuda,
            "numpy": [str(version), torch.from_numpy(np.asarray(words).astype(np.int64)), int(position), *gauss],
            "python": random.getstate(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remembered until the first batch: building loaders and optimisers may draw in between.

        Raises:
            PhotograftError: states that are none.
        """
        try:
            torch.Generator().set_state(state_dict["torch"].cpu())
            np.random.RandomState(0).set_state(_numpy_state(state_dict))
            random.Random(0).setstate(_tuples(state_dict["python"]))
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise PhotograftError(f"the checkpoint's random streams are damaged ({error!s:.100})") from error
        self._loaded = state_dict

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the streams as they were."""
        if self._loaded is None:
            return
        state, self._loaded = self._loaded, None
        torch.set_rng_state(state["torch"].cpu())
        if state["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])
        np.random.set_state(_numpy_state(state))
        random.setstate(_tuples(state["python"]))
        if trainer.global_rank:
            torch.manual_seed(int(torch.randint(2**62, ())) + trainer.global_rank)


def _numpy_state(state: dict[str, Any]) -> Any:
    version, words, position, *gauss = state["numpy"]
    return (version, words.numpy().astype(np.uint32), position, *gauss)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value


class TimedCheckpoint(pl.Callback):
    """Writes `last.ckpt` every so many minutes and at the end, beside and then renamed: a kill leaves a whole file.

    (Lightning's ModelCheckpoint ignores `train_time_interval` where a module optimises by hand.)

    Args:
        minutes: between two checkpoints.
        folder: where to, default the run's folder (`run_folder`).
        keep_every: images between checkpoints that are kept as `images_N.ckpt`; 0 keeps none.
    """

    def __init__(self, minutes: float = 5.0, folder: str | None = None, keep_every: int = 0) -> None:
        self.minutes, self.folder, self.keep_every = minutes, folder, keep_every
        self._saved = time.monotonic()
        self._kept: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, and take away what a killed run has left."""
        self._saved = time.monotonic()
        if trainer.is_global_zero:
            remove_stale(run_folder(trainer, self.folder))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is time (rank 0 decides for all)."""
        due = trainer.strategy.broadcast(time.monotonic() - self._saved >= self.minutes * 60)
        if due:
            self._save(trainer, "last")
        seen = images_seen(pl_module)
        if self.keep_every and self._kept is not None and seen // self.keep_every > self._kept:
            self._save(trainer, f"images_{seen:09d}")
        if self.keep_every:
            self._kept = seen // self.keep_every

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what was reached."""
        self._save(trainer, "last")

    def _save(self, trainer: pl.Trainer, name: str) -> None:
        check_weights(trainer.lightning_module)  # else the last good ones would be replaced
        folder = run_folder(trainer, self.folder)
        path = folder / f"{name}.ckpt"
        if trainer.is_global_zero:
            with written_beside(path) as beside:
                trainer.save_checkpoint(beside)
        else:
            trainer.save_checkpoint(path)  # takes part and writes nothing
        self._saved = time.monotonic()
