"""Spaces in which projection moves: each maps rows of variables to what a generator is given, and keeps them there.

* z, and zeta with z = B(zeta) (Suzuki et al., section 4 and supplement B.1);
* w and w+ of a style generator, with its noise maps (Karras et al., "Analyzing and Improving the Image Quality of
  StyleGAN", 2020, appendix D; w+: Abdal et al., "Image2StyleGAN", 2019).

A row of variables is flat, so that whoever moves it (Adam) need not know what it holds.
"""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from models.auxiliary import AuxiliaryNetworks
from models.base import StyleGenerator

NOISE_WEIGHT = 1e5  # of the noise maps' penalty, appendix D
COARSEST = 8  # px; noise maps are not averaged down further, appendix D


class Space(ABC):
    """Where the variables of projection live; this base has no noise maps, no penalty and a steady rate."""

    @abstractmethod
    def start(self, latent: Tensor) -> Tensor:
        """Variables [n,D] at a generator's latents."""

    @abstractmethod
    def to_latent(self, variable: Tensor) -> Tensor:
        """What the generator is given for variables [n,D]; differentiable."""

    def hold(self, variable: Tensor) -> Tensor:  # [n,D] -> [n,D]
        """Variables after a move, drawn back to where they may be."""
        return variable

    def noise(self, variable: Tensor) -> dict[str, Tensor]:
        """The generator's noise maps by the name of their buffers, [n,1,s,s] each; empty where none are searched."""
        return {}

    def penalty(self, variable: Tensor) -> Tensor | None:  # [n,D] -> [n]
        """What is minimised beside the losses of the picture, if anything; it is no part of the reported loss."""
        return None

    def rate(self, t: int, steps: int) -> float:
        """The learning rate of update t of 0..steps-1, relative to its peak."""
        return 1.0

    def explore(self, variable: Tensor, t: int, steps: int, random: torch.Generator) -> Tensor:  # [n,D] -> [n,D]
        """Where the loss of update t is taken: beside the variables, in spaces whose search first looks around."""
        return variable


class ZSpace(Space):
    """The variables are z [n,latent_dim].

    Args:
        max_norm: radius of the ball in which `hold` keeps z; None: none.
    """

    def __init__(self, max_norm: float | None = None) -> None:
        self.max_norm = max_norm

    def start(self, latent: Tensor) -> Tensor:
        """See `Space.start`."""
        return latent

    def to_latent(self, variable: Tensor) -> Tensor:
        """See `Space.to_latent`."""
        return variable

    @torch.no_grad()
    def hold(self, variable: Tensor) -> Tensor:
        """See `Space.hold`."""
        return variable if self.max_norm is None else variable * _shrink(variable, self.max_norm)


class ZetaSpace(Space):
    """The variables are zeta [n,zeta_dim], z is B of them.

    Args:
        auxiliary: A and B.
        max_norm: radius of the ball to which B(zeta) is drawn wherever it is used; None: none.
    """

    def __init__(self, auxiliary: AuxiliaryNetworks, max_norm: float | None = None) -> None:
        self.auxiliary, self.max_norm = auxiliary, max_norm

    def start(self, latent: Tensor) -> Tensor:
        """See `Space.start`."""
        return self.auxiliary.to_zeta(latent)

    def to_latent(self, variable: Tensor) -> Tensor:
        """See `Space.to_latent`."""
        z = self.auxiliary.to_z(variable)
        return z if self.max_norm is None else draw_to_ball(z, self.max_norm)

    @torch.no_grad()
    def hold(self, variable: Tensor) -> Tensor:
        """zeta shrinks by what B(zeta) is too long: exactly right where B is homogeneous (no biases), else nearly, and
        `to_latent` does the rest. Without it zeta grows on unseen, and the steps shrink beside it.
        """
        if self.max_norm is None:
            return variable
        return variable * _shrink(self.auxiliary.to_z(variable), self.max_norm)


