"""One of several processes that train together: `python -m tests.train.ranks RANK RANKS FOLDER`.

FOLDER is what `prepare` made. The weights of every case go to FOLDER/RANK/CASE.pt. The processes meet over a file and
not a port, so that tests may run side by side.
"""

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from models.layers.batch_norm import BatchNorm2d
from tests.train.tiny import (
    ENCODERS,
    Training,
    auxiliary_training,
    encoder_training,
    fit,
    gan,
    reconstruction,
    write_model,
    write_tars,
)
from train.callbacks import FrechetDistance, SampleGrid, Throughput
from train.gan.start import Start
from train.gan.terms import Decorrelation, Diversity, Saturation
from train.projection.base import ProjectionTraining
from train.projection.encoder import EncoderTraining

BATCH, STEPS = 8, 4  # BATCH: of all processes together
UNEVEN = {"train-0": 3, "train-1": 20, "val-0": 5}  # pictures of the shards
TIMEOUT = 60.0  # seconds that a process waits for the others
SECONDS = 180.0  # that all cases together may take on a busy machine

Make = Callable[[str], Training]
EQUAL: dict[str, tuple[Make, dict[str, Any]]] = {  # nothing is drawn at random; with the trainer's settings
    "auxiliary": (lambda model: auxiliary_training(model, warm_up=2), {}),
    "auxiliary_learnt": (
        lambda model: auxiliary_training(
            model, learn_step_size=True, step_size=0.02, count_generator=True, learning_rate=0.02
        ),
        {"gradient_clip_val": 5.0},  # far below the norm
    ),
    "resnet": (lambda model: encoder_training(model, "resnet", pixel_weight=0.2, ema=0.5), {}),
    # at a higher rate one process differs by as much from itself with the batch in another order: rounding grows
    "feature": (lambda model: encoder_training(model, "feature", latent_weight=0.1, learning_rate=1e-4), {}),
}


class Validated(EncoderTraining):
    """Waits for the other processes at each batch of validation."""

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """As ever, and an exchange."""
        super().validation_step(batch, batch_index)
        self.all_gather(torch.tensor(len(batch["image"])))


def prepare(folder: Path) -> Path:
    """Data and a model for the cases."""
    write_tars(folder / "data", {"train-0": 24, "val-0": 6})
    write_tars(folder / "uneven", UNEVEN)
    write_model(folder / "model")
    return folder


def model_file(folder: Path) -> str:
    """Where `prepare` put the generator."""
    return str(folder / "model" / "tiny.generator.safetensors")


def descent(module: ProjectionTraining) -> torch.optim.Optimizer:
    """In place of Adam, which hides the gradient's scale and makes a sign of what is only rounding."""
    return torch.optim.SGD([p for p in module.parameters() if p.requires_grad], module.learning_rate)


def train_equal(case: str, folder: Path, out: Path, rank: int = 0, ranks: int = 1, **trainer: Any) -> dict[str, Tensor]:
    """STEPS steps of plain gradient descent on BATCH pictures; what the module holds at the end."""
    make, settings = EQUAL[case]

    def made() -> Training:
        torch.manual_seed(1 + rank)  # only rank 0's first weights count
        return make(model_file(folder))

    with patch.object(ProjectionTraining, "configure_optimizers", descent):
        module = fit(folder / "data", out, STEPS, make=made, trainer={**settings, **trainer}, batch_size=BATCH // ranks)
    return module.state_dict()


def train_gan(folder: Path, out: Path, **trainer: Any) -> dict[str, Tensor]:
    """With every callback that works on one rank only, or waits for the others."""
    watch = (SampleGrid(every=8, classes=2, columns=3), FrechetDistance(every=16, n=4, batch_size=4), Throughput())
    settings = {**trainer, "strategy": "ddp_find_unused_parameters_true"}

    def make() -> Training:
        terms = [*reconstruction(), Saturation(0.1), Decorrelation(0.1), Diversity(1.0)]
        return gan(terms=terms, start=Start(whiten_codes=True))

    return fit(folder / "data", out, STEPS, make=make, callbacks=watch, minutes=0, trainer=settings).state_dict()


def train_uneven(folder: Path, out: Path, **trainer: Any) -> dict[str, Tensor]:
    """Shards of very different sizes, and an odd number of validation pictures, which are looked at twice."""
    settings = {**trainer, "limit_val_batches": 1.0, "num_sanity_val_steps": 0}
    module = fit(
        folder / "uneven",
        out,
        2 * STEPS,
        make=lambda: Validated(model_file(folder), ENCODERS["resnet"]),
        trainer=settings,
        batch_size=2,
        steps_per_epoch=STEPS,
    )
    return {**module.state_dict(), "val_loss": module.trainer.callback_metrics["val/feature"]}


def normalise(norm: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """One step of batch normalisation [n,C,h,w] in training mode, forward and backward, with what it leaves behind."""
    x = x.clone().requires_grad_()
    y = norm(x)
    (y * torch.linspace(-1, 1, y[0].numel()).view(y[0].shape) * y.square()).sum().backward()
    assert x.grad is not None
    gradients = {f"d {name}": p.grad for name, p in norm.named_parameters() if p.grad is not None}
    return {"y": y.detach(), "dx": x.grad, **gradients, **norm.state_dict()}


def far_from_zero() -> Tensor:  # [7,3,4,4]
    """What a variance computed from sums in float32 would lose its digits on."""
    return torch.randn(7, 3, 4, 4, generator=torch.Generator().manual_seed(5)) * 0.5 + 300


def normalise_part(rank: int) -> dict[str, Tensor]:
    """This process' pictures of `far_from_zero`: two and five."""
    return normalise(BatchNorm2d(3), far_from_zero()[:2] if rank == 0 else far_from_zero()[2:])


def main(rank: int, ranks: int, folder: Path) -> None:
    """All cases."""
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(ranks)}
    store = f"file://{folder / 'meeting'}"
    timeout = timedelta(seconds=TIMEOUT)
    torch.distributed.init_process_group("gloo", store, timeout, world_size=ranks, rank=rank)
    settings: dict[str, Any] = {"devices": ranks, "strategy": "ddp"}
    (folder / str(rank)).mkdir()
    runs = folder / "runs"
    cases: dict[str, Callable[[], dict[str, Tensor]]] = {
        "batch_norm": lambda: normalise_part(rank),
        **{case: partial(train_equal, case, folder, runs / case, rank, ranks, **settings) for case in EQUAL},
        "gan": lambda: train_gan(folder, runs / "gan", **settings),
        "uneven": lambda: train_uneven(folder, runs / "uneven", **settings),
    }
    for case, run in cases.items():
        torch.save(run(), folder / str(rank) / f"{case}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
