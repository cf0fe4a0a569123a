"""Modules of TensorFlow Hub as arrays by name: variables of their checkpoint, tables that are constants of their graph.

The extra [tfhub]: TensorFlow reads the checkpoint, tensorflow-hub finds and keeps modules, see `models.tf.module`.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from models.tf.process import check_installed, run

INDEX = Path("variables") / "variables.index"
MOST_CONSTANTS = 10_000
SHORT = re.compile(r"deepmind/biggan(-deep)?-\d+/\d+")


def handle_of(path: Path) -> str | None:
    """The address on TensorFlow Hub that a path stands for, or None if it is one of this computer's.

    `deepmind/biggan-256/2` is short for https://tfhub.dev/deepmind/biggan-256/2.
    """
    text = path.as_posix()
    if match := re.fullmatch(r"https?:/+(.+)", text):
        return f"https://{match[1]}"
    return f"https://tfhub.dev/{text}" if SHORT.fullmatch(text) and not path.exists() else None


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
        names = json.loads(Path(folder, "names.json").read_text())
        files = ((name, Path(folder, f"{i}.npy")) for i, name in enumerate(names))
        return {name: np.load(file, allow_pickle=False) for name, file in files if file.is_file()}
