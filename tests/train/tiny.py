"""Trainings small enough for a test: made-up pictures; GAN with an encoder in its loop, both adversaries and group
tables; encoder; auxiliary networks."""

import json
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image

from data.module import ImageDataModule
from models.discriminators.sn_projection import SNProjectionDiscriminator
from models.encoder import ResNetEncoder
from models.files import save_network
from models.generators.sngan import ConditionalBatchNorm2d, SNGANGenerator
from train.callbacks import RandomState, TimedCheckpoint
from train.gan.adversaries import Adversary, ProjectedAdversary, SNProjectionAdversary
from train.gan.module import GAN
from train.gan.sources import Stage
from train.gan.terms import Features, Pixels, Saturation, Term
from train.networks import Network
from train.projection.auxiliary import AuxiliaryTraining
from train.projection.encoder import EncoderTraining

SIDE, LATENTS, CHANNELS = 32, 16, [8, 8, 8, 4]
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
    return write_tars(root, {"train-0": count * len(CLASSES), "val-0": 2 * len(CLASSES)})


def write_tars(root: Path, pictures: dict[str, int]) -> Path:
    """`made-up-PART.tar` with so many pictures for every part, and `classes.json` with groups."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    entries = [{"index": i, "name": name, "species": group} for i, (name, group) in enumerate(CLASSES)]
    (root / "classes.json").write_text(json.dumps({"classes": entries}))
    for part, number in pictures.items():
        with tarfile.open(root / f"made-up-{part}.tar", "w") as tar:
            for k in range(number):
                buffer = BytesIO()
                picture(rng).save(buffer, "png")
                add(tar, f"{part}-{k:03d}.png", buffer.getvalue())
                add(tar, f"{part}-{k:03d}.cls", str(k % len(CLASSES)).encode())
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


def reconstruction() -> list[Term]:
    """The terms of reconstructions; every training needs its own."""
    return [Pixels(1.0), Features(1.0)]


def gan(**changes: Any) -> GAN:
    """Starts with one step of the autoencoder (batches of 4)."""
    settings: dict[str, Any] = {
        "generator": Network("sngan", {"channels": CHANNELS, "latent_dim": LATENTS}),
        "encoder": Network("feature", {"latent_dim": LATENTS, "resolution": 32, "width": 4, "hidden": 8}),
        "stages": [Stage(images=4, sources={"reconstruction": 1.0}, adversarial=0.0), Stage(sources=dict(MIXED))],
        "ema": 0.9,
    }
    settings |= changes
    settings.setdefault("adversaries", adversaries())
    settings.setdefault("terms", [*reconstruction(), Saturation(0.1)])
    return GAN(**settings)


def write_model(folder: Path, name: str = "tiny", seed: int = 1) -> Path:
    """`NAME.generator.safetensors` for these classes, discriminator and encoder beside it; returns the generator's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = SNGANGenerator(CHANNELS, LATENTS, len(CLASSES))
        for module in generator.modules():
            if isinstance(module, ConditionalBatchNorm2d):  # fresh ones are the same for every class
                torch.nn.init.normal_(module.gamma, 1.0, 0.5)
                torch.nn.init.normal_(module.beta, 0.0, 0.5)
        networks = {
            "generator": generator,
            "discriminator": SNProjectionDiscriminator([4, 8, 8], len(CLASSES)),
            "encoder": ResNetEncoder([4, 4, 8, 8], LATENTS, len(CLASSES)),
        }
    info = {"class_names": [name for name, _ in CLASSES]}
    for kind, network in networks.items():
        save_network(folder / f"{name}.{kind}.safetensors", network, kind, info)
    return folder / f"{name}.generator.safetensors"


ENCODERS = {
    "resnet": Network("resnet", {"channels": [4, 4, 8, 8]}),
    "feature": Network("feature", {"resolution": 32, "width": 4, "hidden": 8}),
}


def encoder_training(model: Path, family: str = "resnet", **changes: Any) -> EncoderTraining:
    """Trains an encoder of a family for the model that `write_model` wrote; big steps, so that a few are seen."""
    return EncoderTraining(str(model), ENCODERS[family], **{"learning_rate": 1e-3, **changes})


def auxiliary_training(model: Path, **changes: Any) -> AuxiliaryTraining:
    """Trains A and B for the model that `write_model` wrote; big steps, so that a few are seen."""
    small = {"zeta_dim": 24, "hidden_a": 16, "hidden_b": 16, "learning_rate": 1e-3}
    return AuxiliaryTraining(str(model), **{**small, **changes})


Training = GAN | EncoderTraining | AuxiliaryTraining


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
    module: Training | None = None,
    callbacks: tuple[pl.Callback, ...] = (),
    minutes: float = 1e9,
    make: Callable[[], Training] = gan,
    trainer: dict[str, Any] | None = None,
    **data: Any,
) -> Training:
    """Train up to so many steps in all; `folder/last.ckpt` is written at the end (and every so many minutes).

    What is trained is the given module, or what `make` makes once the seed is set; `trainer` and `data` are settings.
    """
    pl.seed_everything(1, verbose=False)
    module = module or make()
    settings = {"resolution": SIDE, "batch_size": 4, "num_workers": 0, "cache": "memory", "steps_per_epoch": 5}
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    defaults: dict[str, Any] = {**quiet, "enable_model_summary": False, "limit_val_batches": 0}
    ours = [RandomState(), TimedCheckpoint(minutes, str(folder)), StopAt(steps), *callbacks]
    runs = pl.Trainer(
        accelerator="cpu", max_epochs=-1, default_root_dir=folder, callbacks=ours, **{**defaults, **(trainer or {})}
    )
    runs.fit(module, datamodule=ImageDataModule(root, **{**settings, **data}), ckpt_path=resume, weights_only=True)
    return module


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's content."""
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content
