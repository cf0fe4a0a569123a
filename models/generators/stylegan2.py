"""StyleGAN2 generator.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020): weight modulation and demodulation
(Eq. 1-3), skip and residual architectures (Fig. 7); class-conditional mapping and clamped activations as in "Training
Generative Adversarial Networks with Limited Data" (2020).
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Generator, Layer, Modulation, StyleGenerator, Tap
from models.errors import PhotograftError
from models.generators.growth import cannot_grow, widths_above
from models.layers.equalized import ACTIVATIONS, EqualConv2d, EqualLinear, Mapping, clamped
from models.layers.fir import Fir
from models.layers.resampling import keeps_kernel, kept_kernel
from models.registry import register_generator
from models.schema import Activation, Architecture, Classes, Dim, Flag, Layers, Positive, Taps, Width, Widths

BASE = 4  # height and width of the constant input
EPS = 1e-8
ARCHITECTURES = ("skip", "resnet", "orig")
TAPS = (1.0, 3.0, 3.0, 1.0)  # of the resampling filter


def layout(resolution: int, channel_base: int, channel_max: int = 512) -> tuple[int, ...]:
    """Widths at 4, 8, ... `resolution` px: channel_base / px, at most channel_max."""
    return tuple(min(channel_base >> i, channel_max) for i in range(2, resolution.bit_length()))


def squared(weight: Tensor) -> Tensor:  # [O,I,3,3] -> [O,I]
    """Sum of a kernel's squares, in float32."""
    return weight.float().square().sum((2, 3))


def transposed(weight: Tensor) -> Tensor:  # [O,I,3,3] -> [I,O,3,3]
    """A kernel as transposed convolutions take it."""
    return weight.transpose(0, 1)


