"""What the generator (with its encoder) is asked for beside the adversaries' scores: a list of terms of its loss.

A new one is a subclass of `Term`, here or in a file of its own, and an entry in a config's `terms`; nothing else names
it.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Generator, StyleGenerator
from models.discriminators.projected import Projected
from models.encoder import FeatureEncoder
from models.errors import PhotograftError
from models.losses import stage_distance
from models.perception.outline import OUTLINE, fit_outline, segment, soft_iou
from models.perception.segmentation import create_segmenter
from train.gan.adversaries import ProjectedAdversary, View
from train.gan.augment import Augmentation
from train.gan.codes import correlation_penalty
from train.gan.diversity import descriptors, scatter_within_classes, shortfall
from train.gan.path_length import path_lengths
from train.gan.prior import Prior
from train.gan.sources import PAIRED, Fakes
from train.gan.spectrum import spectral_distance

OUTLINED = 512  # real pictures that are segmented: two minutes of a CPU
SATURATED = 1.8  # tanh is 0.95 there and passes a tenth of the gradient on


class Need(StrEnum):
    """What a term may need of a training's config."""

    ENCODER = "an encoder in the config"
    PROJECTED = "a ProjectedAdversary in the config"
    WHOLE_VIEW = "a ProjectedAdversary with share 1 and every 1, and reuse_fakes"


@dataclass(frozen=True)
class GeneratorStep:
    """What a step of the generator has made, for the terms to look at.

    Attributes:
        number: of the step.
        real: [N,3,R,R] in [-1,1]; the first ones are those that the fakes' codes are of.
        fakes: of the batch, with the codes that they were made of, sorted by source.
        generator: it made them.
        prior: draws more z and classes.
        projected: the first projected discriminator of the config; None without one.
        view: what it saw of the whole batch in this step, real pictures and fakes augmented alike; None if it did not.
    """

    number: int
    real: Tensor
    fakes: Fakes
    generator: Generator
    prior: Prior
    projected: ProjectedAdversary | None
    view: View | None


class Term(nn.Module, ABC):
    """A term of the generator's loss, with what it knows of real pictures and keeps from step to step.

    Args:
        weight: of it in the loss; positive.

    Attributes:
        needs: what the config must have for it.
        adversarial: whether it belongs to adversarial training: stages without it then leave it out.
        recordable: whether it does the same in every step, as CUDA graphs must (see `train.gan.graph`).
        pictures: how many real pictures it wants to measure before the training.
        pairs: sources half of whose fakes are to share their classes with the other half: some of `PAIRED`.

    Raises:
        PhotograftError: a weight that is not positive.
    """

    needs: ClassVar[tuple[Need, ...]] = ()
    adversarial: ClassVar[bool] = False
    recordable: ClassVar[bool] = True
    pictures: ClassVar[int] = 0
    pairs: tuple[str, ...] = ()

    def __init__(self, weight: float) -> None:
        super().__init__()
        if not 0 < weight < float("inf"):
            kind = type(self).__name__
            raise PhotograftError(f"the weight of {kind} is {weight}: give a positive number, or leave the term out")
        self.weight = weight

    @property
    def name(self) -> str:
        """In logs and checkpoints: `PathLength` is path_length."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    def build(self, generator: Generator, encoder: FeatureEncoder | None, projected: ProjectedAdversary | None) -> None:
        """Make what depends on the networks, once they are there. Raises PhotograftError if it has no place in them."""

    def measure(self, projected: ProjectedAdversary | None, pictures: Tensor, label: Tensor) -> None:
        """Look at real pictures [N,3,R,R] in [-1,1] of classes [N], once, before a new training."""

    @abstractmethod
    def forward(self, step: GeneratorStep) -> Tensor | None:
        """The term, before its weight; None where this batch has nothing that it is about."""


class Pixels(Term):
    """Mean absolute difference of reconstructions from their photos."""

    needs = (Need.ENCODER,)

    def forward(self, step: GeneratorStep) -> Tensor | None:
        """See `Term`."""
        n = step.fakes.codes.reconstructions
        return F.l1_loss(step.fakes.images[:n], step.real[:n]) if n else None


class Features(Term):
    """Distance of reconstructions from their photos in the projected discriminator's standardised frozen features."""

    needs = (Need.ENCODER, Need.PROJECTED)

    def forward(self, step: GeneratorStep) -> Tensor | None:
        """See `Term`. Where the discriminator has looked at both, they were augmented alike."""
        n = step.fakes.codes.reconstructions
        if not n:
            return None
        if step.view is not None:
            return stage_distance(step.view.real[:n].stages, step.view.fake[:n].stages)
        assert step.projected is not None
        with torch.no_grad():
            real = step.projected.look(step.real[:n])
        return stage_distance(real.stages, step.projected.look(step.fakes.images[:n]).stages)