class WSpace(Space):
    """The variables are w, one for all layers or one for each, and the noise maps of each picture.

    w is counted from the mean in units of its deviation over the prior, so that one learning rate suits every network,
    and the noise maps, which have unit variance, too.

    Args:
        generator: its mapping half, its noise maps and its w over the prior are looked at once.
        plus: w+, a w of its own for every style layer; else one w that all layers share.
        noise: search the noise maps too; else the generator's stored ones stay.
    """

    def __init__(self, generator: StyleGenerator, *, plus: bool = False, noise: bool = True) -> None:
        self.generator, self.plus = generator, plus
        self.count = generator.num_ws if plus else 1
        with torch.no_grad():
            self.mean, self.deviation = generator.w_mean.float(), generator.sampled_w_deviation()
        self.maps = {name: t.detach().float() for name, t in generator.noise_maps().items()} if noise else {}

    @torch.no_grad()
    def start(self, latent: Tensor) -> Tensor:
        """At w+ [n,num_ws,w_dim], whose mean is the one w, with the stored noise maps."""
        ws = (latent.float() - self.mean) / self.deviation
        ws = ws if self.plus else ws.mean(1)
        return torch.cat([ws.flatten(1), *(m.flatten()[None].expand(len(ws), -1) for m in self.maps.values())], dim=1)

    def _split(self, variable: Tensor) -> tuple[Tensor, list[Tensor]]:
        """w in units of its deviation [n,1 or num_ws,w_dim], and the noise maps [n,1,s,s]."""
        w, *maps = variable.split([self.count * len(self.mean), *(m.numel() for m in self.maps.values())], dim=1)
        sizes = (m.shape[-1] for m in self.maps.values())
        return w.unflatten(1, (self.count, -1)), [m.view(len(m), 1, s, s) for m, s in zip(maps, sizes, strict=True)]

    def to_latent(self, variable: Tensor) -> Tensor:
        """w+ [n,num_ws,w_dim]: see `Space.to_latent`."""
        ws = self.mean + self.deviation * self._split(variable)[0]
        return ws if self.plus else self.generator.broadcast(ws[:, 0])

    def noise(self, variable: Tensor) -> dict[str, Tensor]:
        """See `Space.noise`."""
        return dict(zip(self.maps, self._split(variable)[1], strict=True))

    def penalty(self, variable: Tensor) -> Tensor | None:
        """See `noise_penalty`."""
        if not self.maps:
            return None
        return NOISE_WEIGHT * torch.stack([noise_penalty(m) for m in self._split(variable)[1]]).sum(0)

    @torch.no_grad()
    def hold(self, variable: Tensor) -> Tensor:
        """Every noise map back at zero mean and unit variance (appendix D)."""
        w, maps = self._split(variable)
        maps = [m - m.mean(dim=(2, 3), keepdim=True) for m in maps]
        maps = [m * m.square().mean(dim=(2, 3), keepdim=True).clamp_min(1e-12).rsqrt() for m in maps]
        return torch.cat([w.flatten(1), *(m.flatten(1) for m in maps)], dim=1)

    def rate(self, t: int, steps: int) -> float:
        """Up over the first twentieth of the updates, down over the last quarter as a cosine (appendix D)."""
        up, down = (t + 1) / (0.05 * steps), (steps - t) / (0.25 * steps)
        return min(1.0, up) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, down)))

    def explore(self, variable: Tensor, t: int, steps: int, random: torch.Generator) -> Tensor:
        """w with noise of deviation 0.05 sigma_w t^2, t falling from 1 to 0 over three quarters of the updates; sigma_w
        is the root of the *summed* variance (appendix D). All rows get the same noise: they stay independent of which
        others are there.
        """
        strength = 0.05 * len(self.mean) ** 0.5 * max(0.0, 1 - t / (0.75 * steps)) ** 2
        width = self.count * len(self.mean)
        offset = strength * torch.randn(1, width, generator=random).to(variable)
        return variable + F.pad(offset, (0, variable.shape[1] - width))


def noise_penalty(noise: Tensor) -> Tensor:  # [n,1,s,s] -> [n]
    """Squared correlation of a noise map with itself moved by one pixel, across and down, over a pyramid of it.

    Each level is the mean over 2x2 pixels, doubled so that white noise keeps its variance, down to 8 px (Karras et al.
    2020, appendix D). Borders wrap around. Without it noise maps would carry the picture itself.
    """
    total = noise.new_zeros(len(noise))
    while True:
        for dim in (2, 3):
            total = total + (noise * noise.roll(1, dim)).mean(dim=(1, 2, 3)).square()
        if noise.shape[-1] <= COARSEST:
            return total
        noise = 2 * F.avg_pool2d(noise, 2)


def draw_to_ball(z: Tensor, radius: float) -> Tensor:  # [n,D] -> [n,D]
    """z min(1, radius / |z|), row by row and differentiable, also at 0: what lies inside stays as it is."""
    return z * _shrink(z, radius)


def _shrink(z: Tensor, radius: float) -> Tensor:  # [n,D] -> [n,1]
    norm = torch.linalg.vector_norm(z, dim=1, keepdim=True)
    return radius / norm.clamp_min(radius)
