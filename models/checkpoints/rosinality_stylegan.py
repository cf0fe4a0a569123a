"""rosinality's style-based-gan-pytorch (`.model` of a training) -> `StyleGANGenerator`, `PGGANDiscriminator`.

It differs from the original in its scaling: sqrt(2 / fan_in) for every weight, those of styles, RGB and noise included,
no rate of its own for the mapping network; and in that the bias comes before the blur.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.base import Configurable
from models.checkpoints.arrays import Arrays, fitted
from models.checkpoints.parts import part_lines, read_beside
from models.checkpoints.tf_stylegan import GAIN, build, drawn_noise
from models.discriminators.pggan import PGGANDiscriminator
from models.errors import PhotograftError

PARTS = {"weight": "weight_orig", "const": "input"}
NORM_EPS = 1e-5  # torch's default


class Found(dict[str, Any]):
    """A generator's arrays by name.

    Attributes:
        discriminator: arrays of the one beside it, if there is one.
        parts: what every network of the file is used for, a line each.
        notes: what could not be read beside the generator, a line each.
    """

    discriminator: Mapping[str, Any] | None = None
    parts: tuple[str, ...] = ()

    def __init__(self, *values: Any) -> None:
        super().__init__(*values)
        self.notes: list[str] = []


def find(content: Any) -> Found | None:
    """The generator's running mean (or else the generator) in a file's content, or None if it is another format's."""
    if not isinstance(content, Mapping):
        return None
    for part in (content.get("g_running"), content.get("generator"), content):
        if isinstance(part, Mapping) and "generator.progression.0.conv1.input" in part:
            found, beside = Found(part), content.get("discriminator")
            if isinstance(beside, Mapping) and "linear.linear.weight_orig" in beside:
                found.discriminator = beside
            used = {"generator": part, "discriminator": found.discriminator}
            found.parts = tuple(part_lines(content, ("generator", "discriminator", "g_running"), used))
            return found
    return None


def read(state: Mapping[str, Any], path: Path) -> dict[str, Configurable]:
    """The generator, and the discriminator that `find` saw beside it, loaded strictly, at the resolution that their
    training reached; noise and mean of w are ours.

    Raises:
        PhotograftError: missing or unknown arrays.
    """
    arrays = Arrays(state, path)
    renamed: dict[str, Tensor] = {}
    for i in range(_count(state, "style.{}.linear.bias", 1, 2)):
        layer = f"style.{2 * i + 1}.linear"
        renamed[f"G_mapping/Dense{i}/weight"] = arrays.ranked(f"{layer}.weight_orig", 2).t()
        renamed[f"G_mapping/Dense{i}/bias"] = arrays.take(f"{layer}.bias")
    if "style.1.linear.weight_orig" not in arrays:
        raise arrays.missing("style.1.linear.weight_orig")
    resolutions = _reached(arrays, _count(state, "generator.progression.{}.conv2.conv.bias"))
    for i in range(resolutions):
        renamed |= _block(arrays, i)
    to_rgb = f"generator.to_rgb.{resolutions - 1}.conv"
    renamed["G_synthesis/ToRGB_lod0/weight"] = arrays.ranked(f"{to_rgb}.weight_orig", 4).permute(2, 3, 1, 0) * GAIN
    renamed["G_synthesis/ToRGB_lod0/bias"] = arrays.take(f"{to_rgb}.bias")
    arrays.skip("generator.to_rgb.*", *(f"generator.progression.{i}.*" for i in range(resolutions, 12)))
    arrays.skip("generator.progression.*.conv1.[12].weight", "generator.progression.*.conv1.[12].weight_flip")  # blurs
    arrays.finish()
    renamed |= drawn_noise(resolutions)
    generator = build(
        Arrays(renamed, path, _spelled(renamed)), rate=1.0, fused_from=None, eps=NORM_EPS, bias_before_blur=True
    )
    networks: dict[str, Configurable] = {"generator": generator}
    if isinstance(state, Found) and (beside := state.discriminator) is not None:
        read_beside(networks, "discriminator", lambda: read_discriminator(beside, path, resolutions), state.notes)
    return networks


def read_discriminator(values: Mapping[str, Any], path: Path, resolutions: int) -> PGGANDiscriminator:
    """The discriminator, loaded strictly, at this many resolutions; files hold the layers of all up to 1024 px.

    Raises:
        PhotograftError: missing or unknown arrays, or fewer resolutions.
    """
    arrays = Arrays(values, path)
    last = _count(values, "progression.{}.conv1.0.conv.bias") - 1  # the block at 4 px
    first = last - resolutions + 1
    if first < 0:
        raise PhotograftError(f"{path}: the discriminator has {last + 1} resolutions, the generator {resolutions}")
    activated = f"from_rgb.{first}.0.conv.bias" in arrays
    state = _seen(arrays, f"from_rgb.{first}{'.0' if activated else ''}.conv", "from_rgb")
    for i in range(first, last):
        root, own = f"progression.{i}", f"blocks.{i - first}"
        fused = f"{root}.conv2.1.weight" in arrays
        state |= _seen(arrays, f"{root}.conv1.0.conv", f"{own}.conv0")
        state |= _seen(arrays, f"{root}.conv2.1{'' if fused else '.conv'}", f"{own}.conv1")
    state |= _seen(arrays, f"progression.{last}.conv1.0.conv", "conv")
    state |= _seen(arrays, f"progression.{last}.conv2.0.conv", "linear") | _seen(arrays, "linear.linear", "out")
    arrays.skip("from_rgb.*", *(f"progression.{i}.*" for i in range(first)))
    arrays.skip("progression.*.conv2.0.weight", "progression.*.conv2.0.weight_flip")  # blurs
    arrays.finish()
    channels = [state["conv.weight"][1].shape[0]]
    channels += [state[f"blocks.{i - first}.conv0.weight"][1].shape[1] for i in reversed(range(first, last))]
    final = len(state["linear.bias"][1])

    def make() -> PGGANDiscriminator:
        return PGGANDiscriminator(
            channels, final=final, hidden="out", blurs=True, rgb_activation=activated, group_size=None
        )

    return fitted(make, state, arrays)


