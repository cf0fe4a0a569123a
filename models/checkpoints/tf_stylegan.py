"""NVIDIA's StyleGAN in TensorFlow (`karras2019stylegan-*.pkl`) -> `StyleGANGenerator`, `PGGANDiscriminator`."""

from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.base import Configurable
from models.checkpoints import grey, tflib
from models.checkpoints.arrays import RESOLUTIONS, Arrays, fitted
from models.checkpoints.parts import read_beside
from models.checkpoints.tf_discriminator import read_stylegan
from models.checkpoints.tflib import TFNetwork
from models.errors import PhotograftError
from models.generators.stylegan import StyleGANGenerator

FUSED_FROM = 128  # px: from here on the original upscales by a fused transposed convolution
GAIN = 2**0.5
RGB = "G_synthesis/ToRGB_lod0"
SETTINGS = {
    **{"use_wscale": True, "nonlinearity": "lrelu", "normalize_latents": True},
    **{"use_styles": True, "use_noise": True, "use_pixel_norm": False, "use_instance_norm": True},
    **{"const_input_layer": True, "blur_filter": [1, 2, 1]},
}


def find(content: Any) -> TFNetwork | None:
    """The generator in a file's content, or None if it is another format's."""
    network = tflib.running_mean(content)
    return network if network and "G_synthesis/4x4/Const/const" in network.variables else None


def read(network: TFNetwork, path: Path) -> dict[str, Configurable]:
    """The generator, and the discriminator of a file that has one; loaded strictly.

    Raises:
        PhotograftError: missing or unknown variables, a network that was still growing, unsupported settings.
    """
    tflib.require(network.settings, SETTINGS, path)
    grey.check_channels(network.settings.get("num_channels", 3), path)
    arrays = Arrays(network.variables, path)
    if any(arrays.number(name) for name in ("lod", "G_synthesis/lod") if name in arrays):
        raise PhotograftError(f"{path}: the network was saved while it grew: take a later snapshot of its training")
    rate, fused = network.settings.get("mapping_lrmul", 0.01), network.settings.get("fused_scale", "auto")
    if not isinstance(rate, float | int) or not 0 < rate <= tflib.MAX_SETTING or type(fused) not in (str, bool):
        raise PhotograftError(f"{path}: the network's settings make no sense")
    if fused not in ("auto", True, False):
        raise PhotograftError(f"{path}: the network's settings make no sense")
    fused_from = FUSED_FROM if fused == "auto" else 0 if fused else None
    networks: dict[str, Configurable] = {"generator": build(arrays, rate=rate, fused_from=fused_from)}
    if (beside := network.discriminator) is not None:
        read_beside(networks, "discriminator", lambda: read_stylegan(beside, path), network.notes)
    return networks


def build(
    arrays: Arrays,
    *,
    rate: float,
    fused_from: int | None = FUSED_FROM,
    eps: float = 1e-8,
    bias_before_blur: bool = False,
) -> StyleGANGenerator:
    """The generator of variables in the original's names, layout and scaling, which ports to torch are brought into.

    Args:
        arrays: all of them, but `lod`; without `dlatent_avg` the mean of w is measured.
        rate: relative learning rate of the mapping network, which scales it.
        fused_from: resolution from which kernels upscale by a fused transposed convolution; None for nowhere.
        eps, bias_before_blur: see `StyleGANGenerator`.

    Raises:
        PhotograftError: missing or unknown arrays, arrays that do not fit.
    """
    sizes = [size for size in (4 << i for i in range(RESOLUTIONS)) if f"G_synthesis/{_first(size)}/bias" in arrays]
    if sizes != [4 << i for i in range(len(sizes))]:
        raise arrays.missing(f"G_synthesis/{_first(next(4 << i for i in count() if 4 << i not in sizes))}/bias")
    if not sizes:
        raise arrays.missing("G_synthesis/4x4/Const/bias")
    channels = [arrays.shape(f"G_synthesis/{_first(size)}/bias", 1)[0] for size in sizes]
    state, widths = _mapping(arrays, rate)
    num_classes, latent_dim = 0, arrays.shape("G_mapping/Dense0/weight", 2)[0]
    if "label" in state:
        num_classes, latent_dim = arrays.shape("G_mapping/LabelConcat/weight", 2)
    for i, size in enumerate(sizes):
        block = _block(arrays, i, size, fused=fused_from is not None and size >= fused_from)
        if bias_before_blur and i:
            name, bias = block.pop("noise1.bias")
            block |= {"conv1.bias": (name, bias), "noise1.bias": (name, torch.zeros_like(bias))}
        state |= {f"blocks.{i}.{name}": placed for name, placed in block.items()}
    measured = "dlatent_avg" not in arrays
    state["w_avg"] = "dlatent_avg", torch.zeros(widths[-1]) if measured else arrays.take("dlatent_avg", widths[-1])
    if arrays.shape(f"{RGB}/weight", 4)[2] != channels[-1]:
        raise arrays.misfit(f"{RGB}/weight")
    rgb = arrays.ranked(f"{RGB}/weight", 4).permute(3, 2, 0, 1) * channels[-1] ** -0.5
    state["to_rgb.weight"] = f"{RGB}/weight", grey.drawn(rgb)
    state["to_rgb.bias"] = f"{RGB}/bias", grey.drawn(arrays.take(f"{RGB}/bias"))
    arrays.skip("G_synthesis/ToRGB_lod*")  # of the resolutions that it grew through
    arrays.finish()
    generator = fitted(
        lambda: StyleGANGenerator(channels, latent_dim, widths, num_classes, eps, bias_before_blur), state, arrays
    )
    if measured:
        generator.w_avg.copy_(generator.sampled_w_mean())
    return generator


