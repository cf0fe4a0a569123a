"""Program: a module of TensorFlow Hub -> its variables and constant tables as `.npy` files of a folder.

    python -m models.tf.module MODULE FOLDER

MODULE is a folder or an address, which tensorflow-hub fetches and keeps. No graph is run: of it only constants and
stacks of constants are read. FOLDER gets `names.npy`, an array of names, and one file per name, `0.npy`, `1.npy`, ...
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from models.tf.process import REFUSED

CHECKPOINT = Path("variables") / "variables"
GRAPH = "saved_model.pb"
CONSTANT = "stack_"  # of names of tables that are constants; `stack` itself is number 0
LARGEST_GRAPH = 1 << 30  # bytes; TensorFlow writes none larger than 2 GiB


def main() -> None:
    """See the module."""
    module, out = sys.argv[1], Path(sys.argv[2])
    folder = Path(module) if Path(module).is_dir() else fetched(module)
    try:
        from tensorflow import train

        reader = train.load_checkpoint(str(folder / CHECKPOINT))
        values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
        values |= tables(folder / GRAPH)
    except Exception as error:  # errors of TensorFlow's C++ are of many classes
        refuse(f"{module} is damaged, or no module with variables: {_line(error)}")
    names = [name for name, value in values.items() if isinstance(value, np.ndarray | np.generic)]
    for i, name in enumerate(names):
        value = np.asarray(values[name])
        if value.dtype.kind in "fiu":
            np.save(out / f"{i}.npy", value, allow_pickle=False)
    np.save(out / "names.npy", np.array(names, np.str_), allow_pickle=False)


def fetched(handle: str) -> Path:
    """The folder in which tensorflow-hub keeps a module."""
    try:
        import tensorflow_hub

        return Path(tensorflow_hub.resolve(handle))
    except Exception as error:  # urllib's, TensorFlow's, tarfile's
        refuse(
            f"cannot fetch {handle}: {_line(error)}; give the folder of a module that you have, or set TFHUB_CACHE_DIR"
            " to where it is kept"
        )


def refuse(line: str) -> NoReturn:
    """End the program with a line for the user."""
    print(line, file=sys.stderr)
    sys.exit(REFUSED)


def _line(error: Exception) -> str:
    return " ".join(f"{error}".split())[:200] or type(error).__name__


def tables(graph: Path) -> dict[str, Any]:
    """Constant tables [S,C] of a graph that are named `stack`, `stack_1`, ..., wherever they lie in it."""
    if not graph.is_file() or graph.stat().st_size > LARGEST_GRAPH:
        return {}
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString(graph.read_bytes())
    found: dict[str, Any] = {}
    for meta in model.meta_graphs:
        nodes = {node.name: node for node in meta.graph_def.node}
        for name in nodes:
            match = re.fullmatch(r"(?:.*/)?stack(?:_(\d{1,4}))?", name)
            table = constant(nodes, name) if match else None
            if match and table is not None and table.ndim == 2 and table.dtype.kind == "f":
                found.setdefault(f"{CONSTANT}{int(match[1] or 0)}", table)
    return found


def constant(nodes: Mapping[str, Any], name: str) -> Any:
    """The value of a node that is a constant, or a stack of constants along a new first axis; else None."""
    from tensorflow import make_ndarray

    node = nodes.get(name.split(":")[0])
    for _ in range(8):  # names of a value
        if node is None or node.op != "Identity":
            break
        node = nodes.get(node.input[0].split(":")[0])
    if node is None:
        return None
    if node.op == "Const":
        return make_ndarray(node.attr["value"].tensor)
    if node.op != "Pack" or node.attr["axis"].i:
        return None
    rows = [nodes.get(given.split(":")[0]) for given in node.input]
    if any(row is None or row.op != "Const" for row in rows):
        return None
    return np.stack([make_ndarray(row.attr["value"].tensor) for row in rows if row is not None])


if __name__ == "__main__":
    main()
