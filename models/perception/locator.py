"""Where the heads of animals are in a photo: a small heat map and box regression on DeepLab's frozen features.

The layout is CenterNet's (Zhou et al. 2019) on a 17x17 grid: per cell the probability that a head's centre lies there,
and the box of that head. The features are those of the embedded segmenter (blocks 13 and 17), so that a locator's file
holds little more than three convolutions.
"""

import itertools
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.base import Configurable
from models.files import load_network
from models.perception.segmentation import load_deeplab
from models.registry import locators
from models.schema import Share, Width

LOCATOR_WEIGHTS = Path(__file__).parents[1] / "weights" / "locator.safetensors"
SIDE = 257  # of the picture that the network sees; 16 * 16 + 1 keeps DeepLab's grid symmetric
GRID = 17
SCENE_SIDE = 192  # longest side of the training photos: larger ones are shrunk to it first, to look alike
STAGES, CHANNELS = (13, 17), 416  # MobileNetV2 blocks of stride 16, and their channels together
_OFFSET = 0.1  # photo widths that one unit of the predicted offset stands for
_SPREAD, _LEAST_SPREAD = 0.18, 0.03  # of a head's peak in the target, in heads and in photos
_LEAST_SIDE = 0.02  # of a box, in photos


class Head(NamedTuple):
    """A head in photo pixels (x, y: left upper corner; it may reach over the border), confidence in 0..1."""

    x: float
    y: float
    w: float
    h: float
    confidence: float


class Backbone(nn.Module):
    """The embedded DeepLab's features: x [N,3,257,257] in [-1,1] -> [N,416,17,17]. Frozen, always in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.features = load_deeplab().features
        for sequence in [m for m in self.features.modules() if isinstance(m, nn.Sequential)]:
            children = list(sequence.named_children())
            for (name, conv), (norm_name, norm) in itertools.pairwise(children):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):  # one pass less over memory
                    setattr(sequence, name, fuse_conv_bn_eval(conv, norm))
                    setattr(sequence, norm_name, nn.Identity())
        self.features.to(memory_format=torch.channels_last).requires_grad_(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        assert x.shape[1:] == (3, SIDE, SIDE), x.shape
        outputs = []
        x = x.contiguous(memory_format=torch.channels_last)
        for index, block in enumerate(self.features):
            x = block(x)
            if index in STAGES:
                outputs.append(x)
        return torch.cat(outputs, dim=1)

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode."""
        return super().train(False)


@locators.register("heat_map")
class HeadLocator(Configurable):
    """Features [N,416,17,17] of `Backbone` -> maps [N,5,17,17]: logit of a head's centre, offset, log size.

    Args:
        width: channels of the convolutions.
        dropout: share of the features that training drops.
    """

    frozen_parts = ("backbone",)
    mean: Tensor
    std: Tensor

    def __init__(self, width: Width = 96, dropout: Share = 0.1) -> None:
        super().__init__()
        self.config = {"width": width, "dropout": dropout}
        self.backbone = Backbone()
        self.register_buffer("mean", torch.zeros(CHANNELS, 1, 1))
        self.register_buffer("std", torch.ones(CHANNELS, 1, 1))
        self.layers = nn.Sequential(
            nn.Dropout2d(dropout),
            nn.Conv2d(CHANNELS, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 64, 3, padding=1),
            nn.ReLU(),
        )
        self.out = nn.Conv2d(64, 5, 1)
        with torch.no_grad():  # start from "few heads, each a third of the photo"
            assert self.out.bias is not None
            self.out.bias.copy_(torch.tensor([-4.0, 0.0, 0.0, -1.1, -1.1]))

    @torch.no_grad()
    def calibrate(self, features: Tensor) -> None:
        """Standardise by these features [N,416,17,17] from now on."""
        features = features.float()
        self.mean.copy_(features.mean(dim=(0, 2, 3))[:, None, None])
        self.std.copy_(features.std(dim=(0, 2, 3))[:, None, None] + 1e-2)

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        assert features.shape[1:] == (CHANNELS, GRID, GRID), features.shape
        maps: Tensor = self.out(self.layers((features.float() - self.mean) / self.std))
        return maps.float()

    @torch.inference_mode()
    def heads(self, pixels: NDArray[np.uint8], *, least: float = 0.1) -> list[Head]:
        """All heads in a photo (uint8 RGB [H,W,3]) with at least this confidence, best first; often none or one.

        Raises ValueError for pixels of another kind.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(f"pixels must be uint8 RGB [H,W,3], not {pixels.dtype} {pixels.shape}")
        height, width = pixels.shape[:2]
        x = images_to_input(torch.from_numpy(network_picture(pixels))[None]).to(self.mean.device)
        found, confidence = peaks(self(self.backbone(x))[0], least)
        scale = found.new_tensor([width, height, width, height])
        corners = (found * scale).tolist()
        return [
            Head(x0, y0, x1 - x0, y1 - y0, c) for (x0, y0, x1, y1), c in zip(corners, confidence.tolist(), strict=True)
        ]


@lru_cache(maxsize=1)
def load_locator(path: Path = LOCATOR_WEIGHTS) -> HeadLocator:
    """The locator of a file (default: the embedded one), kept for the next call. Raises `PhotograftError`."""
    network: HeadLocator = load_network(path, "locator")[0]
    return network


def network_picture(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A photo [H,W,3] as the network sees it: at most 192 px long, then squeezed to [257,257,3]."""
    height, width = pixels.shape[:2]
    scale = SCENE_SIDE / max(height, width)
    if scale < 1:
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)


