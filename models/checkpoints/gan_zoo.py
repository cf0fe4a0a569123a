"""pytorch_GAN_zoo's Progressive GAN (`.pt` of a training) -> `PGGANGenerator`.

Its layers multiply by the He constant after the bias, so that the bias is scaled too, and with gain sqrt(2) everywhere.
"""

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from models.base import Configurable
from models.checkpoints.arrays import RESOLUTIONS, Arrays, fitted
from models.checkpoints.pickle_machine import Foreign
from models.errors import PhotograftError
from models.generators.pggan import PGGANGenerator


class ZooNetwork(NamedTuple):
    """A generator's state dict and its alpha: the share of the image from the resolution before the last."""

    state: Mapping[str, Any]
    alpha: float


def find(content: Any) -> ZooNetwork | None:
    """The generator's running mean (or else the generator) in a file's content, or None if it is another format's."""
    if not isinstance(content, Mapping):
        return None
    config = content.get("config")
    settings = config.state if isinstance(config, Foreign) and isinstance(config.state, dict) else {}
    alpha = settings.get("alpha", 0.0)
    for part in (content.get("avgG"), content.get("netG"), content):
        if isinstance(part, Mapping) and "formatLayer.module.weight" in part and "toRGBLayers.0.module.weight" in part:
            return ZooNetwork(part, alpha if isinstance(alpha, float) and 0 <= alpha <= 1 else 0.0)
    return None


def read(network: ZooNetwork, path: Path) -> dict[str, Configurable]:
    """The generator, loaded strictly. Raises PhotograftError for missing or unknown arrays."""
    arrays = Arrays(network.state, path)
    names: list[tuple[str, ...]] = [("groupScale0.0",)]
    for i in count():
        if f"scaleLayers.{i}.0.module.weight" not in arrays:
            break
        names.append((f"scaleLayers.{i}.0", f"scaleLayers.{i}.1"))
        if len(names) > RESOLUTIONS:
            raise PhotograftError(f"{path}: more than {RESOLUTIONS} resolutions: no network has so many")
    channels = [arrays.shape(f"{layers[-1]}.module.bias", 1)[0] for layers in names]
    state = _layer(arrays, "formatLayer", "linear")
    for i, layers in enumerate(names):
        for layer, own in zip(reversed(layers), ("conv2", "conv1"), strict=False):
            state |= _layer(arrays, layer, f"blocks.{i}.{own}")
    state |= _layer(arrays, f"toRGBLayers.{len(names) - 1}", "to_rgb")
    if network.alpha:
        state |= _layer(arrays, f"toRGBLayers.{len(names) - 2}", "to_rgb_before")
    arrays.skip("toRGBLayers.*")  # of the other resolutions
    arrays.finish()
    latent_dim = arrays.shape("formatLayer.module.weight", 2)[1]
    return {"generator": fitted(lambda: PGGANGenerator(channels, latent_dim, network.alpha), state, arrays)}


def _layer(arrays: Arrays, name: str, own: str) -> dict[str, tuple[str, Tensor]]:
    theirs, bias = f"{name}.module.weight", f"{name}.module.bias"
    weight = arrays.ranked(theirs, 2 if own == "linear" else 4)
    he = (2 / weight[0].numel()) ** 0.5
    return {f"{own}.weight": (theirs, weight * he), f"{own}.bias": (bias, arrays.take(bias) * he)}
