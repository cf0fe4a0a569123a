"""Training of the finishing network: sharp pictures and a teacher's, and later an adversary for the texture of fur."""

import copy
import math
from collections import defaultdict
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.finisher import SCALE, Finisher, enlarged, with_colours
from train.counters import CountingModule
from train.divergence import check_terms
from train.networks import describe, update_average


class PatchDiscriminator(nn.Module):
    """Pictures [N,3,H,W] and their enlargements -> logits [N,1,H/4,W/4], each of what 30 px around it show.

    It sees the detail, so that it cannot judge by what is in the picture (Isola et al. 2017; spectral norm of Miyato et
    al. 2018).
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()

        def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
            return spectral_norm(nn.Conv2d(inputs, outputs, 3, stride, 1))

        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),  # as fast as a stride, and nothing is lost
            conv(24, width),
            nn.LeakyReLU(0.2),
            conv(width, 2 * width, 2),
            nn.LeakyReLU(0.2),
            conv(2 * width, 2 * width),
            nn.LeakyReLU(0.2),
            conv(2 * width, 2 * width),
            nn.LeakyReLU(0.2),
            conv(2 * width, 1),
        )

    def forward(self, drawn: Tensor, enlargement: Tensor) -> Tensor:
        """See the class."""
        logits: Tensor = self.layers(torch.cat([enlargement, 4 * (drawn - enlargement)], dim=1))
        return logits


class FinisherTraining(CountingModule):
    """Adam on L1 of pixels and of their gradients, and on a hinge adversary after a while.

    What is compared has the colours of the network's input: truth and teacher are moved as the output is.

    Args:
        width, blocks: of the network.
        learning_rate: of it, going to zero by a cosine; the adversary's is twice as high.
        total_steps: of the whole training.
        gradients, adversary: weights beside that of the pixels, 1.
        adversary_from: share of the steps after which the adversary begins.
        ema: of the average that is exported.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: int = 8,
        learning_rate: float = 1e-3,
        total_steps: int = 1500,
        gradients: float = 1.0,
        adversary: float = 0.0,
        adversary_from: float = 0.4,
        ema: float = 0.998,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.finisher = Finisher(width, blocks).to(memory_format=torch.channels_last)
        self.ema = nn.ModuleDict({"finisher": copy.deepcopy(self.finisher).requires_grad_(False)})
        self.discriminator = PatchDiscriminator().to(memory_format=torch.channels_last)
        self.learning_rate, self.total_steps, self.ema_decay = learning_rate, total_steps, ema
        self.gradients, self.adversary, self.adversary_from = gradients, adversary, adversary_from
        self._scores: dict[str, list[Tensor]] = defaultdict(list)

    @property
    def averaged(self) -> Finisher:
        """The moving average of the network."""
        return cast(Finisher, self.ema["finisher"])

    def configure_optimizers(self) -> Any:
        """Adam for the network and for the adversary."""
        return [
            torch.optim.Adam(self.finisher.parameters(), self.learning_rate, betas=(0.9, 0.99)),
            torch.optim.Adam(self.discriminator.parameters(), 2 * self.learning_rate, betas=(0.5, 0.99)),
        ]

    def training_step(self, batch: list[dict[str, Tensor]], batch_index: int) -> None:
        """One step of the network, and of the adversary once it has begun."""
        done = min(self.steps / self.total_steps, 1.0)
        optimizers = cast(list[Any], self.optimizers())
        for optimizer, rate in zip(optimizers, (self.learning_rate, 2 * self.learning_rate), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        adversary = bool(self.adversary) and done >= self.adversary_from
        terms: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=self.device))
        fakes: list[tuple[Tensor, Tensor]] = []
        for part in batch:
            drawn, wanted = self._compared(part)
            terms["pixels"] = terms["pixels"] + (drawn - wanted).abs().mean()
            terms["gradients"] = terms["gradients"] + self.gradients * _gradient_distance(drawn, wanted)
            if drawn.shape[-1] == SCALE * part["low"].shape[-1]:
                fakes.append((drawn, enlarged(part["low"])))
        fake, enlargement = (torch.cat(parts) for parts in zip(*fakes, strict=True))
        if adversary:
            self.discriminator.requires_grad_(False)
            terms["adversary"] = -self.adversary * self.discriminator(fake, enlargement).mean()
            self.discriminator.requires_grad_(True)
        check_terms(terms, self.steps)
        self._update(optimizers[0], torch.stack(list(terms.values())).sum(), self.finisher)
        if adversary:
            real = self._truth(batch[0]), enlarged(batch[0]["low"])
            loss = F.relu(1 - self.discriminator(*real)).mean()
            loss = loss + F.relu(1 + self.discriminator(fake.detach(), enlargement)).mean()
            self._update(optimizers[1], loss, self.discriminator)
            terms["discriminator"] = loss
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()})
        update_average(self.averaged, self.finisher, min(self.ema_decay, (1 + self.steps) / (10 + self.steps)))
        self.count(sum(len(part["low"]) for part in batch))

    def _update(self, optimizer: Any, loss: Tensor, network: nn.Module) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    def _compared(self, part: dict[str, Tensor], network: Finisher | None = None) -> tuple[Tensor, Tensor]:
        """What the network draws and what it should, at the truth's size."""
        low, high = part["low"], part["high"]
        drawn = (network or self.finisher)(low.contiguous(memory_format=torch.channels_last))
        if high.shape[-1] != drawn.shape[-1]:
            drawn = F.avg_pool2d(drawn, drawn.shape[-1] // high.shape[-1])
        return drawn, self._truth(part)

    def _truth(self, part: dict[str, Tensor]) -> Tensor:
        """The large picture with the colours of the small one."""
        return with_colours(part["high"], part["low"])

    def validation_step(self, batch: tuple[str, dict[str, Tensor]], batch_index: int) -> None:
        """Mean absolute error of the average, and of the cubic enlargement with the same colours, in levels of 255."""
        name, part = batch
        drawn, wanted = self._compared(part, self.averaged)
        plain = with_colours(enlarged(part["low"]), part["low"])
        plain = F.interpolate(plain, wanted.shape[-1], mode="area")
        for kind, picture in (("", drawn), ("_cubic", plain)):
            error = (picture.clamp(-1, 1) - wanted.clamp(-1, 1)).abs().mean() * 127.5
            self._scores[f"val/{name}{kind}"].append(error)

    def on_validation_epoch_end(self) -> None:
        """Means over the pictures of each source."""
        self.log_dict({name: torch.stack(values).mean() for name, values in self._scores.items()})
        self._scores.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what export needs to rebuild the network."""
        checkpoint["networks"] = describe({"finisher": ("finisher", self.finisher)})


def _gradient_distance(drawn: Tensor, wanted: Tensor) -> Tensor:
    """L1 of the differences between neighbours: edges count as much as areas."""
    off = drawn - wanted
    return (off[..., 1:] - off[..., :-1]).abs().mean() + (off[..., 1:, :] - off[..., :-1, :]).abs().mean()
