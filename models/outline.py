"""Where the animal is, read off the projected discriminator's frozen features, with gradients.

A linear layer is fitted, once, to a segmenter's masks of real pictures. What it sees in a photo is then asked of what
is made from the photo's code: in training, and in projection, where the photo is to keep its shape under other classes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.segmentation import Segmenter


def positions(stages: Sequence[Tensor]) -> Tensor:
    """Features [N,C,h,w], fine to coarse, at the resolution of the finest: [N,D,h,w]."""
    size = stages[0].shape[-2:]
    return torch.cat([F.interpolate(s.float(), size, mode="bilinear", align_corners=False) for s in stages], dim=1)


def soft_iou(first: Tensor, second: Tensor) -> Tensor:
    """Sum of minima over sum of maxima of masks [N,h,w] in [0,1], per picture [N]: the IoU where both are hard."""
    return torch.minimum(first, second).sum(dim=(1, 2)) / torch.maximum(first, second).sum(dim=(1, 2)).clamp_min(1e-6)


@torch.no_grad()
def segment(segmenter: Segmenter, pictures: Tensor, size: int) -> Tensor:
    """Masks [N,size,size] in [0,1] of pictures [N,3,R,R] in [-1,1]."""
    pixels = (pictures.float() * 127.5 + 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    masks = torch.stack([torch.from_numpy(segmenter(picture)) for picture in pixels])
    return F.adaptive_avg_pool2d(masks[:, None], size)[:, 0].to(pictures.device)


class Outline(nn.Module):
    """The linear layer.

    Args:
        channels: of all stages together.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(channels))
        self.register_buffer("bias", torch.zeros(()))

    @property
    def fitted(self) -> bool:
        """Whether it has seen masks: a fresh one knows nothing."""
        return bool(self.weight.any())

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Files from before it was there have none: it stays a fresh one."""
        for name, value in self.named_buffers():
            state.setdefault(prefix + name, torch.zeros_like(value))
        super()._load_from_state_dict(state, prefix, *rest)

    def fit(self, seen: Iterable[Sequence[Tensor]], masks: Tensor, decay: float = 1e-3) -> None:
        """Logistic regression on masks [N,h,w] in [0,1] of the pictures that were seen.

        Args:
            seen: stages of features, in parts; of the same pictures as the masks.
            decay: of squared weights.
        """
        x = torch.cat([positions(part) for part in seen]).permute(0, 2, 3, 1).flatten(0, 2)  # [N*h*w,D]
        y = masks.flatten()
        weight, bias = (torch.zeros_like(value, requires_grad=True) for value in (self.weight, self.bias))
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=40, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(x @ weight + bias, y) + decay * weight.square().sum()
            loss.backward()
            return loss

        with torch.enable_grad():
            optimizer.step(closure)
        self.weight.copy_(weight.detach())
        self.bias.copy_(bias.detach())

    def forward(self, stages: Sequence[Tensor]) -> Tensor:  # -> [N,h,w]
        """Probability of being the animal at every position."""
        return torch.sigmoid(torch.einsum("ndhw,d->nhw", positions(stages), self.weight.float()) + self.bias)
