"""Projected discriminator: Sauer et al., "Projected GANs Converge Faster" (2021).

Small spectral-norm heads on frozen ImageNet features after random mixing, here with class projection and a classifier
fitted to real pictures beside it. It lets small machines train.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Configurable
from models.layers.resampling import resize
from models.layers.spectral_norm import SNConv2d
from models.perception.features import FeatureNetwork, create_features
from models.perception.outline import Outline
from models.registry import discriminators
from models.schema import Classes, Name, Pixels, Seen, Width, check


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
            x = F.leaky_relu(conv(x), 0.2, inplace=True)
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
        features: name of the frozen feature network (see `models.perception.features`).
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
        self.sees = check(Seen, resolution if sees is None else sees, "sees (without it: resolution)")
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
        """What the heads stand on, every stage at unit length: the features behind Psi, as of the SN discriminator.

        Not what the heads make of it: by that reconstructions are farther from their photos (docs/experiments/psi.md).
        """
        return torch.cat([F.normalize(stage.flatten(1), dim=1) for stage in self.project(x).stages], dim=1)

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
