"""What callers choose from when an edit is made: light, for whoever only names it."""

from typing import Literal

Mode = Literal["sequential", "simultaneous", "global"]  # of query transfer
RHO = 1 / 9  # of the second paper: rho / (1 + rho) = 0.1
DEFAULT_SIZE = 32  # px, of the last layer that features are blended at if nobody chooses layers
# What a strength measures: the way from the photo to the whole edit, or, in recipes of before, the share of the classes
# in the mix that the latent settles for, from the reconstruction on.
Scale = Literal["photo", "mix"]
WHOLE_MASKS = ("auto", "box")  # what a region can be besides a file or an array
