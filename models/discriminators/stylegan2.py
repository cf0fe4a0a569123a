"""StyleGAN2 discriminator.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), Fig. 7, with a score per class, or with
the class projection through a mapping network of "Training Generative Adversarial Networks with Limited Data" (2020).
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from models.base import check_labels
from models.discriminators.base import Discriminator, class_weights
from models.errors import PhotograftError
from models.layers.equalized import EqualConv2d, EqualLinear, Mapping, activate
from models.layers.fir import Fir
from models.registry import discriminators
from models.schema import Activation, Architecture, Channels, Classes, Flag, MaybeLayers, Positive, Taps, Width, Widths

BASE = 4  # height and width of the last features
ARCHITECTURES = ("resnet", "skip", "orig")
TAPS = (1.0, 3.0, 3.0, 1.0)  # of the resampling filter


def with_deviation(x: Tensor, group: int | None, count: int) -> Tensor:  # [N,C,H,W] -> [N,C+count,H,W]
    """Append the standard deviation over groups of pictures, as `count` constant channels (minibatch stddev).

    A group takes every (N / group)-th picture; `group` of them, or the whole batch if that is smaller or None is given.

    Raises:
        PhotograftError: a batch that does not divide into groups.
    """
    n, c, h, w = x.shape
    group = n if group is None else min(group, n)
    if n % group:
        raise PhotograftError(f"a batch of {n} does not divide into groups of {group}: give a multiple of {group}")
    parts = x.reshape(group, -1, count, c // count, h, w)
    deviation = (parts.var(0, correction=0) + 1e-8).sqrt().mean((2, 3, 4))  # [N/group,count]
    return torch.cat([x, deviation.repeat(group, 1)[:, :, None, None].expand(-1, -1, h, w)], dim=1)


class Block(nn.Module):
    """Two convolutions, the second of which halves the resolution.

    Attributes:
        from_rgb: of the first block, and of all in the skip architecture.
        skip: the way round, in the residual architecture.
    """

    def __init__(
        self, c_in: int, c_out: int, conv_clamp: float | None, activation: str, *, rgb: bool, residual: bool
    ) -> None:
        super().__init__()
        self.conv_clamp, self.activation = conv_clamp, activation
        self.from_rgb = EqualConv2d(3, c_in, 1) if rgb else None
        self.conv0 = EqualConv2d(c_in, c_in, 3)
        self.conv1 = EqualConv2d(c_in, c_out, 3)
        self.skip = EqualConv2d(c_in, c_out, 1, bias=False) if residual else None

    def forward(self, x: Tensor, fir: Fir) -> Tensor:  # [N,C_in,2H,2W] -> [N,C_out,H,W]
        gain = 1.0 if self.skip is None else 0.5**0.5  # both branches, to keep the variance of their sum
        h = activate(self.conv0(x), 1.0, self.conv_clamp, self.activation)
        h = fir.down_conv(h, self.conv1.scaled, self.conv1.bias)
        h = activate(h, gain, self.conv_clamp, self.activation)
        return h if self.skip is None else torch.add(h, self.skip(fir.down(x)), alpha=gain)


@discriminators.register("stylegan2")
class StyleGAN2Discriminator(Discriminator):
    """Image [N,3,R,R] in [-1,1] (and a class) -> score [N].

    Args:
        channels: widths at 4, 8, 16, ... px, as of the generator.
        num_classes: 0 for an unconditional one.
        architecture: "resnet", "skip" (every resolution sees the image) or "orig" (neither).
        conv_clamp: bound of the activations, or None.
        group_size: of the minibatch standard deviation; None for the whole batch.
        group_channels: of that deviation; 0 for a network without it.
        mapping: widths of the mapping network of the class; the last one is that of the projection. Without any the
            embedded class is projected on; without an embedding too, the last layer gives a score per class.
        embedding: size of the embedded class; None for that of the projection.
        mapping_rate: learning rate of the mapping network relative to the rest.
        taps: of the resampling filter.
        final: width of the final features; None for that of 4 px.
        activation, mapping_activation: of the convolutions and of the mapping network, see `ACTIVATIONS`.
        clamps_coarsest: whether `conv_clamp` bounds the layer that sees the image at 4 px too, in the skip
            architecture; NVIDIA's torch version leaves that one out.
    """

    def __init__(
        self,
        channels: Widths,
        num_classes: Classes = 0,
        architecture: Architecture = "resnet",
        conv_clamp: Positive | None = None,
        group_size: Width | None = 4,
        group_channels: Channels = 1,
        mapping: MaybeLayers = (512,) * 8,
        embedding: Width | None = None,
        mapping_rate: Positive = 0.01,
        taps: Taps = TAPS,
        final: Width | None = None,
        activation: Activation = "lrelu",
        mapping_activation: Activation = "lrelu",
        clamps_coarsest: Flag = True,
    ) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise PhotograftError(f"unknown architecture {architecture!r}: choose from {', '.join(ARCHITECTURES)}")
        if group_channels and channels[0] % group_channels:
            raise PhotograftError(f"{channels[0]} channels do not divide into {group_channels} of minibatch deviation")
        embedding = mapping[-1] if embedding is None and mapping else embedding
        projection, final = mapping[-1] if mapping else embedding, channels[0] if final is None else final
        self.config: dict[str, Any] = {
            "channels": list(channels),
            "num_classes": num_classes,
            "architecture": architecture,
            "conv_clamp": conv_clamp,
            "group_size": group_size,
            "group_channels": group_channels,
            "mapping": list(mapping),
            "embedding": embedding,
            "mapping_rate": mapping_rate,
            "taps": list(taps),
            "final": final,
            "activation": activation,
            "mapping_activation": mapping_activation,
            "clamps_coarsest": clamps_coarsest,
        }
        self.num_classes, self.architecture = num_classes, architecture
        self.conv_clamp, self.activation = conv_clamp, activation
        self.clamps_coarsest = clamps_coarsest
        self.group_size, self.group_channels = group_size, group_channels
        self.resolution = BASE * 2 ** (len(channels) - 1)
        self.fir = Fir(taps)
        self.blocks = nn.ModuleList(  # fine to coarse
            Block(
                channels[i],
                channels[i - 1],
                conv_clamp,
                activation,
                rgb=architecture == "skip" or i == len(channels) - 1,
                residual=architecture == "resnet",
            )
            for i in range(len(channels) - 1, 0, -1)
        )
        last = channels[0]
        self.from_rgb = EqualConv2d(3, last, 1) if architecture == "skip" else None
        self.conv = EqualConv2d(last + group_channels, last, 3)
        self.linear = EqualLinear(last * BASE**2, final)
        self.map_class: Mapping | None = None
        if num_classes and projection is not None and embedding is not None:
            self.map_class = Mapping(0, mapping, num_classes, embedding, mapping_rate, mapping_activation)
        self.out = EqualLinear(final, (projection or num_classes) if num_classes else 1)

    def _final(self, x: Tensor, group_size: int | None) -> Tensor:  # [N,3,R,R] -> [N,C]
        self.check_pictures(x)
        blocks: Iterable[Block] = self.blocks  # type: ignore[assignment]
        image, h = x, None
        for block in blocks:
            h = self._see(h, image, block.from_rgb, self.conv_clamp)
            image = self.fir.down(image) if self.architecture == "skip" else image
            h = block(h, self.fir)
        h = self._see(h, image, self.from_rgb, self.conv_clamp if self.clamps_coarsest else None)
        if self.group_channels:
            h = with_deviation(h, group_size, self.group_channels)
        h = activate(self.conv(h), 1.0, self.conv_clamp, self.activation)
        return activate(self.linear(h.flatten(1)), kind=self.activation)

    def _see(self, h: Tensor | None, image: Tensor, from_rgb: EqualConv2d | None, clamp: float | None) -> Tensor:
        """Features with those of the image added, where there is a layer that looks at it."""
        if from_rgb is None:
            assert h is not None
            return h
        seen = activate(from_rgb(image), 1.0, clamp, self.activation)
        return seen if h is None else h + seen

    def features(self, x: Tensor) -> Tensor:  # [N,3,R,R] -> [N,C]
        """Final features, before the last linear layer: normalised, they are Psi.

        Every picture is a group of its own in the minibatch deviation: features do not depend on the batch.
        """
        return self._final(x, 1)

    def class_scores(self, x: Tensor) -> Tensor:  # [N,3,R,R] -> [N,K]
        """See `Discriminator.class_scores`."""
        y: Tensor = self.out(self.features(x))
        if self.map_class is None:
            return y[:, : self.num_classes]
        directions = self.map_class(x.new_zeros(self.num_classes, 0), torch.arange(self.num_classes))  # [K,D]
        return y @ directions.t() * directions.shape[1] ** -0.5

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Score [N]; label as of a generator. A batch is a multiple of the group size, or smaller than it."""
        y: Tensor = self.out(self._final(x, self.group_size))
        if self.map_class is not None:
            direction = self.map_class(x.new_zeros(len(x), 0), label)  # [N,D]
            return (y * direction).sum(1) * direction.shape[1] ** -0.5
        check_labels(label, self.num_classes, len(x))
        return y[:, 0] if label is None else (y * class_weights(label, self.num_classes).to(y)).sum(1)
