"""What is done when a training has truly begun, and not before: until then an earlier one may be what is left."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.cli import SaveConfigCallback

from train.checkpoint import ResumableCheckpoint
from train.place import Place, clear_run


class KeepConfig(SaveConfigCallback):
    """Lightning's, but a training that does not begin leaves an earlier one as it was."""

    place: Place

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lightning's hook, too early: the checkpoint is not read yet."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Lightning's hook."""
        if self.already_saved:
            return
        if trainer.is_global_zero and self.place.replaces:
            clear_run(self.place.folder)
        super().setup(trainer, pl_module, "fit")


class Begun(Callback):
    """Looks at what a training has taken from its checkpoint, and knows that it has begun."""

    def __init__(self, path: Path, kept: ResumableCheckpoint) -> None:
        self._path, self._kept, self.begun = path, kept, False

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning's hook."""
        self._kept.check_optimizers(trainer.optimizers, self._path)
        self.begun = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning's hook."""
        self.on_sanity_check_start(trainer, pl_module)
