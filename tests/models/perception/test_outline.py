"""The layers that read outlines off features, and the overlap that they are used for."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.discriminators.projected import Projected, ProjectedDiscriminator
from models.perception.outline import Outline, fit_outline, segment, soft_iou


class Colours(nn.Module):
    """Its features are the colours, fine and coarse."""

    def __init__(self) -> None:
        super().__init__()
        self.outline = Outline(6, width=8)

    def project(self, x: Tensor) -> Projected:
        return Projected([x, F.avg_pool2d(x, 4)], x.mean((2, 3)))


def pictures(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Patches of noise [n,3,16,16] and where they are reddish and large."""
    coarse = torch.randn(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    x = F.interpolate(coarse, scale_factor=4.0, mode="nearest")
    return x, (x[:, 0] - x[:, 1] > 0.3).float()


def test_soft_iou_is_iou_where_masks_are_hard() -> None:
    first, second = torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)
    first[0, :2], second[0, 1:3] = 1, 1  # 8 and 8, 4 in common
    first[1, :2], second[1, :2] = 1, 1
    first[2, :2], second[2, 2:] = 1, 1
    assert soft_iou(first, second).tolist() == pytest.approx([4 / 12, 1, 0])
    half = torch.full((1, 2, 2), 0.5)
    assert float(soft_iou(half, half)) == 1
    assert float(soft_iou(half, half / 2)) == pytest.approx(0.5)


def test_fit_finds_what_the_features_tell() -> None:
    network = Colours()
    assert not network.outline.fitted
    loss = fit_outline(network, *pictures(300, 0), epochs=30, learning_rate=5e-3)
    assert network.outline.fitted
    assert loss < 0.1
    assert not any(p.requires_grad for p in network.outline.parameters())
    new, truth = pictures(30, 9)
    with torch.no_grad():
        found = (network.outline(network.project(new).stages) > 0.5).float()
    assert float(soft_iou(found, truth).mean()) > 0.9
    assert float(soft_iou(found, truth.flip(2)).mean()) < 0.6  # a mask that is elsewhere is told apart


def test_fit_is_the_same_again_and_tells_of_progress() -> None:
    told: list[tuple[int, int]] = []
    networks = [Colours(), Colours()]
    networks[1].load_state_dict(networks[0].state_dict())
    for network in networks:
        torch.randn(3)  # the stream of others plays no part
        fit_outline(network, *pictures(70, 0), epochs=2, say=lambda done, total: told.append((done, total)))
    assert told == [(i, 6) for i in range(1, 7)] * 2
    for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(a, b)


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
    linear = old | {"outline.weight": torch.ones(16), "outline.bias": torch.ones(())}
    for state in (old, linear):
        network.outline.last.weight.fill_(0.0)
        network.load_state_dict(state)
        assert not network.outline.fitted
    network.outline.last.weight.fill_(1.0)
    again = ProjectedDiscriminator(2, 32, mixed_channels=4, head_channels=4)
    again.load_state_dict(network.state_dict())
    assert again.outline.fitted
