"""How a head is held in its picture: how far it is rolled, and how far it is turned away from the viewer.

The roll is said by a small network on frozen ImageNet features of a round window, so that no corner says what is up. It
says the mean of a unit vector (Bishop 2006, 1.5.5): the angle is the roll, the length how sure it is. Nothing but
upright heads was needed to teach it: they were turned by known angles. The turn is not learnt at all: a head that looks
at the viewer has nearly the features of its mirror image, a profile has not.
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.base import Configurable
from models.files import load_network
from models.perception.features import MobileNetV2, create_features
from models.registry import poses
from models.schema import Share, Width

POSE_WEIGHTS = Path(__file__).parents[1] / "weights" / "pose.safetensors"
SIDE = 128  # of the picture that the network sees
WINDOW = 1.1  # of the round window, in squares of training crops
BLOCKS, CHANNELS = (13, 17), (96, 320)  # of MobileNet v2, strides 16 and 32


class Roll(NamedTuple):
    """Degrees by which a head is turned clockwise from upright, in -180..180, and how sure that is, in 0..1."""

    degrees: float
    confidence: float


class Backbone(nn.Module):
    """Frozen ImageNet features: x [N,3,128,128] in [-1,1] -> [N,96,8,8], [N,320,4,4]. Always in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        network = create_features("mobilenet_v2")
        assert isinstance(network, MobileNetV2)
        self.network = network.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        assert x.shape[1:] == (3, SIDE, SIDE), x.shape
        outputs = self.network.stage(x.contiguous(memory_format=torch.channels_last), BLOCKS[-1])
        return outputs[BLOCKS[0]], outputs[BLOCKS[1]]

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode."""
        return super().train(False)


@poses.register("round")
class PoseNetwork(Configurable):
    """Features [N,96,8,8] and [N,320,4,4] of `Backbone` -> [N,2], cosine and sine of the roll, shorter where unsure.

    Args:
        width: channels of the convolutions.
        dropout: share of the features that training drops.
    """

    frozen_parts = ("backbone",)

    def __init__(self, width: Width = 64, dropout: Share = 0.2) -> None:
        super().__init__()
        self.config = {"width": width, "dropout": dropout}
        self.backbone = Backbone()
        self.fine, self.coarse = (
            nn.Sequential(nn.GroupNorm(1, channels), nn.Dropout2d(dropout), nn.Conv2d(channels, width, 1), nn.ReLU())
            for channels in CHANNELS
        )
        self.layers = nn.Sequential(
            nn.Conv2d(2 * width, 96, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(96 * 16, 128),
            nn.ReLU(),
            nn.Linear(128, 2),
        )

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """See the class."""
        assert fine.shape[1:] == (CHANNELS[0], 8, 8) and coarse.shape[1:] == (CHANNELS[1], 4, 4), fine.shape
        enlarged = F.interpolate(self.coarse(coarse.float()), scale_factor=2)
        vector: Tensor = self.layers(torch.cat([self.fine(fine.float()), enlarged], dim=1))
        return vector.float()

    @torch.inference_mode()
    def roll(self, pixels: NDArray[np.uint8]) -> Roll:
        """Of the head in a square picture (uint8 RGB [S,S,3]) of `WINDOW` squares of its training crop.

        The mean over its quarter turns and their mirror images. Raises ValueError for pixels of another kind.
        """
        x = _input(pixels, next(self.layers.parameters()).device)
        views = torch.stack([x.rot90(-k, (1, 2)) for k in range(4)])  # clockwise
        views = torch.cat([views, views.flip(3)])
        return mean_roll(self(*self.backbone(views * disc(views))).cpu().double())

    @torch.inference_mode()
    def turn(self, pixels: NDArray[np.uint8]) -> float:
        """How far the head in an upright training crop (uint8 RGB [S,S,3]) is turned away: 0 is frontal, 1 the most.

        The cosine distance of the features of the crop and of its mirror image, place by place, the mean over both
        blocks. Raises ValueError for pixels of another kind.
        """
        return float(self.turns(_input(pixels, next(self.layers.parameters()).device)[None])[0])

    @torch.inference_mode()
    def turns(self, x: Tensor) -> Tensor:  # [N,3,128,128] in [-1,1] -> [N]
        """`turn` of many heads at once."""
        features = self.backbone(torch.cat([x, x.flip(3)]))
        pairs = [part.flatten(1).chunk(2) for part in features]
        return 1 - torch.stack([F.cosine_similarity(one, other) for one, other in pairs]).mean(dim=0)


def _input(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:  # [S,S,3] -> [3,128,128] in [-1,1]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.shape[0] != pixels.shape[1]:
        raise ValueError(f"pixels must be uint8 RGB [S,S,3], not {pixels.dtype} {pixels.shape}")
    if len(pixels) != SIDE:
        method = cv2.INTER_AREA if len(pixels) > SIDE else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=method), np.uint8)
    return torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(2, 0, 1).float() / 127.5 - 1


def disc(like: Tensor) -> Tensor:  # [...,128,128] -> [128,128]
    """1 in the round window, 0 in the corners, four pixels soft."""
    at = (torch.arange(SIDE, device=like.device) + 0.5) * 2 / SIDE - 1
    far = (at[:, None].square() + at[None].square()).sqrt()
    return ((1 - far) * SIDE / 8).clamp(0, 1)


def mean_roll(found: Tensor) -> Roll:  # [8,2]
    """Of vectors of a picture turned clockwise by 0, 90, 180 and 270 degrees, and of the mirror images of these."""
    vectors = torch.complex(found[:, 0], found[:, 1])
    vectors = torch.cat([vectors[:4], vectors[4:].conj()])  # a mirror turns clockwise around
    back = torch.tensor([1, -1j, -1, 1j], dtype=vectors.dtype).repeat(2)
    mean = complex((vectors * back).mean())
    return Roll(math.degrees(math.atan2(mean.imag, mean.real)), min(abs(mean), 1.0))


@lru_cache(maxsize=1)
def load_pose(path: Path = POSE_WEIGHTS) -> PoseNetwork:
    """The network of a file (default: the embedded one), kept for the next call. Raises `PhotograftError`."""
    network: PoseNetwork = load_network(path, "pose")[0]
    return network
