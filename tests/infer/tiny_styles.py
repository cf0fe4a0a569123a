"""Tiny random style generators and models around them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from infer.catalog.catalog import Catalog, catalog_files
from models.base import StyleGenerator
from models.discriminators.sn_projection import SNProjectionDiscriminator
from models.encoder import ResNetEncoder
from models.files import save_network
from models.generators.stylegan import StyleGANGenerator
from models.generators.stylegan2 import StyleGAN2Generator
from models.writing import write_files

FAMILIES: dict[str, type[StyleGenerator]] = {"stylegan2": StyleGAN2Generator, "stylegan": StyleGANGenerator}
CLASSES = ["black cat", "lion", "pug"]
RESOLUTION, LATENTS, W_DIM, NUM_WS = 16, 6, 8, 6


def tiny_generator(
    family: str = "stylegan2", num_classes: int = 3, *, channels: Sequence[int] = (8, 8, 6), seed: int = 0
) -> Any:
    """A frozen one, of 16 px with so many channels: its noise can be seen, its mean of w is the prior's, and its
    pictures lie about [-1,1]."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        make: Any = FAMILIES[family]
        generator = make(channels, latent_dim=LATENTS, mapping=(8, W_DIM), num_classes=num_classes)
        with torch.no_grad():
            for name, value in generator.named_parameters():
                if name.endswith("strength"):
                    value.fill_(0.1)
                if "to_rgb" in name and name.endswith("weight") and "affine" not in name:
                    value.mul_(0.2)
            generator.w_avg.copy_(generator.sampled_w_mean(500))
        return generator.freeze()


def tiny_discriminator(num_classes: int = 0) -> SNProjectionDiscriminator:
    """Frozen, whose features are Psi."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return SNProjectionDiscriminator([8, 16], num_classes=num_classes).freeze()


def write_style_model(folder: Path, num_classes: int = 3, *, encoder: bool = True) -> Path:
    """Write NAME.generator.safetensors of a StyleGAN2 with its neighbours; returns that file."""
    networks: dict[str, Any] = {
        "generator": tiny_generator(num_classes=num_classes),
        "discriminator": tiny_discriminator(num_classes),
    }
    if encoder:
        with torch.random.fork_rng():
            torch.manual_seed(2)
            networks["encoder"] = ResNetEncoder([4, 8, 8], latent_dim=LATENTS)
    info = {"class_names": CLASSES[:num_classes]} if num_classes else {}
    for kind, network in networks.items():
        save_network(folder / f"style.{kind}.safetensors", network, kind, info)
    return folder / "style.generator.safetensors"


class Colours(nn.Module):
    """Features that are a coarse picture: a Psi that a tiny network can follow."""

    def features(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x, 2)


def write_catalog(catalog: Catalog, path: Path) -> list[Path]:
    """A catalog's files, as `catalog build` writes them; returns their paths."""
    files = catalog_files(catalog, path)
    write_files(files)
    return list(files)
