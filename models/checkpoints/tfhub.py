"""Modules of TensorFlow Hub as arrays by name: variables of their checkpoint, tables that are constants of their graph.

The extra [tfhub]: TensorFlow reads the checkpoint, tensorflow-hub finds and keeps modules, see `models.tf.module`.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from models.tf.process import check_installed, handle_of, run

INDEX = Path("variables") / "variables.index"
MOST_CONSTANTS = 10_000


def is_module(path: Path) -> bool:
    """Whether a path is a module's folder (or any SavedModel's with variables), or its address."""
    return handle_of(path) is not None or (path.is_dir() and path.joinpath(INDEX).is_file())


def weights_file(path: Path) -> Path | None:
    """The file in which a module's folder has its weights; any file as it is; None for an address."""
    if handle_of(path):
        return None
    if not path.is_dir():
        return path
    return max((p for p in path.joinpath("variables").iterdir() if p.is_file()), key=lambda p: p.stat().st_size)


def read_module(path: Path) -> dict[str, Any]:
    """Arrays of a module by the names of its variables, and tables that are constants as `stack_N`.

    Raises:
        PhotograftError: the extra is not installed, the module cannot be fetched, or it is damaged.
    """
    name = handle_of(path) or str(path)
    check_installed(f"{name} is a module of TensorFlow Hub")
    with tempfile.TemporaryDirectory() as folder:
        run("module", name, folder)
        names = np.load(Path(folder, "names.npy"), allow_pickle=False).tolist()
        files = ((name, Path(folder, f"{i}.npy")) for i, name in enumerate(names))
        return {name: np.load(file, allow_pickle=False) for name, file in files if file.is_file()}
