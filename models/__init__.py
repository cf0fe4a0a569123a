"""Networks, losses and weights: the one Generator contract and everything that implements it.

Importing the package registers every family, so that a weights file can be opened by what it says it holds.
"""

from models import auxiliary, discriminators, encoder, locator, stylegan2_discriminator
from models.generators import sngan, stylegan2

__all__ = ["auxiliary", "discriminators", "encoder", "locator", "sngan", "stylegan2", "stylegan2_discriminator"]