class Saturation(Term):
    """Mean square by which the values before the final tanh exceed 1.8: where tanh is flat no other term can bring a
    blown-out area back. For generators that end in tanh."""

    def build(self, generator: Generator, encoder: FeatureEncoder | None, projected: ProjectedAdversary | None) -> None:
        """See `Term`."""
        if isinstance(generator, StyleGenerator):
            raise PhotograftError("the term Saturation is for generators that end in tanh, such as sngan")
        generator.get_submodule("to_rgb").register_forward_hook(self._remember)

    def _remember(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._value = F.relu(output.float().abs() - SATURATED).square().mean()

    def forward(self, step: GeneratorStep) -> Tensor:
        """See `Term`."""
        value = self._value
        del self._value  # with the graph of gradients that hangs on it
        return value


class Decorrelation(Term):
    """Covariances between the dimensions of photos' codes (see `train.gan.codes`)."""

    needs = (Need.ENCODER,)
    covariance: Tensor

    def build(self, generator: Generator, encoder: FeatureEncoder | None, projected: ProjectedAdversary | None) -> None:
        """See `Term`."""
        assert encoder is not None
        self.register_buffer("covariance", torch.eye(encoder.latent_dim))

    def forward(self, step: GeneratorStep) -> Tensor | None:
        """See `Term`; moves the running covariance on."""
        photos = step.fakes.codes.photos
        return None if photos is None else correlation_penalty(photos, self.covariance)


class Diversity(Term):
    """What samples of a class lack in scatter (see `train.gan.diversity`).

    Args:
        target: the scatter asked for; 1 is that of real pictures in the frozen features.
        sources: whose fakes are compared, in pairs of one class: some of `PAIRED`.

    Raises:
        PhotograftError: another source.
    """

    needs = (Need.PROJECTED,)
    adversarial = True
    pictures = 2048

    def __init__(self, weight: float, target: float = 1.0, sources: Sequence[str] = PAIRED) -> None:
        super().__init__(weight)
        if not sources or not set(sources) <= set(PAIRED):
            raise PhotograftError(f"the sources of Diversity must be among {', '.join(PAIRED)}, not {list(sources)}")
        self.target, self.pairs = target, tuple(sources)

    def build(self, generator: Generator, encoder: FeatureEncoder | None, projected: ProjectedAdversary | None) -> None:
        """See `Term`."""
        assert projected is not None
        stages, channels = projected.network.mean.shape
        sizes = [2 * channels] * stages + [projected.network.network.pooled_channels]
        self._names = [f"scatter_{index}" for index in range(len(sizes))]
        for name, size in zip(self._names, sizes, strict=True):
            self.register_buffer(name, torch.ones(size))

    @torch.no_grad()
    def measure(self, projected: ProjectedAdversary | None, pictures: Tensor, label: Tensor) -> None:
        """See `Term`: the scatter of pictures augmented as in training, one part at a time in memory."""
        assert projected is not None
        parts = [descriptors(_augmented_view(projected, part)) for part in pictures.split(64)]
        for name, of_one in zip(self._names, zip(*parts, strict=True), strict=True):
            self.get_buffer(name).copy_(scatter_within_classes(torch.cat(of_one), label))

    def forward(self, step: GeneratorStep) -> Tensor | None:
        """See `Term`: the mean over sources of what their pairs lack."""
        pairs = [pair for source, pair in step.fakes.codes.pairs.items() if source in self.pairs]
        if not pairs:
            return None
        assert step.projected is not None
        seen = _augmented_view(step.projected, step.fakes.images) if step.view is None else step.view.fake
        scatter = [self.get_buffer(name) for name in self._names]
        described = descriptors(seen)  # then rows are taken: of the features they would be hundreds of times as much
        sides = ([[d.index_select(0, pair[:, i]) for d in described] for i in (0, 1)] for pair in pairs)
        return torch.stack([shortfall(one, other, scatter, self.target) for one, other in sides]).mean()


class Outline(Term):
    """1 - IoU between the animal's outline in a photo and in what is made of its code (see
    `models.perception.outline`)."""

    needs = (Need.ENCODER, Need.WHOLE_VIEW)
    adversarial = True
    pictures = OUTLINED

    def measure(self, projected: ProjectedAdversary | None, pictures: Tensor, label: Tensor) -> None:
        """See `Term`: a discriminator that cannot read outlines yet is taught to."""
        assert projected is not None
        if not projected.network.outline.fitted:
            outlined = pictures[:OUTLINED]
            masks = segment(create_segmenter(device=pictures.device), outlined, OUTLINE)
            fit_outline(projected.network, outlined, masks)

    def forward(self, step: GeneratorStep) -> Tensor | None:
        """See `Term`."""
        n = step.fakes.codes.from_photos
        if not n or step.view is None:
            return None
        assert step.projected is not None
        real, fake = (step.projected.network.outline(seen[:n].stages) for seen in (step.view.real, step.view.fake))
        return 1 - soft_iou(real, fake).mean()


class Spectrum(Term):
    """Distance between the power spectra of fakes and real pictures (see `train.gan.spectrum`)."""

    adversarial = True

    def forward(self, step: GeneratorStep) -> Tensor:
        """See `Term`."""
        return spectral_distance(step.fakes.images, step.real)


class PathLength(Term):
    """Path length regularisation of StyleGAN2 (see `train.gan.path_length`). For generators with a w.

    Args:
        every: it is computed at every so many steps, and weighs as many times as much.
        decay: share of a new batch's mean in the running one.
    """

    adversarial = True
    recordable = False
    mean: Tensor

    def __init__(self, weight: float, every: int = 4, decay: float = 0.01) -> None:
        super().__init__(weight)
        self.every, self.decay = every, decay
        self.register_buffer("mean", torch.zeros(()))

    def build(self, generator: Generator, encoder: FeatureEncoder | None, projected: ProjectedAdversary | None) -> None:
        """See `Term`."""
        if not isinstance(generator, StyleGenerator):
            raise PhotograftError("the term PathLength is for generators with a w, such as stylegan2")

    def forward(self, step: GeneratorStep) -> Tensor | None:
        """See `Term`; moves the running mean on. For half as many z as there are fakes, as in StyleGAN2."""
        if step.number % self.every:
            return None
        assert isinstance(step.generator, StyleGenerator)
        n = (len(step.fakes.images) + 1) // 2
        label = step.prior.labels(n)
        lengths = path_lengths(step.generator, step.prior.latent(n), label if step.generator.num_classes else None)
        mean = self.mean.lerp(lengths.mean(), self.decay)
        self.mean.copy_(mean.detach())
        return self.every * (lengths - mean).square().mean()


def _augmented_view(adversary: ProjectedAdversary, images: Tensor) -> Projected:
    return adversary.look(adversary.augmented(images, Augmentation.draw(len(images), images.device)))


def named(terms: Iterable[Term]) -> dict[str, Term]:
    """Terms by their names. Raises PhotograftError if one is there twice."""
    found: dict[str, Term] = {}
    for term in terms:
        if term.name in found:
            raise PhotograftError(f"the term {type(term).__name__} is there twice: give it once, with one weight")
        found[term.name] = term
    return found
