"""Encoders E: picture (and class) -> z, the start of every projection.

* `ResNetEncoder`: the paper's (Fig. 15), trained on discriminator features, in the original implementation's layouts.
* `FeatureEncoder`: small layers on frozen ImageNet features, trained in the loop of the GAN itself.
"""

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Configurable, check_labels
from models.generators.sngan import ConditionalBatchNorm2d
from models.layers.batch_norm import BatchNorm1d
from models.layers.resampling import resize
from models.perception.features import MobileNetV2, create_features
from models.registry import encoders
from models.schema import BottomWidth, Classes, Dim, Name, Seen, Share, Width, Widths


class Encoder(Configurable, ABC):
    """Pictures [N,3,R,R] in [-1,1] and classes [N] -> z [N,latent_dim].

    Attributes:
        resolution: R, which may differ from the generator's (the original encodes at 128 px for 256).
        latent_dim: size of z.
        num_classes: 0 if E does not look at the class.
    """

    resolution: int
    latent_dim: int
    num_classes: int

    @abstractmethod
    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor: ...

    def encode(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """z [N,latent_dim] of pictures of any square size, resized to what the encoder takes."""
        z: Tensor = self(resize(x, self.resolution), label if self.num_classes else None)
        return z


class EncoderBlock(nn.Module):
    """Residual block that halves the resolution: CBN, ReLU, pool, conv, CBN, ReLU, conv; pooled 1x1 beside it."""

    def __init__(self, c_in: int, c_out: int, num_classes: int) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm2d(c_in, num_classes)
        self.norm2 = ConditionalBatchNorm2d(c_in, num_classes)
        self.conv1 = nn.Conv2d(c_in, c_in, 3, padding=1)
        self.conv2 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.skip = nn.Conv2d(c_in, c_out, 1)
        for conv in (self.conv1, self.conv2):
            nn.init.xavier_uniform_(conv.weight, gain=2**0.5)
        nn.init.xavier_uniform_(self.skip.weight)
        for conv in (self.conv1, self.conv2, self.skip):
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        n = len(x)
        h = self.conv1(F.avg_pool2d(F.relu(self.norm1(x, self.norm1.modulation(n, label))), 2))
        h = self.conv2(F.relu(self.norm2(h, self.norm2.modulation(n, label))))
        out: Tensor = h + self.skip(F.avg_pool2d(x, 2))
        return out


@encoders.register("resnet")
class ResNetEncoder(Encoder):
    """The paper's encoder: the discriminator's shape with conditional batch norm, z at its end through a PReLU.

    Args:
        channels: widths of the first convolution and of each block's output.
        latent_dim: size of z.
        num_classes: 0 for an unconditional one.
        bottom_width: height and width after the last block.
    """

    def __init__(
        self, channels: Widths, latent_dim: Dim = 128, num_classes: Classes = 0, bottom_width: BottomWidth = 4
    ) -> None:
        super().__init__()
        self.config = {
            "channels": list(channels),
            "latent_dim": latent_dim,
            "num_classes": num_classes,
            "bottom_width": bottom_width,
        }
        self.latent_dim, self.num_classes = latent_dim, num_classes
        self.resolution = bottom_width * 2 ** (len(channels) - 1)
        self.conv = nn.Conv2d(3, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList(EncoderBlock(c_in, c_out, num_classes) for c_in, c_out in pairwise(channels))
        self.linear = nn.Linear(channels[-1] * bottom_width**2, latent_dim)
        self.prelu = nn.PReLU(latent_dim, init=0.1)
        for module in (self.conv, self.linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """See `Encoder`."""
        check_labels(label, self.num_classes, len(x))
        h = self.conv(x)
        for block in self.blocks:
            h = block(h, label)
        z: Tensor = self.prelu(self.linear(h.flatten(1)))
        return z


@encoders.register("feature")
class FeatureEncoder(Encoder):
    """The encoder of the training loop: frozen MobileNet v2 (strides 16 and 32) -> small convolutions -> MLP -> code.

    Codes are *standardised*: zero mean and unit variance per dimension over the pictures (batch statistics in training,
    running ones in evaluation). In training z = sqrt(1 - s^2) code + s noise, so that codes of photos lie where the
    prior N(0, I) lies, which a KL term alone does not achieve (measured: their means had norm 4).

    Args:
        latent_dim: size of z.
        resolution: at which the features look at the picture.
        width: channels of the small convolutions.
        hidden: width of the MLP.
        noise: s, the share of noise in a training code, in (0, 1).
        features: feature network, a MobileNet v2 (see `models.perception.features`).
    """

    frozen_parts = ("network",)

    def __init__(
        self,
        latent_dim: Dim = 128,
        resolution: Seen = 64,
        width: Width = 128,
        hidden: Width = 512,
        noise: Share = 0.5,
        features: Name = "mobilenet_v2",
    ) -> None:
        super().__init__()
        self.config = {
            "latent_dim": latent_dim,
            "resolution": resolution,
            "width": width,
            "hidden": hidden,
            "noise": noise,
            "features": features,
        }
        self.latent_dim, self.resolution, self.num_classes, self.noise = latent_dim, resolution, 0, noise
        network = create_features(features)
        assert isinstance(network, MobileNetV2)
        self.network = network
        self.conv16 = nn.Conv2d(96, width, 3, stride=2, padding=1)
        self.conv32 = nn.Conv2d(320, width, 1)
        self.hidden = nn.Linear(2 * width * (resolution // 32) ** 2, hidden)
        self.out = nn.Linear(hidden, latent_dim)
        self.standard = BatchNorm1d(latent_dim, affine=False)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Mean code [N,latent_dim], of unit variance per dimension over pictures. The class is not looked at."""
        with torch.no_grad():
            stages = self.network.stage(x, 17)
        return self.code(stages[13], stages[17])

    def code(self, stride16: Tensor, stride32: Tensor) -> Tensor:
        """Code of given features [N,96,h,w] and [N,320,h/2,w/2]."""
        h = torch.cat([self.conv16(stride16), self.conv32(stride32)], dim=1)
        h = self.hidden(F.leaky_relu(h, 0.2).flatten(1))
        standard: Tensor = self.standard(self.out(F.leaky_relu(h, 0.2)).float())
        return standard

    def noisy(self, code: Tensor) -> Tensor:  # [N,latent_dim] -> [N,latent_dim]
        """Codes with their noise, distributed over pictures as the prior is: what the generator is trained on."""
        return (1 - self.noise**2) ** 0.5 * code + self.noise * torch.randn_like(code)
