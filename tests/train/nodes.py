"""What a process of a training on several machines notes: see `test_two_machines`."""

import hashlib
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch


class Noted(pl.Callback):
    """Keeps the pictures of every step and, at the end, the weights, in FOLDER/RANK.pt."""

    def __init__(self, folder: str) -> None:
        self.folder, self.pictures = Path(folder), []  # type: ignore[var-annotated]

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, index: int) -> None:
        """Note the pictures."""
        self.pictures.append([hashlib.sha256(x.numpy().tobytes()).hexdigest() for x in batch["image"].cpu()])

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write."""
        noted = {"pictures": self.pictures, "ranks": trainer.world_size, "weights": pl_module.state_dict()}
        torch.save(noted, self.folder / f"{trainer.global_rank}.pt")
