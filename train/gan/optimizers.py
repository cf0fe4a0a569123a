"""The optimisers of a GAN's training: Adam for the generator with its encoder, and one for each adversary."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from models.base import Generator
from train.gan.adversaries import Adversary
from train.schedule import check_rates, linear_decay
from train.tables import table_parameters

Rates = list[list[float]]
"""Of each parameter group of each optimiser."""


@dataclass(frozen=True)
class OptimizerSettings:
    """Of Adam; adversaries bring their own learning rates.

    Attributes:
        learning_rate: of the generator, and of the encoder unless it has its own.
        encoder_learning_rate: of the encoder: layers with equalised rates (StyleGAN2) want ten times that of others.
        table_learning_rate: of the class tables (gamma and beta).
        grown_learning_rate: of what a generator has above the smaller one that it has grown from, tables too; None: as
            of the rest.
        betas: of all networks.
        decay: (from, to) images over which all learning rates go linearly to zero.
    """

    learning_rate: float = 2e-4
    encoder_learning_rate: float | None = None
    table_learning_rate: float = 1e-3
    grown_learning_rate: float | None = None
    betas: tuple[float, float] = (0.0, 0.9)
    decay: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Raise PhotograftError for rates that are none."""
        check_rates(
            self.decay,
            learning_rate=self.learning_rate,
            encoder_learning_rate=self.encoder_learning_rate,
            table_learning_rate=self.table_learning_rate,
            grown_learning_rate=self.grown_learning_rate,
        )

    def build(
        self, generator: Generator, encoder: nn.Module | None, adversaries: Sequence[Adversary]
    ) -> list[torch.optim.Optimizer]:
        """Adam of the generator (with the encoder), then one of each adversary."""
        grown = {} if self.grown_learning_rate is None else {id(p): p for p in grown_parameters(generator)}
        tables = {id(p): p for p in table_parameters(generator) if id(p) not in grown}
        rest = [p for p in generator.parameters() if id(p) not in tables.keys() | grown.keys()]
        coded = [] if encoder is None else [p for p in encoder.parameters() if p.requires_grad]
        groups = [
            {"params": rest, "lr": self.learning_rate},
            {"params": list(tables.values()), "lr": self.table_learning_rate},
        ]
        if self.encoder_learning_rate is None:
            rest += coded
        else:
            groups.append({"params": coded, "lr": self.encoder_learning_rate})
        if self.grown_learning_rate is not None:
            groups.append({"params": list(grown.values()), "lr": self.grown_learning_rate})
        optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(groups, betas=self.betas)]
        for adversary in adversaries:
            learns = [p for p in adversary.parameters() if p.requires_grad]
            optimizers.append(torch.optim.Adam(learns, lr=adversary.learning_rate, betas=self.betas))
        return optimizers

    def decayed(self, images_seen: int) -> float:
        """Factor on all learning rates after so many images."""
        return linear_decay(images_seen, self.decay)


def grown_parameters(generator: Generator) -> list[nn.Parameter]:
    """The parameters of what `Generator.grow_from` has added."""
    return [p for name in generator.grown for p in generator.get_submodule(name).parameters()]


def rates_of(optimizers: Sequence[torch.optim.Optimizer]) -> Rates:
    """The learning rates that optimisers have now."""
    return [[float(group["lr"]) for group in optimizer.param_groups] for optimizer in optimizers]


def set_rates(optimizers: Sequence[torch.optim.Optimizer], rates: Rates, factor: float) -> None:
    """Give optimisers these learning rates times a factor; in place where they are tensors (see `train.gan.graph`)."""
    for optimizer, of_groups in zip(optimizers, rates, strict=True):
        for group, rate in zip(optimizer.param_groups, of_groups, strict=True):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate * factor)
            else:
                group["lr"] = rate * factor
