"""NVIDIA's StyleGAN2 in TensorFlow (`stylegan2-*.pkl`, also those of its ADA version) -> `StyleGAN2Generator`.

The network is that of the torch version under other names. Kernels are stored [kh,kw,I,O], those that upscale turned
round; and a style is 1 + what its layer gives.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from models.base import Configurable
from models.checkpoints import tflib
from models.checkpoints.arrays import RESOLUTIONS, Arrays
from models.checkpoints.stylegan2 import MAPPING_RATE, build_generator
from models.checkpoints.tflib import MAX_SETTING, TFNetwork
from models.checkpoints.told import told
from models.errors import PhotograftError

SETTINGS = {
    **{"num_channels": 3, "use_noise": True, "nonlinearity": "lrelu", "mapping_nonlinearity": "lrelu"},
    **{"normalize_latents": True, "resample_kernel": [1, 3, 3, 1]},
}
LAYERS = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}
PARTS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "weight": ("weight", lambda t: t.permute(3, 2, 0, 1)),
    "bias": ("bias", lambda t: t),
    "noise_strength": ("noise_strength", lambda t: t),
    "mod_weight": ("affine.weight", lambda t: t.t()),
    "mod_bias": ("affine.bias", lambda t: t + 1),
}
WHOLE = {"dlatent_avg": "mapping.w_avg", "G_synthesis/4x4/Const/const": "synthesis.b4.const"}
RANKS = {"weight": 4, "mod_weight": 2}


def find(content: Any) -> TFNetwork | None:
    """The generator in a file's content, or None if it is another format's."""
    network = tflib.running_mean(content)
    return network if network and "G_synthesis/4x4/Conv/mod_weight" in network.variables else None


def read(network: TFNetwork, path: Path) -> dict[str, Configurable]:
    """The generator, loaded strictly.

    Raises:
        PhotograftError: missing or unknown variables, unsupported settings.
    """
    tflib.require(network.settings, SETTINGS, path)
    clamp, rate = network.settings.get("conv_clamp"), network.settings.get("mapping_lrmul", MAPPING_RATE)
    for name, value in (("conv_clamp", 1.0 if clamp is None else clamp), ("mapping_lrmul", rate)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_SETTING:
            raise PhotograftError(f"{path}: {name}={told(value)} makes no sense: it must be a positive number")
    arrays = Arrays(network.variables, path)
    names = [name for name in network.variables if name not in ("lod", "G_synthesis/lod")]
    renamed = {_translated(name): _converted(name, arrays) for name in names}
    spelled = {_translated(name): name for name in (*_known(), *names)}
    return {"generator": build_generator(renamed, path, conv_clamp=clamp, mapping_rate=rate, spelled=spelled)}


def _translated(name: str) -> str:
    """The name in the torch version; one that nobody knows stays as it is, and is complained of later."""
    if name in WHOLE:
        return WHOLE[name]
    if match := re.fullmatch(r"G_mapping/(?:Dense(\d{1,2})|LabelEmbed)/(weight|bias)", name):
        return f"mapping.{'embed' if match[1] is None else f'fc{match[1]}'}.{match[2]}"
    if match := re.fullmatch(r"G_synthesis/noise(\d{1,2})", name):
        k = int(match[1]) + 1
        return f"synthesis.b{4 << k // 2}.conv{k % 2}.noise_const"
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
    if name.startswith("G_mapping/") and part == "weight":
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
