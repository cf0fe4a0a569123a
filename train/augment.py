"""Differentiable augmentation of what discriminators see (Zhao et al. 2020): colour, translation, cutout.

The parameters are drawn first and applied after, so that a picture and its reconstruction can be changed alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PARTS = ("colour", "translation", "cutout")


@dataclass(frozen=True)
class Augmentation:
    """Parameters for N pictures, relative to their size.

    Attributes:
        brightness, saturation, contrast: [N,1,1,1].
        shift: [N,2] translation (y, x) as a share of the size, up to 1/8; the edge is repeated.
        cutout: [N,2] corner (y, x) of a square of half the size that is blanked; it may lie half outside.
    """

    brightness: Tensor
    saturation: Tensor
    contrast: Tensor
    shift: Tensor
    cutout: Tensor

    @classmethod
    def draw(cls, n: int, device: torch.device | str) -> "Augmentation":
        """Parameters for n pictures from the global random stream."""
        u = torch.rand(n, 7, device=device)
        column = u[:, :3].view(n, 3, 1, 1, 1)
        return cls(
            brightness=column[:, 0] - 0.5,
            saturation=column[:, 1] * 2,
            contrast=column[:, 2] + 0.5,
            shift=(u[:, 3:5] * 2 - 1) / 8,
            cutout=u[:, 5:7] * 1.5 - 0.5,
        )

    def __getitem__(self, index: slice) -> "Augmentation":
        parts = (self.brightness, self.saturation, self.contrast, self.shift, self.cutout)
        return Augmentation(*(part[index] for part in parts))

    def __call__(self, x: Tensor, parts: Sequence[str] = PARTS) -> Tensor:  # [N,3,H,W] -> [N,3,H,W]
        """Apply some of `PARTS` to pictures (any range around zero)."""
        if "colour" in parts:
            x = self._recoloured(x)
        if "translation" in parts:
            x = self._moved(x)
        if "cutout" in parts:
            x = x * ~self._cut(*x.shape[-2:])[:, None]
        return x

    def _recoloured(self, x: Tensor) -> Tensor:
        x = x + self.brightness
        mean = x.mean(dim=1, keepdim=True)
        x = (x - mean) * self.saturation + mean
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        return (x - mean) * self.contrast + mean

    def _moved(self, x: Tensor) -> Tensor:
        rows, columns = (_shifted(self.shift[:, i], x.shape[2 + i]) for i in (0, 1))  # [N,H], [N,W]
        batch = torch.arange(len(x), device=x.device)[:, None, None]
        return x.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    def _cut(self, height: int, width: int) -> Tensor:  # [N,H,W]
        y = torch.arange(height, device=self.cutout.device)[None, :] / height - self.cutout[:, :1]
        x = torch.arange(width, device=self.cutout.device)[None, :] / width - self.cutout[:, 1:]
        return ((y >= 0) & (y < 0.5))[:, :, None] & ((x >= 0) & (x < 0.5))[:, None, :]


def _shifted(shift: Tensor, size: int) -> Tensor:
    """Source index per position [N,size] of a shift [N]; the edge is repeated."""
    index = torch.arange(size, device=shift.device)[None, :] - (shift[:, None] * size).round().long()
    return index.clamp(0, size - 1)
