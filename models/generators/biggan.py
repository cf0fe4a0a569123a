"""BigGAN and BigGAN-deep generators.

Brock, Donahue & Simonyan, "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (2019): gamma and beta
of every batch norm are linear in an embedding of the class that all layers share, and in z; self-attention stands
between blocks. BigGAN gives each block a chunk of z (Fig. 15). BigGAN-deep gives it the whole, and its first map sees
the class too (Fig. 16): there that share is a shift, so that it can vary over space as every modulation can.

Published networks keep statistics of 51 truncations; `truncation` says which ones stand.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import schema
from models.base import Generator, Layer, Modulation, Tap, check_labels
from models.errors import PhotograftError
from models.layers.attention import SelfAttention
from models.layers.modulated_norm import ModulatedBatchNorm2d
from models.layers.spectral_norm import SNConv2d, SNLinear, without_spectral_norm
from models.layers.standing_norm import LinearBatchNorm2d, PlainBatchNorm2d, StandingBatchNorm2d
from models.registry import register_generator
from models.schema import BottomWidth, Channels, Classes, Count, Dim, Flag, Flags, Layers, Places, Positive, Share

BOTTLENECK = 4  # of BigGAN-deep: how much narrower a block is inside
ATTENDED = 8  # channels that self-attention needs


Norm = Callable[[ModulatedBatchNorm2d, Tensor], Tensor]
"""Normalises features and modulates them: what a block's way through needs to know of modulations and taps."""


class Block(nn.Module):
    """BigGAN's residual block, which doubles the resolution: norm, ReLU, up, 3x3, norm, ReLU, 3x3; 1x1 beside it."""

    def __init__(self, c_in: int, c_out: int, condition: int, eps: float, rows: int) -> None:
        super().__init__()
        self.norm1 = LinearBatchNorm2d(c_in, condition, eps, rows)
        self.norm2 = LinearBatchNorm2d(c_out, condition, eps, rows)
        self.conv1 = SNConv2d.upsampling(c_in, c_out)
        self.conv2 = SNConv2d(c_out, c_out, 3)
        self.skip = SNConv2d(c_in, c_out, 1)

    def norms(self) -> list[tuple[str, LinearBatchNorm2d, int]]:
        """Name, layer, and how much larger its map is than the block's input."""
        return [("norm1", self.norm1, 1), ("norm2", self.norm2, 2)]

    def forward(self, x: Tensor, norm: Norm) -> Tensor:  # [N,C_in,H,W] -> [N,C_out,2H,2W]
        h = self.conv1.upsampled(F.relu(norm(self.norm1, x), inplace=True))
        h = self.conv2(F.relu(norm(self.norm2, h), inplace=True))
        # a 1x1 convolution commutes with nearest-neighbour upsampling, and costs a quarter before it
        return h + F.interpolate(self.skip(x), scale_factor=2.0, mode="nearest")


class DeepBlock(nn.Module):
    """BigGAN-deep's residual block: 1x1 down to a quarter, (up,) 3x3, 3x3, 1x1, each after norm and ReLU.

    Beside it channels are dropped where there are more than come out.
    """

    def __init__(self, c_in: int, c_out: int, up: bool, condition: int, eps: float, rows: int) -> None:
        super().__init__()
        inner = c_in // BOTTLENECK
        self.up, self.c_out = up, c_out
        self.norm1 = LinearBatchNorm2d(c_in, condition, eps, rows)
        self.norm2, self.norm3, self.norm4 = (LinearBatchNorm2d(inner, condition, eps, rows) for _ in range(3))
        self.conv1 = SNConv2d(c_in, inner, 1)
        self.conv2 = SNConv2d.upsampling(inner, inner) if up else SNConv2d(inner, inner, 3)
        self.conv3 = SNConv2d(inner, inner, 3)
        self.conv4 = SNConv2d(inner, c_out, 1)

    def norms(self) -> list[tuple[str, LinearBatchNorm2d, int]]:
        """As of `Block`."""
        grown = 2 if self.up else 1
        later = (("norm3", self.norm3, grown), ("norm4", self.norm4, grown))
        return [("norm1", self.norm1, 1), ("norm2", self.norm2, 1), *later]

    def forward(self, x: Tensor, norm: Norm) -> Tensor:  # [N,C_in,H,W] -> [N,C_out,H or 2H,W or 2W]
        h = self.conv1(F.relu(norm(self.norm1, x), inplace=True))
        h = F.relu(norm(self.norm2, h), inplace=True)
        h = self.conv2.upsampled(h) if self.up else self.conv2(h)
        h = self.conv3(F.relu(norm(self.norm3, h), inplace=True))
        h = self.conv4(F.relu(norm(self.norm4, h), inplace=True))
        x = x[:, : self.c_out]
        return h + (F.interpolate(x, scale_factor=2.0, mode="nearest") if self.up else x)


