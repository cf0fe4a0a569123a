"""A training small enough for a test: made-up pictures, an encoder in the loop, both adversaries, group tables."""

import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image

from data.module import ImageDataModule
from train.adversaries import Adversary, ProjectedAdversary, SNProjectionAdversary
from train.callbacks import RandomState, TimedCheckpoint
from train.gan import GAN
from train.networks import Network
from train.sources import Stage

SIDE = 32
CLASSES = (("ape", "primate"), ("monkey", "primate"), ("bee", "insect"))
MIXED = {"reconstruction": 0.3, "translation": 0.3, "prior": 0.4}


def picture(rng: np.random.Generator, side: int = SIDE) -> Image.Image:
    """Soft noise, so that features have something to look at."""
    return Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )


def write_folders(root: Path, count: int = 8, names: tuple[str, ...] = tuple(n for n, _ in CLASSES)) -> Path:
    """`root/CLASS/NUMBER.png`."""
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture(rng).save(root / name / f"{number}.png")
    return root


def write_shards(root: Path, count: int = 8) -> Path:
    """`made-up-train-0.tar`, `made-up-val-0.tar` and `classes.json` with groups."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    entries = [{"index": i, "name": name, "species": group} for i, (name, group) in enumerate(CLASSES)]
    (root / "classes.json").write_text(json.dumps({"classes": entries}))
    for part, number in (("train", count), ("val", 2)):
        with tarfile.open(root / f"made-up-{part}-0.tar", "w") as tar:
            for k in range(number * len(CLASSES)):
                buffer = BytesIO()
                picture(rng).save(buffer, "png")
                add(tar, f"{part}{k:03d}.png", buffer.getvalue())
                add(tar, f"{part}{k:03d}.cls", str(k % len(CLASSES)).encode())
    return root


def write_scenes(root: Path) -> Path:
    """Photos with one head each, for the locator."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, number in (("train", 3), ("val", 1)):
        with tarfile.open(root / f"scenes-{part}.tar", "w") as tar:
            for k in range(number):
                buffer = BytesIO()
                picture(rng, 96).save(buffer, "png")
                add(tar, f"{k}.png", buffer.getvalue())
                add(tar, f"{k}.json", json.dumps({"heads": [[0.2, 0.2, 0.6, 0.7]], "species": "ape"}).encode())
    return root


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """One file of a tar."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, BytesIO(content))


def adversaries(**changes: Any) -> list[Adversary]:
    """A small projected and a small SN projection discriminator."""
    projected = {"weight": 1.0, "mixed_channels": 4, "head_channels": 4, "augment": ["colour", "translation", "cutout"]}
    return [
        ProjectedAdversary(**{**projected, **changes}),
        SNProjectionAdversary("snresnet_small", ch=2, weight=0.5, every=2, share=0.5),
    ]


def gan(**changes: Any) -> GAN:
    """Starts with one step of the autoencoder (batches of 4)."""
    settings: dict[str, Any] = {
        "generator": Network("sngan", {"channels": [8, 8, 8, 4], "latent_dim": 16}),
        "encoder": Network("feature", {"latent_dim": 16, "resolution": 32, "width": 4, "hidden": 8}),
        "stages": [Stage(images=4, sources={"reconstruction": 1.0}, adversarial=0.0), Stage(sources=dict(MIXED))],
        "saturation_weight": 0.1,
        "ema": 0.9,
    }
    settings |= changes
    settings.setdefault("adversaries", adversaries())
    return GAN(**settings)


class StopAt(pl.Callback):
    """Ends the training after so many steps in all."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Look at the module's own count: Lightning's counts optimiser steps."""
        if int(pl_module.steps) >= self.steps:  # type: ignore[arg-type]
            trainer.should_stop = True


def fit(
    root: Path,
    folder: Path,
    steps: int,
    resume: Path | None = None,
    module: GAN | None = None,
    callbacks: tuple[pl.Callback, ...] = (),
    minutes: float = 1e9,
    **data: Any,
) -> GAN:
    """Train up to so many steps in all; `folder/last.ckpt` is written at the end (and every so many minutes)."""
    pl.seed_everything(1, verbose=False)
    module = module or gan()
    settings = {"resolution": SIDE, "batch_size": 4, "num_workers": 0, "cache": "memory", "steps_per_epoch": 5}
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        default_root_dir=folder,
        callbacks=[RandomState(), TimedCheckpoint(minutes, str(folder)), StopAt(steps), *callbacks],
    )
    trainer.fit(module, datamodule=ImageDataModule(root, **{**settings, **data}), ckpt_path=resume, weights_only=True)
    return module


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's content."""
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content
