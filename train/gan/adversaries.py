"""The adversaries that a generator can be trained against, one at a time or several beside each other.

An adversary *looks* at pictures once (for the projected discriminator that is the costly part); its own loss and the
generator's are then computed on what it saw.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Configurable
from models.discriminators.projected import Projected, ProjectedDiscriminator
from models.discriminators.sn_projection import SN_LAYOUTS, SNProjectionDiscriminator
from models.discriminators.stylegan2 import StyleGAN2Discriminator
from models.errors import PhotograftError
from models.files import load_network, load_state
from models.layers.batch_norm import shares_statistics
from models.losses import hinge_discriminator, hinge_generator, logistic_discriminator, logistic_generator
from train.gan.augment import DIFFAUGMENT, PARTS, Augmentation
from train.gan.sources import Fakes
from train.schedule import check_rates


@dataclass(frozen=True)
class View:
    """What an adversary saw of a batch's real pictures and fakes, augmented alike; the fakes' classes [N]."""

    real: Any
    fake: Any
    labels: Tensor


class Adversary(nn.Module, ABC):
    """A discriminator with its share in the generator's loss.

    Args:
        weight: of its score in the generator's loss; 0 makes it an observer, which learns and is not listened to.
        every: it takes a step at every so many steps.
        learning_rate: of its Adam (betas 0.0 and 0.9).
        augment: how the pictures that it sees are augmented: some of `train.gan.augment.PARTS`, or nothing.
        share: part of the batch that it looks at (an observer need not see all).
        init: weights file to start from (one that `train.py export` wrote).

    Attributes:
        recordable: whether it does the same in every step, as CUDA graphs must (see `train.gan.graph`).
    """

    recordable: ClassVar[bool] = True
    network: Configurable

    def __init__(
        self,
        weight: float,
        every: int,
        learning_rate: float,
        augment: Sequence[str],
        share: float,
        init: str | None,
    ) -> None:
        super().__init__()
        self.init = init
        check_rates(None, learning_rate=learning_rate)
        self.weight, self.every, self.learning_rate = weight, every, learning_rate
        unknown = set(augment) - set(PARTS)
        if unknown:
            raise PhotograftError(f"unknown augmentation {sorted(unknown)}: choose among {', '.join(PARTS)}")
        self.augment, self.share = tuple(augment), share

    @abstractmethod
    def build(self, num_classes: int, resolution: int) -> None:
        """Make the network, once the data are known."""

    def start(self) -> None:
        """Take the weights of `init`, if given. Raises PhotograftError for a file that does not fit."""
        if self.init is not None:
            source, _ = load_network(Path(self.init), "discriminator")
            load_state(self.network, source.state_dict(), Path(self.init))

    def set_learning(self, on: bool) -> None:
        """Gradients of what learns in it on or off (off while the generator's loss goes through it)."""
        self.requires_grad_(on)

    def augmented(self, x: Tensor, augmentation: Augmentation) -> Tensor:  # [N,3,R,R] -> [N,3,R,R]
        """Pictures as it is to see them."""
        return augmentation(x, self.augment) if self.augment else x

    def look(self, x: Tensor) -> Any:
        """What the network sees of pictures [N,3,R,R] in [-1,1]."""
        return x

    def view(self, real: Tensor, fakes: Fakes, augmentation: Augmentation, pick: Any) -> View:
        """Look at those pictures of a batch that `pick`, a slice or places [n], names; gradients are of fakes alone."""
        real, fake = (x[pick] if isinstance(pick, slice) else x.index_select(0, pick) for x in (real, fakes.images))
        real, fake = (self.augmented(x, augmentation[pick]) for x in (real, fake))
        with torch.no_grad():
            seen_real = self.look(real)
        return View(seen_real, self.look(fake), fakes.codes.labels[pick])

    @abstractmethod
    def own_loss(
        self, real: Any, real_label: Tensor, fake: Any, fake_label: Tensor, wrong_label: Tensor
    ) -> dict[str, Tensor]:
        """Terms of the discriminator's loss; `wrong_label` is a class that the real picture is not."""

    @abstractmethod
    def generator_loss(self, fake: Any, label: Tensor) -> Tensor:
        """Term of the generator's loss, before its weight."""


class SNProjectionAdversary(Adversary):
    """The paper's: spectral-norm projection discriminator on pixels, hinge loss. Its features are Psi.

    Args:
        layout: one of the original's widths (`snresnet_64`, `snresnet_128`, `snresnet_small`, `snresnet_256`).
        ch: base width.
        attention: numbers of blocks that self-attention stands behind, as in BigGAN.
    """

    def __init__(
        self,
        layout: str = "snresnet_small",
        ch: int = 32,
        weight: float = 1.0,
        every: int = 1,
        learning_rate: float = 2e-4,
        augment: Sequence[str] = (),
        share: float = 1.0,
        init: str | None = None,
        attention: Sequence[int] = (),
    ) -> None:
        super().__init__(weight, every, learning_rate, augment, share, init)
        self.layout, self.ch, self.attention = layout, ch, tuple(attention)

    def build(self, num_classes: int, resolution: int) -> None:
        """See `Adversary`."""
        if self.layout not in SN_LAYOUTS:
            raise PhotograftError(f"unknown layout {self.layout!r}: choose from {', '.join(SN_LAYOUTS)}")
        channels = [self.ch * m for m in SN_LAYOUTS[self.layout]]
        hidden = "out" if self.layout == "snresnet_256" else "in"
        last_down = self.layout == "snresnet_64"
        self.network = SNProjectionDiscriminator(channels, num_classes, hidden, last_down, self.attention)

    def _score(self, x: Tensor, label: Tensor) -> Tensor:
        score: Tensor = self.network(x.contiguous(memory_format=torch.channels_last), label)
        return score

    def own_loss(
        self, real: Tensor, real_label: Tensor, fake: Tensor, fake_label: Tensor, wrong_label: Tensor
    ) -> dict[str, Tensor]:
        """Hinge loss of real and generated pictures."""
        return {
            "real": hinge_discriminator(self._score(real, real_label), real=True),
            "fake": hinge_discriminator(self._score(fake, fake_label), real=False),
        }

    def generator_loss(self, fake: Tensor, label: Tensor) -> Tensor:
        """Minus the mean score."""
        return hinge_generator(self._score(fake, label))


class StyleGAN2Adversary(Adversary):
    """StyleGAN2's discriminator with its losses: non-saturating, R1 and, if a target is given, adaptive augmentation.

    Args:
        channels: widths at 4, 8, 16, ... px.
        mapping: widths of the mapping network of the class.
        r1: gamma of the gradient penalty on real pictures, gamma / 2 |grad D|^2 (Mescheder et al. 2018).
        r1_every: it is computed at every so many steps, and weighs as many times as much.
        ada_target: mean sign of real scores that adaptive augmentation aims at (0.6 in Karras et al. 2020, "Training
            Generative Adversarial Networks with Limited Data"); None augments every picture. Here a picture is
            augmented as a whole or not at all, with the adaptive chance.
        ada_images: the chance goes from 0 to 1 within so many pictures at the fastest.
    """

    recordable = False
    network: StyleGAN2Discriminator
    chance: Tensor
    steps: Tensor

    def __init__(
        self,
        channels: Sequence[int],
        mapping: Sequence[int] = (512,) * 8,
        r1: float = 1.0,
        r1_every: int = 16,
        ada_target: float | None = None,
        ada_images: int = 500_000,
        weight: float = 1.0,
        every: int = 1,
        learning_rate: float = 2e-3,
        augment: Sequence[str] = (),
        share: float = 1.0,
        init: str | None = None,
    ) -> None:
        super().__init__(weight, every, learning_rate, augment, share, init)
        if ada_target is not None and not augment:
            raise PhotograftError("adaptive augmentation needs something in `augment`")
        self.channels, self.mapping = list(channels), list(mapping)
        self.r1, self.r1_every, self.ada_target, self.ada_images = r1, r1_every, ada_target, ada_images
        self.register_buffer("chance", torch.tensor(1.0 if ada_target is None else 0.0))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def build(self, num_classes: int, resolution: int) -> None:
        """See `Adversary`. Raises PhotograftError where the widths are not those of the data's resolution."""
        self.network = StyleGAN2Discriminator(self.channels, num_classes, mapping=self.mapping)
        if self.network.resolution != resolution:
            raise PhotograftError(f"{len(self.channels)} widths see {self.network.resolution} px, not {resolution} px")

    def augmented(self, x: Tensor, augmentation: Augmentation) -> Tensor:  # [N,3,R,R] -> [N,3,R,R]
        """See `Adversary`; each picture with the adaptive chance."""
        return torch.where(augmentation.chance < self.chance, super().augmented(x, augmentation), x)

    def _score(self, x: Tensor, label: Tensor) -> Tensor:  # -> [N]
        score: Tensor = self.network(x, label if self.network.num_classes else None)
        return score.float()

    def own_loss(
        self, real: Tensor, real_label: Tensor, fake: Tensor, fake_label: Tensor, wrong_label: Tensor
    ) -> dict[str, Tensor]:
        """Logistic losses and, at its turn, R1."""
        penalised = self.r1 > 0 and int(self.steps) % self.r1_every == 0
        real = real.detach().requires_grad_(penalised)
        score = self._score(real, real_label)
        terms = {
            "real": logistic_discriminator(score, real=True),
            "fake": logistic_discriminator(self._score(fake, fake_label), real=False),
        }
        if penalised:
            (gradient,) = torch.autograd.grad(score.sum(), real, create_graph=True)
            terms["r1"] = self.r1_every * self.r1 / 2 * gradient.square().sum(dim=(1, 2, 3)).mean()
        self.steps += 1
        if self.ada_target is not None:
            self._adapt(score.detach(), self.ada_target)
        return terms

    def _adapt(self, score: Tensor, target: float) -> None:
        """Augment more where the scores of real pictures [N] say that it learns them by heart."""
        signs = torch.stack([score.sign().sum(), score.new_tensor(float(len(score)))])
        if shares_statistics():
            dist.all_reduce(signs)
        step = torch.sign(signs[0] / signs[1] - target) * signs[1] / self.ada_images
        self.chance.add_(step).clamp_(0, 1)

    def generator_loss(self, fake: Tensor, label: Tensor) -> Tensor:
        """The non-saturating loss."""
        return logistic_generator(self._score(fake, label))


class ProjectedAdversary(Adversary):
    """Projected discriminator (Sauer et al. 2021) with a mismatch term and class guidance.

    Args:
        mismatch: weight of real pictures with a wrong class as fakes: it teaches the heads the classes.
        guidance: weight of the cross-entropy that a linear probe, fitted to real pictures beside, has on fakes.
        features, mixed_channels, head_channels, sees: see `ProjectedDiscriminator`.
    """

    network: ProjectedDiscriminator

    def __init__(
        self,
        weight: float = 0.3,
        mismatch: float = 0.5,
        guidance: float = 0.05,
        features: str = "mobilenet_v2",
        mixed_channels: int = 64,
        head_channels: int = 128,
        sees: int | None = None,
        every: int = 1,
        learning_rate: float = 2e-4,
        augment: Sequence[str] = DIFFAUGMENT,
        share: float = 1.0,
        init: str | None = None,
    ) -> None:
        super().__init__(weight, every, learning_rate, augment, share, init)
        self.mismatch, self.guidance = mismatch, guidance
        self.options: dict[str, Any] = {
            "features": features,
            "mixed_channels": mixed_channels,
            "head_channels": head_channels,
            "sees": sees,
        }

    def build(self, num_classes: int, resolution: int) -> None:
        """See `Adversary`."""
        self.network = ProjectedDiscriminator(num_classes, resolution, **self.options)

    def set_learning(self, on: bool) -> None:
        """See `Adversary`; the feature network, the random mixing and the outline do not learn here."""
        super().set_learning(on)
        for part in (self.network.network, self.network.mix1, self.network.mix3, self.network.outline):
            part.requires_grad_(False)

    def look(self, x: Tensor) -> Projected:
        """Frozen features, in the training's precision."""
        if x.is_cuda:  # whose depthwise kernels, and libraries' choice of others, are the faster ones this way
            return self.network.project(x.contiguous())
        return self.network.project(x.contiguous(memory_format=torch.channels_last))

    def own_loss(
        self, real: Projected, real_label: Tensor, fake: Projected, fake_label: Tensor, wrong_label: Tensor
    ) -> dict[str, Tensor]:
        """Hinge loss, mismatch term and the probe's cross-entropy on real pictures."""
        seen = self.network.heads(real)
        terms = {
            "real": hinge_discriminator(self.network.score(seen, real_label), real=True),
            "fake": hinge_discriminator(self.network.score(self.network.heads(fake), fake_label), real=False),
            "probe": F.cross_entropy(self.network.classify(real), real_label),
        }
        if self.mismatch:
            scores = self.network.score(seen, wrong_label)
            terms["mismatch"] = self.mismatch * hinge_discriminator(scores, real=False)
        return terms

    def generator_loss(self, fake: Projected, label: Tensor) -> Tensor:
        """Minus the mean score, and class guidance (divided by the weight, so that both weights mean what they say)."""
        loss = hinge_generator(self.network.score(self.network.heads(fake), label))
        if self.guidance and self.weight:
            loss = loss + self.guidance / self.weight * F.cross_entropy(self.network.classify(fake), label)
        return loss
