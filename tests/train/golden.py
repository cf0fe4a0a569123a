"""Running our trainings on what was recorded from the original: its batch, its weights, and steps that are noise.

Adam's first step is lr * sign(gradient), so a value whose gradient is mere rounding noise may step to either side.
Such values are checked to lie within a step of the recorded ones and then set to them; tests bound how many they are.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from models.base import Configurable
from models.files import save_network
from tests.collage_fixtures import Fixture, link_path


class GivenData(pl.LightningDataModule):
    """One recorded batch, and what a module asks of its data."""

    def __init__(self, images: Tensor, label: Tensor, num_classes: int = 7) -> None:
        super().__init__()
        self.batch = {"image": images, "label": label}
        self.num_classes, self.resolution = num_classes, images.shape[-1]
        self.class_names, self.group_names = [str(i) for i in range(num_classes)], ["all"]
        self.groups = [0] * num_classes
        self.class_distribution = torch.full((num_classes,), 1 / num_classes)

    def train_dataloader(self) -> DataLoader[Any]:
        """The batch, once."""
        return DataLoader([self.batch], batch_size=None)  # type: ignore[arg-type]


def fit_once(module: pl.LightningModule, data: GivenData, **settings: Any) -> None:
    """One step of a training."""
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet |= {"enable_model_summary": False, "limit_val_batches": 0}
    pl.Trainer(accelerator="cpu", max_epochs=1, **quiet, **settings).fit(module, datamodule=data)  # type: ignore[arg-type]


def write_model(folder: Path, networks: Mapping[str, Configurable]) -> str:
    """Files of networks by kind; returns the name under which `load_model` finds them."""
    for kind, network in networks.items():
        save_network(folder / f"golden.{kind}.safetensors", network, kind)
    return str(folder / "golden")


def gradients(net: torch.nn.Module) -> dict[str, Tensor]:
    """Copies of the gradients, by the parameters' names."""
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def use_original_epsilon(optimizer: torch.optim.Optimizer) -> None:
    """Chainer adds eps before the bias correction: in the first step that is 1e-8 / sqrt(1 - beta2) after it."""
    for group in optimizer.param_groups:
        group["eps"] = 1e-8 / (1 - group["betas"][1]) ** 0.5


def links(net: Configurable) -> Iterator[tuple[str, str, Tensor]]:
    """(the original's name, our name, value) of everything in a network's state but counters."""
    for name, value in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        owner, leaf = name.rsplit(".", 1)
        if leaf in ("running_mean", "running_var"):
            link = link_path(f"{owner}.weight", net).rsplit(".", 1)[0]
            link += ".avg_mean" if leaf == "running_mean" else ".avg_var"
        elif leaf == "u":
            link = link_path(f"{owner.removesuffix('.spectral_norm')}.weight", net).removesuffix("W") + "u"
        else:
            link = link_path(name, net)
        yield link, name, value


def settle(
    fixture: Fixture, prefix: str, net: Configurable, grads: Mapping[str, Tensor], *, noise: float, rate: float
) -> tuple[int, int]:
    """Set what moved by gradients below `noise` to what was recorded; numbers of such values and of all."""
    noisy = total = 0
    for link, name, value in links(net):
        key, gradient = f"{prefix}{link}", grads.get(name)
        if key in fixture and gradient is not None:
            expected = fixture.get(key).reshape(value.shape)
            small = gradient.abs() < noise
            if bool((~small).any()):
                small &= gradient != 0  # classes that are not in the batch, units that are off: these do not move
            assert bool(((value - expected).abs()[small] <= 2.01 * rate).all()), name
            value[small] = expected[small]
            noisy, total = noisy + int(small.sum()), total + value.numel()
    return noisy, total
