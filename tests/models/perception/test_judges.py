"""The judges against their originals: SqueezeNet's features against Keras, the Fréchet distance against scipy and
torch-fidelity."""

import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from models.perception.judges import SqueezeNetFeatures, frechet, to_uint8

# Every 16th of 512 features of `picture()`, by keras_squeezenet 0.4 (include_top=False, pooling="avg", the published
# weights of v1.0) after Keras's `preprocess_input`, on TensorFlow 2.21. Its largest feature is 26.8.
KERAS = (0.00646018, 0.016273, 1.46344, 0.0581359, 0.438357, 0.238379, 0.0, 1.13314, 13.5619, 0.0, 0.0543088, 0.0,
         0.0, 0.0, 0.359707, 0.0, 0.0, 0.00925567, 0.0219345, 0.185254, 0.0, 0.0, 0.0, 8.08284, 0.0399938, 0.0, 0.0,
         0.0, 0.0, 0.0, 0.0, 0.0707955)  # fmt: skip


def picture() -> Tensor:  # -> uint8 [1,3,224,224]
    """Red grows to the right, green downwards, blue in curves: no channel can stand for another."""
    y, x = torch.meshgrid(torch.arange(224), torch.arange(224), indexing="ij")
    return torch.stack([x, y, (x * y // 64) % 256])[None].to(torch.uint8)


def test_squeezenet_is_the_original() -> None:
    features = SqueezeNetFeatures()(picture())
    assert features.shape == (1, 512)
    assert torch.allclose(features[0, ::16], torch.tensor(KERAS), rtol=1e-4, atol=1e-4)


def wave(count: int, width: int) -> tuple[Tensor, Tensor]:
    """Two sets of features, `count` and five sixths of it, that any program can make again."""
    x, y = (torch.arange(float(n * width), dtype=torch.float64).reshape(n, width) for n in (count, count * 5 // 6))
    return torch.sin(x), torch.cos(1.7 * y) * 2 + 0.5


# The last column is torch-fidelity 0.4.0's number.
@pytest.mark.parametrize(("count", "width", "fidelity"), [(60, 8, 20.418299), (18, 32, 87.558636)])
def test_frechet_distance_is_that_of_scipy_and_of_torch_fidelity(count: int, width: int, fidelity: float) -> None:
    first, second = wave(count, width)
    assert frechet(first, second) == pytest.approx(fidelity, rel=1e-6)
    (m1, c1), (m2, c2) = ((x.mean(0), torch.cov(x.T)) for x in (first, second))
    root = sqrtm((c1 @ c2).numpy())
    expected = float((m1 - m2).square().sum() + c1.trace() + c2.trace()) - 2 * float(root.trace().real)
    assert frechet(first, second) == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_is_symmetric_and_zero_to_itself() -> None:
    first, second = wave(60, 8)
    assert frechet(first, second) == pytest.approx(frechet(second, first), rel=1e-9)
    assert frechet(first, first) == pytest.approx(0, abs=1e-6)
    assert frechet(first.float(), first.float() + 3) == pytest.approx(9 * 8, rel=1e-5)  # only the means differ


def test_pictures_are_stored_rounded_and_clamped() -> None:
    stored = to_uint8(torch.tensor([-1.5, -1.0, 0.0, 0.0045, 1.0, 1.5]))
    assert stored.tolist() == [0, 0, 128, 128, 255, 255]
