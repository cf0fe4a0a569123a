"""Spectral-norm projection discriminator: Miyato et al. 2018, in the layouts of the original collaging code and, with
self-attention, of BigGAN (Brock et al. 2019).

Its final features are the Psi of projection.
"""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.discriminators.base import Discriminator
from models.errors import PhotograftError
from models.layers.attention import SelfAttention
from models.layers.resampling import keeps_kernel, pooling
from models.layers.spectral_norm import SNConv2d, SNEmbedding, SNLinear
from models.registry import discriminators
from models.schema import Classes, Count, Flag, Hidden, Places, Widths

SN_LAYOUTS: dict[str, tuple[int, ...]] = {  # widths of the blocks' outputs in units of ch
    "snresnet_64": (1, 2, 4, 8, 16),  # the only one whose last block halves the resolution too: give last_down
    "snresnet_128": (1, 2, 4, 8, 16, 16),
    "snresnet_small": (1, 2, 4, 4, 8, 8),
    "snresnet_256": (1, 2, 4, 8, 8, 16, 16),
}


class SNBlock(nn.Module):
    """Residual block of the discriminator. `first`: no activation before it, shortcut pools before its convolution."""

    def __init__(self, c_in: int, c_out: int, hidden: int, *, down: bool, first: bool) -> None:
        super().__init__()
        self.down, self.first = down, first
        self.conv1 = SNConv2d(c_in, hidden, 3, gain=2**0.5)
        self.conv2 = SNConv2d(hidden, c_out, 3, gain=2**0.5)
        if down:
            keeps_kernel(self.conv2, pooling)
        self.skip = SNConv2d(c_in, c_out, 1) if down or c_in != c_out else None

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.conv1(x if self.first else F.relu(x)), inplace=True)
        if not self.down:
            return self.conv2(h) + (x if self.skip is None else self.skip(x))
        assert self.skip is not None
        # pooling commutes with the 1x1 convolution, and a quarter of the pixels is a quarter of the work
        return self.conv2.pooled(h) + self.skip(F.avg_pool2d(x, 2))


class ProjectionDiscriminator(Discriminator):
    """Scores of final features [N,C,h,w]: linear in their sum, and in its product with the class (Miyato & Koyama).

    Attributes:
        linear, embedding: what a subclass makes; None for one without classes.
    """

    resolution = None
    blocks: nn.ModuleList
    attention: nn.ModuleDict
    linear: SNLinear
    embedding: SNEmbedding | None

    def measure_least(self) -> int:
        """See `Discriminator.least`; self-attention looks at halves of what it gets."""
        halved, least = 0, 1
        for i, block in enumerate(self.blocks, start=1):
            halved += bool(block.down)
            least = max(least, 2 ** (halved + (str(i) in self.attention)))
        return least

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Score [N]; without a label the unconditional part alone."""
        h = self.features(x).sum(dim=(2, 3))  # [N,C]
        score: Tensor = self.linear(h)[:, 0]
        if self.embedding is not None and label is not None:
            score = score + (self.embedding(label) * h).sum(1)
        return score

    def class_scores(self, x: Tensor) -> Tensor:  # [N,3,H,W] -> [N,K]
        """See `Discriminator.class_scores`."""
        assert self.embedding is not None
        h = self.features(x).sum(dim=(2, 3))
        classes = self.embedding(torch.arange(self.num_classes, device=h.device))  # [K,C]
        scores: Tensor = self.linear(h) + h @ classes.T
        return scores.float()


@discriminators.register("sn_projection")
class SNProjectionDiscriminator(ProjectionDiscriminator):
    """Image [N,3,H,W] in [-1,1] and class -> score [N].

    Args:
        channels: widths of the blocks' outputs; all blocks but the last ones halve the resolution.
        num_classes: 0 for an unconditional one.
        hidden: "in" or "out": which side gives the width between a block's two convolutions; with "in" the first block
            has that of its output, with "all_in" three channels.
        last_down: whether the last block halves the resolution too (the original's 64 px layout).
        attention: numbers of blocks that self-attention stands behind.
        level: how many of the last blocks keep the resolution, unless `last_down`.
    """

    def __init__(
        self,
        channels: Widths,
        num_classes: Classes = 0,
        hidden: Hidden = "in",
        last_down: Flag = False,
        attention: Places = (),
        level: Count = 1,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "channels": list(channels),
            "num_classes": num_classes,
            "hidden": hidden,
            "last_down": last_down,
            **({"attention": list(attention)} if attention else {}),  # files of before say nothing of these
            **({"level": level} if level != 1 else {}),
        }
        if any(not 1 <= i <= len(channels) for i in attention):
            raise PhotograftError(f"attention must stand behind blocks 1..{len(channels)}")
        self.num_classes = num_classes
        widths, last = [3, *channels], len(channels) - level
        narrow = ("all_in",), ("all_in", "in")  # of the first block, and of the others
        self.blocks = nn.ModuleList(
            SNBlock(c_in, c_out, c_in if hidden in narrow[i > 0] else c_out, down=last_down or i < last, first=i == 0)
            for i, (c_in, c_out) in enumerate(pairwise(widths))
        )
        self.attention = nn.ModuleDict({str(i): SelfAttention(channels[i - 1]) for i in sorted({*attention})})
        self.linear = SNLinear(channels[-1], 1)
        self.embedding = SNEmbedding(num_classes, channels[-1]) if num_classes else None
        self.least = self.measure_least()

    def features(self, x: Tensor) -> Tensor:  # [N,3,H,W] -> [N,C,h,w]
        """Final features before pooling: ReLU of the last block. Psi (paper Eq. 4) is their normalised vector."""
        for i, block in enumerate(self.blocks, start=1):
            x = block(x)
            x = self.attention[str(i)](x) if str(i) in self.attention else x
        return F.relu(x)
