"""BigGAN-deep's discriminator: Brock et al. 2019, Fig. 16. (BigGAN's own is `sn_projection`, with attention.)

Its final features, ReLU of the last block, are the Psi of projection.
"""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.discriminators.sn_projection import ProjectionDiscriminator
from models.errors import PhotograftError
from models.layers.attention import SelfAttention
from models.layers.spectral_norm import SNConv2d, SNEmbedding, SNLinear
from models.registry import discriminators
from models.schema import Classes, Flags, Layers, Places

BOTTLENECK = 4  # how much narrower a block is inside than what comes out


class DeepBlock(nn.Module):
    """Residual block: ReLU, 1x1 down to a quarter, 3x3, 3x3, ReLU (pool), 1x1; beside it channels are added."""

    def __init__(self, c_in: int, c_out: int, down: bool) -> None:
        super().__init__()
        inner = c_out // BOTTLENECK
        self.down = down
        self.conv1 = SNConv2d(c_in, inner, 1)
        self.conv2, self.conv3 = SNConv2d(inner, inner, 3), SNConv2d(inner, inner, 3)
        self.conv4 = SNConv2d(inner, c_out, 1)
        self.skip = SNConv2d(c_in, c_out - c_in, 1) if c_out > c_in else None

    def forward(self, x: Tensor) -> Tensor:  # [N,C_in,H,W] -> [N,C_out,H,W] or half of it
        h = self.conv1(F.relu(x))
        h = self.conv2(F.relu(h, inplace=True))
        h = F.relu(self.conv3(F.relu(h, inplace=True)), inplace=True)
        if self.down:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        beside = x if self.skip is None else torch.cat([x, self.skip(x)], dim=1)
        out: Tensor = self.conv4(h) + beside
        return out


@discriminators.register("biggan_deep")
class BigGANDeepDiscriminator(ProjectionDiscriminator):
    """Image [N,3,H,W] in [-1,1] and class -> score [N].

    Args:
        channels: widths of the first convolution and of each block's output, never narrower than what comes in.
        down: which blocks halve the resolution.
        num_classes: 0 for an unconditional one.
        attention: numbers of blocks that self-attention stands behind.
    """

    def __init__(self, channels: Layers, down: Flags, num_classes: Classes = 0, attention: Places = ()) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "channels": list(channels),
            "down": list(down),
            "num_classes": num_classes,
            "attention": list(attention),
        }
        if len(down) != len(channels) - 1 or any(b < a or b < BOTTLENECK for a, b in pairwise(channels)):
            raise PhotograftError("blocks must not narrow, and need one of `down` each")
        if any(not 1 <= i < len(channels) for i in attention):
            raise PhotograftError(f"attention must stand behind blocks 1..{len(channels) - 1}")
        self.num_classes = num_classes
        self.conv = SNConv2d(3, channels[0], 3)
        self.blocks = nn.ModuleList(
            DeepBlock(c_in, c_out, halves) for (c_in, c_out), halves in zip(pairwise(channels), down, strict=True)
        )
        self.attention = nn.ModuleDict({str(i): SelfAttention(channels[i]) for i in sorted({*attention})})
        self.linear = SNLinear(channels[-1], 1)
        self.embedding = SNEmbedding(num_classes, channels[-1]) if num_classes else None
        self.least = self.measure_least()

    def features(self, x: Tensor) -> Tensor:  # [N,3,H,W] -> [N,C,h,w]
        """Final features before pooling: ReLU of the last block."""
        x = self.conv(x)
        for i, block in enumerate(self.blocks, start=1):
            x = block(x)
            x = self.attention[str(i)](x) if str(i) in self.attention else x
        return F.relu(x)
