"""Convolutions fused with resampling give the numbers of the two steps, gradients included."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.resampling import pooled_conv, resize, upsampled_conv


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


@pytest.mark.parametrize("size", [24, 8])
def test_pictures_in_bfloat16_are_resized_too(size: int) -> None:
    x = torch.rand(2, 3, 16, 16)
    small = resize(x.bfloat16(), size)
    assert small.dtype == torch.bfloat16
    torch.testing.assert_close(small.float(), resize(x, size), atol=1e-2, rtol=0)
