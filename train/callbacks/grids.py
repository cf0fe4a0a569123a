"""Pictures of what is learnt, in the run's folder and for loggers that take images."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torchvision.utils import make_grid, save_image

from data.module import ImageDataModule
from models.errors import PhotograftError
from models.writing import write_file
from train.callbacks.run import images_seen, run_folder, some_photos
from train.gan.module import GAN
from train.projection.base import ProjectionTraining


class Grid(pl.Callback, ABC):
    """Writes `images/NAME_SEEN.png` in the run's folder every so many real pictures.

    Args:
        every: real pictures between two grids.
        folder: of the run, where `images/` is made; default see `run_folder`.
    """

    suits: type[pl.LightningModule]

    def __init__(self, every: int, folder: str | None) -> None:
        self.every, self.folder = every, folder
        self._next = 0

    @abstractmethod
    def grids(self, data: ImageDataModule, module: Any) -> dict[str, tuple[Tensor, int]]:
        """Name -> (pictures [N,3,R,R] in [0,1] row by row, columns)."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Raise PhotograftError for another kind of training."""
        if not isinstance(pl_module, self.suits):
            raise PhotograftError(
                f"{type(self).__name__} does not suit {type(pl_module).__name__}: choose another grid"
            )

    @rank_zero_only
    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the grids when their time has come."""
        seen = images_seen(pl_module)
        if seen < self._next:
            return
        self._next = (seen // self.every + 1) * self.every
        folder = run_folder(trainer, self.folder) / "images"
        data = cast(ImageDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        for name, (images, columns) in self.grids(data, pl_module).items():
            grid = partial(save_image, images, format="png", nrow=columns)
            write_file(folder / f"{name}_{seen:09d}.png", grid)
            for logger in trainer.loggers:
                if hasattr(logger, "log_image"):  # without step=: W&B would file them under another step
                    logger.log_image(key=name, images=[make_grid(images, nrow=columns)])


class SampleGrid(Grid):
    """Writes grids of a GAN's averaged networks: a fixed z per column, a class per row; and val photos with their
    reconstruction and translations.

    Args:
        every: real pictures between two grids.
        classes: at most so many rows.
        columns: z per class, and val photos.
        folder: where to, default `images/` in the run's folder.
    """

    suits = GAN

    def __init__(self, every: int = 10_000, classes: int = 12, columns: int = 8, folder: str | None = None) -> None:
        super().__init__(every, folder)
        self.classes, self.columns = classes, columns

    def grids(self, data: ImageDataModule, module: GAN) -> dict[str, tuple[Tensor, int]]:
        """See `Grid`."""
        grids = {"samples": self.samples(module)}
        if module.encoder is not None:
            grids["photos"] = self.photos(data, module)
        return grids

    def samples(self, module: GAN) -> tuple[Tensor, int]:
        """Pictures [rows*columns,3,R,R] in [0,1], and columns."""
        rows = torch.linspace(0, max(len(module.class_names) - 1, 0), min(self.classes, len(module.class_names)))
        label = rows.round().long().repeat_interleave(self.columns)
        z = torch.randn(self.columns, module.averaged_generator.latent_dim, generator=torch.Generator().manual_seed(0))
        return generate(module, z.repeat(len(rows), 1), label) * 0.5 + 0.5, self.columns

    def photos(self, data: ImageDataModule, module: GAN) -> tuple[Tensor, int]:
        """Rows: photos, their reconstructions, and translations to some classes; in [0,1]."""
        real, label = some_photos(data, self.columns)
        z = module.averaged_encoder.encode(real.to(module.device))
        targets = torch.linspace(0, max(len(module.class_names) - 1, 0), 5).round().long()
        rows = [real, generate(module, z, label)]
        rows += [generate(module, z, target.expand(len(real))) for target in targets]
        return torch.cat(rows) * 0.5 + 0.5, len(real)


class ReconstructionGrid(Grid):
    """Writes grids of projection: val photos, where their projection starts, and after so many of its steps.

    Args:
        every: real pictures between two grids.
        steps: of projection, a row for each number.
        columns: val photos.
        learning_rate: of projection; default the original's for what is trained (z or zeta).
        folder: where to, default `images/` in the run's folder.
    """

    suits = ProjectionTraining

    def __init__(
        self,
        every: int = 10_000,
        steps: Sequence[int] = (5, 20),
        columns: int = 8,
        learning_rate: float | None = None,
        folder: str | None = None,
    ) -> None:
        super().__init__(every, folder)
        self.steps, self.columns, self.learning_rate = steps, columns, learning_rate

    def grids(self, data: ImageDataModule, module: ProjectionTraining) -> dict[str, tuple[Tensor, int]]:
        """See `Grid`."""
        real, label = (x.to(module.device) for x in some_photos(data, self.columns))
        classes = module.labels(label)
        rows = [module.refine(real, classes, steps, self.learning_rate) for steps in (0, *self.steps)]
        return {"reconstructions": (torch.cat([real, *rows]).cpu() * 0.5 + 0.5, len(real))}


@torch.no_grad()
def generate(module: GAN, z: Tensor, label: Tensor) -> Tensor:
    """Pictures [N,3,R,R] in [-1,1], on the CPU, of the averaged generator for z [N,latent_dim] and classes [N]."""
    generator = module.averaged_generator
    parts = []
    for i in range(0, len(z), 32):
        classes = label[i : i + 32].to(module.device) if generator.num_classes else None
        parts.append(generator(z[i : i + 32].to(module.device), classes).float().cpu())
    return torch.cat(parts)
