"""NVIDIA's StyleGAN2 in TensorFlow (`stylegan2-*.pkl`, also those of its ADA version) -> `StyleGAN2Generator`.

The network is that of the torch version under other names. Kernels are stored [kh,kw,I,O], those that upscale turned
round; and a style is 1 + what its layer gives.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from models.base import Configurable
from models.checkpoints import tflib
from models.checkpoints.arrays import Arrays
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
    renamed = {}
    for name in network.variables:
        if name not in ("lod", "G_synthesis/lod"):
            ours, value = _translated(name, arrays)
            renamed[ours] = value
    return {"generator": build_generator(renamed, path, conv_clamp=clamp, mapping_rate=rate)}


def _translated(name: str, arrays: Arrays) -> tuple[str, Tensor]:
    """Name and value as in the torch version; a name that nobody knows stays as it is, and is complained of later."""
    if name == "dlatent_avg":
        return "mapping.w_avg", arrays.take(name)
    if match := re.fullmatch(r"G_mapping/(?:Dense(\d+)|LabelEmbed)/(weight|bias)", name):
        layer = "embed" if match[1] is None else f"fc{match[1]}"
        value = _of_rank(name, 2, arrays).t() if match[2] == "weight" else arrays.take(name)
        return f"mapping.{layer}.{match[2]}", value
    if match := re.fullmatch(r"G_synthesis/noise(\d{1,2})", name):
        k = int(match[1]) + 1
        return f"synthesis.b{4 << k // 2}.conv{k % 2}.noise_const", _of_rank(name, 4, arrays)[0, 0]
    if name == "G_synthesis/4x4/Const/const":
        return "synthesis.b4.const", _of_rank(name, 4, arrays)[0]
    match = re.fullmatch(r"G_synthesis/(\d+)x\1/(\w+)/(\w+)", name)
    if not match or match[2] not in LAYERS or match[3] not in PARTS:
        return name, arrays.take(name)
    part, convert = PARTS[match[3]]
    value = convert(_of_rank(name, RANKS.get(match[3], 0), arrays))
    if part == "weight" and match[2] in ("Conv0_up", "Skip"):
        value = value.flip(2, 3)
    return f"synthesis.b{match[1]}.{LAYERS[match[2]]}.{part}", value


def _of_rank(name: str, ndim: int, arrays: Arrays) -> Tensor:
    """An array of so many dimensions (any, if 0)."""
    return arrays.take(name, *(arrays.shape(name, ndim) if ndim else ()))
