"""Networks of a training: built from their description in the config, averaged, and described for export."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from data.module import ImageDataModule
from models.base import Configurable, Generator
from models.encoder import Encoder
from models.errors import PhotograftError
from models.files import load_network, load_state
from models.registry import KINDS, create_generator, encoders
from train.tables import add_group_tables


@dataclass
class Network:
    """A network in a config: its family in the registry and the keywords of its class."""

    family: str
    config: dict[str, Any] = field(default_factory=dict)


def build_generator(
    network: Network, data: ImageDataModule, group_tables: bool, weights: str | None = None
) -> Generator:
    """A generator for the data's classes, in channels_last, from given or fresh weights.

    From weights of a lower resolution it grows, if its family does (`Generator.grow_from`).

    Raises:
        PhotograftError: unknown family or config, a resolution that is not the data's, weights that do not fit.
    """
    generator = create_generator(network.family, **{**network.config, "num_classes": data.num_classes})
    if generator.resolution != data.resolution:
        raise PhotograftError(f"the generator makes {generator.resolution} px, the data are {data.resolution} px")
    _start_from(generator, weights, "generator")
    if group_tables and data.num_classes:
        add_group_tables(generator, torch.tensor(data.groups))
    return generator.to(memory_format=torch.channels_last)


def build_encoder(network: Network, generator: Generator, weights: str | None = None) -> Encoder:
    """An encoder for a generator, from given or fresh weights; its frozen parts do not learn.

    `latent_dim`, and `num_classes` of the one family that looks at the class, are the generator's.

    Raises:
        PhotograftError: unknown family or config, another latent_dim, or weights that do not fit.
    """
    config = {"latent_dim": generator.latent_dim, **network.config}
    if network.family == "resnet":
        config["num_classes"] = generator.num_classes
    if config["latent_dim"] != generator.latent_dim:
        raise PhotograftError(
            f"the encoder has {config['latent_dim']} latents, the generator {generator.latent_dim}: leave the"
            " encoder's latent_dim out"
        )
    encoder = cast(Encoder, encoders.create(network.family, **config))
    _start_from(encoder, weights, "encoder")
    for part in encoder.frozen_parts:
        encoder.get_submodule(part).requires_grad_(False)
    return encoder


def _start_from(network: Configurable, path: str | None, kind: str) -> None:
    """Take the weights of a file, if one is given; gradients on."""
    if path is not None:
        source, _ = load_network(Path(path), kind)
        if isinstance(network, Generator) and source.resolution < network.resolution:
            try:
                network.grow_from(source)
            except PhotograftError as error:
                raise PhotograftError(f"{path}: {error}") from error
        else:
            load_state(network, source.state_dict(), Path(path))
    network.requires_grad_(True)


def describe(networks: Mapping[str, tuple[str, Configurable]]) -> dict[str, dict[str, Any]]:
    """What export needs to rebuild networks, by their names in the module, each given with its kind."""
    return {
        name: {"kind": kind, "family": KINDS[kind].name_of(network), "config": network.config}
        for name, (kind, network) in networks.items()
    }


@torch.no_grad()
def update_average(average: nn.Module, source: nn.Module, decay: float) -> None:
    """Exponential moving average of parameters and buffers; integers are copied."""
    pairs = list(zip(_tensors(average), _tensors(source), strict=True))
    moving = [(old, new) for old, new in pairs if old.is_floating_point()]
    torch._foreach_lerp_([old for old, _ in moving], [new for _, new in moving], 1 - decay)  # one kernel for many
    for old, new in pairs:
        if not old.is_floating_point():
            old.copy_(new)


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
