"""Colours that are told apart: of clusters, and of the regions of an edit."""

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray


def colours(count: int) -> NDArray[np.float64]:  # -> [count,3]
    """Colours in 0..1, easy to tell apart for the first twenty."""
    table = np.concatenate([np.array(colormaps[name].colors) for name in ("tab20", "tab20b", "tab20c")])  # type: ignore[attr-defined]
    return table[np.arange(count) % len(table)]
