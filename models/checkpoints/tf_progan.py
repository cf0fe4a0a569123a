"""The original Progressive GAN in TensorFlow (`karras2018iclr-*.pkl`) -> `PGGANGenerator`, `PGGANDiscriminator`."""

from pathlib import Path
from typing import Any

from torch import Tensor

from models.base import Configurable
from models.checkpoints import grey, tflib
from models.checkpoints.arrays import RESOLUTIONS, Arrays, fitted
from models.checkpoints.parts import read_beside
from models.checkpoints.tf_discriminator import read_progan
from models.checkpoints.tf_stylegan import GAIN, conv
from models.checkpoints.tflib import TFNetwork
from models.errors import PhotograftError
from models.generators.pggan import PGGANGenerator

SETTINGS = {
    **{"label_size": 0, "normalize_latents": True, "use_wscale": True, "use_pixelnorm": True},
    **{"pixelnorm_epsilon": 1e-8, "use_leakyrelu": True, "tanh_at_end": None},
}


def find(content: Any) -> TFNetwork | None:
    """The generator in a file's content, or None if it is another format's."""
    network = tflib.running_mean(content)
    return network if network and "4x4/Dense/weight" in network.variables else None


def read(network: TFNetwork, path: Path) -> dict[str, Configurable]:
    """The generator, and the discriminator of a file that has one; loaded strictly. `lod`, how far a network
    had grown when it was saved, is heeded.

    Raises:
        PhotograftError: missing or unknown variables, a class-conditional network, other unsupported settings.
    """
    if network.settings.get("label_size"):
        raise PhotograftError(f"{path}: class-conditional Progressive GANs are not supported")
    tflib.require(network.settings, SETTINGS, path)
    grey.check_channels(network.settings.get("num_channels", 3), path)
    arrays = Arrays(network.variables, path)
    sizes = [size for size in (4 << i for i in range(RESOLUTIONS)) if f"{_last(size)}/weight" in arrays]
    if not sizes:
        raise arrays.missing(f"{_last(4)}/weight")
    sizes, unused, fade = tflib.grown(arrays, sizes)
    channels = [arrays.shape(f"{_last(size)}/bias", 1)[0] for size in sizes]
    latent_dim = arrays.shape("4x4/Dense/weight", 2)[0]
    dense = arrays.take("4x4/Dense/weight", latent_dim, 16 * channels[0])
    bias = arrays.take("4x4/Dense/bias", channels[0])
    state = {
        "linear.weight": ("4x4/Dense/weight", dense.t() * (GAIN / 4 * latent_dim**-0.5)),
        "linear.bias": ("4x4/Dense/bias", bias.repeat_interleave(16)),
    }
    for i, size in enumerate(sizes):
        state |= _block(arrays, i, size)
    state |= _to_rgb(arrays, "to_rgb", unused)
    if fade:
        state |= _to_rgb(arrays, "to_rgb_before", unused + 1)
    arrays.skip("ToRGB_lod*")  # of the other resolutions
    arrays.finish()
    networks: dict[str, Configurable] = {}
    networks["generator"] = fitted(lambda: PGGANGenerator(channels, latent_dim, fade), state, arrays)
    if (beside := network.discriminator) is not None:
        read_beside(networks, "discriminator", lambda: read_progan(beside, path), network.notes)
    return networks


def _last(size: int) -> str:
    """The last layer at a resolution."""
    return f"{size}x{size}/{'Conv' if size == 4 else 'Conv1'}"


def _block(arrays: Arrays, i: int, size: int) -> dict[str, tuple[str, Tensor]]:
    """State of one resolution. Of all convolutions the fused upscaling alone keeps its kernel as [3,3,O,I]."""
    state: dict[str, tuple[str, Tensor]] = {}
    if size > 4:
        fused = f"{size}x{size}/Conv0_up"
        name = fused if any(f"{fused}/{part}" in arrays for part in ("weight", "bias")) else f"{size}x{size}/Conv0"
        weight = arrays.ranked(f"{name}/weight", 4)
        weight = weight.transpose(2, 3) if name == fused else weight
        state["conv1.weight"] = f"{name}/weight", conv(weight, flipped=name == fused)
        state["conv1.bias"] = f"{name}/bias", arrays.take(f"{name}/bias")
    last = _last(size)
    state["conv2.weight"] = f"{last}/weight", conv(arrays.ranked(f"{last}/weight", 4), flipped=False)
    state["conv2.bias"] = f"{last}/bias", arrays.take(f"{last}/bias")
    return {f"blocks.{i}.{name}": value for name, value in state.items()}


def _to_rgb(arrays: Arrays, name: str, lod: int) -> dict[str, tuple[str, Tensor]]:
    theirs = f"ToRGB_lod{lod}"
    weight = arrays.ranked(f"{theirs}/weight", 4)  # [1,1,C,3]
    scaled = grey.drawn(weight.permute(3, 2, 0, 1) * weight.shape[2] ** -0.5)
    return {
        f"{name}.weight": (f"{theirs}/weight", scaled),
        f"{name}.bias": (f"{theirs}/bias", grey.drawn(arrays.take(f"{theirs}/bias"))),
    }
