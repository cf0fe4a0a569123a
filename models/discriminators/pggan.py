"""Progressive GAN discriminator, which StyleGAN keeps with a blur before it halves the resolution.

Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation" (2018), table 2 and section
3 (minibatch standard deviation); Karras, Laine & Aila, "A Style-Based Generator Architecture for Generative Adversarial
Networks" (2019), section 2 and appendix C.

A discriminator that grew has seen every resolution on its way, but its last two layers saw all of them: Psi is what
enters the last linear layer, the activations of the dense layer at 4 px, whatever the resolution it had come to.

The weights are the effective ones, as of the generator: what implementations do to them at each pass is folded in when
a file is read.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import check_labels
from models.discriminators.base import Discriminator, class_weights
from models.discriminators.stylegan2 import with_deviation
from models.errors import PhotograftError
from models.layers.resampling import blur, keeps_kernel, kept_kernel, pooled_conv, pooling
from models.registry import discriminators
from models.schema import Channels, Classes, Flag, Share, Side, Width, Widths

SLOPE = 0.2
BASE = 4  # height and width of the last features
ZOO_GROUP = 4  # pictures of pytorch_GAN_zoo's minibatch standard deviation


def zoo_deviation(x: Tensor, group: int | None) -> Tensor:  # [N,C,H,W] -> [N,C+1,H,W]
    """Append pytorch_GAN_zoo's minibatch deviation: of pictures that follow each other, unbiased, and 0 of one picture.

    A batch that does not divide into groups is one group, as there.
    """
    n, _, h, w = x.shape
    group = n if group is None or n % min(group, n) else min(group, n)
    if group == 1:
        return torch.cat([x, x.new_zeros(n, 1, h, w)], dim=1)
    deviation = (x.reshape(-1, group, *x.shape[1:]).var(1) + 1e-8).sqrt().mean((1, 2, 3))  # [N/group]
    return torch.cat([x, deviation.repeat_interleave(group)[:, None, None, None].expand(-1, -1, h, w)], dim=1)


class Block(nn.Module):
    """Two convolutions, the second of which halves the resolution."""

    def __init__(self, c_in: int, hidden: int, c_out: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(c_in, hidden, 3, padding=1)
        self.conv1 = keeps_kernel(nn.Conv2d(hidden, c_out, 3, padding=1), pooling)
        for conv in (self.conv0, self.conv1):
            nn.init.kaiming_normal_(conv.weight, SLOPE)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, slope: float, *, blurs: bool, pool_last: bool) -> Tensor:
        """[N,C_in,2H,2W] -> [N,C_out,H,W]; see `PGGANDiscriminator` for what the keywords say."""
        h = F.leaky_relu(self.conv0(x), slope)
        h = blur(h) if blurs else h
        if pool_last:
            return F.avg_pool2d(F.leaky_relu(self.conv1(h), slope), 2)
        return F.leaky_relu(pooled_conv(h, self.conv1.weight, self.conv1.bias, kept_kernel(self.conv1)), slope)


@discriminators.register("pggan")
class PGGANDiscriminator(Discriminator):
    """Image [N,3,R,R] in [-1,1] (and a class) -> score [N].

    Args:
        channels: widths at 4, 8, 16, ... px, as of the generator.
        num_classes: 0 for an unconditional one; else the last layer gives a score per class, of which the picture's own
            counts (StyleGAN).
        final: width of the final features; None for that of 4 px.
        hidden: whether a block's first convolution keeps the width that comes in, or gives the one that goes out.
        blurs: whether a block blurs before it halves the resolution (StyleGAN).
        pool_last: whether the halving comes after the activation instead of before it.
        rgb_activation: whether the layer that sees the image has an activation.
        group_size: of the minibatch standard deviation; None for the whole batch.
        group_channels: of that deviation; 0 for a network without it.
        zoo_groups: take the deviation as pytorch_GAN_zoo does, see `zoo_deviation`.
        slope: of leaky ReLU; 0 for ReLU.
        fade: share of the features that still comes from the image at half the resolution, for a network that was saved
            while its first block faded in (figure 2); 0 for a finished one.
    """

    def __init__(
        self,
        channels: Widths,
        num_classes: Classes = 0,
        final: Width | None = None,
        hidden: Side = "in",
        blurs: Flag = False,
        pool_last: Flag = False,
        rgb_activation: Flag = True,
        group_size: Width | None = 4,
        group_channels: Channels = 1,
        zoo_groups: Flag = False,
        slope: Share = SLOPE,
        fade: Share = 0.0,
    ) -> None:
        super().__init__()
        if fade and len(channels) < 2:
            raise PhotograftError("a network of one resolution does not fade in from another: fade must be 0")
        if group_channels and channels[0] % group_channels:
            raise PhotograftError(f"{channels[0]} channels do not divide into {group_channels} of minibatch deviation")
        final = channels[0] if final is None else final
        self.config: dict[str, Any] = {
            "channels": list(channels),
            "num_classes": num_classes,
            "final": final,
            "hidden": hidden,
            "blurs": blurs,
            "pool_last": pool_last,
            "rgb_activation": rgb_activation,
            "group_size": group_size,
            "group_channels": group_channels,
            "zoo_groups": zoo_groups,
            "slope": slope,
            "fade": fade,
        }
        self.num_classes, self.slope, self.fade = num_classes, slope, fade
        self.blurs, self.pool_last, self.rgb_activation = blurs, pool_last, rgb_activation
        self.group_size, self.group_channels, self.zoo_groups = group_size, group_channels, zoo_groups
        self.resolution = BASE * 2 ** (len(channels) - 1)
        self.from_rgb = nn.Conv2d(3, channels[-1], 1)
        if fade:
            self.from_rgb_before = nn.Conv2d(3, channels[-2], 1)
        self.blocks = nn.ModuleList(  # fine to coarse
            Block(c_in, c_in if hidden == "in" else c_out, c_out) for c_in, c_out in pairwise(reversed(channels))
        )
        self.conv = nn.Conv2d(channels[0] + group_channels, channels[0], 3, padding=1)
        self.linear = nn.Linear(channels[0] * BASE**2, final)
        self.out = nn.Linear(final, max(num_classes, 1))
        for layer in (self.conv, self.linear):
            nn.init.kaiming_normal_(layer.weight, SLOPE)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def _seen(self, conv: nn.Conv2d, image: Tensor) -> Tensor:
        h: Tensor = conv(image)
        return F.leaky_relu(h, self.slope) if self.rgb_activation else h

    def _final(self, x: Tensor, group_size: int | None) -> Tensor:  # [N,3,R,R] -> [N,C]
        self.check_pictures(x)
        h = self._seen(self.from_rgb, x)
        blocks: Iterable[nn.Module] = self.blocks
        for i, block in enumerate(blocks):
            h = block(h, self.slope, blurs=self.blurs, pool_last=self.pool_last)
            if i == 0 and self.fade:
                h = torch.lerp(h, self._seen(self.from_rgb_before, F.avg_pool2d(x, 2)), self.fade)
        if self.group_channels:
            h = zoo_deviation(h, group_size) if self.zoo_groups else with_deviation(h, group_size, self.group_channels)
        h = F.leaky_relu(self.conv(h), self.slope)
        return F.leaky_relu(self.linear(h.flatten(1)), self.slope)

    def features(self, x: Tensor) -> Tensor:  # [N,3,R,R] -> [N,C]
        """Final features, before the last linear layer: normalised, they are Psi.

        Every picture is a group of its own in the minibatch deviation: features do not depend on the batch.
        """
        return self._final(x, 1)

    def class_scores(self, x: Tensor) -> Tensor:  # [N,3,R,R] -> [N,K]
        """See `Discriminator.class_scores`."""
        scores: Tensor = self.out(self.features(x))
        return scores if self.num_classes else scores[:, :0]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Score [N]; label as of a generator. A batch is a multiple of the group size, or smaller than it."""
        check_labels(label, self.num_classes, len(x))
        scores: Tensor = self.out(self._final(x, self.group_size))
        if label is None:
            return scores[:, 0]
        return (scores * class_weights(label, self.num_classes).to(scores)).sum(1)