class ModulatedConv(nn.Module):
    """3x3 convolution under a style, with demodulation, noise, bias and leaky ReLU.

    The style scales the input features, and the outputs are divided by the deviation that this gives them (Eq. 3). So
    a style may vary over space, exactly: with w [O,I,3,3] and a style s_i(q) at every input position q, the output at
    p is `sum_{i,q} w s_i(q) x_i(q) / sqrt(sum_{i,k} w^2 s_i(p)^2 + eps)`, demodulated by the style at p itself. Where
    the layer doubles the resolution, the style at p is the nearest one of its map.

    Args:
        size: height and width of the output.
        fir: filter of a layer that doubles the resolution, else None.
        conv_clamp: bound of the activations, or None.
        activation: see `ACTIVATIONS`.

    Attributes:
        strength, const: of the noise, [] and [size,size].
    """

    const: Tensor

    def __init__(
        self,
        c_in: int,
        c_out: int,
        size: int,
        w_dim: int,
        fir: Fir | None,
        conv_clamp: float | None,
        activation: str = "lrelu",
    ) -> None:
        super().__init__()
        self.fir, self.conv_clamp = fir, conv_clamp
        self.slope, self.gain = ACTIVATIONS[activation]
        self.affine = EqualLinear(w_dim, c_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(c_out, c_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("const", torch.randn(size, size))
        keeps_kernel(self, squared, "power")
        if fir is not None:
            keeps_kernel(self, transposed)

    def demodulation(self, style: Tensor) -> Tensor:  # [N,I] -> [N,O,1,1], or [N,I,H,W] -> [N,O,size,size]
        """What the outputs are multiplied by; in float32."""
        with torch.autocast(style.device.type, enabled=False):
            power = kept_kernel(self, "power")
            power = squared(self.weight) if power is None else power
            d = torch.rsqrt(torch.einsum("oi,ni...->no...", power, style.float().square()) + EPS)
        if d.ndim == 2:
            return d[:, :, None, None]
        return d if self.fir is None else F.interpolate(d, scale_factor=2.0, mode="nearest")

    def _transposed(self) -> Tensor:
        kernel = kept_kernel(self)
        return transposed(self.weight) if kernel is None else kernel

    def forward(self, x: Tensor, modulation: Modulation, noise: str, gain: float = 1.0) -> Tensor:
        """noise: as `StyleGenerator.noise`; gain: of the output, bound included."""
        x = modulation.map(lambda t: t.to(x.dtype)).apply(x)
        x = F.conv2d(x, self.weight, padding=1) if self.fir is None else self.fir.up_conv(x, self._transposed())
        # in place, and leaky ReLU's gain in the factors before it, which it passes on: fewer passes over the features
        bound = None if self.conv_clamp is None else self.conv_clamp * gain
        gain *= self.gain
        x *= (self.demodulation(modulation.scale) * gain).to(x.dtype)
        x += (self.bias * gain).to(x.dtype)[:, None, None]
        if noise != "none":
            values = self.const if noise == "const" else torch.randn_like(x[:, :1])
            x += (values * (self.strength * gain)).to(x.dtype)
        return clamped(F.leaky_relu_(x, self.slope), bound)


class ToRGB(nn.Module):
    """1x1 convolution to colours under a style, without demodulation; the result is float32."""

    def __init__(self, c_in: int, w_dim: int, conv_clamp: float | None) -> None:
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = EqualLinear(w_dim, c_in, bias=1.0)
        self.conv = EqualConv2d(c_in, 3, 1)

    def forward(self, x: Tensor, modulation: Modulation) -> Tensor:  # [N,C,H,W] -> [N,3,H,W]
        y: Tensor = self.conv(modulation.map(lambda t: t.to(x.dtype)).apply(x))
        return clamped(y.float(), self.conv_clamp)


class Block(nn.Module):
    """All layers of one resolution. The first one (c_in None) has a constant [C,4,4] in place of `conv0`."""

    def __init__(
        self,
        c_in: int | None,
        c_out: int,
        size: int,
        w_dim: int,
        fir: Fir,
        conv_clamp: float | None,
        activation: str,
        *,
        rgb: bool,
    ) -> None:
        super().__init__()
        if c_in is None:
            self.const = nn.Parameter(torch.randn(c_out, size, size))
        else:
            self.conv0 = ModulatedConv(c_in, c_out, size, w_dim, fir, conv_clamp, activation)
        self.conv1 = ModulatedConv(c_out, c_out, size, w_dim, None, conv_clamp, activation)
        self.to_rgb = ToRGB(c_out, w_dim, conv_clamp) if rgb else None
        self.skip: EqualConv2d | None = None

    def modulated(self) -> Iterator[tuple[str, ModulatedConv | ToRGB]]:
        """Layers that take a modulation, in the order of execution, by name."""
        for name, module in self.named_children():
            if isinstance(module, ModulatedConv | ToRGB):
                yield name, module


@register_generator("stylegan2")
class StyleGAN2Generator(StyleGenerator):
    """z [N,latent_dim] (and a class) -> image; the image is linear in the last features, so nominally in [-1,1].

    Modulations are scales without shifts, one per convolution and per ToRGB; a tap there sees their input.

    Args:
        channels: widths at 4, 8, 16, ... px; see `layout`.
        latent_dim: size of z.
        mapping: widths of the mapping network's layers; the last one is the size of w.
        num_classes: 0 for an unconditional one.
        embedding: size of the embedded class; None for the size of w.
        architecture: "skip" (the image is a sum over resolutions), "resnet" or "orig" (neither).
        conv_clamp: bound of the activations and of each ToRGB, or None.
        mapping_rate: learning rate of the mapping network relative to the rest.
        taps: of the resampling filter.
        activation, mapping_activation: of the convolutions and of the mapping network, see `ACTIVATIONS`.
        together: whether z and the embedded class are normalised as one vector (the first version, in TensorFlow).
    """

    w_avg: Tensor

    def __init__(
        self,
        channels: Widths,
        latent_dim: Dim = 512,
        mapping: Layers = (512,) * 8,
        num_classes: Classes = 0,
        embedding: Width | None = None,
        architecture: Architecture = "skip",
        conv_clamp: Positive | None = None,
        mapping_rate: Positive = 0.01,
        taps: Taps = TAPS,
        activation: Activation = "lrelu",
        mapping_activation: Activation = "lrelu",
        together: Flag = False,
    ) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise PhotograftError(f"unknown architecture {architecture!r}: choose from {', '.join(ARCHITECTURES)}")
        self.latent_dim, self.num_classes, self.w_dim = latent_dim, num_classes, mapping[-1]
        embedding = self.w_dim if embedding is None else embedding
        self.config: dict[str, Any] = {
            "channels": list(channels),
            "latent_dim": latent_dim,
            "mapping": list(mapping),
            "num_classes": num_classes,
            "embedding": embedding,
            "architecture": architecture,
            "conv_clamp": conv_clamp,
            "mapping_rate": mapping_rate,
            "taps": list(taps),
            "activation": activation,
            "mapping_activation": mapping_activation,
            "together": together,
        }
        self.architecture, self.num_ws = architecture, 2 * len(channels)
        self.resolution = BASE * 2 ** (len(channels) - 1)
        self.map_latent = Mapping(
            latent_dim, mapping, num_classes, embedding, mapping_rate, mapping_activation, together=together
        )
        self.register_buffer("w_avg", torch.zeros(self.w_dim))
        self.fir = Fir(taps)
        self.blocks = nn.ModuleList()
        for i, (c_in, c_out) in enumerate(pairwise([None, *channels])):
            assert c_out is not None
            rgb = architecture == "skip" or i == len(channels) - 1
            block = Block(c_in, c_out, BASE * 2**i, self.w_dim, self.fir, conv_clamp, activation, rgb=rgb)
            if architecture == "resnet" and c_in is not None:
                block.skip = EqualConv2d(c_in, c_out, 1, bias=False)
            self.blocks.append(block)
        self.layers = tuple(self._describe())
        self._by_name = {layer.name: layer for layer in self.layers}

    @torch.no_grad()
    def grow_from(self, smaller: Generator) -> None:
        """See `Generator.grow_from`. What is above the smaller one adds nothing to its picture yet.

        Raises:
            PhotograftError: not the "skip" architecture, or another one of the resolutions that both have.
        """
        count = len(self.config["channels"]) - len(widths_above(self, smaller))
        if self.architecture != "skip":
            raise cannot_grow(smaller, f"of the architectures only skip grows, not {self.architecture}")
        self.load_state_dict(self.state_dict() | smaller.state_dict())
        for block in self._blocks()[count:]:
            assert block.to_rgb is not None
            nn.init.zeros_(block.to_rgb.conv.weight)
            assert block.to_rgb.conv.bias is not None
            nn.init.zeros_(block.to_rgb.conv.bias)
        self.grown = tuple(f"blocks.{i}" for i in range(count, len(self.blocks)))

    def _describe(self) -> Iterator[Layer]:
        for i, block in enumerate(self._blocks()):
            size, width = BASE * 2**i, block.conv1.weight.shape[0]
            for name, module in block.modulated():
                if name == "to_rgb":
                    continue
                inner = size // 2 if name == "conv0" else size
                yield Layer(f"blocks.{i}.{name}", inner, module.affine.weight.shape[0], modulated=True)
            yield Layer(f"blocks.{i}", size, width, modulated=False)
            if block.to_rgb is not None:
                yield Layer(f"blocks.{i}.to_rgb", size, width, modulated=True)

    def _blocks(self) -> list[Block]:
        blocks: Iterable[Block] = self.blocks  # type: ignore[assignment]
        return list(blocks)

    @property
    def w_mean(self) -> Tensor:
        """[w_dim]: the running mean that training kept of w."""
        return self.w_avg

    def mapping(
        self, z: Tensor, label: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """See `StyleGenerator.mapping`."""
        return self.broadcast(self.map_latent(z.to(self.w_avg), label), truncation, cutoff)

    def styles(self, ws: Tensor) -> list[Modulation]:
        """See `StyleGenerator.styles`. A ToRGB and the next resolution's first convolution share their w."""
        mapped = []
        for i, block in enumerate(self._blocks()):
            first = max(2 * i - 1, 0)
            for k, (_, module) in enumerate(block.modulated()):
                mapped.append(Modulation(module.affine(ws[:, first + k])))
        return mapped

    def synthesize(self, latent: Tensor, modulations: Sequence[Modulation], tap: Tap | None = None) -> Tensor:
        """See `Generator.synthesize`. Of the latent only the number of pictures counts: w is in the modulations."""
        self.check_modulations(modulations)
        blocks, modulation = self._blocks(), iter(modulations)
        x = blocks[0].const.expand(len(latent), -1, -1, -1)
        # convolutions over every channel of its own, and those at high resolutions, are faster on a CPU this way
        if x.device.type == "cpu" or blocks[0].conv1.weight.is_contiguous(memory_format=torch.channels_last):
            x = x.contiguous(memory_format=torch.channels_last)
        image: Tensor | None = None
        for i, block in enumerate(blocks):
            name, bypass = f"blocks.{i}", None
            if i:
                bypass = None if block.skip is None else self.fir.up(block.skip(x))
                x = block.conv0(self._touch(f"{name}.conv0", x, tap), next(modulation), self.noise)
            # both branches of a residual block are scaled to keep the variance of their sum
            gain = 1.0 if bypass is None else 0.5**0.5
            x = block.conv1(self._touch(f"{name}.conv1", x, tap), next(modulation), self.noise, gain)
            x = self._touch(name, x if bypass is None else torch.add(x, bypass, alpha=gain), tap)
            if block.to_rgb is not None:
                rgb = block.to_rgb(self._touch(f"{name}.to_rgb", x, tap), next(modulation))
                image = rgb if image is None else self.fir.up(image) + rgb
        assert image is not None
        return image  # [N,3,R,R]

    def _touch(self, name: str, x: Tensor, tap: Tap | None) -> Tensor:
        return x if tap is None else tap(self._by_name[name], x)
