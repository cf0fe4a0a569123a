"""The Fréchet distance while training: of samples for a GAN, of reconstructions for what is trained on projection."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_only
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from data import images_to_float
from data.module import ImageDataModule
from models.errors import PhotograftError
from models.perception.judges import JUDGES, frechet, to_uint8
from models.progress import counted, tell
from models.writing import write_file
from train.callbacks.grids import generate
from train.callbacks.run import fixed_photos, images_seen, photo_parts, run_folder
from train.counters import CountingModule
from train.gan.module import GAN
from train.projection.base import ProjectionTraining


class Subject(Protocol):
    """The two sides of a distance. Neither touches a global random stream."""

    def identity(self) -> dict[str, Any]:
        """Of the real pictures, JSON, by which their features are kept."""

    def real(self) -> Iterator[Tensor]:
        """Parts [m,3,R,R] in [-1,1] of the real pictures."""

    def fake(self) -> Iterator[Tensor]:
        """Parts [m,3,R,R] in [-1,1] of the generated pictures."""


class Samples:
    """n prior samples of a GAN's averaged generator, labels drawn as in training, and n pictures of its stream."""

    def __init__(self, module: GAN, n: int, batch_size: int) -> None:
        self.module, self.n, self.batch_size = module, n, batch_size
        self.data = cast(ImageDataModule, module.trainer.datamodule)  # type: ignore[attr-defined]

    def identity(self) -> dict[str, Any]:
        """See `Subject`."""
        return {**self.data.stream_identity(), "n": self.n, "resolution": self.data.resolution}

    def real(self) -> Iterator[Tensor]:
        """An independent look at the stream."""
        loader, count = self.data.train_dataloader(), 0
        while count < self.n:
            for batch in loader:
                images = images_to_float(batch["image"])[: self.n - count]
                yield from images.split(self.batch_size)
                count += len(images)
                if count >= self.n:
                    break
        loader.close()

    def fake(self) -> Iterator[Tensor]:
        """The same z and labels at every measurement."""
        random_stream = torch.Generator().manual_seed(0)
        z = self.module.averaged_generator.sample_latent(self.n, random_stream)
        label = torch.multinomial(self.module.prior.distribution, self.n, replacement=True, generator=random_stream)
        for pair in zip(z.split(self.batch_size), label.split(self.batch_size), strict=True):
            yield generate(self.module, *pair)


class Reconstructions:
    """At most n validation photos, and what the trained networks make of them without a step of projection."""

    def __init__(self, module: ProjectionTraining, n: int, batch_size: int) -> None:
        self.module, self.batch_size = module, batch_size
        self.data = cast(ImageDataModule, module.trainer.datamodule)  # type: ignore[attr-defined]
        self.n = n

    def identity(self) -> dict[str, Any]:
        """See `Subject`."""
        names = "\n".join(record.key for record in fixed_photos(self.data).records)
        photos = hashlib.sha256(names.encode()).hexdigest()
        return {"photos": photos, "n": self.n, "resolution": self.data.resolution, "crop": self.data.crop}

    def real(self) -> Iterator[Tensor]:
        """See `Subject`."""
        for images, _ in photo_parts(self.data, self.n, self.batch_size):
            yield images

    def fake(self) -> Iterator[Tensor]:
        """See `Subject`."""
        for images, label in photo_parts(self.data, self.n, self.batch_size):
            classes = self.module.labels(label.to(self.module.device))
            yield self.module.refine(images.to(self.module.device), classes, 0)


