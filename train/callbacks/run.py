"""What callbacks need of a run: its folder, how far it is, some of its photos, and its rate."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from data import images_to_float
from data.loaders import collate
from data.module import ImageDataModule
from data.pictures import LabelledPictures
from data.transforms import central


def run_folder(trainer: pl.Trainer, folder: str | None = None) -> Path:
    """Where a run's files go: the given folder, else the trainer's `default_root_dir`."""
    return Path(folder or trainer.default_root_dir)


def images_seen(module: pl.LightningModule) -> int:
    """Real pictures that a training of ours has seen; 0 for one that does not count them."""
    return int(getattr(module, "images_seen", 0))


def fixed_photos(data: ImageDataModule) -> LabelledPictures:
    """The validation photos, or the training photos where there are none."""
    return data.val_pictures if len(data.val_pictures) else data.train_pictures


def photo_parts(data: ImageDataModule, n: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """At most n of the fixed photos, spread over the set.

    Yields:
        Parts ([m,3,R,R] in [-1,1], classes [m]) on the CPU; always the same, and no random stream moves.
    """
    pictures = fixed_photos(data)
    chosen = np.linspace(0, len(pictures) - 1, min(n, len(pictures))).round().astype(np.int64)
    for start in range(0, len(chosen), batch_size):
        part = chosen[start : start + batch_size]
        prepared = [pictures.prepare(int(i), resolution=data.resolution, crop=data.crop) for i in part]
        images, movable, labels, _ = collate(prepared)
        yield images_to_float(central(images, movable, resolution=data.resolution)), labels


def some_photos(data: ImageDataModule, n: int) -> tuple[Tensor, Tensor]:
    """All of `photo_parts` at once."""
    return next(photo_parts(data, n, n))


class Throughput(pl.Callback):
    """Logs real pictures per second, as a mean over 20 steps, and the most memory that a GPU has had in use (GiB)."""

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
            if pl_module.device.type == "cuda":
                pl_module.log("gpu_memory_gib", torch.cuda.max_memory_allocated(pl_module.device) / 2**30)
