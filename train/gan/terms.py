"""What the generator (with its encoder) is asked for beside the adversaries' scores: terms of its loss, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Generator, StyleGenerator
from models.errors import PhotograftError
from models.losses import stage_distance
from models.perception.outline import OUTLINE, fit_outline, segment, soft_iou
from models.perception.segmentation import create_segmenter
from train.gan.adversaries import ProjectedAdversary
from train.gan.augment import Augmentation
from train.gan.codes import correlation_penalty
from train.gan.diversity import Diversity
from train.gan.path_length import PathLength
from train.gan.sources import Fakes
from train.gan.spectrum import spectral_distance

OUTLINED = 512  # real pictures that are segmented: two minutes of a CPU
PATH_EVERY = 4  # steps from one path length term to the next, which weighs as many times as much
SATURATED = 1.8  # tanh is 0.95 there and passes a tenth of the gradient on

Draw = Callable[[int], tuple[Tensor, Tensor | None]]
"""Draws so many z of the prior [n,latent_dim], and their classes [n], or None where there are none."""


@dataclass(frozen=True)
class Weights:
    """Of the terms; 0 leaves one out. See `train.gan.GAN`."""

    feature: float
    pixel: float
    path: float
    saturation: float
    decorrelation: float
    diversity: float
    outline: float
    spectrum: float


@dataclass(frozen=True)
class Looked:
    """What an adversary saw of the real pictures and of the fakes of a batch, augmented alike; the fakes' classes."""

    real: Any
    fake: Any
    labels: Tensor


class Terms(nn.Module):
    """The terms, with what they know of real pictures and keep from step to step.

    Args:
        weights: of the terms.
        generator: whose values before tanh are watched, if they are to be.
        projected: the discriminator in whose frozen features pictures are compared.
        code_dim: size of the encoder's codes; 0 without one.
        diversity_target: see `train.gan.diversity.Diversity`.

    Raises:
        PhotograftError: a term that the generator has no place for.
    """

    def __init__(
        self,
        weights: Weights,
        generator: Generator,
        projected: ProjectedAdversary | None,
        code_dim: int,
        diversity_target: float,
    ) -> None:
        super().__init__()
        self.weights = weights
        if weights.saturation:
            if isinstance(generator, StyleGenerator):
                raise PhotograftError("saturation_weight is for generators that end in tanh, such as sngan")
            generator.get_submodule("to_rgb").register_forward_hook(self._remember_saturation)
        if weights.path:
            if not isinstance(generator, StyleGenerator):
                raise PhotograftError("path_weight is for generators with a w, such as stylegan2")
            self.path_length = PathLength()
        if weights.decorrelation and code_dim:
            self.register_buffer("code_covariance", torch.eye(code_dim))
        if weights.diversity and projected is not None:
            self.diversity = Diversity(projected.network, diversity_target)

    def _remember_saturation(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self._saturation = F.relu(output.float().abs() - SATURATED).square().mean()

    @torch.no_grad()
    def measure(self, projected: ProjectedAdversary, pictures: Tensor, label: Tensor) -> None:
        """Look at real pictures [N,3,R,R] in [-1,1] of classes [N], once: their scatter, and how outlines are read."""
        if self.weights.diversity:  # augmented as in training; one part at a time in memory
            seen = (projected.look(_augmented(projected, part)) for part in pictures.split(64))
            self.diversity.measure(seen, label)
        if self.weights.outline and not projected.network.outline.fitted:
            outlined = pictures[:OUTLINED]
            masks = segment(create_segmenter(device=pictures.device), outlined, OUTLINE)
            fit_outline(projected.network, outlined, masks)

    def forward(
        self,
        real: Tensor,
        fakes: Fakes,
        generator: Generator,
        projected: ProjectedAdversary | None,
        looked: Looked | None,
        draw: Draw,
        *,
        adversarial: bool,
        step: int,
    ) -> dict[str, Tensor]:
        """The terms of one batch, times their weights.

        Args:
            real: [N,3,R,R] in [-1,1]; the first ones are those that the fakes' codes are of.
            fakes: of the batch.
            generator, projected: as in `__init__`.
            looked: what `projected` saw of the whole batch in this step; None if it did not.
            draw: of the prior, for the path lengths.
            adversarial: False leaves out what belongs to adversarial training.
            step: number of the step.
        """
        weights, codes = self.weights, fakes.codes
        terms: dict[str, Tensor] = {}
        if codes.reconstructions:
            n = codes.reconstructions
            terms["pixels"] = weights.pixel * F.l1_loss(fakes.images[:n], real[:n])
            if projected is not None and weights.feature:
                terms["features"] = weights.feature * _feature_distance(projected, real[:n], fakes.images[:n], looked)
        if weights.saturation:
            terms["saturation"] = weights.saturation * self._saturation
            del self._saturation  # with the graph of gradients that hangs on it
        if weights.decorrelation and codes.photos is not None:
            penalty = correlation_penalty(codes.photos, self.get_buffer("code_covariance"))
            terms["decorrelation"] = weights.decorrelation * penalty
        if not adversarial:
            return terms
        if weights.diversity and codes.pairs and projected is not None:
            seen = projected.look(_augmented(projected, fakes.images)) if looked is None else looked.fake
            terms["diversity"] = weights.diversity * self.diversity(seen, codes.pairs)
        if weights.outline and codes.from_photos and projected is not None and looked is not None:
            outlines = (projected.network.outline(s[: codes.from_photos].stages) for s in (looked.real, looked.fake))
            terms["outline"] = weights.outline * (1 - soft_iou(*outlines).mean())
        if weights.spectrum:
            terms["spectrum"] = weights.spectrum * spectral_distance(fakes.images, real)
        if weights.path and step % PATH_EVERY == 0 and isinstance(generator, StyleGenerator):
            drawn = draw((len(fakes.images) + 1) // 2)  # half as many as there are fakes, as in StyleGAN2
            terms["path_length"] = PATH_EVERY * weights.path * self.path_length(generator, *drawn)
        return terms


def _augmented(adversary: ProjectedAdversary, images: Tensor) -> Tensor:
    return adversary.augmented(images, Augmentation.draw(len(images), images.device))


def _feature_distance(projected: ProjectedAdversary, real: Tensor, fake: Tensor, looked: Looked | None) -> Tensor:
    """Of reconstructions from their photos [n,3,R,R]; where both were looked at, they were augmented alike."""
    if looked is not None:
        seen_real, seen_fake = looked.real[: len(real)], looked.fake[: len(real)]
    else:
        with torch.no_grad():
            seen_real = projected.look(real)
        seen_fake = projected.look(fake)
    return stage_distance(seen_real.stages, seen_fake.stages)
