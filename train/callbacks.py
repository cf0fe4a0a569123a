"""Callbacks: pictures of what is learnt, exact resume of random streams, and the Fréchet distance while training."""

import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info, rank_zero_only
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torchvision.utils import make_grid, save_image

from data import images_to_float
from models.errors import PhotograftError
from models.judges import JUDGES, frechet, to_uint8
from train.gan import GAN


def run_folder(trainer: pl.Trainer, folder: str | None = None) -> Path:
    """Where a run's files go: the given folder, else the logger's (CSV), else `default_root_dir` (W&B, no logger)."""
    logs = next((logger.log_dir for logger in trainer.loggers if isinstance(logger.log_dir, str)), None)
    return Path(folder or logs or trainer.default_root_dir)


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
        if trainer.global_rank:
            torch.manual_seed(int(torch.randint(2**62, ())) + trainer.global_rank)


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
        """Start the clock."""
        self._saved = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is time (rank 0 decides for all)."""
        due = trainer.strategy.broadcast(time.monotonic() - self._saved >= self.minutes * 60)
        if due:
            self._save(trainer, "last")
        seen = _images_seen(pl_module)
        if self.keep_every and self._kept is not None and seen // self.keep_every > self._kept:
            self._save(trainer, f"images_{seen:09d}")
        if self.keep_every:
            self._kept = seen // self.keep_every

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what was reached."""
        self._save(trainer, "last")

    def _save(self, trainer: pl.Trainer, name: str) -> None:
        folder = run_folder(trainer, self.folder)
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
        folder: where to, default `images/` in the run's folder.
    """

    def __init__(self, every: int = 10_000, classes: int = 12, columns: int = 8, folder: str | None = None) -> None:
        self.every, self.classes, self.columns, self.folder = every, classes, columns, folder
        self._next = 0

    @rank_zero_only
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
        folder = run_folder(trainer, self.folder) / "images"
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
        z = torch.randn(self.columns, module.averaged_generator.latent_dim, generator=torch.Generator().manual_seed(0))
        return generate(module, z.repeat(len(rows), 1), label) * 0.5 + 0.5, self.columns

    def photos(self, trainer: pl.Trainer, module: GAN) -> tuple[Tensor, int]:
        """Rows: photos, their reconstructions, and translations to some classes; in [0,1]."""
        loaders = trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
        batch = next(iter(loaders or trainer.datamodule.train_dataloader()))  # type: ignore[attr-defined]
        real = images_to_float(batch["image"])[: self.columns].to(module.device)
        label = batch["label"][: self.columns]
        z = module.averaged_encoder.encode(real)
        targets = torch.linspace(0, max(len(module.class_names) - 1, 0), 5).round().long()
        rows = [real.cpu(), generate(module, z, label)]
        rows += [generate(module, z, target.expand(len(real))) for target in targets]
        return torch.cat(rows) * 0.5 + 0.5, len(real)


@torch.no_grad()
def generate(module: GAN, z: Tensor, label: Tensor) -> Tensor:
    """Pictures [N,3,R,R] in [-1,1], on the CPU, of the averaged generator for z [N,latent_dim] and classes [N]."""
    generator = module.averaged_generator
    parts = []
    for i in range(0, len(z), 32):
        classes = label[i : i + 32].to(module.device) if generator.num_classes else None
        parts.append(generator(z[i : i + 32].to(module.device), classes).float().cpu())
    return torch.cat(parts)


class FrechetDistance(pl.Callback):
    """Measures prior samples of the averaged generator against real pictures every so many images.

    Labels are drawn as in training, and so are the real pictures; z and labels are the same at every measurement, and
    the training's random streams are left alone. The real pictures' features are computed once and kept in the run's
    folder as `frechet_JUDGE_real.safetensors`. With few pictures the distance is biased upwards: compare values of one
    n only.

    Args:
        every: real pictures between two measurements.
        n: pictures on each side.
        judge: feature network, one of `models.judges.JUDGES`.
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
        self._round = _images_seen(pl_module) // self.every

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure when it is time."""
        seen = _images_seen(pl_module)
        if seen // self.every == self._round or not isinstance(pl_module, GAN):
            return
        self._round = seen // self.every
        distance = frechet(self.real_features(trainer, pl_module), self.fake_features(pl_module))
        name = f"frechet_{self.judge}"
        rank_zero_info(f"{name} {distance:.1f} after {seen} images ({self.n} pictures)")
        for logger in trainer.loggers:
            # not by log(), which drops what falls between two logging steps
            logger.log_metrics({name: distance, "images": float(seen)}, step=int(pl_module.steps) - 1)

    def fake_features(self, module: GAN) -> Tensor:
        """Features [n,F] of prior samples."""
        random_stream = torch.Generator().manual_seed(0)
        z = module.averaged_generator.sample_latent(self.n, random_stream)
        label = torch.multinomial(module.label_distribution, self.n, replacement=True, generator=random_stream)
        pairs = zip(z.split(self.batch_size), label.split(self.batch_size), strict=True)
        return torch.cat([self._features(generate(module, *pair), module.device) for pair in pairs])

    def real_features(self, trainer: pl.Trainer, module: GAN) -> Tensor:
        """Features [n,F] of real pictures, from the cache if it is of this data."""
        folder = run_folder(trainer, self.folder)
        path, data = folder / f"frechet_{self.judge}_real.safetensors", trainer.datamodule  # type: ignore[attr-defined]
        stream = {k: v for k, v in data.state_dict().items() if k != "draws"}
        identity = json.dumps({**stream, "n": self.n, "resolution": data.resolution}, sort_keys=True)
        features = _read_features(path, identity)
        if features is None:
            loader, parts, count = data.train_dataloader(), [], 0  # an independent look at the stream
            while count < self.n:
                for batch in loader:
                    images = images_to_float(batch["image"])[: self.n - count]
                    parts += [self._features(part, module.device) for part in images.split(self.batch_size)]
                    count += len(images)
                    if count >= self.n:
                        break
            loader.close()
            features = torch.cat(parts)
            folder.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(path.name + ".part")
            save_file({"features": features}, beside, {"identity": identity})
            beside.replace(path)
        return features

    @torch.no_grad()
    def _features(self, images: Tensor, device: torch.device) -> Tensor:
        """Features [N,F] on the CPU of pictures in [-1,1]."""
        if self._network is None:
            with torch.random.fork_rng(devices=[]):  # fresh layers draw their first weights
                self._network = JUDGES[self.judge]()
        features: Tensor = self._network.to(device)(to_uint8(images).to(device))
        return features.float().cpu().contiguous()


def _images_seen(module: pl.LightningModule) -> int:
    return int(module.images_seen) if isinstance(module, GAN) else 0


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
