"""`train.py bench`: pictures a second of the trainings that come with Photograft, and where a step's time goes.

Steps are those of `train.py fit` with the config of each training. What a training does once before its first step
(segmenting pictures, principal axes) is left out or cut short, and so are grids, checkpoints and validation.
"""

import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning import LightningModule

import data.loaders
from models.discriminators.projected import ProjectedDiscriminator
from models.errors import PhotograftError
from models.perception.features import MobileNetV2
from models.projection.objective import Objective
from models.terminal import Say
from models.zoo import DEFAULT, read_classes
from train.clock import Clock
from train.gan.adversaries import Adversary
from train.gan.augment import Augmentation
from train.gan.module import GAN

CONFIGS = Path(__file__).parents[1] / "configs" / "train"
NARROW = "[512,256,128,64,32,16]"  # channels for a CPU, as docs/training.md says
ADVERSARIAL = '[{"sources": {"reconstruction": 0.25, "translation": 0.25, "prior": 0.5}}]'
TRAININGS: dict[str, tuple[str, ...]] = {
    "sngan_heads128": (f"--model.init_args.stages={ADVERSARIAL}",),
    "encoder_heads128": (),
    "auxiliary_heads128": ("--model.init_args.start_photos=16",),
}
ON_CPU = {
    "sngan_heads128": (f"--model.init_args.generator.config.channels={NARROW}", "--data.init_args.batch_size=64"),
}
QUIET = {"logger": "false", "callbacks": "null", "limit_val_batches": 0, "enable_progress_bar": "false"}
WARM_UP = 2
REST = "everything else"


@dataclass(frozen=True)
class Profile:
    """What was measured of a training.

    Attributes:
        name: of its config.
        device: that it ran on.
        pictures: of a step.
        seconds: of each step that was timed.
        parts: seconds of a step by part, most first; none on a GPU.
    """

    name: str
    device: str
    pictures: int
    seconds: list[float]
    parts: dict[str, float]

    @property
    def rate(self) -> float:
        """Pictures a second, by the median of the steps."""
        return self.pictures / float(np.median(self.seconds))

    def lines(self) -> list[str]:
        """A table of it."""
        median, least = float(np.median(self.seconds)), min(self.seconds)
        said = f"{self.name}: {self.rate:.1f} pictures a second on {self.device} ({self.pictures} a step,"
        lines = [f"{said} {median:.3f} s, at best {least:.3f}; steps: {len(self.seconds)})"]
        whole = sum(self.seconds) / len(self.seconds)
        return lines + [f"  {part:<28}{s:8.3f} s{100 * s / whole:6.1f} %" for part, s in self.parts.items()]


