"""The discriminator that Progressive GAN and StyleGAN share in TensorFlow -> `PGGANDiscriminator`."""

from pathlib import Path
from typing import Any

from torch import Tensor

from models.checkpoints import grey, tflib
from models.checkpoints.arrays import RESOLUTIONS, Arrays, fitted
from models.checkpoints.tflib import TFNetwork
from models.discriminators.pggan import PGGANDiscriminator
from models.errors import PhotograftError

GAIN = 2**0.5
GROUP_SIZE = 4
SLOPES = {"lrelu": 0.2, "relu": 0.0}


def read_progan(network: TFNetwork, path: Path) -> PGGANDiscriminator:
    """Progressive GAN's. Of one that names classes too, the score alone is read.

    Raises:
        PhotograftError: missing or unknown variables, unsupported settings.
    """
    tflib.require(network.settings, {"use_wscale": True}, path)
    return _read(network, path, blurs=False, score_alone=True)


def read_stylegan(network: TFNetwork, path: Path) -> PGGANDiscriminator:
    """StyleGAN's, which blurs before it halves, and has a score per class. Raises as `read_progan` does."""
    tflib.require(network.settings, {"use_wscale": True}, path)
    blurring = tflib.taps(network.settings, "blur_filter", (1, 2, 1), path)
    if blurring not in (None, (1, 2, 1)):
        raise PhotograftError(f"{path}: built with blur_filter={list(blurring or ())}: only [1, 2, 1] is supported")
    return _read(network, path, blurs=blurring is not None, score_alone=False)


def _read(network: TFNetwork, path: Path, *, blurs: bool, score_alone: bool) -> PGGANDiscriminator:
    """`lod`, how far it had grown when it was saved, is heeded."""
    kind = network.settings.get("nonlinearity", "lrelu")
    if not isinstance(kind, str) or kind not in SLOPES:
        tflib.require(network.settings, {"nonlinearity": "lrelu"}, path)
    arrays = Arrays(network.variables, path)
    sizes = [size for size in (4 << i for i in range(RESOLUTIONS)) if f"{_first(size)}/weight" in arrays]
    if not sizes:
        raise arrays.missing(f"{_first(4)}/weight")
    sizes, unused, fade = tflib.grown(arrays, sizes)
    channels = [arrays.shape(f"{_first(size)}/weight", 4)[3] for size in sizes]
    state = _layer(arrays, f"FromRGB_lod{unused}", "from_rgb")
    if fade:
        state |= _layer(arrays, f"FromRGB_lod{unused + 1}", "from_rgb_before")
    arrays.skip("FromRGB_lod*")  # of the other resolutions
    pool_last = False
    for i, size in enumerate(reversed(sizes[1:])):
        state |= _layer(arrays, f"{size}x{size}/Conv0", f"blocks.{i}.conv0")
        pool_last = f"{size}x{size}/Conv1_down/weight" not in arrays and f"{size}x{size}/Conv1/weight" in arrays
        state |= _layer(arrays, f"{size}x{size}/{'Conv1' if pool_last else 'Conv1_down'}", f"blocks.{i}.conv1")
    state |= _layer(arrays, "4x4/Conv", "conv") | _layer(arrays, "4x4/Dense0", "linear")
    state |= _layer(arrays, "4x4/Dense1", "out", gain=1.0)
    if score_alone:
        state |= {key: (name, value[:1]) for key, (name, value) in state.items() if key.startswith("out.")}
    arrays.finish()
    scores = len(state["out.bias"][1])
    config: dict[str, Any] = {
        "num_classes": scores if scores > 1 else 0,
        "final": len(state["linear.bias"][1]),
        "blurs": blurs,
        "pool_last": pool_last,
        "group_size": tflib.group_size(network.settings, GROUP_SIZE, path),
        "group_channels": max(state["conv.weight"][1].shape[1] - channels[0], 0),
        "slope": SLOPES[kind],
        "fade": fade,
    }
    return fitted(lambda: PGGANDiscriminator(channels, **config), state, arrays)


def _first(size: int) -> str:
    """The first layer at a resolution."""
    return f"{size}x{size}/{'Conv' if size == 4 else 'Conv0'}"


def _layer(arrays: Arrays, name: str, own: str, gain: float = GAIN) -> dict[str, tuple[str, Tensor]]:
    """State of one layer; its weight is scaled at each pass in the original."""
    weight = arrays.ranked(f"{name}/weight", 2 if "Dense" in name else 4)  # [...,in,out]
    weight = weight.t() if weight.ndim == 2 else weight.permute(3, 2, 0, 1)
    weight = weight * (gain * weight[0].numel() ** -0.5)
    weight = grey.seen(weight) if own.startswith("from_rgb") else weight
    return {
        f"{own}.weight": (f"{name}/weight", weight),
        f"{own}.bias": (f"{name}/bias", arrays.ranked(f"{name}/bias", 1)),
    }
