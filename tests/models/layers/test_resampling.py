"""Convolutions fused with resampling give the numbers of the two steps, gradients included."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import resampling
from models.layers.resampling import (
    keep_kernels,
    keeps_kernel,
    kept_kernel,
    pooled_conv,
    pooling,
    resize,
    upsampled_conv,
    upsampling,
)
from models.processor import computes_bfloat16


def upsampled_plainly(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), weight, bias, padding=1)


def pooled_plainly(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.avg_pool2d(F.conv2d(x, weight, bias, padding=1), 2)


@pytest.mark.parametrize("few", [0, resampling.FEW_LEARNING])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(("fused", "plain"), [(upsampled_conv, upsampled_plainly), (pooled_conv, pooled_plainly)])
def test_fused_is_the_same_as_two_steps(  # type: ignore[no-untyped-def]
    fused, plain, with_bias: bool, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampling, "FEW_LEARNING", few)
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


def test_of_few_pixels_a_kernel_that_learns_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Tensor] = []
    monkeypatch.setattr(resampling, "upsampling", lambda weight: (made.append(weight), upsampling(weight))[1])
    weight = torch.randn(4, 4, 3, 3)
    for side, learns in ((4, True), (32, False), (4, False), (32, True)):
        made.clear()
        upsampled_conv(torch.randn(1, 4, side, side), weight.requires_grad_(learns), None)
        assert bool(made) == (side == 32 or not learns)


@pytest.mark.parametrize(
    ("fused", "plain", "make"),
    [(upsampled_conv, upsampled_plainly, upsampling), (pooled_conv, pooled_plainly, pooling)],
)
def test_kernels_of_frozen_weights_are_kept(fused, plain, make, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 6, 6, generator=random)
    conv = keeps_kernel(nn.Conv2d(4, 4, 3, padding=1, bias=False), make)
    other = nn.Conv2d(4, 4, 3)
    assert kept_kernel(conv) is None
    keep_kernels(nn.ModuleList([conv, other]))
    assert kept_kernel(conv) is None  # one that learns may change between any two calls
    conv.requires_grad_(False)
    assert kept_kernel(other.requires_grad_(False)) is None
    assert [*conv.state_dict()] == ["weight"]
    copied = copy.deepcopy(conv)
    with torch.no_grad():
        copied.weight.mul_(2)
    keep_kernels(copied)
    monkeypatch.setattr(resampling, "_spread", pytest.fail)
    for one in (conv, copied):
        torch.testing.assert_close(fused(x, one.weight, None, kept_kernel(one)), plain(x, one.weight, None))


def test_several_kernels_are_kept_of_one_weight() -> None:
    conv = nn.Conv2d(4, 5, 3).requires_grad_(False)
    keeps_kernel(keeps_kernel(conv, lambda w: w.square().sum((2, 3)), "power"), upsampling)
    keep_kernels(conv.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    power, kernel = kept_kernel(conv, "power"), kept_kernel(conv)
    assert power is not None
    assert torch.equal(power, conv.weight.square().sum((2, 3)))
    assert kernel is not None
    assert torch.equal(kernel, upsampling(conv.weight))


@pytest.mark.skipif(not computes_bfloat16(), reason="bfloat16 is emulated here")
def test_gradient_of_few_pixels_in_bfloat16() -> None:
    """The product of matrices gives what the convolution gives, twice differentiable."""
    random = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(6, 5, 3, 3, generator=random) / 5, torch.randn(6, generator=random)
    x, out = torch.randn(2, 5, 4, 6, generator=random), torch.randn(2, 6, 8, 12, generator=random)
    kernel = upsampling(weight).contiguous(memory_format=torch.channels_last)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        y = x.to(dtype).requires_grad_()
        image = upsampled_conv(y, weight.to(dtype), bias.to(dtype), kernel.to(dtype))
        assert ("UpsampledFew" in type(image.grad_fn).__name__) == (dtype == torch.bfloat16)
        (gradient,) = torch.autograd.grad((image.square() * out.to(dtype)).sum(), y, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), y)
        found.append((image.float(), gradient.float(), second.float()))
    for exact, rough in zip(*found, strict=True):
        assert float(F.cosine_similarity(exact.flatten(), rough.flatten(), dim=0)) > 0.999


@pytest.mark.parametrize("size", [24, 8])
def test_pictures_in_bfloat16_are_resized_too(size: int) -> None:
    x = torch.rand(2, 3, 16, 16)
    small = resize(x.bfloat16(), size)
    assert small.dtype == torch.bfloat16
    torch.testing.assert_close(small.float(), resize(x, size), atol=1e-2, rtol=0)
