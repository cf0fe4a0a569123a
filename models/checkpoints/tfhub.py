"""Modules of TensorFlow Hub as arrays by name: variables of their checkpoint, tables that are constants of their graph.

The extra [tfhub]: TensorFlow reads the checkpoint, tensorflow-hub finds and keeps modules. No graph is run: of it only
constants and stacks of constants are read.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.checkpoints.archives import Unreadable
from models.errors import PhotograftError

CHECKPOINT = Path("variables") / "variables"
GRAPH = "saved_model.pb"
CONSTANT = "stack_"  # of names of tables that are constants; `stack` itself is number 0
MOST_CONSTANTS = 10_000
LARGEST_GRAPH = 1 << 30  # bytes; TensorFlow writes none larger than 2 GiB
EXTRA = "pip install 'photograft[tfhub]'"
SHORT = re.compile(r"deepmind/biggan(-deep)?-\d+(/\d+)?")


def handle_of(path: Path) -> str | None:
    """The address on TensorFlow Hub that a path stands for, or None if it is one of this computer's.

    `deepmind/biggan-256/2` is short for https://tfhub.dev/deepmind/biggan-256/2.
    """
    text = path.as_posix()
    if match := re.fullmatch(r"https?:/+(.+)", text):
        return f"https://{match[1]}"
    return f"https://tfhub.dev/{text}" if SHORT.fullmatch(text) and not path.exists() else None


def located(path: Path) -> Path:
    """The folder of a module that a path names, fetched and kept if need be; any other path as it is.

    Raises:
        PhotograftError: the extra is not installed, or the module can be neither found here nor fetched.
    """
    handle = handle_of(path)
    if handle is None:
        return path
    hub = _imported("tensorflow_hub", f"{handle} is a module of TensorFlow Hub")
    try:
        return Path(hub.resolve(handle))
    except Exception as error:  # urllib's, TensorFlow's, tarfile's
        reason = str(error).strip().split("\n")[0]
        raise PhotograftError(
            f"cannot fetch {handle}: {reason:.200}; give the folder of a module that you have, or set TFHUB_CACHE_DIR to"
            " where it is kept"
        ) from error


def is_module(path: Path) -> bool:
    """Whether a folder is a module (or any SavedModel with variables)."""
    return path.is_dir() and path.joinpath(f"{CHECKPOINT}.index").is_file()


def weights_file(path: Path) -> Path:
    """The file of a module in which its weights are; any file as it is."""
    if not path.is_dir():
        return path
    return max((p for p in path.joinpath("variables").iterdir() if p.is_file()), key=lambda p: p.stat().st_size)


def read_module(path: Path) -> dict[str, Any]:
    """Arrays of a module by the names of its variables, and tables that are constants as `stack_N`.

    Raises:
        PhotograftError: the extra is not installed.
        Unreadable: a damaged checkpoint or graph.
    """
    tf = _imported("tensorflow", f"{path} is a module of TensorFlow Hub")
    try:
        reader = tf.train.load_checkpoint(str(path / CHECKPOINT))
        values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except Exception as error:  # errors of TensorFlow's C++ are of many classes
        raise Unreadable(f"is damaged: {str(error).strip():.200}") from error
    return values | _tables(path / GRAPH)


def _imported(name: str, what: str) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return __import__(name)
    except ImportError as error:
        raise PhotograftError(f"{what}: reading it needs an extra: {EXTRA} ({error})") from error


def _tables(graph: Path) -> dict[str, Any]:
    """Constant tables [S,C] of a graph that are named `stack`, `stack_1`, ..., wherever they lie in it."""
    if not graph.is_file() or graph.stat().st_size > LARGEST_GRAPH:
        return {}
    from tensorflow.core.protobuf import saved_model_pb2  # type: ignore[import-untyped]

    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(graph.read_bytes())
    except Exception as error:  # protobuf's
        raise Unreadable(f"holds a damaged {graph.name}") from error
    tables: dict[str, Any] = {}
    for meta in model.meta_graphs:
        nodes = {node.name: node for node in meta.graph_def.node}
        for name in nodes:
            match = re.fullmatch(r"(?:.*/)?stack(?:_(\d{1,4}))?", name)
            table = _constant(nodes, name) if match else None
            if match and table is not None and table.ndim == 2 and table.dtype.kind == "f":
                tables.setdefault(f"{CONSTANT}{int(match[1] or 0)}", table)
    return tables


def _constant(nodes: Mapping[str, Any], name: str) -> Any:
    """The value of a node that is a constant, or a stack of constants along a new first axis; else None."""
    from tensorflow import make_ndarray

    node = nodes.get(name.split(":")[0])
    while node is not None and node.op == "Identity" and node.name != (inner := node.input[0].split(":")[0]):
        node = nodes.get(inner)
    if node is None:
        return None
    if node.op == "Const":
        return make_ndarray(node.attr["value"].tensor)
    if node.op == "Pack" and not node.attr["axis"].i:
        rows = [nodes.get(given.split(":")[0]) for given in node.input]
        if all(row is not None and row.op == "Const" for row in rows):
            return np.stack([make_ndarray(row.attr["value"].tensor) for row in rows if row is not None])
    return None
