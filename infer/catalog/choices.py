"""What callers choose from when a catalog is made: light, for whoever only names it."""

from typing import Literal

SAMPLES, CLUSTERS = 200, 20  # the paper's N; K of the released catalog
Resize = Literal["bilinear", "nearest"]  # of cluster maps; "nearest" as the released code
