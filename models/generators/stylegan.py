"""StyleGAN generator.

Karras, Laine & Aila, "A Style-Based Generator Architecture for Generative Adversarial Networks" (2019): a mapping
network z -> w, and a synthesis network of AdaIN layers (Eq. 1) with noise inputs and truncation in w (appendix B).

The weights are the effective ones. What implementations do to them at each pass (equalised learning rate, the mapping's
own rate, the flip of kernels that upscale by a fused transposed convolution) is folded in when a file is read.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Layer, Modulation, StyleGenerator, Tap, check_labels
from models.layers.resampling import blur, keeps_kernel, kept_kernel, upsampled_conv, upsampling
from models.registry import register_generator
from models.schema import Classes, Dim, Flag, Layers, Positive, Widths

SLOPE = 0.2
BASE = 4  # height and width of the constant input


class NoiseAndBias(nn.Module):
    """x + strength * noise + bias, then leaky ReLU.

    Attributes:
        strength, bias: [C].
        const: the stored noise, [1,1,R,R].
    """

    const: Tensor

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("const", torch.randn(1, 1, size, size))

    def forward(self, x: Tensor, mode: str) -> Tensor:  # [N,C,R,R] -> [N,C,R,R]
        """mode: as `StyleGenerator.noise`; random noise differs from picture to picture."""
        x = x + self.bias[:, None, None]
        if mode != "none":
            noise = self.const if mode == "const" else torch.randn_like(x[:, :1])
            x = torch.addcmul(x, noise, self.strength[:, None, None])
        return F.leaky_relu(x, SLOPE)


class AdaIN(nn.Module):
    """Instance normalisation whose scale and shift are affine in w: C rows of scales, then C of shifts (Eq. 1)."""

    def __init__(self, channels: int, w_dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.affine = nn.Linear(w_dim, 2 * channels)
        nn.init.normal_(self.affine.weight, std=w_dim**-0.5)
        with torch.no_grad():
            self.affine.bias.copy_(torch.cat([torch.ones(channels), torch.zeros(channels)]))

    def modulation(self, w: Tensor) -> Modulation:  # [N,w_dim]
        """Scale and shift, [N,C] each."""
        return Modulation(*self.affine(w).chunk(2, dim=1))

    def normalise(self, x: Tensor) -> Tensor:  # [N,C,H,W] -> [N,C,H,W]
        """Zero mean and unit variance over each channel's own positions."""
        return F.instance_norm(x, eps=self.eps)


class Block(nn.Module):
    """Two AdaIN layers at one resolution; the first takes the constant (c_in None), or what the block before gives.

    Attributes:
        const: [1,C,4,4], of the first block.
        conv1: convolution that doubles the resolution, of the others; its bias, if any, comes before the blur.
    """

    def __init__(self, c_in: int | None, c_out: int, size: int, w_dim: int, eps: float, bias_before_blur: bool) -> None:
        super().__init__()
        if c_in is None:
            self.const = nn.Parameter(torch.ones(1, c_out, size, size))
        else:
            self.conv1 = keeps_kernel(nn.Conv2d(c_in, c_out, 3, padding=1, bias=bias_before_blur), upsampling)
        self.noise1, self.adain1 = NoiseAndBias(c_out, size), AdaIN(c_out, w_dim, eps)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.noise2, self.adain2 = NoiseAndBias(c_out, size), AdaIN(c_out, w_dim, eps)
        for conv in (module for module in self.children() if isinstance(module, nn.Conv2d)):
            nn.init.kaiming_normal_(conv.weight, SLOPE)

    def enter(self, x: Tensor | None, n: int) -> Tensor:  # [N,C_in,H/2,W/2] -> [N,C,H,W]
        """What the first layer's noise is added to: the constant, or the features at twice the resolution."""
        if x is None:
            return self.const.expand(n, -1, -1, -1)
        return blur(upsampled_conv(x, self.conv1.weight, self.conv1.bias, kept_kernel(self.conv1)))


