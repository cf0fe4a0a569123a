"""`train.py fit` of a tiny GAN through the command line, as a user calls it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.train.tiny import CHANNELS, LATENTS, SIDE, write_shards
from train import cli

CALLBACKS = ("RandomState", "Throughput", "TimedCheckpoint")


class Train:
    """Calls the command on made-up data in a folder; batches of 4.

    Args:
        folder: see below.
        logger: class of the logger.
        encoder: train an encoder along, whose frozen features are the larger part of a step and of a checkpoint.

    Attributes:
        folder: where `data/` is, and `tiny.yaml`.
        base: the run's folder by the config.
    """

    def __init__(self, folder: Path, logger: str = "train.loggers.CSVLog", *, encoder: bool = True) -> None:
        self.folder, self.base = folder, folder / "runs" / "tiny"
        write_shards(folder / "data")
        network = {"family": "sngan", "config": {"channels": CHANNELS, "latent_dim": LATENTS}}
        adversary = {"class_path": "train.gan.adversaries.SNProjectionAdversary"}
        feature = {"family": "feature", "config": {"resolution": 32, "width": 4, "hidden": 8}}
        trainer: dict[str, Any] = {
            "accelerator": "cpu",
            "default_root_dir": str(self.base),
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "log_every_n_steps": 1,
            "limit_val_batches": 0,
            "logger": {"class_path": logger},
            "callbacks": [{"class_path": f"train.callbacks.{name}"} for name in CALLBACKS],
        }
        model = {
            "generator": network,
            "encoder": feature if encoder else None,
            "adversaries": [{**adversary, "init_args": {"layout": "snresnet_small", "ch": 2}}],
            "stages": [{"sources": {"reconstruction": 0.5, "prior": 0.5} if encoder else {"prior": 1.0}}],
        }
        data = {
            "root": str(folder / "data"),
            "resolution": SIDE,
            "batch_size": 4,
            "num_workers": 0,
            "cache": "memory",
            "images_per_epoch": 1000,
        }
        self.config = {
            "trainer": trainer,
            "model": {"class_path": "train.gan.GAN", "init_args": model},
            "data": {"class_path": "data.module.ImageDataModule", "init_args": data},
        }
        (folder / "tiny.yaml").write_text(yaml.safe_dump(self.config))

    def __call__(self, *more: str, steps: int | None = None, config: Path | None = None, command: str = "fit") -> int:
        """The exit code."""
        ends = [] if steps is None else [f"--trainer.max_steps={2 * steps}"]  # of two optimisers
        return call([command, "-c", str(config or self.folder / "tiny.yaml"), *ends, *more])


def call(arguments: Sequence[str]) -> int:
    """The exit code of `train.py ARGUMENTS`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["train.py", *arguments])
        try:
            cli.main()
        except SystemExit as error:
            return int(error.code or 0)
    return 0
