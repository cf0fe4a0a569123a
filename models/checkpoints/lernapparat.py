"""StyleGAN in the layout of lernapparat's port to torch -> `StyleGANGenerator`.

Editing in Style's own code (GANLocalEditing, `.pth`) has it too, with the styles under `g_style`. The numbers are the
original's; convolutions and matrices are transposed as torch has them, and the stored noise is not in the files.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from models.base import Configurable
from models.checkpoints.arrays import RESOLUTIONS, Arrays, some
from models.checkpoints.tf_stylegan import build, drawn_noise
from models.errors import PhotograftError

NORM_EPS = 1e-5  # torch's default

# our reading of a name -> the original's
RULES: tuple[tuple[str, str], ...] = (
    (r"g_mapping\.dense(\d+)\.(\w+)", r"G_mapping/Dense\1/\2"),
    (r"truncation\.avg_latent", r"dlatent_avg"),
    (r"g_synthesis\.torgb\.(\w+)", r"G_synthesis/ToRGB_lod0/\1"),
    (r"g_synthesis\.blocks\.4x4\.(const|bias)", r"G_synthesis/4x4/Const/\1"),
    (r"g_synthesis\.blocks\.4x4\.conv\.(\w+)", r"G_synthesis/4x4/Conv/\1"),
    (r"g_synthesis\.blocks\.(\d+x\d+)\.conv0_up\.(weight|bias)", r"G_synthesis/\1/Conv0_up/\2"),
    (r"g_synthesis\.blocks\.(\d+x\d+)\.conv1\.(\w+)", r"G_synthesis/\1/Conv1/\2"),
)
LAYERS = {True: ("Const", "Conv"), False: ("Conv0_up", "Conv1")}  # at 4 px, and above
NOISE = re.compile(r"g_synthesis\.blocks\.(\d+x\d+)\.epi([12])\.top_epi\.noise\.weight")
STYLE = re.compile(r"g_style\.style_layers\.(\d+x\d+)_([01])\.lin\.(\w+)")
STYLE_INSIDE = re.compile(r"g_synthesis\.blocks\.(\d+x\d+)\.epi([12])\.style_mod\.lin\.(\w+)")
BLUR = re.compile(r"g_synthesis\.blocks\.\d+x\d+\.conv0_up\.intermediate\.kernel")


def find(content: Any) -> Mapping[str, Any] | None:
    """The state dict in a file's content, or None if it is another format's."""
    return content if isinstance(content, Mapping) and "g_synthesis.blocks.4x4.const" in content else None


def read(state: Mapping[str, Any], path: Path) -> dict[str, Configurable]:
    """The generator, loaded strictly; its noise is drawn by us, and the mean of w measured where the file has none.

    Raises:
        PhotograftError: missing or unknown arrays.
    """
    arrays = Arrays(state, path)
    names = [name for name in state if not BLUR.fullmatch(name)]
    unknown = [name for name in names if _original(name) is None]
    if unknown:
        raise PhotograftError(f"{path}: unknown arrays: {some(unknown)}")
    renamed = {str(_original(name)): _transposed(name, arrays.take(name)) for name in names}
    sizes = {match[1] for match in (re.match(r"G_synthesis/(\d+)x\1/", name) for name in renamed) if match}
    spelled = {str(_original(name)): name for name in (*_known(), *names)}
    whole = Arrays(renamed | drawn_noise(len(sizes)), path, spelled)
    return {"generator": build(whole, rate=0.01, eps=NORM_EPS)}


def _known() -> Iterable[str]:
    yield "truncation.avg_latent"
    yield from (f"g_mapping.dense{i}.{part}" for i in range(16) for part in ("weight", "bias"))
    yield from (f"g_synthesis.torgb.{part}" for part in ("weight", "bias"))
    yield from (f"g_synthesis.blocks.4x4.{part}" for part in ("const", "bias", "conv.weight", "conv.bias"))
    for size in (4 << i for i in range(RESOLUTIONS)):
        block = f"g_synthesis.blocks.{size}x{size}"
        yield from (f"{block}.{layer}.{part}" for layer in ("conv0_up", "conv1") for part in ("weight", "bias"))
        yield from (f"{block}.epi{n}.top_epi.noise.weight" for n in (1, 2))
        yield from (f"g_style.style_layers.{size}x{size}_{n}.lin.{part}" for n in (0, 1) for part in ("weight", "bias"))


def _original(name: str) -> str | None:
    """The original's name of an array, None if nobody knows it."""
    for pattern, replacement in RULES:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    if match := NOISE.fullmatch(name):
        return f"G_synthesis/{match[1]}/{LAYERS[match[1] == '4x4'][int(match[2]) - 1]}/Noise/weight"
    for style, first in ((STYLE, 0), (STYLE_INSIDE, 1)):
        if match := style.fullmatch(name):
            return f"G_synthesis/{match[1]}/{LAYERS[match[1] == '4x4'][int(match[2]) - first]}/StyleMod/{match[3]}"
    return None


def _transposed(name: str, tensor: Tensor) -> Tensor:
    if tensor.ndim == 2:
        return tensor.t()
    return tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 and not name.endswith(".const") else tensor