@register_generator("stylegan")
class StyleGANGenerator(StyleGenerator):
    """z [N,latent_dim] (and a class) -> image; the image is linear in the last features, so nominally in [-1,1].

    Args:
        channels: widths at 4, 8, 16, ... px.
        latent_dim: size of z.
        mapping: widths of the mapping network's layers; the last one is the size of w.
        num_classes: 0 for an unconditional one.
        norm_eps: of instance normalisation: 1e-8 in the original, 1e-5 in its ports to torch.
        bias_before_blur: where layers that double the resolution add their bias; the original adds it after the blur.
    """

    w_avg: Tensor

    def __init__(
        self,
        channels: Widths,
        latent_dim: Dim = 512,
        mapping: Layers = (512,) * 8,
        num_classes: Classes = 0,
        norm_eps: Positive = 1e-8,
        bias_before_blur: Flag = False,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "channels": list(channels),
            "latent_dim": latent_dim,
            "mapping": list(mapping),
            "num_classes": num_classes,
            "norm_eps": norm_eps,
            "bias_before_blur": bias_before_blur,
        }
        self.latent_dim, self.num_classes, self.w_dim = latent_dim, num_classes, mapping[-1]
        self.num_ws = 2 * len(channels)
        self.resolution = BASE * 2 ** (len(channels) - 1)
        if num_classes:
            self.label = nn.Parameter(torch.randn(num_classes, latent_dim))
        widths = (latent_dim * 2 if num_classes else latent_dim, *mapping)
        self.dense = nn.ModuleList(nn.Linear(d_in, d_out) for d_in, d_out in pairwise(widths))
        self.register_buffer("w_avg", torch.zeros(self.w_dim))
        self.blocks = nn.ModuleList(
            Block(c_in, c_out, BASE * 2**i, self.w_dim, norm_eps, bias_before_blur)
            for i, (c_in, c_out) in enumerate(pairwise([None, *channels]))
            if c_out is not None
        )
        self.to_rgb = nn.Conv2d(channels[-1], 3, 1)
        for linear in (module for module in self.dense if isinstance(module, nn.Linear)):
            nn.init.kaiming_normal_(linear.weight, SLOPE)
            nn.init.zeros_(linear.bias)
        nn.init.normal_(self.to_rgb.weight, std=channels[-1] ** -0.5)
        nn.init.zeros_(self.to_rgb.bias)  # type: ignore[arg-type]
        self.layers = tuple(
            Layer(f"blocks.{i}{part}", BASE * 2**i, width, modulated=part != "")
            for i, width in enumerate(channels)
            for part in (".adain1", ".adain2", "")
        )
        self._by_name = {layer.name: layer for layer in self.layers}

    @property
    def w_mean(self) -> Tensor:
        """[w_dim]: the running mean that training kept of w."""
        return self.w_avg

    def mapping(
        self, z: Tensor, label: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """See `StyleGenerator.mapping`. The original draws its pictures with truncation 0.7 and cutoff 8."""
        check_labels(label, self.num_classes, len(z))
        x = z.to(self.w_avg)  # [N,latent_dim]
        if label is not None:
            label = label.to(x.device)
            embedded = self.label[label] if label.ndim == 1 else label.to(x.dtype) @ self.label
            x = torch.cat([x, embedded], dim=1)
        x = x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)
        for linear in self.dense:
            x = F.leaky_relu(linear(x), SLOPE)
        return self.broadcast(x, truncation, cutoff)

    def _blocks(self) -> list[Block]:
        blocks: Iterable[Block] = self.blocks  # type: ignore[assignment]
        return list(blocks)

    def styles(self, ws: Tensor) -> list[Modulation]:
        """See `StyleGenerator.styles`: two layers per resolution, each with a w of its own."""
        adains = [adain for block in self._blocks() for adain in (block.adain1, block.adain2)]
        return [adain.modulation(w) for adain, w in zip(adains, ws.unbind(1), strict=True)]

    def synthesize(self, latent: Tensor, modulations: Sequence[Modulation], tap: Tap | None = None) -> Tensor:
        """See `Generator.synthesize`. Of the latent only the number of pictures counts: w is in the modulations."""
        self.check_modulations(modulations)
        x: Tensor | None = None
        for i, block in enumerate(self._blocks()):
            h = block.noise1(block.enter(x, len(latent)), self.noise)
            h = self._modulate(f"blocks.{i}.adain1", block.adain1, h, modulations[2 * i], tap)
            h = block.noise2(block.conv2(h), self.noise)
            h = self._modulate(f"blocks.{i}.adain2", block.adain2, h, modulations[2 * i + 1], tap)
            x = self._touch(f"blocks.{i}", h, tap)
        image: Tensor = self.to_rgb(x)
        return image.float()  # [N,3,R,R]

    def _touch(self, name: str, x: Tensor, tap: Tap | None) -> Tensor:
        return x if tap is None else tap(self._by_name[name], x)

    def _modulate(self, name: str, adain: AdaIN, x: Tensor, modulation: Modulation, tap: Tap | None) -> Tensor:
        normalised = self._touch(name, adain.normalise(x), tap)
        return modulation.map(lambda t: t.to(x.dtype)).apply(normalised)
