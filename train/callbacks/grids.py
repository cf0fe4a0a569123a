"""Pictures of what is learnt, in the run's folder and for loggers that take images."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from data.module import ImageDataModule
from models.errors import PhotograftError
from models.perception.judges import to_uint8
from models.writing import write_file
from train.callbacks.drawing import grid
from train.callbacks.run import images_seen, run_folder, some_photos
from train.gan.module import GAN
from train.projection.base import ProjectionTraining

TRANSLATIONS = 5  # classes that photos are shown as


@dataclass(frozen=True)
class Rows:
    """Pictures of a grid.

    Attributes:
        images: [rows*columns,3,R,R] in [-1,1], row by row.
        titles: one per row.
        classes: of the photos, where every column is one photo: W&B gets a table of them too, a photo per line.
    """

    images: Tensor
    titles: Sequence[str]
    classes: Sequence[str] = ()


class Grid(pl.Callback, ABC):
    """Writes `images/NAME_SEEN.png` in the run's folder every so many real pictures, and shows them to loggers.

    Args:
        every: real pictures between two grids.
        folder: of the run, where `images/` is made; default see `run_folder`.
    """

    suits: type[pl.LightningModule]

    def __init__(self, every: int, folder: str | None) -> None:
        self.every, self.folder = every, folder
        self._next = 0

    @abstractmethod
    def grids(self, data: ImageDataModule, module: Any) -> dict[str, Rows]:
        """The grids by name."""

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
        for name, rows in self.grids(data, pl_module).items():
            picture = Image.fromarray(grid(rows.images, rows.titles))
            write_file(folder / f"{name}_{seen:09d}.png", partial(picture.save, format="PNG"))
            for logger in trainer.loggers:
                show(logger, name, picture, rows, seen)


def show(logger: Logger, name: str, picture: Image.Image, rows: Rows, seen: int) -> None:
    """Give a grid to a logger, if it takes pictures: 8 bits, as W&B casts others without scaling them (0.31)."""
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, np.asarray(picture), seen, dataformats="HWC")
    elif hasattr(logger, "log_image"):  # without step=: W&B would file them under another step
        logger.log_image(key=name, images=[picture])
    if isinstance(logger, WandbLogger) and rows.classes:
        import wandb

        tiles = to_uint8(rows.images).permute(0, 2, 3, 1).numpy()
        tiles = tiles.reshape(len(rows.titles), len(rows.classes), *tiles.shape[1:])
        lines = [
            [label, *(wandb.Image(Image.fromarray(tile)) for tile in column)]
            for label, column in zip(rows.classes, tiles.swapaxes(0, 1), strict=True)
        ]
        logger.log_table(key=f"{name}_table", columns=["class", *rows.titles], data=lines)


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

    def grids(self, data: ImageDataModule, module: GAN) -> dict[str, Rows]:
        """See `Grid`."""
        grids = {"samples": self.samples(module)}
        if module.encoder is not None:
            grids["photos"] = self.photos(data, module)
        return grids

    def samples(self, module: GAN) -> Rows:
        """A class per row."""
        shown = spread(len(module.class_names), self.classes)
        label = torch.tensor(shown).repeat_interleave(self.columns)
        z = torch.randn(self.columns, module.averaged_generator.latent_dim, generator=torch.Generator().manual_seed(0))
        images = generate(module, z.repeat(len(shown), 1), label)
        return Rows(images, [module.class_names[number] for number in shown])

    def photos(self, data: ImageDataModule, module: GAN) -> Rows:
        """Photos, their reconstructions, and translations to some classes."""
        real, label = some_photos(data, self.columns)
        z = module.averaged_encoder.encode(real.to(module.device))
        targets = spread(len(module.class_names), TRANSLATIONS)
        rows = [real, generate(module, z, label)]
        rows += [generate(module, z, torch.full_like(label, target)) for target in targets]
        titles = ["photo", "reconstruction", *(f"to {module.class_names[target]}" for target in targets)]
        return Rows(torch.cat(rows), titles, [module.class_names[number] for number in label])


class ReconstructionGrid(Grid):
    """Writes grids of projection: val photos, where their projection starts, and after so many of its steps; and the
    start with some other classes.

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

    def grids(self, data: ImageDataModule, module: ProjectionTraining) -> dict[str, Rows]:
        """See `Grid`."""
        photos, numbers = some_photos(data, self.columns)
        real, label = photos.to(module.device), module.labels(numbers.to(module.device))
        counts = (0, *self.steps)
        rows = [real, *(module.refine(real, label, steps, self.learning_rate) for steps in counts)]
        titles = ["photo", "start", *(f"after {steps} steps" for steps in self.steps)]
        for target in spread(len(module.model.class_names), TRANSLATIONS) if label is not None else ():
            rows.append(module.translate(real, label, target))
            titles.append(f"start, as {module.model.class_names[target]}")
        classes = [data.class_names[number] for number in numbers]
        return {"reconstructions": Rows(torch.cat(rows).cpu(), titles, classes)}


def spread(classes: int, most: int) -> list[int]:
    """At most so many of the classes 0..K-1, the first and the last among them."""
    return [round(x) for x in np.linspace(0, max(classes - 1, 0), min(classes, most)).tolist()]


@torch.no_grad()
def generate(module: GAN, z: Tensor, label: Tensor) -> Tensor:
    """Pictures [N,3,R,R] in [-1,1], on the CPU, of the averaged generator for z [N,latent_dim] and classes [N]."""
    generator = module.averaged_generator
    parts = []
    for i in range(0, len(z), 32):
        classes = label[i : i + 32].to(module.device) if generator.num_classes else None
        parts.append(generator(z[i : i + 32].to(module.device), classes).float().cpu())
    return torch.cat(parts)
