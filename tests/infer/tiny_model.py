"""A tiny random model on disk, so that the whole path from a photo to an edited one takes a fraction of a second."""

from pathlib import Path

import torch

from models.auxiliary import AuxiliaryNetworks
from models.base import Configurable
from models.discriminators.sn_projection import SNProjectionDiscriminator
from models.encoder import ResNetEncoder
from models.files import save_network
from models.generators.sngan import ConditionalBatchNorm2d, SNGANGenerator

CLASSES = ["black cat", "brown tabby cat", "golden retriever", "lion"]
GROUPS, GROUP_NAMES = [1, 1, 2, 0], ["big cat", "cat", "dog"]
RESOLUTION, LATENTS, LAYERS = 32, 8, 6
LEARNING_RATE = 0.021  # of projection on zeta


def write_tiny_model(
    folder: Path, name: str = "tiny", *, seed: int = 1, auxiliary: bool = False, images_seen: int = 0
) -> Path:
    """Write NAME.generator.safetensors (32 px, 4 classes) and its neighbours; returns the generator's file.

    Args:
        folder, name: of the files.
        seed: of the weights.
        auxiliary: with A and B too, whose file names a learning rate.
        images_seen: what the files say of their training.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = SNGANGenerator([8, 8, 8, 4], latent_dim=LATENTS, num_classes=len(CLASSES))
        for module in generator.modules():
            if isinstance(module, ConditionalBatchNorm2d):  # fresh ones are the same for every class
                torch.nn.init.normal_(module.gamma, 1.0, 0.5)
                torch.nn.init.normal_(module.beta, 0.0, 0.5)
        torch.nn.init.normal_(generator.to_rgb.weight, std=0.3)
        networks: dict[str, Configurable] = {
            "generator": generator,
            "discriminator": SNProjectionDiscriminator([4, 8, 8], num_classes=len(CLASSES)),
            "encoder": ResNetEncoder([4, 4, 8, 8], latent_dim=LATENTS),
        }
        if auxiliary:
            networks["auxiliary"] = AuxiliaryNetworks(LATENTS, zeta_dim=40, hidden_a=20, hidden_b=20)
    info = {"class_names": CLASSES, "groups": GROUPS, "group_names": GROUP_NAMES, "learning_rate": LEARNING_RATE}
    info["images_seen"] = images_seen
    for kind, network in networks.items():
        save_network(folder / f"{name}.{kind}.safetensors", network, kind, info)
    return folder / f"{name}.generator.safetensors"
