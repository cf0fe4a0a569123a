"""The linear layer that reads outlines off features, and the overlap that it is used for."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.discriminators import ProjectedDiscriminator
from models.outline import Outline, positions, segment, soft_iou


def seen(n: int, seed: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 4, r, r, generator=random) for r in (8, 4, 2, 1)]


def truth(features: list[Tensor]) -> Tensor:
    """A mask that two of the stages tell together."""
    at = positions(features)
    return (at[:, 1] + at[:, 6] > 0.3).float()


def test_soft_iou_is_iou_where_masks_are_hard() -> None:
    first, second = torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)
    first[0, :2], second[0, 1:3] = 1, 1  # 8 and 8, 4 in common
    first[1, :2], second[1, :2] = 1, 1
    first[2, :2], second[2, 2:] = 1, 1
    assert soft_iou(first, second).tolist() == pytest.approx([4 / 12, 1, 0])
    half = torch.full((1, 2, 2), 0.5)
    assert float(soft_iou(half, half)) == 1
    assert float(soft_iou(half, half / 2)) == pytest.approx(0.5)


def test_fit_finds_what_is_linear_in_the_features() -> None:
    outline = Outline(16)
    assert not outline.fitted
    parts = [seen(20, s) for s in range(3)]
    outline.fit(parts, torch.cat([truth(p) for p in parts]), decay=1e-5)
    assert outline.fitted
    new = seen(30, 9)
    found = (outline(new) > 0.5).float()
    assert float(soft_iou(found, truth(new)).min()) > 0.85
    assert float(soft_iou(found, truth(new).flip(2)).mean()) < 0.6  # a mask that is elsewhere is told apart


def test_masks_are_shrunk_by_their_share() -> None:
    def left(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert pixels.shape == (8, 8, 3)
        assert pixels.dtype == np.uint8
        return (pixels[..., 0] > 127).astype(np.float32)

    pictures = -torch.ones(1, 3, 8, 8)
    pictures[..., :3] = 1
    assert segment(left, pictures, 4)[0].tolist() == [[1.0, 0.5, 0.0, 0.0]] * 4


def test_files_from_before_hold_no_outline() -> None:
    network = ProjectedDiscriminator(2, 32, mixed_channels=4, head_channels=4)
    old = {key: value for key, value in network.state_dict().items() if not key.startswith("outline.")}
    network.outline.weight.fill_(1.0)
    network.load_state_dict(old)
    assert not network.outline.fitted
