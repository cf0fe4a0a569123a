"""Convolutions fused with resampling give the numbers of the two steps, gradients included."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import resampling
from models.layers.resampling import pooled_conv, resize, upsampled_conv


def upsampled_plainly(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), weight, bias, padding=1)


def pooled_plainly(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.avg_pool2d(F.conv2d(x, weight, bias, padding=1), 2)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(("fused", "plain"), [(upsampled_conv, upsampled_plainly), (pooled_conv, pooled_plainly)])
def test_fused_is_the_same_as_two_steps(fused, plain, with_bias: bool) -> None:  # type: ignore[no-untyped-def]
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 6, 8, generator=random, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, 5, 3, 3, generator=random, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(7, generator=random, dtype=torch.float64) if with_bias else None
    first, second = fused(x, weight, bias), plain(x, weight, bias)
    torch.testing.assert_close(first, second)
    out = torch.randn(first.shape, generator=random, dtype=torch.float64)
    gradients = [torch.autograd.grad((y * out).sum(), (x, weight)) for y in (first, second)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("fused", "plain"), [(upsampled_conv, upsampled_plainly), (pooled_conv, pooled_plainly)])
def test_kernels_of_frozen_weights_are_kept_until_they_change(fused, plain, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 6, 6, generator=random)
    made: list[Tensor] = []
    spread = resampling._spread
    monkeypatch.setattr(resampling, "_spread", lambda weight: made.append(weight) or spread(weight))
    weight = nn.Parameter(torch.randn(4, 4, 3, 3, generator=random).contiguous(memory_format=torch.channels_last))

    def check(times: int) -> None:
        made.clear()
        for _ in range(2):
            torch.testing.assert_close(fused(x, weight, None), plain(x, weight, None))
        assert len(made) == times

    check(2)  # one that learns may change between any two calls
    weight.requires_grad_(False)
    check(1)
    check(0)
    with torch.no_grad():
        weight.mul_(2)
    check(1)
    weight.data = weight.data + 1
    check(1)
    weight.data = weight.data.to(torch.bfloat16)
    weight.data = weight.data.to(torch.float32)  # rounded, perhaps where it lay before
    check(1)


@pytest.mark.parametrize("size", [24, 8])
def test_pictures_in_bfloat16_are_resized_too(size: int) -> None:
    x = torch.rand(2, 3, 16, 16)
    small = resize(x.bfloat16(), size)
    assert small.dtype == torch.bfloat16
    torch.testing.assert_close(small.float(), resize(x, size), atol=1e-2, rtol=0)
