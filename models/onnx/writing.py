"""A graph as the bytes of an ONNX file, and how far onnxruntime's answers lie from torch's."""

import contextlib
import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, export

from models.errors import PhotograftError
from models.onnx.graphs import Axis, Graph
from models.zoo import Model

NEEDED = ("onnx", "onnxscript", "onnxruntime")
EXTRA = "pip install 'photograft[onnx]'"
TOLERANCE = 1e-3  # between torch's answers and those of a file that is kept
_LARGEST = 2**31 - 2**24  # bytes that one file of this format can hold
_EXAMPLES = 2  # items whose way through the network is written down
_CHECKED = (1, 3)  # items that are compared


def need_onnx() -> None:
    """Raise PhotograftError unless the extra is installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise PhotograftError(f"ONNX files need {missing[0]}, which is not installed: {EXTRA}")


def description(model: Model) -> dict[str, str]:
    """What every file says of its model: name, the weights' sha256, classes. No path of this computer."""
    return {
        "model": model.stem if Path(model.name).is_absolute() else model.name,
        "sha256": json.dumps(model.hashes),
        "class_names": json.dumps(model.class_names),
        "class_ids": json.dumps(model.class_ids),
    }


@torch.no_grad()
def onnx_bytes(graph: Graph, says: Mapping[str, str]) -> bytes:
    """The ONNX file of a graph, whose first axis is of any length.

    Args:
        graph: on the CPU, in float32.
        says: key -> text, kept in the file.

    Raises:
        PhotograftError: a network that cannot be written so, or is too large.
    """
    size = sum(t.numel() * t.element_size() for t in graph.module.state_dict().values())
    if size > _LARGEST:
        raise PhotograftError(f"{graph.part}: {size:,} bytes of weights do not fit into one ONNX file")
    axes = {name: Dim(name.lower(), min=1, max=2**16) for shape in graph.inputs.values() for name in _named(shape)}
    shapes = tuple(
        {i: axes[axis] for i, axis in enumerate(shape) if isinstance(axis, str)} for shape in graph.inputs.values()
    )
    with _quiet():
        try:
            # strict: the other mode takes the length of a batch for a constant where a network asks for len()
            program = export(graph.module, graph.example(_EXAMPLES), dynamic_shapes=shapes, strict=True)
            written: Any = torch.onnx.export(
                program, dynamo=True, verbose=False, input_names=[*graph.inputs], output_names=[graph.output[0]]
            )
        except Exception as error:  # of torch's compiler: its kinds are not told apart
            words = " ".join(str(error).split())
            raise PhotograftError(f"{graph.part} cannot be written as ONNX: {words:.300}") from error
    return _described(written.model_proto, graph, says).SerializeToString()


def _described(proto: Any, graph: Graph, says: Mapping[str, str]) -> Any:
    """With names for axes, with what the file says, and without the program's own paths and lines."""
    from onnx.helper import set_model_props

    for value, shape in zip(
        [*proto.graph.input, *proto.graph.output], [*graph.inputs.values(), graph.output[1]], strict=True
    ):
        for dim, axis in zip(value.type.tensor_type.shape.dim, shape, strict=True):
            if isinstance(axis, str):
                dim.dim_param = axis
    del proto.graph.value_info[:]  # inner shapes, by axes' names of before
    for part in (proto.graph, *proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    shown = {name: list(shape) for name, shape in graph.inputs.items()}
    set_model_props(proto, {**says, "part": graph.part, "inputs": json.dumps(shown)})
    proto.producer_name, proto.producer_version = "photograft", ""
    return proto


@torch.no_grad()
def difference(graph: Graph, content: bytes) -> float:
    """The largest absolute difference between torch's answers and onnxruntime's, on random inputs; NaN for no number.

    Raises:
        PhotograftError: onnxruntime cannot read the file.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's errors have no common kind of their own
        raise PhotograftError(f"{graph.part}: onnxruntime cannot read it: {error!s:.300}") from error
    found = []
    for count in _CHECKED:
        inputs = graph.example(count)
        (answer,) = session.run(None, {n: t.numpy() for n, t in zip(graph.inputs, inputs, strict=True)})
        found.append((torch.from_numpy(answer) - graph.module(*inputs)).abs().max())
    return float(torch.stack(found).max())


def _named(shape: tuple[Axis, ...]) -> list[str]:
    return [axis for axis in shape if isinstance(axis, str)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the compiler's own reports, which are not for users: what goes wrong is told in one line."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
