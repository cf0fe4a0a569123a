"""What finding a latent is made of: the objective, Adam, the spaces that are searched."""
