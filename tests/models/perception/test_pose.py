"""The pose network: angles of turned heads, quarter turns that agree, frontal heads and turned ones, the file."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data

from infer.photo.box import Box, crop_square
from infer.photo.turning import LEAST_CONFIDENCE, LEAST_ROLL
from infer.pictures.convert import to_pixels
from models.files import load_network, save_network
from models.perception.pose import POSE_WEIGHTS, SIDE, PoseNetwork, Roll, load_pose, mean_roll
from models.samples import draw
from models.zoo import load_model

CAT: NDArray[np.uint8] = data.cat()
HEAD = Box(140, 20, 180, 180)


@pytest.fixture(scope="module")
def embedded() -> PoseNetwork:
    return load_pose()


@pytest.fixture(scope="module")
def samples() -> list[NDArray[np.uint8]]:
    """Heads of the embedded generator, which nobody had to take a photo of."""
    model = load_model("sngan-heads-128")
    drawn = draw(model, 8, seed=1, truncation=0.7)
    with torch.no_grad():
        return [to_pixels(picture[None]) for picture in model.generator(drawn.latent, drawn.label)]


def _rolled(pixels: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """Turned clockwise."""
    side = len(pixels)
    matrix = cv2.getRotationMatrix2D((side / 2 - 0.5, side / 2 - 0.5), -degrees, 1)
    return np.asarray(cv2.warpAffine(pixels, matrix, (side, side), borderMode=cv2.BORDER_REFLECT), np.uint8)


def _off(found: Roll, degrees: float) -> float:
    return abs((found.degrees - degrees + 180) % 360 - 180)


def test_rolls_of_made_heads_are_seen(embedded: PoseNetwork, samples: list[NDArray[np.uint8]]) -> None:
    angles = (-150, -90, -40, 40, 90, 180)
    off = [_off(embedded.roll(_rolled(head, angle)), angle) for head in samples for angle in angles]
    assert np.median(off) < 15


def test_upright_made_heads_stay(embedded: PoseNetwork, samples: list[NDArray[np.uint8]]) -> None:
    found = [embedded.roll(head) for head in samples]
    assert not [one for one in found if one.confidence >= LEAST_CONFIDENCE and abs(one.degrees) >= LEAST_ROLL]


def test_quarter_turns_are_seen_exactly(embedded: PoseNetwork) -> None:
    """A picture on its side has the roll of the upright one and 90 degrees, and its mirror image the opposite."""
    crop = crop_square(CAT, HEAD, SIDE)
    upright, turned = embedded.roll(crop), embedded.roll(np.rot90(crop, -1))
    assert turned.degrees == pytest.approx(upright.degrees + 90, abs=0.1)
    assert turned.confidence == pytest.approx(upright.confidence, abs=0.01)
    assert embedded.roll(np.ascontiguousarray(crop[:, ::-1])).degrees == pytest.approx(-upright.degrees, abs=0.1)


def test_means_of_vectors() -> None:
    angle = torch.tensor(0.3)
    around = [angle + k * torch.pi / 2 for k in range(4)]
    vectors = torch.stack([torch.stack([a.cos(), a.sin()]) for a in [*around, *(-a for a in around)]]).double()
    assert mean_roll(vectors).degrees == pytest.approx(np.degrees(0.3), abs=1e-4)
    assert mean_roll(vectors).confidence == pytest.approx(1)
    vectors[4:] *= -1
    assert mean_roll(vectors).confidence == pytest.approx(0, abs=1e-6)


def test_a_half_is_turned_farther_than_a_whole(embedded: PoseNetwork) -> None:
    """A face that is its own mirror image is frontal; one with two different halves is not."""
    crop = crop_square(CAT, HEAD, SIDE)
    whole = crop.copy()
    whole[:, SIDE // 2 :] = whole[:, : SIDE // 2][:, ::-1]
    other = crop.copy()
    other[:, SIDE // 2 :] = crop_square(data.astronaut(), Box(160, 40, 150, 150), SIDE)[:, SIDE // 2 :]
    assert embedded.turn(whole) < 0.1
    assert embedded.turn(whole) < embedded.turn(crop) < embedded.turn(other)
    assert embedded.turn(crop) == pytest.approx(embedded.turn(np.ascontiguousarray(crop[:, ::-1])), abs=1e-5)
    heads = [crop, whole, other]
    x = torch.from_numpy(np.stack(heads)).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert embedded.turns(x).tolist() == pytest.approx([embedded.turn(head) for head in heads], abs=1e-5)


def test_the_file_holds_no_backbone(tmp_path: Path, embedded: PoseNetwork) -> None:
    assert POSE_WEIGHTS.stat().st_size < 2**20
    path = tmp_path / "pose.safetensors"
    save_network(path, embedded, "pose")
    again, header = load_network(path, "pose")
    assert header.family == "round"
    fine, coarse = torch.randn(1, 96, 8, 8), torch.randn(1, 320, 4, 4)
    assert torch.equal(again(fine, coarse), embedded(fine, coarse))


def test_other_pixels_are_refused(embedded: PoseNetwork) -> None:
    for bad in (CAT, CAT[:100, :100, 0], crop_square(CAT, HEAD, 64).astype(np.float32)):
        with pytest.raises(ValueError, match="uint8 RGB"):
            embedded.roll(bad)
        with pytest.raises(ValueError, match="uint8 RGB"):
            embedded.turn(bad)
