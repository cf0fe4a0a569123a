"""The spectral term sees patterns, wherever they lie in the picture, and nothing else."""

import torch
from torch import Tensor

from train.gan.spectrum import log_spectrum, spectral_distance

SIDE = 64


def pictures(n: int, seed: int) -> Tensor:
    """Smooth noise with some grain."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.nn.functional.interpolate(torch.randn(n, 3, 8, 8, generator=random), (SIDE, SIDE), mode="bicubic")
    return coarse + 0.1 * torch.randn(n, 3, SIDE, SIDE, generator=random)


def hatched(x: Tensor, strength: float) -> Tensor:
    """With diagonal lines of period 4, each picture's at another place."""
    y, z = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    phase = torch.arange(len(x))[:, None, None]
    return x + strength * torch.cos((y + z + phase) * torch.pi / 2)[:, None]


def test_pictures_of_one_kind_are_near_and_hatched_ones_are_far() -> None:
    real, other = pictures(64, 0), pictures(64, 1)
    assert log_spectrum(real).shape == (SIDE // 4, SIDE // 8)
    near, far = spectral_distance(other, real), spectral_distance(hatched(other, 0.2), real)
    assert float(near) < 0.05
    assert float(far) > 5 * float(near)
    assert float(spectral_distance(hatched(other, 0.4), real)) > float(far)


def test_missing_grain_is_seen_too() -> None:
    real = pictures(64, 0)
    smooth = torch.nn.functional.avg_pool2d(pictures(64, 1), 3, stride=1, padding=1)
    assert float(spectral_distance(smooth, real)) > 0.5


def test_gradient_takes_the_lines_away() -> None:
    real, strength = pictures(64, 0), torch.tensor(0.3, requires_grad=True)
    base = pictures(64, 1)
    y, z = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    spectral_distance(base + strength * torch.cos((y + z) * torch.pi / 2), real).backward()
    assert strength.grad is not None
    assert float(strength.grad) > 0
