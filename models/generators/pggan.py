"""Progressive GAN generator.

Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation" (2018): convolutions with
pixelwise feature normalisation (section 4.2), and no modulation anywhere, so that only its features can be edited.

The weights are the effective ones: the equalised learning rate (section 4.1) and the flip of kernels that upscale by
a fused transposed convolution are folded in when a file is read.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Generator, Layer, Modulation, Tap, check_labels
from models.errors import PhotograftError
from models.layers.resampling import keeps_kernel, kept_kernel, upsampled_conv, upsampling
from models.registry import register_generator
from models.schema import Dim, Share, Widths

SLOPE = 0.2
BASE = 4  # height and width of the first features


def pixel_norm(x: Tensor) -> Tensor:  # [N,C,...] -> [N,C,...]
    """Unit mean square over the channels of each position (section 4.2)."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class Block(nn.Module):
    """Doubles the resolution, then convolves again; the first block (c_in None) has the second convolution only."""

    def __init__(self, c_in: int | None, c_out: int) -> None:
        super().__init__()
        if c_in is not None:
            self.conv1 = keeps_kernel(nn.Conv2d(c_in, c_out, 3, padding=1), upsampling)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        for conv in self.children():
            assert isinstance(conv, nn.Conv2d)
            nn.init.kaiming_normal_(conv.weight, SLOPE)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:  # [N,C_in,H/2,W/2] -> [N,C,H,W]
        """Each convolution is followed by leaky ReLU and pixel normalisation."""
        if hasattr(self, "conv1"):
            x = pixel_norm(
                F.leaky_relu(upsampled_conv(x, self.conv1.weight, self.conv1.bias, kept_kernel(self.conv1)), SLOPE)
            )
        return pixel_norm(F.leaky_relu(self.conv2(x), SLOPE))


@register_generator("pggan")
class PGGANGenerator(Generator):
    """z [N,latent_dim] -> image; the image is linear in the last features, so nominally in [-1,1].

    Args:
        channels: widths at 4, 8, 16, ... px.
        latent_dim: size of z.
        fade: share of the image that still comes from the resolution before the last, for a network that was saved
            while its last block faded in (figure 2); 0 for a finished one.
    """

    num_classes = 0

    def __init__(self, channels: Widths, latent_dim: Dim = 512, fade: Share = 0.0) -> None:
        super().__init__()
        if fade and len(channels) < 2:
            raise PhotograftError("a network of one resolution does not fade in from another: fade must be 0")
        self.config: dict[str, Any] = {"channels": list(channels), "latent_dim": latent_dim, "fade": fade}
        self.latent_dim, self.fade = latent_dim, fade
        self.resolution = BASE * 2 ** (len(channels) - 1)
        self.linear = nn.Linear(latent_dim, channels[0] * BASE**2)
        self.blocks = nn.ModuleList(
            Block(c_in, c_out) for c_in, c_out in pairwise([None, *channels]) if c_out is not None
        )
        self.to_rgb = nn.Conv2d(channels[-1], 3, 1)
        if fade:
            self.to_rgb_before = nn.Conv2d(channels[-2], 3, 1)
        nn.init.kaiming_normal_(self.linear.weight, SLOPE)
        nn.init.zeros_(self.linear.bias)
        self.layers = (
            Layer("linear", BASE, channels[0], modulated=False),
            *(Layer(f"blocks.{i}", BASE * 2**i, width, modulated=False) for i, width in enumerate(channels)),
        )

    def modulations(self, latent: Tensor, label: Tensor | None = None) -> list[Modulation]:
        """None at all: see `Generator.modulations`."""
        check_labels(label, self.num_classes, len(latent))
        return []

    def synthesize(self, latent: Tensor, modulations: Sequence[Modulation], tap: Tap | None = None) -> Tensor:
        """See `Generator.synthesize`."""
        self.check_modulations(modulations)
        touch = tap or (lambda _, features: features)
        x = self.linear(pixel_norm(latent.to(self.linear.weight)))
        x = pixel_norm(F.leaky_relu(x.unflatten(1, (-1, BASE, BASE)), SLOPE))  # [N,C,4,4]
        x = before = touch(self.layers[0], x)
        blocks: Iterable[nn.Module] = self.blocks
        for layer, block in zip(self.layers[1:], blocks, strict=True):
            before, x = x, touch(layer, block(x))
        image: Tensor = self.to_rgb(x).float()  # [N,3,R,R]
        if not self.fade:
            return image
        coarse = F.interpolate(self.to_rgb_before(before).float(), scale_factor=2.0, mode="nearest")
        return torch.lerp(image, coarse, self.fade)
