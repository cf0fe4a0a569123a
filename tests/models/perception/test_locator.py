"""The head locator: targets and loss, peaks, one small training, files without the backbone, and a real cat."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from models.errors import PhotograftError
from models.files import load_network, save_network
from models.perception.locator import (
    CHANNELS,
    GRID,
    LOCATOR_WEIGHTS,
    HeadLocator,
    boxes_of,
    heat_targets,
    intersection_over_union,
    load_locator,
    locator_loss,
    network_picture,
    peaks,
)

CAT = data.cat()  # [300,451,3] uint8: a cat's face that fills the right two thirds
CAT_HEAD = (40.0, 0.0, 375.0, 298.0)  # left, top, right, bottom of head and ears, measured by hand


@pytest.fixture(scope="module")
def embedded() -> HeadLocator:
    return load_locator()


def _maps(*heads: tuple[int, int, float]) -> Tensor:
    """Maps with a peak (row, column, logit) per head, each of a quarter of the photo."""
    maps = torch.zeros(5, GRID, GRID)
    maps[0] = -8
    maps[3:] = float(np.log(0.25))
    for row, column, logit in heads:
        maps[0, row, column] = logit
    return maps


def test_intersection_over_union() -> None:
    a = torch.tensor([0.0, 0.0, 2.0, 2.0])
    b = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], [3.0, 3.0, 4.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
    assert intersection_over_union(a, b).tolist() == pytest.approx([1, 1 / 3, 0, 0])


def test_targets_are_one_at_the_nearest_cell_and_nothing_for_padding() -> None:
    boxes = torch.tensor([[[0.4, 0.2, 0.63, 0.45], [0.0, 0.0, 0.0, 0.0]]])
    heat = heat_targets(boxes)
    assert heat.shape == (1, 2, GRID, GRID)
    assert heat[0, 0].max() == 1
    assert divmod(int(heat[0, 0].argmax()), GRID) == (5, 8)  # 0.325 * 16, 0.515 * 16
    assert heat[0, 1].abs().max() == 0


def test_a_perfect_map_has_a_smaller_loss_than_a_shifted_one() -> None:
    box = torch.tensor([[[0.375, 0.25, 0.625, 0.5]]])  # centre at cell (6, 8)
    heat = heat_targets(box)[:, 0]
    perfect = _maps()[None].clone()
    perfect[:, 0] = torch.logit(heat, 1e-4)
    x = (0.5 - torch.arange(GRID) / (GRID - 1)) / 0.1
    y = (0.375 - torch.arange(GRID) / (GRID - 1)) / 0.1
    perfect[:, 1], perfect[:, 2] = x[None], y[:, None]
    assert torch.allclose(boxes_of(perfect)[0, :, 6, 8], box[0, 0], atol=1e-5)
    good, bad = locator_loss(perfect, box), locator_loss(perfect.roll(4, dims=3), box)
    assert float(good["box"]) == pytest.approx(0, abs=1e-4)
    assert float(good["heat"]) < 0.01
    assert float(bad["box"]) > 1
    assert float(bad["heat"]) > 1
    empty = locator_loss(perfect, torch.zeros(1, 3, 4))  # a picture without a head: all heat is wrong
    assert float(empty["box"]) == 0
    assert float(empty["heat"]) > 1


def test_peaks_come_best_first_and_once_per_head() -> None:
    boxes, confidence = peaks(_maps((4, 4, 2.0), (5, 4, 1.0), (12, 12, 3.0), (0, 16, -4.0)), 0.2)
    assert confidence.tolist() == pytest.approx(
        [torch.tensor(3.0).sigmoid().item(), torch.tensor(2.0).sigmoid().item()]
    )
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert centres[0].tolist() == pytest.approx([0.75, 0.75], abs=0.01)
    assert centres[1].tolist() == pytest.approx([0.25, 0.27], abs=0.02)
    boxes, confidence = peaks(_maps(), 0.2)
    assert boxes.shape == (0, 4)
    assert confidence.shape == (0,)


def _train(steps: int) -> tuple[list[float], HeadLocator]:
    """A few steps on features that show the head's place in some channels."""
    torch.manual_seed(3)
    corners = torch.rand(8, 1, 2) * 0.5
    boxes = torch.cat([corners, corners + 0.3], dim=2)
    features = torch.randn(8, CHANNELS, GRID, GRID) * 0.3
    features[:, :32] += heat_targets(boxes) * 3
    network = HeadLocator(width=16).train()
    network.calibrate(features)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=5e-3)
    losses = []
    for _ in range(steps):
        loss = torch.stack(list(locator_loss(network(features), boxes).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, network


def test_training_lowers_the_loss_and_repeats_itself() -> None:
    losses, network = _train(40)
    assert losses[-1] < 0.5 * losses[0]
    assert _train(3)[0] == losses[:3]
    assert not any(p.requires_grad for p in network.backbone.parameters())
    assert not network.backbone.training


def test_the_file_holds_no_backbone(tmp_path: Path) -> None:
    _, network = _train(1)
    path = tmp_path / "locator.safetensors"
    save_network(path, network, "locator")
    assert path.stat().st_size < 2**20
    again, header = load_network(path, "locator")
    assert header.family == "heat_map"
    x = torch.randn(1, CHANNELS, GRID, GRID)
    assert torch.equal(again(x), network.eval()(x))
    with pytest.raises(PhotograftError, match="holds a locator"):
        load_network(path, "generator")


def test_the_embedded_locator_finds_the_cat(embedded: HeadLocator) -> None:
    assert LOCATOR_WEIGHTS.stat().st_size < 2**20
    heads = embedded.heads(CAT)
    assert heads == embedded.heads(CAT)
    x, y, w, h, confidence = heads[0]
    assert confidence > 0.5
    found = torch.tensor([x, y, x + w, y + h])
    assert float(intersection_over_union(found, torch.tensor(CAT_HEAD))) > 0.5


def test_the_embedded_locator_finds_the_cat_elsewhere_too(embedded: HeadLocator) -> None:
    height, width = CAT.shape[:2]
    wide = np.full((2 * height, 2 * width, 3), 128, np.uint8)
    wide[height:, :width] = CAT
    x, y, w, h, _ = max(embedded.heads(wide), key=lambda head: head.confidence)
    left, top, right, bottom = CAT_HEAD
    moved = torch.tensor([left, top + height, right, bottom + height])
    assert float(intersection_over_union(torch.tensor([x, y, x + w, y + h]), moved)) > 0.4


@pytest.mark.parametrize("name", ["coffee", "brick", "rocket"])
def test_no_head_where_there_is_no_animal(embedded: HeadLocator, name: str) -> None:
    pixels = getattr(data, name)()
    rgb = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    assert embedded.heads(rgb, least=0.4) == []


def test_odd_pictures(embedded: HeadLocator) -> None:
    assert network_picture(np.zeros((3000, 17, 3), np.uint8)).shape == (257, 257, 3)
    for shape in ((1, 1, 3), (16, 900, 3)):
        assert isinstance(embedded.heads(np.zeros(shape, np.uint8)), list)
    with pytest.raises(ValueError, match="uint8 RGB"):
        embedded.heads(CAT[..., 0])
