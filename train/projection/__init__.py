"""Training what finds latents: the encoder E, and A and B."""
