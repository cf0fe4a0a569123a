"""Segmenters: the embedded DeepLab finds the cat, loads are strict, bad requests get one clear line."""

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from skimage import data

from models.errors import PhotograftError
from models.perception import segmentation
from models.perception.segmentation import DEEPLAB_WEIGHTS, create_segmenter, load_deeplab

CAT = data.cat()  # [300,451,3] uint8: a cat's face that fills the right two thirds


@pytest.fixture(scope="module")
def cat_mask() -> NDArray[np.float32]:
    return create_segmenter()(CAT)


def _is_cat(mask: NDArray[np.float32]) -> bool:
    return bool(mask[120:250, 150:300].mean() > 0.9)


def test_deeplab_finds_the_cat(cat_mask: NDArray[np.float32]) -> None:
    assert cat_mask.shape == CAT.shape[:2]
    assert cat_mask.dtype == np.float32
    assert 0 <= cat_mask.min() <= cat_mask.max() <= 1
    assert _is_cat(cat_mask)


def test_deeplab_sees_no_animal_where_none_is() -> None:
    assert create_segmenter("deeplab")(data.coffee()).mean() < 0.05


def test_weights_match_the_network_in_float32() -> None:
    network = load_deeplab()
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert network(torch.zeros(1, 3, 33, 65)).shape == (1, 21, 33, 65)


def test_bad_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    with pytest.raises(PhotograftError, match="not found"):
        load_deeplab(path)
    path.write_bytes(DEEPLAB_WEIGHTS.read_bytes()[:100_000])
    with pytest.raises(PhotograftError, match="damaged"):
        load_deeplab(path)
    state = load_file(DEEPLAB_WEIGHTS)
    save_file({**state, "logits.bias": torch.full((21,), float("nan"))}, path)
    with pytest.raises(PhotograftError, match="NaN"):
        load_deeplab(path)
    for changed in ({**state, "extra": torch.zeros(1)}, {k: v for k, v in state.items() if k != "logits.bias"}):
        save_file(changed, path)
        with pytest.raises(PhotograftError, match="does not hold DeepLab"):
            load_deeplab(path)


def test_grabcut() -> None:
    cat = np.ascontiguousarray(CAT[::2, ::2])
    segment = create_segmenter("grabcut", box=(30, 5, 160, 142))
    mask = segment(cat)
    assert mask.shape == cat.shape[:2]
    assert mask.dtype == np.float32
    assert mask[50:100, 100:150].mean() > 0.8
    assert mask[:, :25].max() == 0
    assert np.array_equal(mask, segment(cat))
    with pytest.raises(PhotograftError, match="needs a box"):
        create_segmenter("grabcut")
    with pytest.raises(PhotograftError, match="too small or outside"):
        create_segmenter("grabcut", box=(900, 900, 50, 50))(CAT)


def test_torchvision_without_weights_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(segmentation.torch.hub, "load_state_dict_from_url", offline)
    with pytest.raises(PhotograftError, match="neither cached nor downloadable"):
        create_segmenter("torchvision")


def test_torchvision_network_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models.segmentation import deeplabv3_resnet50

    state = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=21, aux_loss=True).state_dict()
    monkeypatch.setattr(segmentation.torch.hub, "load_state_dict_from_url", lambda *_, **__: state)
    segment = create_segmenter("torchvision")
    monkeypatch.setattr(segment, "side", 65)
    assert segment(CAT).shape == CAT.shape[:2]


def test_unknown_name_and_grey_pixels() -> None:
    with pytest.raises(PhotograftError, match="unknown segmenter 'magic': use one of deeplab"):
        create_segmenter("magic")
    with pytest.raises(ValueError, match="uint8 RGB"):
        create_segmenter()(CAT[..., 0])


@pytest.mark.parametrize("shape", [(400, 4000), (4000, 400), (300, 1100), (100, 100), (2000, 1500)])
def test_low_wide_photos_reach_the_network_without_aliasing(shape: tuple[int, int]) -> None:
    """A pattern finer than the network's picture becomes its mean, also where the other axis is enlarged."""
    seen: list[torch.Tensor] = []

    class Network(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return torch.zeros(1, 21, 513, 513)

    segmenter = segmentation.NetworkSegmenter(Network(), lambda x: x, "cpu")
    pixels = np.zeros((*shape, 3), np.uint8)
    pixels[::2, ::2] = pixels[1::2, 1::2] = 255  # a chessboard
    assert segmenter(pixels).shape == shape
    expected_spread = {True: 30.0, False: 128.0}[max(shape) > 513]
    assert float(seen[0].std()) < expected_spread
