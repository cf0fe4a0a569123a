"""Discriminators: spectral-norm projection (SNGAN; the Psi of projection) and projected (training on small machines).

* `SNProjectionDiscriminator`: Miyato et al. 2018, in the layouts of the original collaging code.
* `ProjectedDiscriminator`: Sauer et al., "Projected GANs Converge Faster" (2021): small spectral-norm heads on frozen
  ImageNet features after random mixing, here with class projection and a classifier fitted to real pictures beside it.
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Configurable
from models.features import FeatureNetwork, create_features
from models.outline import Outline
from models.registry import discriminators
from models.resampling import pooled_conv, resize
from models.schema import Classes, Flag, Name, Pixels, Seen, Side, Width, Widths

SN_LAYOUTS: dict[str, tuple[int, ...]] = {  # widths of the blocks' outputs in units of ch
    "snresnet_64": (1, 2, 4, 8, 16),  # the only one whose last block halves the resolution too: give last_down
    "snresnet_128": (1, 2, 4, 8, 16, 16),
    "snresnet_small": (1, 2, 4, 4, 8, 8),
    "snresnet_256": (1, 2, 4, 8, 8, 16, 16),
}


class SpectralNorm(nn.Module):
    """Weight / sigma, sigma by one power iteration from the stored u at every use (Miyato et al. 2018).

    u moves on in training only; in evaluation the same iteration is done and forgotten, so a frozen network has no
    hidden state. (The original also moves u of linear and embedding layers in evaluation: put the layer in training
    mode for that.)
    """

    u: Tensor

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.register_buffer("u", F.normalize(torch.randn(rows), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):  # a matrix-vector product is cheap: keep its digits
            flat = weight.flatten(1)  # [out,-1]
            with torch.no_grad():
                v = F.normalize(flat.mT @ self.u, dim=0, eps=1e-12)
                u = F.normalize(flat @ v, dim=0, eps=1e-12)
                if self.training:
                    self.u.copy_(u)
            return weight / torch.dot(u, flat @ v)


class SNConv2d(nn.Conv2d):
    """Convolution with spectral norm."""

    def __init__(self, c_in: int, c_out: int, kernel_size: int, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(c_in, c_out, kernel_size, padding=(kernel_size - 1) // 2, **kwargs)
        self.spectral_norm = SpectralNorm(c_out)
        nn.init.xavier_uniform_(self.weight, gain=gain)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.spectral_norm(self.weight), self.bias)

    def pooled(self, x: Tensor) -> Tensor:  # [N,I,2H,2W] -> [N,O,H,W]
        """The mean over 2x2 windows of what `forward` gives (3x3 kernels)."""
        return pooled_conv(x, self.spectral_norm(self.weight), self.bias)


class SNLinear(nn.Linear):
    """Linear layer with spectral norm."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out)
        self.spectral_norm = SpectralNorm(c_out)
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.spectral_norm(self.weight), self.bias)


class SNEmbedding(nn.Embedding):
    """Embedding with spectral norm."""

    def __init__(self, n: int, dim: int) -> None:
        super().__init__(n, dim)
        self.spectral_norm = SpectralNorm(n)
        nn.init.xavier_uniform_(self.weight)

    def forward(self, label: Tensor) -> Tensor:
        return F.embedding(label, self.spectral_norm(self.weight))


class SNBlock(nn.Module):
    """Residual block of the discriminator. `first`: no activation before it, shortcut pools before its convolution."""

    def __init__(self, c_in: int, c_out: int, hidden: int, *, down: bool, first: bool) -> None:
        super().__init__()
        self.down, self.first = down, first
        self.conv1 = SNConv2d(c_in, hidden, 3, gain=2**0.5)
        self.conv2 = SNConv2d(hidden, c_out, 3, gain=2**0.5)
        self.skip = SNConv2d(c_in, c_out, 1) if down or c_in != c_out else None

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.conv1(x if self.first else F.relu(x)))
        if not self.down:
            return self.conv2(h) + (x if self.skip is None else self.skip(x))
        assert self.skip is not None
        # pooling commutes with the 1x1 convolution, and a quarter of the pixels is a quarter of the work
        return self.conv2.pooled(h) + self.skip(F.avg_pool2d(x, 2))


