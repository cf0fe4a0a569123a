"""SNGAN ResNet generator with categorical conditional batch normalisation.

Miyato & Koyama, "cGANs with Projection Discriminator" (2018), in the layouts of the original implementation of
"Spatially Controllable Image Synthesis with Internal Representation Collaging" (Suzuki et al.): 64, 128 and 256 px,
conditional or not. The layouts differ only in the widths of the blocks, so the widths are the config.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Generator, Layer, Modulation, Tap, check_labels
from models.generators.growth import cannot_grow, widths_above
from models.layers.batch_norm import BatchNorm2d
from models.layers.modulated_norm import ModulatedBatchNorm2d
from models.layers.resampling import keeps_kernel, kept_kernel, upsampled_conv, upsampling
from models.registry import register_generator
from models.schema import BottomWidth, Classes, Dim, Widths

NORM_EPS = 2e-5  # of the original (Chainer's default)
GROWN_STD = 1e-3  # of the weights that end a new block's branch: it adds next to nothing, and gradients reach all of it

LAYOUTS: dict[str, tuple[int, ...]] = {  # widths of the input and of the blocks' outputs, in units of ch
    "resnet_32": (4, 4, 4, 4),
    "resnet_64": (16, 8, 4, 2, 1),
    "resnet_128": (16, 16, 8, 4, 2, 1),
    "resnet_small": (8, 8, 4, 4, 2, 1),  # 128 px, the original's smaller one
    "resnet_256": (16, 16, 8, 8, 4, 2, 1),
}


def layout(name: str, ch: int) -> tuple[int, ...]:
    """Channel widths of one of the original's layouts at base width ch."""
    return tuple(ch * m for m in LAYOUTS[name])


