"""Finding the latent of a photo."""