def images_to_input(images: Tensor) -> Tensor:  # uint8 [N,H,W,3] -> [N,3,H,W]
    """What `Backbone` takes: float in [-1,1], as DeepLab was trained."""
    return images.permute(0, 3, 1, 2).float() / 128 - 1


def cells(like: Tensor) -> tuple[Tensor, Tensor]:  # -> [17,17], [17,17]
    """x and y of the cells' centres, as shares of the photo."""
    centre = torch.arange(GRID, device=like.device, dtype=like.dtype) / (GRID - 1)
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    return x, y


def boxes_of(maps: Tensor) -> Tensor:  # [N,5,17,17] -> [N,4,17,17]
    """Each cell's box as shares of the photo: left, top, right, bottom."""
    x, y = cells(maps)
    cx, cy = x + _OFFSET * maps[:, 1], y + _OFFSET * maps[:, 2]
    w, h = maps[:, 3].clamp(-5, 1).exp(), maps[:, 4].clamp(-5, 1).exp()
    return torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], dim=1)


def intersection_over_union(a: Tensor, b: Tensor) -> Tensor:  # [...,4], [...,4] -> [...]
    """Of boxes given by left, top, right, bottom."""
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    areas = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1) + (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)
    return inner / (areas - inner).clamp(min=1e-9)


def peaks(maps: Tensor, least: float, overlap: float = 0.3) -> tuple[Tensor, Tensor]:  # [5,17,17] -> [K,4], [K]
    """Local maxima of the heat map: boxes as shares of the photo, and confidences, best first.

    A box is the mean over the 3x3 cells around its peak, weighted by the heat. Of boxes that overlap by more than
    `overlap` (intersection over union) the best one stays.
    """
    heat = maps[0].sigmoid()
    highest = F.max_pool2d(heat[None], 3, stride=1, padding=1)[0]
    rows, columns = torch.nonzero((heat == highest) & (heat >= least), as_tuple=True)
    boxes = boxes_of(maps[None])[0]
    order = heat[rows, columns].argsort(descending=True, stable=True)
    kept: list[Tensor] = []
    confidence: list[Tensor] = []
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        near = slice(max(i - 1, 0), i + 2), slice(max(j - 1, 0), j + 2)
        weight = heat[near] / heat[near].sum()
        box = (boxes[:, near[0], near[1]] * weight).sum(dim=(1, 2))
        if all(float(intersection_over_union(box, other)) <= overlap for other in kept):
            kept.append(box)
            confidence.append(heat[i, j])
    if not kept:
        return maps.new_zeros(0, 4), maps.new_zeros(0)
    return torch.stack(kept), torch.stack(confidence)


def heat_targets(boxes: Tensor) -> Tensor:  # [N,K,4] -> [N,K,17,17]
    """A Gaussian per head, 1 at the cell nearest to its centre; 0 for the boxes without an area (padding)."""
    x, y = cells(boxes)
    centre, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    spread = (_SPREAD * size.clamp(min=0).prod(-1).sqrt()).clamp(min=_LEAST_SPREAD)[..., None, None]
    squared = (x - centre[..., 0, None, None]) ** 2 + (y - centre[..., 1, None, None]) ** 2
    gaussian = torch.exp((squared.amin(dim=(-2, -1), keepdim=True) - squared) / (2 * spread**2))
    present = (size > 0).all(dim=-1)[..., None, None]
    return torch.where(present, gaussian, torch.zeros_like(gaussian))


def locator_loss(maps: Tensor, boxes: Tensor) -> dict[str, Tensor]:
    """Terms of the training loss, means over the heads (their sum is minimised).

    Args:
        maps: [N,5,17,17] of the network.
        boxes: [N,K,4] left, top, right, bottom as shares of the photo; boxes without an area are padding.

    Returns:
        "heat": cross-entropy weighted by the squared error (quality focal loss, Li et al. 2020); "box": smooth L1 of
        offset and log size plus 1 - IoU, over the cells of each head.
    """
    assert maps.ndim == 4 and boxes.ndim == 3 and boxes.shape[2] == 4, (maps.shape, boxes.shape)
    target = heat_targets(boxes)  # [N,K,17,17]
    heat = target.amax(dim=1)
    count = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1).sum().clamp(min=1)
    error = (heat - maps[:, 0].sigmoid()) ** 2
    focal = (error * F.binary_cross_entropy_with_logits(maps[:, 0], heat, reduction="none")).sum() / count

    own = target * (target == heat[:, None])  # a cell learns the box of the nearest head only
    own = own / own.sum(dim=(2, 3), keepdim=True).clamp(min=1e-9)
    x, y = cells(boxes)
    middle, size = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]).clamp(min=_LEAST_SIDE)
    wanted = torch.stack(
        [
            (middle[..., 0, None, None] - x) / _OFFSET,
            (middle[..., 1, None, None] - y) / _OFFSET,
            size[..., 0, None, None].log().expand(*boxes.shape[:2], GRID, GRID),
            size[..., 1, None, None].log().expand(*boxes.shape[:2], GRID, GRID),
        ],
        dim=2,
    )  # [N,K,4,17,17]
    distance = F.smooth_l1_loss(maps[:, None, 1:].expand_as(wanted), wanted, reduction="none", beta=0.1).sum(dim=2)
    predicted = boxes_of(maps).permute(0, 2, 3, 1)[:, None]  # [N,1,17,17,4]
    overlap = intersection_over_union(predicted, boxes[:, :, None, None])
    return {"heat": focal, "box": (own * (distance + 1 - overlap)).sum() / count}
