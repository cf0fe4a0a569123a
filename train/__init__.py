"""Training with PyTorch Lightning: GANs, encoders, auxiliary networks."""
