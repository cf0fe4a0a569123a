"""Discriminators: spectral-norm projection (SNGAN), projected (frozen features), StyleGAN2."""
