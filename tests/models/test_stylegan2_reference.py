"""StyleGAN2 of every architecture, with classes and clamped, against the original's way written out plainly.

Recorded fixtures cover few of these. The reference works on weights under the original's names, with kernels modulated
per picture and convolved in groups, and resampling as zeros put in, filter, every other value kept.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.checkpoints.stylegan2 import DISCRIMINATOR, GENERATOR, _foreign, build_discriminator, build_generator
from models.discriminators.stylegan2 import StyleGAN2Discriminator
from models.generators.stylegan2 import StyleGAN2Generator

CHANNELS, SIZES, RATE, CLAMP, GROUP = (6, 5, 4), (4, 8, 16), 0.1, 1.0, 2
Weights = Mapping[str, Tensor]


def resample(x: Tensor, padding: tuple[int, int], up: int = 1, down: int = 1) -> Tensor:
    """Zeros between pixels, zeros around, the filter at sum up^2, every down-th pixel."""
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h * up, w * up)
    spread[:, :, ::up, ::up] = x
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8 * up
    kernel = torch.outer(line, line).repeat(c, 1, 1, 1)
    return F.conv2d(F.pad(spread, (*padding, *padding)), kernel, groups=c)[:, :, ::down, ::down]


def activated(x: Tensor, bias: Tensor, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    y = F.leaky_relu(x + bias.reshape(1, -1, *[1] * (x.ndim - 2)), 0.2) * 2**0.5 * gain
    return y if clamp is None else y.clamp(-clamp * gain, clamp * gain)


def dense(x: Tensor, s: Weights, name: str, rate: float = 1.0) -> Tensor:
    weight = s[f"{name}.weight"]
    return x @ (weight * rate / weight.shape[1] ** 0.5).T + s[f"{name}.bias"] * rate


def mapped(s: Weights, z: Tensor | None, c: Tensor | None) -> Tensor:
    parts = [z] if z is not None else []
    parts += [dense(c, s, "mapping.embed")] if c is not None else []
    x = torch.cat([p / (p.square().mean(1, keepdim=True) + 1e-8).sqrt() for p in parts], dim=1)
    for i in range(2):
        x = F.leaky_relu(dense(x, s, f"mapping.fc{i}", RATE), 0.2) * 2**0.5
    return x


def modulated(x: Tensor, weight: Tensor, style: Tensor, *, up: bool = False, demodulate: bool = True) -> Tensor:
    n, (o, i, k, _), r = len(x), weight.shape, x.shape[2]
    kernels = weight * style[:, None, :, None, None]  # [N,O,I,K,K]
    if demodulate:
        kernels = kernels / (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    x = x.reshape(1, n * i, r, r)
    if not up:
        return F.conv2d(x, kernels.reshape(n * o, i, k, k), padding=k // 2, groups=n).reshape(n, o, r, r)
    y = F.conv_transpose2d(x, kernels.transpose(1, 2).reshape(n * i, o, k, k), stride=2, groups=n)
    return resample(y.reshape(n, o, 2 * r + 1, 2 * r + 1), (1, 1)) * 4


def generated(s: Weights, z: Tensor, c: Tensor | None, architecture: str, clamp: float | None) -> Tensor:
    w = mapped(s, z, c)
    x, image = s["synthesis.b4.const"].repeat(len(z), 1, 1, 1), torch.zeros(())
    gain = 0.5**0.5 if architecture == "resnet" else 1.0

    def layer(x: Tensor, name: str, gain: float = 1.0) -> Tensor:
        style = dense(w, s, f"{name}.affine")
        y = modulated(x, s[f"{name}.weight"], style, up=name.endswith("conv0"))
        return activated(y + s[f"{name}.noise_const"] * s[f"{name}.noise_strength"], s[f"{name}.bias"], gain, clamp)

    for r in SIZES:
        name, bypass = f"synthesis.b{r}", torch.zeros(())
        if r > 4:
            if architecture == "resnet":
                skip = s[f"{name}.skip.weight"]
                bypass = resample(F.conv2d(x, skip / skip.shape[1] ** 0.5), (2, 1), up=2) * gain
            x = layer(x, f"{name}.conv0")
        x = layer(x, f"{name}.conv1", gain if r > 4 else 1.0) + bypass
        image = resample(image, (2, 1), up=2) if image.ndim else image
        if architecture == "skip" or r == SIZES[-1]:
            weight = s[f"{name}.torgb.weight"]
            style = dense(w, s, f"{name}.torgb.affine") / weight.shape[1] ** 0.5
            rgb = modulated(x, weight, style, demodulate=False) + s[f"{name}.torgb.bias"].reshape(3, 1, 1)
            image = image + (rgb if clamp is None else rgb.clamp(-clamp, clamp))
    return image


def scored(s: Weights, image: Tensor, c: Tensor | None, architecture: str, clamp: float | None) -> Tensor:
    def conv(x: Tensor, name: str, gain: float = 1.0) -> Tensor:
        weight = s[f"{name}.weight"]
        weight = weight / weight[0].numel() ** 0.5
        if name.endswith("conv1"):
            return activated(F.conv2d(resample(x, (2, 2)), weight, stride=2), s[f"{name}.bias"], gain, clamp)
        return activated(F.conv2d(x, weight, padding=weight.shape[-1] // 2), s[f"{name}.bias"], gain, clamp)

    x, gain = torch.zeros(()), 0.5**0.5 if architecture == "resnet" else 1.0
    for r in SIZES[:0:-1]:
        if architecture == "skip" or r == SIZES[-1]:
            x = x + conv(image, f"b{r}.fromrgb")
        image = resample(image, (1, 1), down=2)
        y = conv(conv(x, f"b{r}.conv0"), f"b{r}.conv1", gain)
        if architecture == "resnet":
            skip = s[f"b{r}.skip.weight"]
            y = y + F.conv2d(resample(x, (1, 1), down=2), skip / skip.shape[1] ** 0.5) * gain
        x = y
    x = x + conv(image, "b4.fromrgb") if architecture == "skip" else x
    deviations = torch.empty(len(x), 1, 4, 4)
    for i in range(len(x) // GROUP):  # pictures i, i + N/group, ...
        members = x[i :: len(x) // GROUP]
        deviations[i :: len(x) // GROUP] = (members.var(0, correction=0) + 1e-8).sqrt().mean()
    x = conv(torch.cat([x, deviations], dim=1), "b4.conv")
    x = dense(F.leaky_relu(dense(x.flatten(1), s, "b4.fc"), 0.2) * 2**0.5, s, "b4.out")
    if c is None:
        return x[:, 0]
    direction = mapped(s, None, c)
    return (x * direction).sum(1) / direction.shape[1] ** 0.5


def drawn(network: nn.Module, names: tuple[tuple[str, str], ...], sizes: tuple[int, ...]) -> dict[str, Tensor]:
    """Random weights for every name of the original's."""
    return {_foreign(k, names, list(sizes)): torch.randn(v.shape) for k, v in network.state_dict().items()}


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("clamp", [None, CLAMP])
def test_as_the_original_computes_it(architecture: str, classes: int, clamp: float | None) -> None:
    torch.manual_seed(3)
    mapping, where = (7, 9), Path("weights")
    g = drawn(StyleGAN2Generator(CHANNELS, 8, mapping, classes, architecture=architecture), GENERATOR, SIZES)
    generator = build_generator(g, where, conv_clamp=clamp, mapping_rate=RATE)
    label = torch.tensor([0, 2, 1, 0]) if classes else None
    c = None if label is None else F.one_hot(label, classes).float()
    z = torch.randn(4, 8)
    image = generated(g, z, c, architecture, clamp)
    assert clamp is None or (image.abs().amax((1, 2, 3)) >= clamp).all()  # the bound is reached, or this proves nothing
    assert torch.allclose(generator(z, label), image, atol=1e-4)
    d = drawn(StyleGAN2Discriminator(CHANNELS, classes, architecture, mapping=mapping), DISCRIMINATOR, SIZES[::-1])
    discriminator = build_discriminator(d, where, conv_clamp=clamp, mapping_rate=RATE, group_size=GROUP)
    expected = scored(d, image, c, architecture, clamp)
    assert torch.allclose(discriminator(image, label), expected, rtol=1e-4, atol=1e-6)
    assert expected.std() > 1e-4
