"""Callbacks: pictures of what is learnt, exact resume of random streams, and the Fréchet distance while training."""

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torchvision.utils import make_grid, save_image

from data import images_to_float
from train.gan import GAN


class RandomState(pl.Callback):
    """Keeps the random streams in the checkpoint, so that a killed run resumes on the same trajectory.

    Each rank starts from its own seed: with one seed for all, every rank would draw the same noise.
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
        """Remembered until the first batch: building loaders and optimisers may draw in between."""
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
        version, words, position, *gauss = state["numpy"]
        np.random.set_state((version, words.numpy().astype(np.uint32), position, *gauss))
        random.setstate(_tuples(state["python"]))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value


class TimedCheckpoint(pl.Callback):
    """Writes `last.ckpt` every so many minutes and at the end, beside and then renamed: a kill leaves a whole file.

    (Lightning's ModelCheckpoint ignores `train_time_interval` where a module optimises by hand.)

    Args:
        minutes: between two checkpoints.
        folder: where to, default the logger's folder.
        keep_every: images between checkpoints that are kept as `images_N.ckpt`; 0 keeps none.
    """

    def __init__(self, minutes: float = 5.0, folder: str | None = None, keep_every: int = 0) -> None:
        self.minutes, self.folder, self.keep_every = minutes, folder, keep_every
        self._saved = time.monotonic()
        self._kept: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._saved = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is time (rank 0 decides for all)."""
        due = trainer.strategy.broadcast(time.monotonic() - self._saved >= self.minutes * 60)
        if due:
            self._save(trainer, "last")
        seen = int(getattr(pl_module, "images_seen", 0))
        if self.keep_every and self._kept is not None and seen // self.keep_every > self._kept:
            self._save(trainer, f"images_{seen:09d}")
        if self.keep_every:
            self._kept = seen // self.keep_every

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what was reached."""
        self._save(trainer, "last")

    def _save(self, trainer: pl.Trainer, name: str) -> None:
        folder = Path(self.folder or trainer.log_dir or trainer.default_root_dir)
        beside, path = folder / f"{name}.ckpt.part", folder / f"{name}.ckpt"
        trainer.save_checkpoint(beside)
        if trainer.is_global_zero:
            beside.replace(path)
        self._saved = time.monotonic()


class SampleGrid(pl.Callback):
    """Writes grids of the averaged networks' pictures: a fixed z per column, a class per row; and val photos with their
    reconstruction and translations.

    Args:
        every: real pictures between two grids.
        classes: at most so many rows.
        columns: z per class, and val photos.
        folder: where to, default `images/` in the logger's folder.
    """

    def __init__(self, every: int = 10_000, classes: int = 12, columns: int = 8, folder: str | None = None) -> None:
        self.every, self.classes, self.columns, self.folder = every, classes, columns, folder
        self._next = 0

    @rank_zero_only  # type: ignore[misc]
    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the grids when their time has come."""
        assert isinstance(pl_module, GAN)
        seen = int(pl_module.images_seen)
        if seen < self._next:
            return
        self._next = (seen // self.every + 1) * self.every
        folder = Path(self.folder or trainer.log_dir or trainer.default_root_dir) / "images"
        folder.mkdir(parents=True, exist_ok=True)
        grids = {"samples": self.samples(pl_module)}
        if pl_module.encoder is not None:
            grids["photos"] = self.photos(trainer, pl_module)
        for name, (images, columns) in grids.items():
            save_image(images, folder / f"{name}_{seen:09d}.png", nrow=columns)
            for logger in trainer.loggers:
                if hasattr(logger, "log_image"):  # without step=: W&B would file them under another step
                    logger.log_image(key=name, images=[make_grid(images, nrow=columns)])

    def samples(self, module: GAN) -> tuple[Tensor, int]:
        """Pictures [rows*columns,3,R,R] in [0,1], and columns."""
        rows = torch.linspace(0, max(len(module.class_names) - 1, 0), min(self.classes, len(module.class_names)))
        label = rows.round().long().repeat_interleave(self.columns)
        z = torch.randn(self.columns, module.ema["generator"].latent_dim, generator=torch.Generator().manual_seed(0))
        return _generate(module, z.repeat(len(rows), 1), label), self.columns

    def photos(self, trainer: pl.Trainer, module: GAN) -> tuple[Tensor, int]:
        """Rows: photos, their reconstructions, and translations to some classes; in [0,1]."""
        loaders = trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
        batch = next(iter(loaders or trainer.datamodule.train_dataloader()))  # type: ignore[attr-defined]
        real = images_to_float(batch["image"])[: self.columns].to(module.device)
        label = batch["label"][: self.columns]
        encoder = module.ema["encoder"]
        z = encoder.encode(real)  # type: ignore[operator]
        targets = torch.linspace(0, max(len(module.class_names) - 1, 0), 5).round().long()
        rows = [real * 0.5 + 0.5, _generate(module, z, label)]
        rows += [_generate(module, z, target.expand(len(real))) for target in targets]
        return torch.cat([row.cpu() for row in rows]), len(real)


def _generate(module: GAN, z: Tensor, label: Tensor) -> Tensor:
    generator = module.ema["generator"]
    conditional = label.to(module.device) if module.class_names and generator.num_classes else None
    parts = [
        generator(z[i : i + 32].to(module.device), None if conditional is None else conditional[i : i + 32])
        for i in range(0, len(z), 32)
    ]
    return torch.cat(parts).cpu() * 0.5 + 0.5


class Throughput(pl.Callback):
    """Logs real pictures per second, as a mean over the last minute or so."""

    def __init__(self) -> None:
        self._since, self._images = time.monotonic(), 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._since, self._images = time.monotonic(), 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log every 20 steps."""
        self._images += len(batch["image"]) * trainer.world_size
        if batch_idx % 20 == 19:
            now = time.monotonic()
            pl_module.log("images_per_second", self._images / (now - self._since), prog_bar=True)
            self._since, self._images = now, 0