class _BigGAN(Generator):
    """What both have in common. A subclass makes `linear` and `blocks`, then calls `_finish`."""

    blocks: nn.ModuleList
    linear: SNLinear

    def _begin(self, config: dict[str, Any]) -> None:
        """Keep the config; a generator without classes has no embedding."""
        config = {name: list(v) if isinstance(v, Sequence) else v for name, v in config.items()}
        if not config["num_classes"]:
            config["shared_dim"] = 0
        self.config = config
        self.latent_dim, self.num_classes, self.bottom_width = (
            config[name] for name in ("latent_dim", "num_classes", "bottom_width")
        )
        self.channels: tuple[int, ...] = tuple(config["channels"])
        wrong = [i for i in config["attention"] if i >= len(self.channels) or self.channels[i] < ATTENDED]
        if wrong:
            raise PhotograftError(f"attention after block {wrong[0]}: it needs a block of {ATTENDED} channels or more")

    def _finish(self) -> None:
        """Everything around the blocks, the layers, and how weights are meant."""
        config, rows = self.config, self.config["statistics"]
        shared_dim: int = config["shared_dim"]
        self.shared = nn.Embedding(self.num_classes, shared_dim) if shared_dim else None
        self.attention = nn.ModuleDict(
            {str(i): SelfAttention(self.channels[i]) for i in sorted({*config["attention"]})}
        )
        self.norm = PlainBatchNorm2d(self.channels[-1], config["last_eps"] or config["eps"], rows)
        self.to_rgb = SNConv2d(self.channels[-1], 3, 3)
        if not config["spectral_norm"]:
            without_spectral_norm(self)
        self.layers = tuple(self._describe())
        self._by_name = {layer.name: layer for layer in self.layers}
        self.resolution = self.layers[-1].resolution
        schema.check(schema.Pixels, self.resolution, "height of pictures")
        if any(layer.name.startswith("attention") and layer.resolution < 2 for layer in self.layers):
            raise PhotograftError("attention needs a map of 2 px or more")
        self._stand(config["truncation"])

    def _stand(self, truncation: float) -> None:
        for module in self.modules():
            if isinstance(module, StandingBatchNorm2d):
                module.truncation, module.as_ported = truncation, self.config["ported_statistics"]

    def at_truncation(self, truncation: float) -> Self:
        """See `Generator.at_truncation`: a copy that shares the weights; beyond 1 the statistics are those of 1."""
        if self.config["statistics"] == 1:
            return self
        truncation = min(1.0, self.config["truncation"] * truncation)
        memo = {id(t): t for t in (*self.parameters(), *self.buffers())}
        other = copy.deepcopy(self, memo)
        other.config = {**self.config, "truncation": truncation}
        other._stand(truncation)
        return other

    def sample_latent(self, n: int, generator: torch.Generator | None = None) -> Tensor:  # -> [n,latent_dim]
        """From the prior: N(0, I), within +-2 where there are statistics of several truncations, times `truncation`."""
        if self.config["statistics"] == 1:
            return super().sample_latent(n, generator)
        z = torch.empty(n, self.latent_dim)
        return nn.init.trunc_normal_(z, a=-2.0, b=2.0, generator=generator) * self.config["truncation"]

    def embed(self, label: Tensor | None, n: int) -> Tensor:
        """y [N,shared_dim] of class indices [N] or class weights [N,K]."""
        check_labels(label, self.num_classes, n)
        if self.shared is None or label is None:
            return self.linear.weight.new_zeros(n, 0)
        if label.ndim == 1:
            y: Tensor = self.shared(label.to(self.shared.weight.device))
            return y
        return label.to(self.shared.weight) @ self.shared.weight

    def _described_blocks(self) -> Iterator[Layer]:
        """Layers from the first map on."""
        size = self.bottom_width
        yield Layer("linear", size, self.channels[0], modulated=False)
        if 0 in self.config["attention"]:
            yield Layer("attention.0", size, self.channels[0], modulated=False)
        for i, (block, width) in enumerate(zip(self._blocks(), self.channels[1:], strict=True)):
            for name, norm, grown in block.norms():
                channels = norm.running_mean.shape[1]
                yield Layer(f"blocks.{i}.{name}", size * grown, channels, modulated=True)
            size *= block.norms()[-1][2]
            yield Layer(f"blocks.{i}", size, width, modulated=False)
            if i + 1 in self.config["attention"]:
                yield Layer(f"attention.{i + 1}", size, width, modulated=False)

    def _describe(self) -> Iterable[Layer]:
        return self._described_blocks()

    def _blocks(self) -> Iterable[Block | DeepBlock]:
        return self.blocks  # type: ignore[return-value]

    def _picture(self, x: Tensor, modulations: Iterable[Modulation], tap: Tap | None) -> Tensor:
        """First map [N,C,h,w] -> picture [N,3,R,R]."""
        touch = tap or (lambda _, features: features)
        layers = (layer for layer in self.layers if layer.name != "class_map")
        of = iter(modulations)

        def norm(module: ModulatedBatchNorm2d, h: Tensor) -> Tensor:
            changed: Tensor = module(h, next(of), next(layers), tap)
            return changed

        def attended(i: int, h: Tensor) -> Tensor:
            return touch(next(layers), self.attention[str(i)](h)) if str(i) in self.attention else h

        if self.to_rgb.weight.is_contiguous(memory_format=torch.channels_last):
            x = x.contiguous(memory_format=torch.channels_last)
        x = attended(0, touch(next(layers), x))
        for i, block in enumerate(self._blocks(), start=1):
            x = block(x, norm)
            x = attended(i, touch(next(layers), x))
        last = self.norm(x, self.norm.modulation().map(lambda t: t.expand(len(x), -1)))
        return torch.tanh(self.to_rgb(F.relu(last, inplace=True)).float())

    def _map(self, flat: Tensor) -> Tensor:  # [N,C*h*w] -> [N,C,h,w]
        return flat.unflatten(1, (-1, self.bottom_width, self.bottom_width))