def drawn_noise(resolutions: int) -> dict[str, Tensor]:
    """Noise for files that store none, always the same: the original's names -> [1,1,R,R]."""
    prng = torch.Generator().manual_seed(0)
    sizes = [4 * 2 ** (k // 2) for k in range(2 * min(resolutions, RESOLUTIONS))]
    return {f"G_synthesis/noise{k}": torch.randn(1, 1, r, r, generator=prng) for k, r in enumerate(sizes)}


def _first(size: int) -> str:
    """The first layer at a resolution."""
    return f"{size}x{size}/{'Const' if size == 4 else 'Conv0_up'}"


def _mapping(arrays: Arrays, rate: float) -> tuple[dict[str, tuple[str, Tensor]], list[int]]:
    """State of the mapping network, and its layers' widths."""
    state: dict[str, tuple[str, Tensor]] = {}
    widths: list[int] = []
    for i in count():
        name = f"G_mapping/Dense{i}"
        if f"{name}/weight" not in arrays:
            break
        weight = arrays.ranked(f"{name}/weight", 2)  # [in,out]
        state[f"dense.{i}.weight"] = f"{name}/weight", weight.t() * (GAIN * weight.shape[0] ** -0.5 * rate)
        state[f"dense.{i}.bias"] = f"{name}/bias", arrays.take(f"{name}/bias") * rate
        widths.append(weight.shape[1])
    if "G_mapping/LabelConcat/weight" in arrays:
        state["label"] = "G_mapping/LabelConcat/weight", arrays.ranked("G_mapping/LabelConcat/weight", 2)
    if not widths:
        raise arrays.missing("G_mapping/Dense0/weight")
    return state, widths


def conv(weight: Tensor, *, flipped: bool) -> Tensor:  # [3,3,I,O] -> [O,I,3,3]
    """Effective kernel; a fused upscaling convolves with the kernel turned round."""
    weight = weight.permute(3, 2, 0, 1) * (GAIN * (9 * weight.shape[2]) ** -0.5)
    return weight.flip(2, 3) if flipped else weight


def _block(arrays: Arrays, i: int, size: int, *, fused: bool) -> dict[str, tuple[str, Tensor]]:
    """State of one resolution."""
    root = "G_synthesis/"
    state: dict[str, tuple[str, Tensor]] = {}
    first, second = root + _first(size), f"{root}{size}x{size}/{'Conv' if size == 4 else 'Conv1'}"
    if size == 4:
        state["const"] = f"{first}/const", arrays.take(f"{first}/const")
    else:
        state["conv1.weight"] = f"{first}/weight", conv(arrays.ranked(f"{first}/weight", 4), flipped=fused)
    state["conv2.weight"] = f"{second}/weight", conv(arrays.ranked(f"{second}/weight", 4), flipped=False)
    for number, layer in enumerate((first, second), start=1):
        noise = f"{root}noise{2 * i + number - 1}"
        state[f"noise{number}.strength"] = f"{layer}/Noise/weight", arrays.take(f"{layer}/Noise/weight")
        state[f"noise{number}.bias"] = f"{layer}/bias", arrays.take(f"{layer}/bias")
        state[f"noise{number}.const"] = noise, arrays.take(noise, 1, 1, size, size)
        style = f"{layer}/StyleMod"
        weight, bias = arrays.ranked(f"{style}/weight", 2), arrays.ranked(f"{style}/bias", 1).clone()
        state[f"adain{number}.affine.weight"] = f"{style}/weight", weight.t() * weight.shape[0] ** -0.5
        bias[: len(bias) // 2] += 1  # the original scales by 1 + style
        state[f"adain{number}.affine.bias"] = f"{style}/bias", bias
    return state
