"""Numeric fixtures of the original implementations: a folder each, `io.npz` holds what its weights computed.

The folders lie in tests/golden/FAMILY, or beside the folder that PHOTOGRAFT_GOLDEN names; tests run over whatever is
there.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tests.collage_fixtures import FOLDER as COLLAGE

FOLDER = COLLAGE.parent if os.environ.get("PHOTOGRAFT_GOLDEN") else Path(__file__).parent / "golden"

Arrays = dict[str, npt.NDArray[np.float32]]


def folders(pattern: str, *needed: str) -> list[Path]:
    """Fixtures whose folder fits the pattern and holds all needed files."""
    return sorted(path for path in FOLDER.glob(pattern) if all((path / name).is_file() for name in needed))


def names(paths: list[Path]) -> list[str]:
    """Of fixtures, for the names of tests."""
    return [path.name for path in paths]


def arrays(path: Path) -> Arrays:
    """All arrays of a file."""
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def tensors(path: Path) -> dict[str, Tensor]:
    """All arrays of a file, as tensors."""
    return {name: torch.from_numpy(array) for name, array in arrays(path).items()}


def meta(folder: Path) -> dict[str, Any]:
    """What a fixture is."""
    return dict(json.loads((folder / "meta.json").read_text()))


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published file's arrays, of `NAME (1, 2) ...` lines."""
    found = {}
    for line in (FOLDER / name).read_text().splitlines():
        key, _, rest = line.partition(" (")
        found[key] = tuple(int(n) for n in rest.partition(")")[0].split(",") if n.strip())
    return found


def close(got: Tensor, expected: Tensor, atol: float, rtol: float = 0.0) -> None:
    """Fail, with the largest difference, unless two arrays of one shape agree."""
    assert got.shape == expected.shape
    error = (got.double() - expected.double()).abs()
    assert bool((error <= atol + rtol * expected.double().abs()).all()), f"off by {error.max().item():.3g}"