@discriminators.register("sn_projection")
class SNProjectionDiscriminator(Configurable):
    """Image [N,3,H,W] in [-1,1] and class -> score [N].

    Args:
        channels: widths of the blocks' outputs; all blocks but the last halve the resolution.
        num_classes: 0 for an unconditional one.
        hidden: "in" or "out": which side gives the width between a block's two convolutions.
        last_down: whether the last block halves the resolution too (the original's 64 px layout).
    """

    def __init__(
        self, channels: Widths, num_classes: Classes = 0, hidden: Side = "in", last_down: Flag = False
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "channels": list(channels),
            "num_classes": num_classes,
            "hidden": hidden,
            "last_down": last_down,
        }
        self.num_classes = num_classes
        widths, last = [3, *channels], len(channels) - 1
        self.blocks = nn.ModuleList(
            SNBlock(c_in, c_out, c_in if hidden == "in" and i else c_out, down=last_down or i < last, first=i == 0)
            for i, (c_in, c_out) in enumerate(pairwise(widths))
        )
        self.linear = SNLinear(channels[-1], 1)
        self.embedding = SNEmbedding(num_classes, channels[-1]) if num_classes else None

    def features(self, x: Tensor) -> Tensor:  # [N,3,H,W] -> [N,C,h,w]
        """Final features before pooling: ReLU of the last block. Psi (paper Eq. 4) is their normalised vector."""
        for block in self.blocks:
            x = block(x)
        return F.relu(x)

    @torch.no_grad()
    def folded(self) -> "SNProjectionDiscriminator":
        """A frozen copy with weight / sigma as its plain weights: the same results without power iterations.

        For inference only (projection): it cannot be trained on or saved.
        """
        copy = deepcopy(self).freeze()
        for module in copy.modules():
            if isinstance(module, SNConv2d | SNLinear | SNEmbedding):
                module.weight.copy_(module.spectral_norm(module.weight))
                module.add_module("spectral_norm", nn.Identity())
        return copy

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Score [N]; without a label the unconditional part alone."""
        h = self.features(x).sum(dim=(2, 3))  # [N,C]
        score: Tensor = self.linear(h)[:, 0]
        if self.embedding is not None and label is not None:
            score = score + (self.embedding(label) * h).sum(1)
        return score


@dataclass(frozen=True)
class Projected:
    """Frozen features of pictures: what the heads of a projected discriminator (and a feature loss) look at.

    Attributes:
        stages: mixed and standardised features, one [N,C,h,w] per stage, fine to coarse.
        pooled: [N,F] globally pooled last features of the network.
    """

    stages: list[Tensor]
    pooled: Tensor

    def __getitem__(self, index: slice | Tensor) -> "Projected":
        if isinstance(index, slice):
            return Projected([s[index] for s in self.stages], self.pooled[index])
        return Projected([s.index_select(0, index) for s in self.stages], self.pooled.index_select(0, index))

    def detach(self) -> "Projected":
        """The same, cut off from the graph."""
        return Projected([s.detach() for s in self.stages], self.pooled.detach())


class ProjectedHead(nn.Module):
    """Spectral-norm convolutions down to 8x8 or less, then logits at every position, with class projection."""

    def __init__(self, c_in: int, resolution: int, num_classes: int, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        while resolution > 8:
            self.convs.append(SNConv2d(c_in, width, 4, stride=2))
            c_in, resolution = width, resolution // 2
        self.convs.append(SNConv2d(c_in, width, 3))
        self.logits = SNConv2d(width, 1, 1)
        self.embedding = nn.Embedding(max(num_classes, 1), width)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:  # [N,C,h,w] -> [N,width,h',w']
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.2)
        return x

    def score(self, h: Tensor, label: Tensor) -> Tensor:  # [N,width,h,w], [N] -> [N,h,w]
        """Logits of features under these classes."""
        direction: Tensor = self.embedding(label)
        return self.logits(h)[:, 0] + torch.einsum("nchw,nc->nhw", h, direction)


@discriminators.register("projected")
class ProjectedDiscriminator(Configurable):
    """Heads on frozen, randomly mixed, standardised ImageNet features.

    `project` is costly and has no weights that learn; `heads` and `classify` are cheap. So one projection of a batch
    serves the discriminator's step, the generator's step, the feature loss and the class guidance.

    Args:
        num_classes: 0 for an unconditional one.
        resolution: of the pictures.
        sees: resolution at which the feature network looks at them, if another: small pictures are enlarged for it.
        features: name of the frozen feature network (see `models.features`).
        mixed_channels: width after the random mixing.
        head_channels: width of the heads.
    """

    frozen_parts = ("network",)
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        num_classes: Classes,
        resolution: Pixels,
        features: Name = "mobilenet_v2",
        mixed_channels: Width = 64,
        head_channels: Width = 128,
        sees: Seen | None = None,
    ) -> None:
        super().__init__()
        self.sees = resolution if sees is None else sees
        self.config = {
            "num_classes": num_classes,
            "resolution": resolution,
            "sees": self.sees,
            "features": features,
            "mixed_channels": mixed_channels,
            "head_channels": head_channels,
        }
        self.network: FeatureNetwork = create_features(features)
        shapes = self.network.shapes(self.sees)
        self.mix1 = nn.ModuleList(nn.Conv2d(c, mixed_channels, 1, bias=False) for c, _ in shapes)
        self.mix3 = nn.ModuleList(nn.Conv2d(mixed_channels, mixed_channels, 3, padding=1, bias=False) for _ in shapes)
        for conv in (*self.mix1, *self.mix3):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
            conv.requires_grad_(False)
        self.register_buffer("mean", torch.zeros(len(shapes), mixed_channels))
        self.register_buffer("std", torch.ones(len(shapes), mixed_channels))
        self.heads_ = nn.ModuleList(ProjectedHead(mixed_channels, r, num_classes, head_channels) for _, r in shapes)
        self.classifier = nn.Linear(self.network.pooled_channels, max(num_classes, 1))
        self.outline = Outline(len(shapes) * mixed_channels)

    def project(self, x: Tensor) -> Projected:
        """Frozen features of pictures [N,3,R,R] in [-1,1]."""
        stages, pooled = self.network(resize(x, self.sees))
        mixed = [mix(stage) for mix, stage in zip(self.mix1, stages, strict=True)]
        for i in range(len(mixed) - 1, 0, -1):  # coarse to fine
            size = mixed[i - 1].shape[-2:]
            mixed[i - 1] = mixed[i - 1] + F.interpolate(mixed[i], size, mode="bilinear", align_corners=False)
        mixed = [mix(stage) for mix, stage in zip(self.mix3, mixed, strict=True)]
        standard = [
            (m - mean[:, None, None]) / std[:, None, None]
            for m, mean, std in zip(mixed, self.mean, self.std, strict=True)
        ]
        return Projected(standard, pooled)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the statistics by which features are standardised from real pictures [N,3,R,R] (some hundreds)."""
        self.mean.zero_()
        self.std.fill_(1.0)
        chunks = [self.project(part).stages for part in x.split(64)]
        for i in range(len(self.mean)):
            stage = torch.cat([c[i] for c in chunks]).float()
            self.mean[i] = stage.mean(dim=(0, 2, 3))
            self.std[i] = stage.std(dim=(0, 2, 3)).clamp_min(1e-6)

    def heads(self, projected: Projected) -> list[Tensor]:
        """What the heads see before the class is looked at; give it to `score`."""
        return [head(stage) for head, stage in zip(self.heads_, projected.stages, strict=True)]

    def score(self, seen: list[Tensor], label: Tensor) -> list[Tensor]:
        """Logits [N,h,w] of every stage for these classes [N]."""
        heads: Iterable[ProjectedHead] = self.heads_  # type: ignore[assignment]
        return [head.score(h, label) for head, h in zip(heads, seen, strict=True)]

    def features(self, x: Tensor) -> Tensor:  # [N,3,R,R] -> [N,D]
        """What the heads see, each at unit length: the features behind Psi, as of the SN projection discriminator."""
        return torch.cat([F.normalize(h.flatten(1), dim=1) for h in self.heads(self.project(x))], dim=1)

    def class_logits(self, x: Tensor) -> Tensor:  # [N,3,R,R] -> [N,K]
        """As `classify`, of pictures in [-1,1], without the mixed features."""
        logits: Tensor = self.classifier(self.network(resize(x, self.sees))[1])
        return logits

    def classify(self, projected: Projected) -> Tensor:  # -> [N,K]
        """Class logits of a linear probe on the pooled features (fitted to real pictures only)."""
        logits: Tensor = self.classifier(projected.pooled)
        return logits

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Mean score [N] over stages and positions."""
        scores = self.score(self.heads(self.project(x)), label)
        return torch.stack([s.mean(dim=(1, 2)) for s in scores]).mean(0)
