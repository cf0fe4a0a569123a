"""pytorch_GAN_zoo's Progressive GAN (`.pt` of a training) -> `PGGANGenerator`, `PGGANDiscriminator`.

Its layers multiply by the He constant after the bias, so that the bias is scaled too, and with gain sqrt(2) everywhere.
"""

from collections.abc import Mapping
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from models.base import Configurable
from models.checkpoints import grey
from models.checkpoints.arrays import RESOLUTIONS, Arrays, fitted
from models.checkpoints.parts import part_lines, read_beside
from models.checkpoints.pickle_machine import Foreign
from models.discriminators.pggan import PGGANDiscriminator
from models.errors import PhotograftError
from models.generators.pggan import PGGANGenerator


class ZooNetwork(NamedTuple):
    """A generator's state dict and its alpha: the share of the image from the resolution before the last.

    Attributes:
        discriminator: the state dict of the one beside it, if there is one.
        parts: what every network of the file is used for, a line each.
        notes: what could not be read beside the generator, a line each.
    """

    state: Mapping[str, Any]
    alpha: float
    discriminator: Mapping[str, Any] | None = None
    parts: tuple[str, ...] = ()
    notes: list[str] | None = None


def find(content: Any) -> ZooNetwork | None:
    """The generator's running mean (or else the generator) in a file's content, or None if it is another format's."""
    if not isinstance(content, Mapping):
        return None
    config = content.get("config")
    settings = config.state if isinstance(config, Foreign) and isinstance(config.state, dict) else {}
    alpha = settings.get("alpha", 0.0)
    for part in (content.get("avgG"), content.get("netG"), content):
        if isinstance(part, Mapping) and "formatLayer.module.weight" in part and "toRGBLayers.0.module.weight" in part:
            beside = content.get("netD")
            beside = beside if isinstance(beside, Mapping) and "decisionLayer.module.weight" in beside else None
            lines = part_lines(content, ("netG", "netD", "avgG"), {"generator": part, "discriminator": beside})
            alpha = alpha if isinstance(alpha, float) and 0 <= alpha <= 1 else 0.0
            return ZooNetwork(part, alpha, beside, tuple(lines), [])
    return None


def read(network: ZooNetwork, path: Path) -> dict[str, Configurable]:
    """The generator, and the discriminator of a file that has one; loaded strictly.

    Raises:
        PhotograftError: missing or unknown arrays.
    """
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
    networks: dict[str, Configurable] = {}
    networks["generator"] = fitted(lambda: PGGANGenerator(channels, latent_dim, network.alpha), state, arrays)
    if (beside := network.discriminator) is not None:
        read_beside(networks, "discriminator", lambda: read_discriminator(beside, path, network.alpha), network.notes)
    return networks


def read_discriminator(values: Mapping[str, Any], path: Path, alpha: float = 0.0) -> PGGANDiscriminator:
    """The discriminator, loaded strictly; of one that names classes too, the score alone.

    Args:
        values: its state dict.
        path: of the file.
        alpha: share of the features that comes from the image at half the resolution.

    Raises:
        PhotograftError: missing or unknown arrays.
    """
    arrays = Arrays(values, path)
    count = len(list(takewhile(lambda i: f"scaleLayers.{i}.0.module.weight" in arrays, range(RESOLUTIONS))))
    channels = [arrays.shape("groupScaleZero.0.module.weight", 4)[0]]
    channels += [arrays.shape(f"scaleLayers.{i}.0.module.weight", 4)[0] for i in range(count)]
    state = _layer(arrays, f"fromRGBLayers.{count}", "from_rgb")
    fade = alpha if count > 1 else 0.0  # with one step alone the original forgets it
    if fade:
        state |= _layer(arrays, f"fromRGBLayers.{count - 1}", "from_rgb_before")
    arrays.skip("fromRGBLayers.*")  # of the other resolutions
    for i in range(count):
        for number in (0, 1):
            state |= _layer(arrays, f"scaleLayers.{count - 1 - i}.{number}", f"blocks.{i}.conv{number}")
    state |= _layer(arrays, "groupScaleZero.0", "conv") | _layer(arrays, "groupScaleZero.1", "linear")
    scores = _layer(arrays, "decisionLayer", "out")  # others after the first are of classes
    state |= {key: (name, value[:1]) for key, (name, value) in scores.items()}
    arrays.finish()
    deviates = state["conv.weight"][1].shape[1] - channels[0]
    final = len(state["linear.bias"][1])

    def make() -> PGGANDiscriminator:
        return PGGANDiscriminator(
            channels, final=final, pool_last=True, group_channels=max(deviates, 0), zoo_groups=True, fade=fade
        )

    return fitted(make, state, arrays)


def _layer(arrays: Arrays, name: str, own: str) -> dict[str, tuple[str, Tensor]]:
    theirs, bias = f"{name}.module.weight", f"{name}.module.bias"
    weight = arrays.ranked(theirs, 2 if own in ("linear", "out") else 4)
    he = (2 / weight[0].numel()) ** 0.5
    weight, added = weight * he, arrays.ranked(bias, 1) * he
    if own.startswith("to_rgb"):
        weight, added = grey.drawn(weight), grey.drawn(added)
    weight = grey.seen(weight) if own.startswith("from_rgb") else weight
    return {f"{own}.weight": (theirs, weight), f"{own}.bias": (bias, added)}
