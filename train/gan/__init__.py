"""Training a GAN: sources of fakes, adversaries and terms of the loss."""

from train.gan.module import GAN

__all__ = ["GAN"]
