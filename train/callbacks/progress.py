"""How far a training is: a bar on a terminal, elsewhere a line now and then."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from models.progress import duration, tell
from train.callbacks.run import images_seen
from train.counters import CountingModule

HIDDEN = ("images", "images_per_second", "learning_rate", "gradient_norm", "gpu_memory_gib", "epoch")
SMOOTH = 0.7  # weight of the rate known before, when a new one is measured


class TrainingProgress(pl.Callback):
    """Says on stderr how far a training is, how fast, with which losses, when it will end and why then.

    Counts are real pictures where the training counts them, else steps of the optimiser.

    Args:
        seconds: between two lines; a terminal's bar moves every second.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        self.seconds = seconds
        self._terminal = sys.stderr.isatty()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self.begun = False
        self._begun = self._told = 0.0
        self._at: tuple[float, int, int] | None = None  # when, pictures or steps, optimiser's steps
        self._first = self._of = 0  # pictures or steps, and optimiser's steps, before this run
        self._rate = 0.0

    # ------------------------------------------------------------------ when

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say where it runs, and start the clock."""
        self.begun = True
        seen, unit = _seen(trainer, pl_module)
        self._first, self._of, self._begun, self._at = seen, trainer.global_step, time.monotonic(), None
        several = f" x {trainer.world_size} processes" if trainer.world_size > 1 else ""
        tell(f"training on {trainer.strategy.root_device}{several} ({trainer.precision}) from {seen:,} {unit} on")
        if self._terminal:
            columns = (TextColumn("{task.description}"), BarColumn(None), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), refresh_per_second=2, transient=True)
            self._task = self._bar.add_task("first step", total=None)
            self._bar.start()

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Say how far it is when it is time."""
        now, (seen, _) = time.monotonic(), _seen(trainer, pl_module)
        if trainer.should_stop:  # what follows says it
            return
        if self._at is None:  # the first step chooses kernels: not what the others take
            self._at, self._told = (now, seen, trainer.global_step), now
            tell(f"first step after {now - self._begun:.1f} s")
            return
        if now - self._told < (1.0 if self._terminal else self.seconds):
            return
        rate = (seen - self._at[1]) / (now - self._at[0])
        self._rate = SMOOTH * self._rate + (1 - SMOOTH) * rate if self._rate and self._terminal else rate
        self._at, self._told = (now, seen, trainer.global_step), now
        self._show(trainer, pl_module)

    @rank_zero_only
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what was reached."""
        self._close()
        seen, unit = _seen(trainer, pl_module)
        lasted = time.monotonic() - self._begun
        tell(f"ended at {seen:,} {unit}, after {duration(lasted)}{_listed(losses(trainer.callback_metrics))}")

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self._close()

    # ------------------------------------------------------------------ what

    def _show(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        seen, unit = _seen(trainer, module)
        done = trainer.global_step - self._of
        end = first_end(trainer, module, self._rate, (seen - self._first) / done if done else 0.0)
        total = f" of {end[0]:,.0f}" if end else ""
        left = (end[0] - seen) / self._rate if end and self._rate else None
        rest = "" if end is None or left is None else f", {duration(left)} to go ({end[1]})"
        text = f"{seen:,}{total} {unit}, {self._rate:.1f}/s{_listed(losses(trainer.callback_metrics))}{rest}"
        if self._bar is None:
            tell(text)
        else:
            self._bar.update(self._task, description=text, completed=seen, total=end[0] if end else None)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def first_end(
    trainer: pl.Trainer, module: pl.LightningModule, rate: float, per_step: float
) -> tuple[float, str] | None:
    """Where a training will end, and what ends it; None for one that goes on until it is stopped.

    Args:
        trainer, module: of the training.
        rate: pictures (or steps) per second.
        per_step: pictures (or steps) per step of an optimiser: `max_steps` counts these.

    Returns:
        (pictures or steps in all, name of the setting), of what comes first.
    """
    seen = _seen(trainer, module)[0]
    ends = []
    decayed = module.ends_at if isinstance(module, CountingModule) else None
    if decayed is not None:
        ends.append((float(decayed), "decay"))
    if trainer.max_steps > 0 and per_step:
        ends.append((seen + (trainer.max_steps - trainer.global_step) * per_step, "max_steps"))
    if trainer.max_epochs and trainer.max_epochs > 0:
        loop = trainer.fit_loop
        batches = loop.max_batches * trainer.max_epochs
        done = loop.max_batches * trainer.current_epoch + loop.epoch_loop.batch_progress.current.completed
        if done:
            ends.append((seen * batches / done, "max_epochs"))
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
    for timer in timers:
        left = timer.time_remaining()
        if left is not None and rate:
            ends.append((seen + left * rate, "max_time"))
    return min(ends, default=None)


def losses(metrics: Mapping[str, Any]) -> dict[str, float]:
    """What a line says of the metrics: single ones as they are, terms of a loss (`NAME/TERM`) as their sum."""
    found: dict[str, float] = {}
    single = "loss" in metrics  # then what it is made of is left out
    for name, value in metrics.items():
        group, _, term = name.partition("/")
        if group in HIDDEN or name.endswith(("_step", "_epoch")):
            continue
        if group == "val" or name.startswith("frechet"):
            found[name] = float(value)
        elif term and not single:
            found[group] = found.get(group, 0.0) + float(value)
        elif name == "loss":
            found[name] = float(value)
    return found


def _seen(trainer: pl.Trainer, module: pl.LightningModule) -> tuple[int, str]:
    """How far a training is, and in what."""
    if isinstance(module, CountingModule):
        return images_seen(module), "pictures"
    return trainer.global_step, "steps"


def _listed(values: Mapping[str, float]) -> str:
    return "".join(f", {name} {value:.4g}" for name, value in values.items())