class FrechetDistance(pl.Callback):
    """Measures generated against real pictures every so many images: prior samples of a GAN's averaged generator
    against pictures of the stream, or reconstructions of validation photos against these.

    z, labels and photos are the same at every measurement, and the training's random streams are left alone. The real
    pictures' features are computed once and kept in the run's folder as `frechet_JUDGE_real.safetensors`. With few
    pictures the distance is biased upwards: compare values of one n only.

    Args:
        every: real pictures between two measurements.
        n: pictures on each side; of validation photos at most all.
        judge: feature network, one of `models.perception.judges.JUDGES`.
        batch_size: pictures that the judge looks at at a time.
        folder: where to keep the real features, default the run's folder.

    Raises:
        PhotograftError: unknown judge, or n below 2.
    """

    def __init__(
        self,
        every: int = 100_000,
        n: int = 1000,
        judge: str = "squeezenet",
        batch_size: int = 32,
        folder: str | None = None,
    ) -> None:
        if judge not in JUDGES:
            raise PhotograftError(f"unknown judge {judge!r}: choose from {', '.join(JUDGES)}")
        if n < 2:
            raise PhotograftError(f"n is {n}: a Fréchet distance needs at least 2 pictures on each side")
        self.every, self.n, self.judge, self.batch_size, self.folder = every, n, judge, batch_size, folder
        self._round = 0
        self._network: torch.nn.Module | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count from where the training stands."""
        self.subject(pl_module)
        self._round = images_seen(pl_module) // self.every

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure when it is time."""
        seen = images_seen(pl_module)
        if seen // self.every == self._round:
            return
        self._round = seen // self.every
        distance, n = self.measure(trainer, pl_module)
        tell(f"{self.name} {distance:.1f} at {seen:,} pictures ({n:,} on each side)")
        for logger in trainer.loggers:
            # not by log(), which drops what falls between two logging steps
            step = cast(CountingModule, pl_module).steps - 1
            logger.log_metrics({self.name: distance, "images": float(seen)}, step=step)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure where validation is all that is done (`train.py validate`)."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            distance, _ = self.measure(trainer, pl_module)
            pl_module.log(self.name, distance)

    @property
    def name(self) -> str:
        """Of the distance, in metrics."""
        return f"frechet_{self.judge}"

    def measure(self, trainer: pl.Trainer, module: pl.LightningModule) -> tuple[float, int]:
        """The distance, and the number of generated pictures."""
        fake = self.fake_features(module)
        return frechet(self.real_features(trainer, module), fake), len(fake)

    def subject(self, module: pl.LightningModule) -> Subject:
        """What is compared for this module. Raises PhotograftError for a training that has nothing to compare."""
        if isinstance(module, GAN):
            return Samples(module, self.n, self.batch_size)
        if isinstance(module, ProjectionTraining):
            return Reconstructions(module, self.n, self.batch_size)
        raise PhotograftError(f"FrechetDistance does not suit {type(module).__name__}: it generates no pictures")

    def fake_features(self, module: pl.LightningModule) -> Tensor:
        """Features [n,F] of generated pictures."""
        parts = counted(self.subject(module).fake(), f"{self.name}, generated", self._batches())
        return torch.cat([self._features(part, module.device) for part in parts])

    def real_features(self, trainer: pl.Trainer, module: pl.LightningModule) -> Tensor:
        """Features [n,F] of real pictures, from the cache if it is of this data."""
        folder, subject = run_folder(trainer, self.folder), self.subject(module)
        path = folder / f"{self.name}_real.safetensors"
        identity = json.dumps(subject.identity(), sort_keys=True)
        features = _read_features(path, identity)
        if features is None:
            parts = counted(subject.real(), f"{self.name}, real", self._batches())
            features = torch.cat([self._features(part, module.device) for part in parts])
            content = save({"features": features}, {"identity": identity})
            write_file(path, lambda stream: stream.write(content))
        return features

    def _batches(self) -> int:
        return -(-self.n // self.batch_size)

    @torch.no_grad()
    def _features(self, images: Tensor, device: torch.device) -> Tensor:
        """Features [N,F] on the CPU of pictures in [-1,1]."""
        if self._network is None:
            with torch.random.fork_rng(devices=[]):  # fresh layers draw their first weights
                self._network = JUDGES[self.judge]()
        features: Tensor = self._network.to(device)(to_uint8(images).to(device))
        return features.float().cpu().contiguous()


def _read_features(path: Path, identity: str) -> Tensor | None:
    """Cached features, or None where there are none or they are of other data."""
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("identity") == identity:
                features: Tensor = file.get_tensor("features")
                return features
    except (OSError, SafetensorError):
        pass
    return None
