"""Losses of latents and their gradient: one step of projection as a pure function."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.auxiliary import AuxiliaryNetworks
from models.base import Generator
from models.losses import feature_distance, pixel_distance, psi
from models.projection.spaces import Space, ZetaSpace, ZSpace


class FeatureExtractor(Protocol):
    """Anything with the features behind Psi; it may resize the picture."""

    def features(self, x: Tensor) -> Tensor:
        """[N,3,H,W] in [-1,1] -> [N,...]."""


@dataclass(frozen=True)
class Losses:
    """Losses of n rows.

    Attributes:
        feature: L, [n] in [0,2].
        pixel: mean squared difference, [n] in [0,4].
        total: weighted sum, [n].
        latent: what the generator was given, [n,latent_dim] or [n,num_ws,w_dim].
        image: the pictures, [n,3,R,R] in [-1,1].
    """

    feature: Tensor
    pixel: Tensor
    total: Tensor
    latent: Tensor
    image: Tensor


class Objective:
    """The loss of rows of variables, each of which belongs to one picture; Psi of the pictures is computed once.

    Args:
        generator, discriminator: frozen; weights of any dtype.
        target: [N,3,R,R] in [-1,1].
        label: [N] or [N,num_classes], None if unconditional.
        space: where the variables live.
        pixel_weight, feature_weight: of the two losses.
        auxiliary, max_norm: without a space: zeta if there are auxiliary networks, else z, held in a ball if any.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: FeatureExtractor,
        target: Tensor,
        label: Tensor | None,
        *,
        space: Space | None = None,
        pixel_weight: float = 0.2,
        feature_weight: float = 1.0,
        auxiliary: AuxiliaryNetworks | None = None,
        max_norm: float | None = None,
    ) -> None:
        self.generator = generator
        self.space = space or (ZSpace(max_norm) if auxiliary is None else ZetaSpace(auxiliary, max_norm))
        self.pixel_weight, self.feature_weight = pixel_weight, feature_weight
        self.discriminator, self.target, self.label = discriminator, target, label
        weights = list(discriminator.parameters()) if isinstance(discriminator, nn.Module) else []
        self._dtype = weights[0].dtype if weights else torch.float32
        with torch.no_grad():
            self.psi_target = torch.cat([self._psi(part) for part in target.split(8)])

    def _psi(self, x: Tensor) -> Tensor:  # [n,3,H,W] -> [n,D]
        return psi(self.discriminator.features(x.to(self._dtype)).float())

    def hold(self, variable: Tensor) -> Tensor:  # [n,D] -> [n,D]
        """See `Space.hold`."""
        return self.space.hold(variable)

    def __call__(self, variable: Tensor, rows: Tensor) -> Losses:
        """Losses of variables [n,D] for the pictures rows [n]."""
        return self.at(self.space.to_latent(variable), rows, self.space.noise(variable))

    def at(self, latent: Tensor, rows: Tensor, noise: dict[str, Tensor] | None = None) -> Losses:
        """Losses of what the generator is given, latents and noise maps, for the pictures rows [n]."""
        image = self._picture(latent, noise or {}, None if self.label is None else self.label[rows])
        feature = feature_distance(self._psi(image), self.psi_target[rows])
        pixel = pixel_distance(image, self.target[rows])
        return Losses(feature, pixel, self.feature_weight * feature + self.pixel_weight * pixel, latent, image)

    def _picture(self, latent: Tensor, noise: dict[str, Tensor], label: Tensor | None) -> Tensor:  # -> [n,3,R,R]
        if not noise:
            return self.generator(latent, label)
        maps = {name: noise[name].to(stored.dtype) for name, stored in self.generator.named_buffers() if name in noise}
        return functional_call(self.generator, maps, (latent, label))

    def gradient(self, variable: Tensor, rows: Tensor) -> tuple[Losses, Tensor]:
        """Losses, cut off from the graph, and d (total + the space's penalty) / d variable [n,D]; no parameter gets a
        gradient."""
        variable = variable.detach().requires_grad_()
        losses, penalty = self(variable, rows), self.space.penalty(variable)
        whole = losses.total if penalty is None else losses.total + penalty
        (gradient,) = torch.autograd.grad(whole.sum(), variable)
        return Losses(*(getattr(losses, name).detach() for name in losses.__dataclass_fields__)), gradient