def _seen(arrays: Arrays, name: str, own: str) -> dict[str, tuple[str, Tensor]]:
    """State of one layer of the discriminator. Its 4x4 convolution at 4 px is the dense layer."""
    theirs = f"{name}.weight" if f"{name}.weight" in arrays else f"{name}.weight_orig"
    weight = arrays.ranked(theirs, 2 if own == "out" else 4)
    weight = weight * (2 / weight[0].numel()) ** 0.5
    weight = weight.flatten(1) if own == "linear" else weight
    return {f"{own}.weight": (theirs, weight), f"{own}.bias": (f"{name}.bias", arrays.ranked(f"{name}.bias", 1))}


def _count(state: Mapping[str, Any], name: str, first: int = 0, step: int = 1) -> int:
    n = 0
    while name.format(first + step * n) in state:
        n += 1
    return n


def _spelled(names: Iterable[str]) -> dict[str, str]:
    """The original's names -> those of the file, for what does not fit."""
    spelled = {}
    for name in names:
        if match := re.fullmatch(r"G_mapping/Dense(\d+)/(\w+)", name):
            spelled[name] = f"style.{2 * int(match[1]) + 1}.linear.{PARTS.get(match[2], match[2])}"
        elif match := re.fullmatch(r"G_synthesis/(\d+)x\1/(\w+?)/(\w+)(?:/(\w+))?", name):
            number = 2 if match[2] in ("Conv", "Conv1") else 1
            layer = {"Noise": f"noise{number}", "StyleMod": f"adain{number}.style.linear"}.get(
                match[3], f"conv{number}"
            )
            part = match[4] or match[3]
            spelled[name] = f"generator.progression.{int(match[1]).bit_length() - 3}.{layer}.{PARTS.get(part, part)}"
        elif match := re.fullmatch(r"G_synthesis/ToRGB_lod0/(\w+)", name):
            spelled[name] = f"generator.to_rgb.*.conv.{PARTS.get(match[1], match[1])}"
    return spelled


def _reached(arrays: Arrays, blocks: int) -> int:
    """Number of resolutions that were trained: noise strengths start at exactly 0, and stay there until then.

    Files hold the layers of all resolutions up to 1024 px, whatever the training came to.
    """
    if not blocks:
        raise PhotograftError(f"{arrays.path}: 'generator.progression.0' is missing")
    names = [f"generator.progression.{i}.noise2.weight_orig" for i in range(blocks)]
    trained = [bool(arrays.take(name).any()) for name in names]
    return trained.index(False) if any(trained) and not all(trained) else blocks


def _block(arrays: Arrays, i: int) -> dict[str, Tensor]:
    """One resolution in the original's names, layout and scaling."""
    root, size = f"generator.progression.{i}", 4 * 2**i
    first, second = f"G_synthesis/{size}x{size}/Conv0_up", f"G_synthesis/{size}x{size}/Conv1"
    block: dict[str, Tensor] = {}
    if i == 0:
        first, second = "G_synthesis/4x4/Const", "G_synthesis/4x4/Conv"
        block[f"{first}/const"] = arrays.ranked(f"{root}.conv1.input", 4)
        block[f"{first}/bias"] = torch.zeros(block[f"{first}/const"].shape[1])
    elif f"{root}.conv1.0.weight" in arrays:  # fused, so [I,O,3,3] and the kernel turned round
        block[f"{first}/weight"] = arrays.ranked(f"{root}.conv1.0.weight", 4).permute(2, 3, 0, 1).flip(0, 1) / 4
        block[f"{first}/bias"] = arrays.take(f"{root}.conv1.0.bias")
    else:
        block[f"{first}/weight"] = arrays.ranked(f"{root}.conv1.1.conv.weight_orig", 4).permute(2, 3, 1, 0)
        block[f"{first}/bias"] = arrays.take(f"{root}.conv1.1.conv.bias")
    block[f"{second}/weight"] = arrays.ranked(f"{root}.conv2.conv.weight_orig", 4).permute(2, 3, 1, 0)
    block[f"{second}/bias"] = arrays.take(f"{root}.conv2.conv.bias")
    for number, layer in enumerate((first, second), start=1):
        noise = arrays.take(f"{root}.noise{number}.weight_orig").flatten()
        block[f"{layer}/Noise/weight"] = noise * (2 / len(noise)) ** 0.5
        style = f"{root}.adain{number}.style.linear"
        block[f"{layer}/StyleMod/weight"] = arrays.ranked(f"{style}.weight_orig", 2).t() * GAIN
        bias = arrays.ranked(f"{style}.bias", 1).clone()
        bias[: len(bias) // 2] -= 1  # the original adds 1 to the scale
        block[f"{layer}/StyleMod/bias"] = bias
    return block
