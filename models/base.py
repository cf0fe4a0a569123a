"""The one Generator contract: mapping | edit | synthesis.

Every edit of Photograft is an operation on one of two things that the layers of every generator have:

* a **modulation**: the per-channel scale (and shift) applied after normalisation: CBN's gamma and beta, AdaIN's
  style, StyleGAN2's weight-modulation style. It may vary over space (sCBN) or be mixed channel by channel (query);
* a **feature map**, which can be replaced on its way through the network (feature blending).

So an edit is written once, for every family: it takes modulations and gives modulations, or it is a `Tap`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from models.errors import PhotograftError


@dataclass(frozen=True)
class Layer:
    """Where an edit can act: static description of one point of a generator.

    Attributes:
        name: path of the module in the generator, unique within it.
        resolution: height and width of its features.
        channels: their number.
        modulated: True where a `Modulation` is applied. The features that a tap sees there are the normalised ones,
            *before* scale and shift; elsewhere (block outputs) they are the features themselves.
    """

    name: str
    resolution: int
    channels: int
    modulated: bool


@dataclass(frozen=True)
class Modulation:
    """Scale and shift of one modulated layer: `scale * normalised + shift`.

    Attributes:
        scale: [N,C], or [N,C,H,W] when it varies over space.
        shift: same shape as scale, or None (StyleGAN2 has none).
    """

    scale: Tensor
    shift: Tensor | None = None

    def __post_init__(self) -> None:
        if self.scale.ndim not in (2, 4):
            raise ValueError(f"scale must be [N,C] or [N,C,H,W], not {list(self.scale.shape)}")
        if self.shift is not None and self.shift.shape != self.scale.shape:
            raise ValueError(f"shift {list(self.shift.shape)} differs from scale {list(self.scale.shape)}")

    @property
    def spatial(self) -> bool:
        """Whether it varies over space."""
        return self.scale.ndim == 4

    @classmethod
    def cat(cls, rows: "Sequence[Modulation]") -> "Modulation":
        """The modulations of several batches, which vary over space all or none, as those of one."""
        shifts = [one.shift for one in rows if one.shift is not None]
        return cls(torch.cat([one.scale for one in rows]), torch.cat(shifts) if shifts else None)

    def map(self, f: Callable[[Tensor], Tensor]) -> "Modulation":
        """Apply one function to scale and shift alike."""
        return Modulation(f(self.scale), None if self.shift is None else f(self.shift))

    def apply(self, normalised: Tensor) -> Tensor:  # [N,C,H,W] -> [N,C,H,W]
        """Scale and shift normalised features."""
        broadcast = self.map(lambda t: t if t.ndim == 4 else t[:, :, None, None])
        if broadcast.shift is None:
            return normalised * broadcast.scale
        return torch.addcmul(broadcast.shift, normalised, broadcast.scale)


Tap = Callable[[Layer, Tensor], Tensor]
"""Called at every layer in the order of execution with its features [N,C,H,W]; what it returns replaces them."""


class Configurable(nn.Module):
    """A network that can be rebuilt from its class's name in the registry and `config`, the keywords of `__init__`.

    Attributes:
        frozen_parts: names of submodules that never learn and bring their own weights; files leave them out.
    """

    config: dict[str, Any]
    frozen_parts: tuple[str, ...] = ()

    def freeze(self) -> Self:
        """Evaluation mode, and no gradients for parameters."""
        return self.eval().requires_grad_(False)


class Generator(Configurable, ABC):
    """A trained generator, split into a mapping half and a synthesis half.

    Attributes:
        layers: every point where an edit can act, in the order of execution.
        latent_dim: size of the latent (z of a class-conditional GAN).
        num_classes: 0 for an unconditional generator.
        resolution: height and width of the image.
        grown: names of the submodules that `grow_from` has added, which have learnt nothing yet.
    """

    layers: tuple[Layer, ...]
    latent_dim: int
    num_classes: int
    resolution: int
    grown: tuple[str, ...] = ()

    @property
    def device(self) -> torch.device:
        """Where its weights are, and what it makes; one without weights makes it on the CPU."""
        weight = next(self.parameters(), None)
        return torch.device("cpu") if weight is None else weight.device

    @property
    def modulated_layers(self) -> tuple[Layer, ...]:
        """The layers that take a modulation, in the order of `modulations`."""
        return tuple(layer for layer in self.layers if layer.modulated)

    @property
    def feature_layers(self) -> tuple[Layer, ...]:
        """The layers whose features are whole (block outputs): where feature blending acts."""
        return tuple(layer for layer in self.layers if not layer.modulated)

    @abstractmethod
    def modulations(self, latent: Tensor, label: Tensor | None = None) -> list[Modulation]:
        """Mapping half. Latents and labels may be on another device: they are brought to the weights.

        Args:
            latent: [N,latent_dim].
            label: [N] int64 class indices, or [N,num_classes] weights of classes; None if unconditional.

        Returns:
            One modulation per modulated layer, scale and shift [N,C].
        """

    @abstractmethod
    def synthesize(self, latent: Tensor, modulations: Sequence[Modulation], tap: Tap | None = None) -> Tensor:
        """Synthesis half: [N,latent_dim] and modulations -> image [N,3,R,R], nominally in [-1,1].

        A family whose output is linear (StyleGAN, StyleGAN2, PG-GAN) may leave that range a little. It is not clamped
        here, where that would end the gradient: whoever shows or measures the image clamps it.
        """

    def forward(self, latent: Tensor, label: Tensor | None = None, tap: Tap | None = None) -> Tensor:
        """Image [N,3,R,R] of a latent and a class, without an edit; range as of `synthesize`."""
        return self.synthesize(latent, self.modulations(latent, label), tap)

    def grow_from(self, smaller: "Generator") -> None:
        """Take the weights of one of a lower resolution, so that the first pictures are its own, enlarged.

        Raises:
            PhotograftError: a family that does not grow, or one that differs in more than its last layers.
        """
        what = f"{type(self).__name__} does not grow: start from weights of {self.resolution} px"
        raise PhotograftError(f"weights of {smaller.resolution} px cannot become {self.resolution} px: {what}")

    def at_truncation(self, truncation: float) -> Self:
        """What draws samples of a truncation in [0,1]: this generator, unless it has statistics of several."""
        return self

    def sample_latent(self, n: int, generator: torch.Generator | None = None) -> Tensor:  # -> [n,latent_dim]
        """Draw latents from the prior N(0, I), on the CPU so that a seed means the same everywhere."""
        return torch.randn(n, self.latent_dim, generator=generator)

    def check_modulations(self, modulations: Sequence[Modulation]) -> None:
        """Raise ValueError unless there is one modulation of the right width per modulated layer."""
        layers = self.modulated_layers
        if len(modulations) != len(layers):
            raise ValueError(f"{len(modulations)} modulations for {len(layers)} modulated layers")
        for layer, modulation in zip(layers, modulations, strict=True):
            shape = tuple(modulation.scale.shape[1:])
            if shape not in ((layer.channels,), (layer.channels, layer.resolution, layer.resolution)):
                raise ValueError(f"modulation {list(shape)} does not fit layer {layer}")


class StyleGenerator(Generator):
    """A generator that maps z to w and takes its modulations from w (StyleGAN, StyleGAN2).

    Wherever it takes a latent, [N,latent_dim] is z, and [N,num_ws,w_dim] is w+: one w per style layer, which has the
    class in it already, so that a label beside it is not looked at.

    Attributes:
        w_dim: size of w.
        num_ws: number of style layers, each of which may have a w of its own.
        w_mean: [w_dim], the mean of w over the prior: what truncation shrinks towards.
        noise: "const" (the stored noise of each layer, a buffer of that name), "random" (drawn anew at each pass) or
            "none".
    """

    w_dim: int
    num_ws: int
    noise: Literal["const", "random", "none"] = "const"

    @property
    @abstractmethod
    def w_mean(self) -> Tensor: ...

    @abstractmethod
    def mapping(
        self, z: Tensor, label: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """z [N,latent_dim] -> w+ [N,num_ws,w_dim]; the first `cutoff` of them (all if None) are
        w_mean + truncation * (w - w_mean)."""

    def broadcast(self, w: Tensor, truncation: float = 1.0, cutoff: int | None = None) -> Tensor:
        """w [N,w_dim] for every style layer, truncated as `mapping` says -> w+ [N,num_ws,w_dim]."""
        ws = w[:, None].repeat(1, self.num_ws, 1)
        if truncation == 1:
            return ws
        cutoff = self.num_ws if cutoff is None else cutoff
        return torch.cat([torch.lerp(self.w_mean, ws[:, :cutoff], truncation), ws[:, cutoff:]], dim=1)

    def sampled_w(self, n: int, label: int | None = None) -> Tensor:  # -> [n,w_dim]
        """w of n samples of the prior, always the same ones, of one class or of all in turn (None)."""
        z, labels = self.sample_latent(n, torch.Generator().manual_seed(0)), None
        if self.num_classes:
            labels = torch.arange(n) % self.num_classes if label is None else torch.full((n,), label)
        return self.mapping(z, labels)[:, 0]

    def sampled_w_mean(self, n: int = 10_000) -> Tensor:  # -> [w_dim]
        """Mean of w over n samples of the prior and the classes: for files that hold none."""
        return self.sampled_w(n).mean(0)

    def sampled_w_deviation(self, n: int = 1000) -> Tensor:  # -> []
        """Standard deviation of one dimension of w, the root mean square over all dimensions, of n samples."""
        w = self.sampled_w(n).float()
        return (w - w.mean(0)).square().mean().sqrt().clamp_min(1e-8)

    def class_step(self, label: int, target: int, n: int = 1000) -> Tensor:  # -> [w_dim]
        """How far one class's mean of w lies from another's: what turns a w whose z nobody knows into that class."""
        return self.sampled_w(n, target).mean(0) - self.sampled_w(n, label).mean(0)

    def noise_maps(self) -> dict[str, Tensor]:
        """The stored noise of every layer, [...,s,s], by the name of its buffer; empty where `noise` is not "const"."""
        maps = {name: value for name, value in self.named_buffers() if name.endswith(".const")}
        return maps if self.noise == "const" else {}

    @abstractmethod
    def styles(self, ws: Tensor) -> list[Modulation]:
        """Modulations of w+ [N,num_ws,w_dim]: the affine layers."""

    def modulations(self, latent: Tensor, label: Tensor | None = None) -> list[Modulation]:
        """See `Generator.modulations`; the latent is z [N,latent_dim] or w+ [N,num_ws,w_dim]."""
        ws = latent.to(self.w_mean) if latent.ndim == 3 else self.mapping(latent, label)
        return self.styles(ws)


def check_labels(label: Tensor | None, num_classes: int, n: int) -> None:
    """Raise PhotograftError unless label is what a network of so many classes takes for n items."""
    if num_classes == 0:
        if label is not None:
            raise PhotograftError("this generator is unconditional: it takes no class")
        return
    if label is None:
        raise PhotograftError(f"this generator has {num_classes} classes: a class must be given")
    if label.ndim == 1 and label.dtype == torch.int64:
        # reading values would make the host wait for a GPU, whose embeddings refuse such indices themselves
        outside = label.device.type == "cpu" and bool(((label < 0) | (label >= num_classes)).any())
        if label.numel() != n or outside:
            raise PhotograftError(f"labels must be {n} class indices in 0..{num_classes - 1}")
    elif label.shape != (n, num_classes):
        raise PhotograftError(f"class weights must be [{n},{num_classes}], not {list(label.shape)}")