@register_generator("biggan")
class BigGANGenerator(_BigGAN):
    """z [N,latent_dim] and a class -> image.

    Args:
        channels: widths of the first map and of each block's output; every block doubles the resolution.
        latent_dim: size of z, which divides into a chunk for the first map and one for each block.
        num_classes: 0 for an unconditional one.
        shared_dim: size of the class's embedding.
        hierarchical: whether blocks see their chunks of z; else the first map has all of it, and blocks the class only.
        attention: numbers of blocks that self-attention stands behind (0: behind the first map).
        bottom_width: height and width of the first map.
        eps, last_eps: of batch norm, and of the one before the picture; None: eps too. (In ajbrock's code that one is
            always 1e-5.)
        statistics: sets of statistics for truncations from 0 to 1; 1: one.
        truncation: whose statistics stand, and times which the prior is, where there are several.
        ported_statistics: see `StandingBatchNorm2d.as_ported`.
        spectral_norm: divide weights by their largest singular value at each pass, as training does; files of others
            are read with weights that are so divided.
    """

    def __init__(
        self,
        channels: Layers,
        latent_dim: Dim = 120,
        num_classes: Classes = 0,
        shared_dim: Channels = 128,
        hierarchical: Flag = True,
        attention: Places = (),
        bottom_width: BottomWidth = 4,
        eps: Positive = 1e-5,
        last_eps: Positive | None = None,
        statistics: Count = 1,
        truncation: Share = 1.0,
        ported_statistics: Flag = False,
        spectral_norm: Flag = False,
    ) -> None:
        super().__init__()
        config = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self._begin(config)
        self._slots = len(channels) if hierarchical else 1
        if latent_dim % self._slots:
            raise PhotograftError(
                f"z of {latent_dim} does not divide into {self._slots} chunks: one for each block and one"
            )
        chunk = latent_dim // self._slots
        self.linear = SNLinear(chunk, channels[0] * bottom_width**2)
        condition = self.config["shared_dim"] + (chunk if hierarchical else 0)
        self.blocks = nn.ModuleList(
            Block(c_in, c_out, condition, eps, statistics) for c_in, c_out in pairwise(self.channels)
        )
        self._finish()

    def modulations(self, latent: Tensor, label: Tensor | None = None) -> list[Modulation]:
        """gamma and beta of every norm: block 0's two, block 1's two, ... See `Generator.modulations`."""
        y = self.embed(label, len(latent))
        found = []
        chunks = latent.to(y).chunk(self._slots, dim=1)[1:] if self._slots > 1 else [y[:, :0]] * len(self.blocks)
        for block, chunk in zip(self._blocks(), chunks, strict=True):
            condition = torch.cat([y, chunk], dim=1)
            found += [norm.modulation(condition) for _, norm, _ in block.norms()]
        return found

    def synthesize(self, latent: Tensor, modulations: Sequence[Modulation], tap: Tap | None = None) -> Tensor:
        """See `Generator.synthesize`. Computes in the dtype of the weights; the image comes back as float32."""
        self.check_modulations(modulations)
        first = latent.to(self.linear.weight).chunk(self._slots, dim=1)[0]
        return self._picture(self._map(self.linear(first)), modulations, tap)


