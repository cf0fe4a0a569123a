"""Networks, losses and weights: the one Generator contract and everything that implements it.

Importing the package registers every family, so that a weights file can be opened by what it says it holds.
"""

from models import auxiliary, encoder
from models.discriminators import projected, sn_projection
from models.discriminators import stylegan2 as stylegan2_discriminator
from models.generators import pggan, sngan, stylegan, stylegan2
from models.perception import locator

__all__ = [
    "auxiliary",
    "encoder",
    "locator",
    "pggan",
    "projected",
    "sn_projection",
    "sngan",
    "stylegan",
    "stylegan2",
    "stylegan2_discriminator",
]
