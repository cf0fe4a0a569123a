"""Networks, losses and weights: the one Generator contract and everything that implements it.

Importing the package registers every family, so that a weights file can be opened by what it says it holds.
"""

from models import auxiliary, discriminators, encoder, locator, stylegan2_discriminator
from models.generators import pggan, sngan, stylegan, stylegan2

__all__ = [
    "auxiliary",
    "discriminators",
    "encoder",
    "locator",
    "pggan",
    "sngan",
    "stylegan",
    "stylegan2",
    "stylegan2_discriminator",
]
