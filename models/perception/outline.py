"""Where the animal is, read off the projected discriminator's frozen features, with gradients.

A few small layers are fitted, once, to a segmenter's masks of pictures. The photo's outline is then asked of what is
made from the photo's code: in training, and where an edit settles.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.perception.segmentation import Segmenter

_GROUND = 0.4  # what it says of background: half of its loss is an IoU, which more certainty does not lower
OUTLINE = 64  # px of masks: as fine as anything here reads them


class Seen(Protocol):
    """Features of pictures: one [N,C,h,w] per stage, fine to coarse."""

    @property
    def stages(self) -> list[Tensor]: ...


def positions(stages: Sequence[Tensor]) -> Tensor:
    """Features [N,C,h,w], fine to coarse, at the resolution of the finest: [N,D,h,w]."""
    size = stages[0].shape[-2:]
    return torch.cat([F.interpolate(s.float(), size, mode="bilinear", align_corners=False) for s in stages], dim=1)


def soft_iou(first: Tensor, second: Tensor) -> Tensor:
    """Sum of minima over sum of maxima of masks [N,h,w] in [0,1], per picture [N]: the IoU where both are hard."""
    return torch.minimum(first, second).sum(dim=(1, 2)) / torch.maximum(first, second).sum(dim=(1, 2)).clamp_min(1e-6)


def shrunk(masks: Tensor, like: Tensor) -> Tensor:
    """Masks [N,H,W] at the height, width and dtype of others [N,h,w]: the shares of the larger positions."""
    return F.adaptive_avg_pool2d(masks[:, None].to(like), (like.shape[-2], like.shape[-1]))[:, 0]


@torch.no_grad()
def segment(segmenter: Segmenter, pictures: Tensor, size: int) -> Tensor:
    """Masks [N,size,size] in [0,1] of pictures [N,3,R,R] in [-1,1]."""
    pixels = (pictures.float() * 127.5 + 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    masks = torch.stack([torch.from_numpy(segmenter(picture)) for picture in pixels])
    return shrunk(masks, pictures.new_empty(1, size, size))


class Reads(Protocol):
    """What has features and an `Outline` that reads them: a projected discriminator."""

    @property
    def outline(self) -> "Outline": ...

    def project(self, x: Tensor) -> Seen:
        """Features of pictures [N,3,R,R] in [-1,1]."""


@torch.no_grad()
def read_outline(network: Reads, picture: Tensor) -> Tensor:  # [1,3,R,R] -> [h,w]
    """Where the animal is in a picture in [-1,1], in [0,1]: what the reader says of the surest background is 0."""
    dtype = network.outline.last.weight.dtype
    stages = network.project(picture.to(dtype).contiguous(memory_format=torch.channels_last)).stages
    found: Tensor = network.outline(stages)[0].float().cpu()
    return ((found - _GROUND) / (1 - _GROUND)).clamp(0, 1)


class Outline(nn.Module):
    """Small convolutions on the features of all stages, at the resolution of the finest.

    Args:
        channels: of all stages together.
        width: of the layers.
    """

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        self.last = nn.Conv2d(width, 1, 1)
        nn.init.zeros_(self.last.weight)
        layers: list[nn.Module] = []
        for c_in, k in ((channels, 1), (width, 3), (width, 3)):
            layers += [nn.Conv2d(c_in, width, k, padding=k // 2), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.requires_grad_(False)

    @property
    def fitted(self) -> bool:
        """Whether it has seen masks: a fresh one knows nothing."""
        return bool(self.last.weight.any())

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Files from before it was there have none, or a linear layer: it stays a fresh one."""
        for name in ("weight", "bias"):
            state.pop(prefix + name, None)
        for name, value in self.state_dict().items():
            state.setdefault(prefix + name, value)
        super()._load_from_state_dict(state, prefix, *rest)

    def logits(self, stages: Sequence[Tensor]) -> Tensor:  # -> [N,h,w]
        """Of being the animal at every position."""
        found: Tensor = self.last(self.layers(positions(stages).to(self.last.weight.dtype)))
        return found[:, 0].float()

    def forward(self, stages: Sequence[Tensor]) -> Tensor:  # -> [N,h,w]
        """Probability of being the animal at every position."""
        return torch.sigmoid(self.logits(stages))


def fit_outline(
    network: Reads,
    pictures: Tensor,
    masks: Tensor,
    *,
    epochs: int = 10,
    learning_rate: float = 1e-3,
    batch_size: int = 32,
    seed: int = 0,
    say: Callable[[int, int], None] = lambda done, total: None,
) -> float:
    """Fit a network's outline, in place: cross-entropy and half of 1 - soft IoU, every other batch mirrored.

    Args:
        network: whose features are read.
        pictures: [N,3,R,R] in [-1,1].
        masks: [N,h,w] in [0,1], a segmenter's; of any size.
        epochs, learning_rate, batch_size: of Adam; the rate falls linearly to zero.
        seed: of the order.
        say: told how many batches are done, of how many.

    Returns:
        The loss, mean over the last epoch.
    """
    outline, random = network.outline, torch.Generator().manual_seed(seed)
    outline.requires_grad_(True)
    optimizer = torch.optim.Adam(outline.parameters(), lr=learning_rate)
    count = math.ceil(len(pictures) / batch_size)
    losses: list[float] = []
    with torch.enable_grad():
        for t in range(epochs * count):
            if t % count == 0:
                order = torch.randperm(len(pictures), generator=random).to(pictures.device)
            rows = order[t % count * batch_size :][:batch_size]
            x, y = pictures[rows], masks[rows]
            x, y = (x.flip(-1), y.flip(-1)) if t % 2 else (x, y)
            with torch.no_grad():
                stages = network.project(x.contiguous(memory_format=torch.channels_last)).stages
            logits = outline.logits(stages)
            y = shrunk(y, logits)
            loss = F.binary_cross_entropy_with_logits(logits, y) + 0.5 * (1 - soft_iou(logits.sigmoid(), y).mean())
            optimizer.param_groups[0]["lr"] = learning_rate * (1 - t / (epochs * count))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            say(t + 1, epochs * count)
    outline.requires_grad_(False)
    return sum(losses[-count:]) / count