class _Steps(pl.Callback):
    """Warms up, times steps for some seconds, and ends the training."""

    def __init__(self, clock: Clock, seconds: float, say: Say) -> None:
        self.clock, self.limit, self.say = clock, seconds, say
        self.taken: list[float] = []
        self.pictures = self.done = 0

    def _now(self, module: LightningModule) -> float:
        if module.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_train_start(self, trainer: pl.Trainer, pl_module: LightningModule) -> None:
        """Start the clock: fetching the first batch belongs to the first step."""
        if pl_module.device.type == "cpu":
            _watch(self.clock, trainer, pl_module)
        self.begun = self.last = self._now(pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Note what the step took."""
        now, self.pictures = self._now(pl_module), len(args[1]["image"])
        self.done += 1
        if self.done <= WARM_UP:
            self.clock.seconds.clear()
            self.begun = now
        else:
            self.taken.append(now - self.last)
        self.say(f"  step {self.done}: {now - self.last:.2f} s")
        self.last = now
        if self.done > WARM_UP and now - self.begun >= self.limit:
            trainer.should_stop = True


def _watch(clock: Clock, trainer: pl.Trainer, module: LightningModule) -> None:
    """Wrap the parts of a step."""
    clock.wrap(data.loaders.PictureStore, "many", "pictures from the cache")
    clock.wrap(data.loaders, "augment", "pictures from the cache")
    clock.wrap(module, "log", "logging")
    clock.wrap(module, "log_dict", "logging")
    home = sys.modules[type(module).__module__]
    if hasattr(home, "update_average"):
        clock.wrap(home, "update_average", "moving average")
    for optimizer in trainer.optimizers:
        clock.wrap(optimizer, "step", "optimisers")
    clock.wrap(MobileNetV2, "stage", "frozen features")
    if isinstance(module, GAN):
        assert module.generator is not None
        clock.wrap(module.generator, "forward", "generator")
        clock.wrap(Augmentation, "__call__", "augmentation")
        clock.wrap(ProjectedDiscriminator, "project", "frozen features")
        clock.wrap(module, "_descend", lambda index, _: "backward: discriminators" if index else "backward: generator")
        clock.wrap(module, "_weighted_terms", "terms of the generator")
        for adversary in module.adversaries:
            assert isinstance(adversary, Adversary)
            for loss in ("own_loss", "generator_loss"):
                clock.wrap(adversary, loss, "discriminators")
        if module.encoder is not None:
            clock.wrap(module.encoder, "forward", "encoder")
        return
    clock.wrap(Objective, "_psi", "Psi of the discriminator")
    clock.wrap(Objective, "_picture", "generator")
    clock.wrap(module, "backward", "backward")
    for name, part in (("encoder", "encoder"), ("auxiliary", "A and B")):
        if hasattr(module, name):
            for method in ("encode", "code", "to_zeta", "to_z"):
                if hasattr(getattr(module, name), method):
                    clock.wrap(getattr(module, name), method, part)
    clock.wrap(torch.autograd, "grad", "gradients of inner steps")


def synthetic(root: Path, per_class: int = 2) -> Path:
    """Drawn pictures of 128 px in folders named after the default model's classes, as trainings read them."""
    rng = np.random.default_rng(0)
    for name in read_classes(DEFAULT).class_names:
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            small.resize((128, 128), Image.Resampling.BICUBIC).save(root / name / f"{number}.png")
    return root


def _build(arguments: list[str]) -> Any:
    """A training, as `train.py fit` builds it."""
    from train.fit import run

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LightningCLI's args parameter")  # `sys.argv` is this command's
        return run(arguments, only_build=True)


def measure(name: str, root: Path, seconds: float, say: Say) -> Profile:
    """Time a training of `TRAININGS` on pictures at a root for about so many seconds.

    Raises:
        PhotograftError: data that the training cannot use.
    """
    from train.fit import EXPECTED

    options = [*TRAININGS[name], *(() if torch.cuda.is_available() else ON_CPU.get(name, ()))]
    options += [f"--trainer.{key}={value}" for key, value in QUIET.items()]
    options += ["--trainer.max_steps=-1", "--trainer.max_time=null", f"--data.root={root}"]
    cli, clock = _build(["-c", str(CONFIGS / f"{name}.yaml"), *options]), Clock()
    steps = _Steps(clock, seconds, say)
    cli.trainer.callbacks.append(steps)
    if isinstance(cli.model, GAN):
        cli.model.on_fit_start = lambda: None  # type: ignore[method-assign]  # minutes of looking at pictures, once
    try:
        with warnings.catch_warnings():
            for text in EXPECTED:
                warnings.filterwarnings("ignore", message=text)
            cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    finally:
        clock.restore()
    whole = sum(steps.taken)
    parts = dict(sorted(clock.seconds.items(), key=lambda item: -item[1]))
    if parts:
        parts[REST] = max(0.0, whole - sum(parts.values()))
    device = str(cli.model.device)
    if device == "cpu":
        device += f" ({torch.get_num_threads()} threads)"
    return Profile(name, device, steps.pictures, steps.taken, {part: s / len(steps.taken) for part, s in parts.items()})


def bench(root: Path | None, names: list[str], seconds: float, say: Say, note: Say) -> None:
    """Say what trainings take, one after the other; pictures are drawn where no data are given.

    Args:
        root: data; None for drawn pictures.
        names: of `TRAININGS`.
        seconds: for the steps of each.
        say: told the tables.
        note: told how far it is.

    Raises:
        PhotograftError: an unknown training, or data that one cannot use.
    """
    for name in names:
        if name not in TRAININGS:
            raise PhotograftError(f"unknown training {name!r}: choose from {', '.join(TRAININGS)}")
    with tempfile.TemporaryDirectory() as folder:
        where = synthetic(Path(folder)) if root is None else root
        for name in names:
            note(f"{name}: setting up")
            profile = measure(name, where, seconds, note)
            for line in profile.lines():
                say(line)