@register_generator("biggan_deep")
class BigGANDeepGenerator(_BigGAN):
    """z [N,latent_dim] and a class -> image; arguments that `BigGANGenerator` has are as there.

    Its first modulated layer is `class_map`: the class's share of the first map, a shift [N,C,h,w]. What a tap sees
    there is the share of z.

    Args:
        up: which blocks double the resolution.
    """

    def __init__(
        self,
        channels: Layers,
        up: Flags,
        latent_dim: Dim = 128,
        num_classes: Classes = 0,
        shared_dim: Channels = 128,
        attention: Places = (),
        bottom_width: BottomWidth = 4,
        eps: Positive = 1e-5,
        last_eps: Positive | None = None,
        statistics: Count = 1,
        truncation: Share = 1.0,
        ported_statistics: Flag = False,
        spectral_norm: Flag = False,
    ) -> None:
        super().__init__()
        config = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self._begin(config)
        if len(up) != len(channels) - 1 or any(a < max(b, BOTTLENECK) for a, b in pairwise(channels)):
            raise PhotograftError(f"each block needs {BOTTLENECK} channels or more, must not widen, and needs its `up`")
        features = channels[0] * bottom_width**2
        self.linear = SNLinear(latent_dim, features)
        if self.config["shared_dim"]:
            self.class_map = SNLinear(self.config["shared_dim"], features, bias=False)
        condition = self.config["shared_dim"] + latent_dim
        self.blocks = nn.ModuleList(
            DeepBlock(c_in, c_out, grows, condition, eps, statistics)
            for (c_in, c_out), grows in zip(pairwise(self.channels), up, strict=True)
        )
        self._finish()

    def _describe(self) -> Iterable[Layer]:
        if self.config["shared_dim"]:
            yield Layer("class_map", self.bottom_width, self.channels[0], modulated=True)
        yield from self._described_blocks()

    def modulations(self, latent: Tensor, label: Tensor | None = None) -> list[Modulation]:
        """The class's share of the first map (scale 1, [N,C,h,w]), then gamma and beta of every norm, four a block."""
        y = self.embed(label, len(latent))
        condition = torch.cat([y, latent.to(y)], dim=1)
        found = [norm.modulation(condition) for block in self._blocks() for _, norm, _ in block.norms()]
        if y.shape[1]:
            share = self._map(self.class_map(y))
            found.insert(0, Modulation(torch.ones_like(share), share))
        return found

    def synthesize(self, latent: Tensor, modulations: Sequence[Modulation], tap: Tap | None = None) -> Tensor:
        """See `BigGANGenerator.synthesize`."""
        self.check_modulations(modulations)
        x, of = self._map(self.linear(latent.to(self.linear.weight))), iter(modulations)
        if self.config["shared_dim"]:
            x = next(of).map(lambda t: t.to(x.dtype)).apply(x if tap is None else tap(self.layers[0], x))
        return self._picture(x, of, tap)
