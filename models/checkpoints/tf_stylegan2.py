"""NVIDIA's StyleGAN2 in TensorFlow (`stylegan2-*.pkl`, also those of its ADA version) -> our StyleGAN2 networks.

The networks are those of the torch version under other names. Kernels are stored [kh,kw,I,O], those that upscale turned
round; and a style is 1 + what its layer gives. Configurations B to D of the paper, which grew, end as the "orig"
architecture.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.base import Configurable
from models.checkpoints import grey, tflib
from models.checkpoints.arrays import RESOLUTIONS, Arrays
from models.checkpoints.parts import read_beside
from models.checkpoints.stylegan2 import GROUP_SIZE, MAPPING_RATE, build_discriminator, build_generator
from models.checkpoints.tflib import MAX_SETTING, TFNetwork
from models.checkpoints.told import told
from models.discriminators.stylegan2 import StyleGAN2Discriminator
from models.errors import PhotograftError
from models.layers.equalized import ACTIVATIONS

SETTINGS = {"normalize_latents": True}
TAPS, BOX = (1.0, 3.0, 3.0, 1.0), (1.0, 1.0)  # the default filter, and that of None
CLASS_RATE = 0.1  # of the mapping network of the class in ADA's discriminator
LAYERS = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}
SEEING = {"FromRGB": "fromrgb", "Conv0": "conv0", "Conv1_down": "conv1", "Skip": "skip", "Conv": "conv", "Dense0": "fc"}
PARTS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "weight": ("weight", lambda t: t.permute(3, 2, 0, 1)),
    "bias": ("bias", lambda t: t),
    "noise_strength": ("noise_strength", lambda t: t),
    "mod_weight": ("affine.weight", lambda t: t.t()),
    "mod_bias": ("affine.bias", lambda t: t + 1),
}
CONCATENATED, EMBEDDED = "G_mapping/LabelConcat/weight", "mapping.embed.weight"
WHOLE = {CONCATENATED: EMBEDDED, "dlatent_avg": "mapping.w_avg", "G_synthesis/4x4/Const/const": "synthesis.b4.const"}
RANKS = {"weight": 4, "mod_weight": 2}


def find(content: Any) -> TFNetwork | None:
    """The generator in a file's content, or None if it is another format's."""
    network = tflib.running_mean(content)
    return network if network and "G_synthesis/4x4/Conv/mod_weight" in network.variables else None


def read(network: TFNetwork, path: Path) -> dict[str, Configurable]:
    """The generator, and the discriminator of a file that has one; loaded strictly.

    Raises:
        PhotograftError: missing or unknown variables, a network that was still growing, unsupported settings.
    """
    tflib.require(network.settings, SETTINGS, path)
    variables, original = _finished(network.variables, path, "G_synthesis/", "ToRGB")
    renamed, spelled = _renamed(variables, original, path, _known())
    settings = _settings(network, path, MAPPING_RATE, "mapping_nonlinearity")
    if CONCATENATED in network.variables:  # not scaled in the original, and without a bias
        table = renamed[EMBEDDED]
        renamed |= {EMBEDDED: table * table.shape[1] ** 0.5, "mapping.embed.bias": torch.zeros(len(table))}
        settings |= {"together": True}
    networks: dict[str, Configurable] = {"generator": build_generator(renamed, path, spelled=spelled, **settings)}
    if (beside := network.discriminator) is not None:
        read_beside(networks, "discriminator", lambda: read_discriminator(beside, path), network.notes)
    return networks


def read_discriminator(network: TFNetwork, path: Path) -> StyleGAN2Discriminator:
    """The discriminator, loaded strictly: with a score per class, or in ADA's with the class's projection.

    Raises:
        PhotograftError: missing or unknown variables, a network that was still growing, unsupported settings.
    """
    variables, original = _finished(network.variables, path, "", "FromRGB")
    scores = network.settings.get("score_max", 1)
    if type(scores) is int and scores > 1:  # of which the first is the score, and others are of rotations
        rows = {name: value for name, value in variables.items() if name.startswith("Output/")}
        variables |= {name: value[..., :1] for name, value in rows.items() if getattr(value, "ndim", 0)}
    renamed, spelled = _renamed(variables, original, path, ())
    whole_batch = "LabelEmbed/weight" in variables or network.function == "D_main"  # by default in ADA's version
    return build_discriminator(
        renamed,
        path,
        spelled=spelled,
        group_size=tflib.group_size(network.settings, None if whole_batch else GROUP_SIZE, path),
        **_settings(network, path, CLASS_RATE, "nonlinearity"),
    )


def _settings(network: TFNetwork, path: Path, rate: float, mapping: str) -> dict[str, Any]:
    """Keywords that both networks' builders take. Raises PhotograftError for settings that make no sense."""
    given = network.settings
    grey.check_channels(given.get("num_channels", 3), path)
    clamp, rate = given.get("conv_clamp"), given.get("mapping_lrmul", rate)
    for name, value in (("conv_clamp", 1.0 if clamp is None else clamp), ("mapping_lrmul", rate)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_SETTING:
            raise PhotograftError(f"{path}: {name}={told(value)} makes no sense: it must be a positive number")
    kinds = {name: given.get(name, "lrelu") for name in ("nonlinearity", mapping)}
    for name, kind in kinds.items():
        if not isinstance(kind, str) or kind not in ACTIVATIONS:
            raise PhotograftError(f"{path}: built with {name}={told(kind)}: only {', '.join(ACTIVATIONS)} can be read")
    return {
        "conv_clamp": clamp,
        "mapping_rate": rate,
        "taps": tflib.taps(given, "resample_kernel", TAPS, path) or BOX,
        "activation": kinds["nonlinearity"],
        "mapping_activation": kinds[mapping],
    }


def _finished(variables: Mapping[str, Any], path: Path, prefix: str, rgb: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The variables without `lod`, and of a network that grew without the resolutions that it grew through; with the
    file's own names of those that have another here.

    Args:
        prefix: of the names.
        rgb: the layer beside the picture, which a growing network has for every resolution.

    Raises:
        PhotograftError: it was still growing.
    """
    lods = [name for name in variables if name in ("lod", "G_synthesis/lod")]
    sizes = [4 << i for i in range(RESOLUTIONS) if _any(variables, f"{prefix}{4 << i}x{4 << i}/")]
    last, outer = max(sizes, default=4), re.compile(rf"{prefix}{rgb}_lod(\d{{1,2}})/(\w+)")
    kept: dict[str, Any] = {}
    original: dict[str, str] = {}
    for name, value in variables.items():
        match = outer.fullmatch(name)
        if match and match[1] == "0":
            original[f"{prefix}{last}x{last}/{rgb}/{match[2]}"] = name
            kept[f"{prefix}{last}x{last}/{rgb}/{match[2]}"] = value
        elif not match and name not in lods:
            kept[name] = value
    arrays = Arrays({name: variables[name] for name in lods}, path)
    if any(map(outer.fullmatch, variables)) and any(arrays.number(name) for name in lods):
        raise PhotograftError(f"{path}: the network was saved while it grew: take a later snapshot of its training")
    return kept, original


def _any(names: Iterable[str], start: str) -> bool:
    return any(name.startswith(start) for name in names)


def _renamed(
    variables: Mapping[str, Any], original: Mapping[str, str], path: Path, known: Iterable[str]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Arrays under the torch version's names, and what these names are in the file."""
    arrays = Arrays(variables, path, original)
    renamed = {_translated(name): _converted(name, arrays) for name in variables}
    return renamed, {_translated(name): original.get(name, name) for name in (*known, *variables)}


def _translated(name: str) -> str:
    """The name in the torch version; one that nobody knows stays as it is, and is complained of later."""
    if name in WHOLE:
        return WHOLE[name]
    if match := re.fullmatch(r"G_mapping/(?:Dense(\d{1,2})|LabelEmbed)/(weight|bias)", name):
        return f"mapping.{'embed' if match[1] is None else f'fc{match[1]}'}.{match[2]}"
    if match := re.fullmatch(r"G_synthesis/noise(\d{1,2})", name):
        k = int(match[1]) + 1
        return f"synthesis.b{4 << k // 2}.conv{k % 2}.noise_const"
    if match := re.fullmatch(r"(?:Output|LabelEmbed|Mapping(\d{1,2}))/(weight|bias)", name):
        return f"{'b4.out' if name[0] == 'O' else f'mapping.fc{match[1]}' if match[1] else 'mapping.embed'}.{match[2]}"
    match = re.fullmatch(r"(\d{1,5})x\1/(\w+)/(weight|bias)", name)
    if match and match[2] in SEEING:
        return f"b{match[1]}.{SEEING[match[2]]}.{match[3]}"
    match = re.fullmatch(r"G_synthesis/(\d{1,5})x\1/(\w+)/(\w+)", name)
    if not match or match[2] not in LAYERS or match[3] not in PARTS:
        return name
    return f"synthesis.b{match[1]}.{LAYERS[match[2]]}.{PARTS[match[3]][0]}"


def _converted(name: str, arrays: Arrays) -> Tensor:
    """The value as in the torch version."""
    *_, layer, part = ["", *name.split("/")]
    if name == "G_synthesis/4x4/Const/const":
        return arrays.ranked(name, 4)[0]
    if re.fullmatch(r"G_synthesis/noise\d{1,2}", name):
        return arrays.ranked(name, 4)[0, 0]
    if part == "weight" and re.match(r"G_mapping/|4x4/Dense0/|Output/|LabelEmbed/|Mapping\d", name):
        return arrays.ranked(name, 2).t()
    if _translated(name) == name or part not in PARTS or name.startswith("G_mapping/"):
        return arrays.take(name)
    value = PARTS[part][1](arrays.ranked(name, RANKS[part]) if part in RANKS else arrays.take(name))
    return value.flip(2, 3) if part == "weight" and layer in ("Conv0_up", "Skip") else value


def _known() -> Iterable[str]:
    yield from WHOLE
    yield from (f"G_mapping/Dense{i}/{part}" for i in range(16) for part in ("weight", "bias"))
    yield from (f"G_synthesis/noise{k}" for k in range(2 * RESOLUTIONS))
    for size in (4 << i for i in range(RESOLUTIONS)):
        for layer in LAYERS:
            if (layer == "Conv") == (size == 4) or layer in ("ToRGB", "Skip"):
                yield from (f"G_synthesis/{size}x{size}/{layer}/{part}" for part in PARTS)
