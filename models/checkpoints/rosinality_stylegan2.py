"""rosinality's stylegan2-pytorch (`.pt` of a training or a conversion) -> our StyleGAN2 networks.

The networks are NVIDIA's under other names. The stored weights are scaled by 1 / sqrt(fan in) where NVIDIA's are not,
which demodulation takes out again.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.base import Configurable
from models.checkpoints.arrays import RESOLUTIONS, Arrays
from models.checkpoints.parts import DISCRIMINATORS, GENERATORS, part_lines
from models.checkpoints.stylegan2 import build_discriminator, build_generator
from models.generators.stylegan2 import BASE

Rule = tuple[str, Callable[[re.Match[str]], str]]

GENERATOR: tuple[Rule, ...] = (  # whole name -> that of NVIDIA's layer, for what comes before `.conv.weight` and such
    (r"conv1", lambda m: "synthesis.b4.conv1"),
    (r"to_rgb1", lambda m: "synthesis.b4.torgb"),
    (r"convs\.(\d{1,2})", lambda m: f"synthesis.b{8 << int(m[1]) // 2}.conv{int(m[1]) % 2}"),
    (r"to_rgbs\.(\d{1,2})", lambda m: f"synthesis.b{8 << int(m[1])}.torgb"),
)
GENERATOR_PARTS = {
    **{"conv.weight": "weight", "activate.bias": "bias", "bias": "bias", "noise.weight": "noise_strength"},
    **{"conv.modulation.weight": "affine.weight", "conv.modulation.bias": "affine.bias"},
    **{"conv.blur.kernel": "resample_filter", "upsample.kernel": "resample_filter"},
}
DISCRIMINATOR_PARTS = {
    **{"conv1.0.weight": "conv0.weight", "conv1.1.bias": "conv0.bias"},
    **{"conv2.1.weight": "conv1.weight", "conv2.2.bias": "conv1.bias", "conv2.0.kernel": "conv1.resample_filter"},
    **{"skip.1.weight": "skip.weight", "skip.0.kernel": "skip.resample_filter"},
}
ENDS = {
    **{"final_conv.0.weight": "b4.conv.weight", "final_conv.1.bias": "b4.conv.bias"},
    **{"final_linear.0.weight": "b4.fc.weight", "final_linear.0.bias": "b4.fc.bias"},
    **{"final_linear.1.weight": "b4.out.weight", "final_linear.1.bias": "b4.out.bias"},
}


def find(content: Any) -> dict[str, Mapping[str, Any]] | None:
    """State dicts by kind (the generator's running mean, if there is one), or None if it is another format's."""
    if not isinstance(content, Mapping):
        return None
    found: dict[str, Mapping[str, Any]] = {}
    for part in (*map(content.get, GENERATORS), content):
        if isinstance(part, Mapping) and "conv1.conv.modulation.weight" in part:
            mean = content.get("latent_avg")
            found["generator"] = {**part} if mean is None else {**part, "latent_avg": mean}
            break
    for part in (*map(content.get, DISCRIMINATORS), content):
        if isinstance(part, Mapping) and "final_linear.1.weight" in part and "convs.0.0.weight" in part:
            found["discriminator"] = part
            break
    return found or None


def remarks(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is assumed of a generator that does not say it."""
    lines = []
    if "generator" in found and _mean_by_layer(found["generator"]):
        lines.append("latent_avg differs from layer to layer: the mean of w is measured instead")
    if "generator" in found and not _noises(found["generator"]):
        lines.append("no noise maps are in the file: they are zeros, and pictures differ from the original's in detail")
    return lines


def parts(found: Mapping[str, Mapping[str, Any]], content: Mapping[str, Any]) -> list[str]:
    """Every network of a file that holds several, and what it is used for."""
    first = next((part for part in map(content.get, GENERATORS) if isinstance(part, Mapping)), None)
    return part_lines(content, (*GENERATORS, *DISCRIMINATORS), {**found, "generator": first})


def read(
    found: Mapping[str, Mapping[str, Any]], path: Path, own: Callable[[str], str] = lambda name: name
) -> dict[str, Configurable]:
    """The networks, loaded strictly; without `latent_avg` the mean of w is measured, without noises these are zeros.

    Args:
        found: state dicts by kind.
        path: of the file.
        own: rosinality's name of an array -> that of the file, if it is another one.

    Raises:
        PhotograftError: missing or unknown arrays, arrays that do not fit.
    """
    networks: dict[str, Configurable] = {}
    if "generator" in found:
        values = dict(found["generator"])
        if _mean_by_layer(values):
            del values["latent_avg"]
        state, spelled = _renamed(values, path, _generator_name, GENERATOR_NAMES, own)
        if not _noises(found["generator"]):
            state |= _zero_noises(state)
        networks["generator"] = build_generator(state, path, spelled=spelled)
    if "discriminator" in found:
        blocks = sum(bool(re.fullmatch(r"convs\.\d+\.conv1\.0\.weight", name)) for name in found["discriminator"])

        def rename(name: str) -> str:
            return _discriminator_name(name, 4 << min(blocks, RESOLUTIONS))

        state, spelled = _renamed(found["discriminator"], path, rename, DISCRIMINATOR_NAMES, own)
        networks["discriminator"] = build_discriminator(state, path, spelled=spelled)
    return networks


def _renamed(
    values: Mapping[str, Any],
    path: Path,
    rename: Callable[[str], str],
    known: Iterable[str],
    own: Callable[[str], str],
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Arrays under NVIDIA's names and in its shapes, and how the file spells these names.

    Names that nobody knows stay as they are, and are complained of later.
    """
    arrays = Arrays(values, path, {name: own(name) for name in values})
    renamed = {rename(name): _reshaped(name, arrays.take(name)) for name in values}
    return renamed, {rename(name): own(name) for name in (*known, *values)}


def _noises(state: Mapping[str, Any]) -> bool:
    return any(name.startswith("noises.") for name in state)


def _mean_by_layer(state: Mapping[str, Any]) -> bool:
    """Whether the mean of w is one for each layer [L,w], and not the same for all."""
    mean = state.get("latent_avg")
    if not isinstance(mean, Tensor | np.ndarray) or mean.ndim != 2:
        return False
    same: Any = mean == mean[:1]
    return not bool(same.all())


def _zero_noises(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Noise maps of zeros for all layers of the renamed arrays."""
    layers = (re.fullmatch(r"(synthesis\.b(\d+)\.conv[01])\.weight", name) for name in state)
    sizes = {match[1]: int(match[2]) for match in layers if match and int(match[2]) < BASE << RESOLUTIONS}
    return {f"{layer}.noise_const": torch.zeros(size, size) for layer, size in sizes.items()}


def _reshaped(name: str, value: Tensor) -> Tensor:
    """Without the axes of size one that broadcasting takes there; filters at sum 1."""
    if name.endswith(".kernel"):
        return value / total if (total := value.sum()) else value
    if name.startswith("noises."):
        return value.squeeze(0).squeeze(0)
    if name.endswith(".noise.weight") and value.shape == (1,):
        return value[0]
    if name == "latent_avg" and value.ndim == 2 and bool((value == value[0]).all()):  # once per layer, all the same
        return value[0]
    if re.fullmatch(r"to_rgbs?[\d.]+\.bias|to_rgb1\.bias", name):
        return value.flatten()
    if name == "input.input" or name.endswith(".conv.weight"):
        return value.squeeze(0)
    return value


def _known_generator() -> Iterable[str]:
    convs = ("conv1", *(f"convs.{i}" for i in range(2 * RESOLUTIONS)))
    to_rgbs = ("to_rgb1", *(f"to_rgbs.{i}" for i in range(RESOLUTIONS)))
    yield from (f"{layer}.{part}" for layer in convs for part in GENERATOR_PARTS if part != "bias")
    yield from (f"{layer}.{part}" for layer in to_rgbs for part in GENERATOR_PARTS if part != "activate.bias")
    yield from (f"style.{i}.{part}" for i in range(1, 17) for part in ("weight", "bias"))
    yield from (f"noises.noise_{i}" for i in range(2 * RESOLUTIONS))
    yield from ("input.input", "latent_avg")


def _known_discriminator() -> Iterable[str]:
    yield from ENDS
    yield from ("convs.0.0.weight", "convs.0.1.bias")
    yield from (f"convs.{i}.{part}" for i in range(1, RESOLUTIONS) for part in DISCRIMINATOR_PARTS)


def _generator_name(name: str) -> str:
    if match := re.fullmatch(r"style\.([1-9]\d?)\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        k = int(match[1])
        return f"synthesis.b{4 << (k + 1) // 2}.conv{(k + 1) % 2}.noise_const"
    if name in ("input.input", "latent_avg"):
        return "synthesis.b4.const" if name == "input.input" else "mapping.w_avg"
    for pattern, layer in GENERATOR:
        match = re.fullmatch(rf"{pattern}\.([a-z].*)", name)
        if match and match[match.lastindex or 0] in GENERATOR_PARTS:
            return f"{layer(match)}.{GENERATOR_PARTS[match[match.lastindex or 0]]}"
    return name


def _discriminator_name(name: str, resolution: int) -> str:
    if name in ENDS:
        return ENDS[name]
    if match := re.fullmatch(r"convs\.0\.[01]\.(weight|bias)", name):
        return f"b{resolution}.fromrgb.{match[1]}"
    match = re.fullmatch(r"convs\.([1-9]\d?)\.(.+)", name)
    if match and match[2] in DISCRIMINATOR_PARTS:
        return f"b{resolution >> int(match[1]) - 1}.{DISCRIMINATOR_PARTS[match[2]]}"
    return name


GENERATOR_NAMES, DISCRIMINATOR_NAMES = tuple(_known_generator()), tuple(_known_discriminator())
