"""Networks, losses and weights: the one Generator contract and everything that implements it."""