class ConditionalBatchNorm2d(ModulatedBatchNorm2d):
    """Batch norm with gamma and beta of K classes.

    Attributes:
        gamma, beta: [K,C] tables of the K classes ([1,C] if unconditional), paper Eq. 1.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(channels, NORM_EPS)
        self.gamma = nn.Parameter(torch.ones(max(num_classes, 1), channels))
        self.beta = nn.Parameter(torch.zeros(max(num_classes, 1), channels))

    def modulation(self, n: int, label: Tensor | None) -> Modulation:
        """gamma and beta [N,C] of class indices [N], of class weights [N,K], or of the only class (None)."""
        gamma, beta = self.gamma, self.beta
        if label is None:
            return Modulation(gamma.expand(n, -1), beta.expand(n, -1))
        if label.ndim == 1:
            label = label.to(gamma.device)
            return Modulation(F.embedding(label, gamma), F.embedding(label, beta))
        label = label.to(gamma)
        return Modulation(label @ gamma, label @ beta)


class Block(nn.Module):
    """Residual block that doubles the resolution: norm, ReLU, up, conv, norm, ReLU, conv; 1x1 conv on the way round."""

    def __init__(self, c_in: int, c_out: int, num_classes: int) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm2d(c_in, num_classes)
        self.norm2 = ConditionalBatchNorm2d(c_out, num_classes)
        self.conv1 = keeps_kernel(nn.Conv2d(c_in, c_out, 3, padding=1), upsampling)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.skip = nn.Conv2d(c_in, c_out, 1)
        for conv in (self.conv1, self.conv2):
            nn.init.xavier_uniform_(conv.weight, gain=2**0.5)
        nn.init.xavier_uniform_(self.skip.weight)
        for conv in (self.conv1, self.conv2, self.skip):
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]


@register_generator("sngan")
class SNGANGenerator(Generator):
    """z [N,latent_dim] and a class -> image.

    Args:
        channels: widths of the input feature map and of each block's output (see `layout`).
        latent_dim: size of z.
        num_classes: 0 for an unconditional one.
        bottom_width: height and width of the input feature map.
    """

    def __init__(
        self, channels: Widths, latent_dim: Dim = 128, num_classes: Classes = 0, bottom_width: BottomWidth = 4
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "channels": list(channels),
            "latent_dim": latent_dim,
            "num_classes": num_classes,
            "bottom_width": bottom_width,
        }
        self.latent_dim, self.num_classes, self.bottom_width = latent_dim, num_classes, bottom_width
        self.channels = tuple(channels)
        self.resolution = bottom_width * 2 ** (len(channels) - 1)
        self.linear = nn.Linear(latent_dim, channels[0] * bottom_width**2)
        self.blocks = nn.ModuleList(Block(c_in, c_out, num_classes) for c_in, c_out in pairwise(channels))
        self.norm = BatchNorm2d(channels[-1], eps=NORM_EPS)
        self.to_rgb = nn.Conv2d(channels[-1], 3, 3, padding=1)
        for module in (self.linear, self.to_rgb):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        self.layers = tuple(self._describe())
        self._by_name = {layer.name: layer for layer in self.layers}

    @torch.no_grad()
    def grow_from(self, smaller: Generator) -> None:
        """See `Generator.grow_from`. New blocks begin as their shortcut alone: the features, enlarged.

        They are as wide as the smaller one's last, so that its last norm and its colours are kept. Its 3x3 colour
        convolution now spans half as much of the picture: means over 2x2 pixels are nearly the smaller picture.

        Raises:
            PhotograftError: another family, or another config than more blocks of the last one's width.
        """
        above = widths_above(self, smaller)
        width = smaller.config["channels"][-1]
        if any(c != width for c in above):
            raise cannot_grow(smaller, f"its last width is {width}, and each further one must be {width} too")
        self.load_state_dict(self.state_dict() | smaller.state_dict())
        count = len(self.blocks) - len(above)
        self.grown = tuple(f"blocks.{i}" for i in range(count, len(self.blocks)))
        for name in self.grown:
            block = cast(Block, self.get_submodule(name))
            nn.init.dirac_(block.skip.weight)
            nn.init.normal_(block.conv2.weight, std=GROWN_STD)
            for statistics in ("running_mean", "running_var"):  # what comes in is what the last norm has seen
                block.norm1.get_buffer(statistics).copy_(self.norm.get_buffer(statistics))

    def _describe(self) -> list[Layer]:
        size = self.bottom_width
        layers = [Layer("linear", size, self.channels[0], modulated=False)]
        for i, (c_in, c_out) in enumerate(pairwise(self.channels)):
            layers += [
                Layer(f"blocks.{i}.norm1", size, c_in, modulated=True),
                Layer(f"blocks.{i}.norm2", size * 2, c_out, modulated=True),
                Layer(f"blocks.{i}", size * 2, c_out, modulated=False),
            ]
            size *= 2
        return layers

    def _norms(self) -> list[ConditionalBatchNorm2d]:
        blocks: Iterable[Block] = self.blocks  # type: ignore[assignment]
        return [norm for block in blocks for norm in (block.norm1, block.norm2)]

    def modulations(self, latent: Tensor, label: Tensor | None = None) -> list[Modulation]:
        """gamma and beta of a class for every CBN: block 0's two, block 1's two, ... See `Generator.modulations`."""
        check_labels(label, self.num_classes, len(latent))
        return [norm.modulation(len(latent), label) for norm in self._norms()]

    def synthesize(self, latent: Tensor, modulations: Sequence[Modulation], tap: Tap | None = None) -> Tensor:
        """See `Generator.synthesize`. Computes in the dtype of the weights; the image comes back as float32."""
        self.check_modulations(modulations)
        x = self.linear(latent.to(self.linear.weight))
        x = x.view(-1, self.channels[0], self.bottom_width, self.bottom_width)  # [N,C,4,4]
        if self.to_rgb.weight.is_contiguous(memory_format=torch.channels_last):
            x = x.contiguous(memory_format=torch.channels_last)
        x = self._touch("linear", x, tap)
        blocks: Iterable[Block] = self.blocks  # type: ignore[assignment]
        for i, block in enumerate(blocks):
            h = block.norm1(x, modulations[2 * i], self._by_name[f"blocks.{i}.norm1"], tap)
            h = upsampled_conv(F.relu(h, inplace=True), block.conv1.weight, block.conv1.bias, kept_kernel(block.conv1))
            h = block.norm2(h, modulations[2 * i + 1], self._by_name[f"blocks.{i}.norm2"], tap)
            h = block.conv2(F.relu(h, inplace=True))  # nobody else has what modulation has made
            # a 1x1 convolution commutes with nearest-neighbour upsampling, and costs a quarter before it
            x = h + F.interpolate(block.skip(x), scale_factor=2.0, mode="nearest")
            x = self._touch(f"blocks.{i}", x, tap)
        return torch.tanh(self.to_rgb(F.relu(self.norm(x), inplace=True)).float())  # [N,3,R,R]

    def _touch(self, name: str, x: Tensor, tap: Tap | None) -> Tensor:
        return x if tap is None else tap(self._by_name[name], x)
