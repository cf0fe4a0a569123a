"""Differentiable augmentation of what discriminators see (Zhao et al. 2020): colour, translation, cutout; and zoom.

Zoom is not theirs: a window of the picture, enlarged. A feature network whose strides always meet the same pixels
rewards patterns with the period of its strides, which are seen as hatching; between the pixels and at another scale
they do not pay. And fine detail is looked at in a higher resolution.

The parameters are drawn first and applied after, so that a picture and its reconstruction can be changed alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

PARTS = ("colour", "translation", "cutout", "zoom")
DIFFAUGMENT = PARTS[:3]
LEAST_ZOOM, MOST_ZOOM = 0.875, 1.7


@dataclass(frozen=True)
class Augmentation:
    """Parameters for N pictures, relative to their size.

    Attributes:
        brightness, saturation, contrast: [N,1,1,1].
        shift: [N,2] translation (y, x) as a share of the size, up to 1/8; the edge is repeated.
        cutout: [N,2] corner (y, x) of a square of half the size that is blanked; it may lie half outside.
        chance: [N,1,1,1] in [0,1): adaptive augmentation leaves out pictures whose number is too high.
        window: [N,3] size of the window that is enlarged, as a share of the picture's, and its place (y, x): 0 at the
            top or left, 1 at the bottom or right. It may be larger than the picture, whose edge is then repeated.
    """

    brightness: Tensor
    saturation: Tensor
    contrast: Tensor
    shift: Tensor
    cutout: Tensor
    chance: Tensor
    window: Tensor

    @classmethod
    def draw(cls, n: int, device: torch.device | str) -> "Augmentation":
        """Parameters for n pictures from the global random stream."""
        u = torch.rand(n, 11, device=device)
        column = u[:, :3].view(n, 3, 1, 1, 1)
        return cls(
            brightness=column[:, 0] - 0.5,
            saturation=column[:, 1] * 2,
            contrast=column[:, 2] + 0.5,
            shift=(u[:, 3:5] * 2 - 1) / 8,
            cutout=u[:, 5:7] * 1.5 - 0.5,
            chance=u[:, 10, None, None, None],
            window=torch.cat([1 / (LEAST_ZOOM * (MOST_ZOOM / LEAST_ZOOM) ** u[:, 7:8]), u[:, 8:10]], dim=1),
        )

    def __getitem__(self, index: slice) -> "Augmentation":
        return Augmentation(*(getattr(self, field.name)[index] for field in fields(self)))

    def __call__(self, x: Tensor, parts: Sequence[str] = DIFFAUGMENT) -> Tensor:  # [N,3,H,W] -> [N,3,H,W]
        """Apply some of `PARTS` to pictures (any range around zero)."""
        if "colour" in parts:
            x = self._recoloured(x)
        if "translation" in parts:
            x = self._moved(x)
        if "cutout" in parts:
            x = x * ~self._cut(*x.shape[-2:])[:, None]
        if "zoom" in parts:
            x = self._enlarged(x)
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

    def _enlarged(self, x: Tensor) -> Tensor:
        size, place = self.window[:, :1], self.window[:, 1:].flip(1)  # (x, y), as grids have it
        centre = (2 * place - 1) * (1 - size)
        grid = torch.cat([torch.diag_embed(size.expand(-1, 2)), centre[:, :, None]], dim=2)  # [N,2,3]
        points = F.affine_grid(grid, list(x.shape), align_corners=False)
        return F.grid_sample(x, points.to(x.dtype), mode="bilinear", padding_mode="border", align_corners=False)

    def _cut(self, height: int, width: int) -> Tensor:  # [N,H,W]
        y = torch.arange(height, device=self.cutout.device)[None, :] / height - self.cutout[:, :1]
        x = torch.arange(width, device=self.cutout.device)[None, :] / width - self.cutout[:, 1:]
        return ((y >= 0) & (y < 0.5))[:, :, None] & ((x >= 0) & (x < 0.5))[:, None, :]


def _shifted(shift: Tensor, size: int) -> Tensor:
    """Source index per position [N,size] of a shift [N]; the edge is repeated."""
    index = torch.arange(size, device=shift.device)[None, :] - (shift[:, None] * size).round().long()
    return index.clamp(0, size - 1)
