"""Program: a segmentation graph of TensorFlow that answers pictures, until its input ends.

    python -m models.tf.segment GRAPH

GRAPH is a file, a folder, or an address on TensorFlow Hub. A frozen graph (`.pb`) has `ImageTensor` and
`SemanticPredictions`, as those of DeepLab's authors have; a SavedModel has one picture as its first signature's input,
uint8 or float32 in [0,1].

Input, again and again: a line `HEIGHT WIDTH`, then uint8 RGB [H,W,3]. Output each time: a line of dtype and sizes, then
the array: labels int64 [h,w], or probabilities of classes float32 [h,w,K].
"""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from models.tf.module import fetched, refuse

INPUT, OUTPUT = "ImageTensor", "SemanticPredictions"
LARGEST = 1 << 31  # bytes of a graph
# What a graph may be made of: arithmetic on what it is given. Others may read, write and call what they like.
_ARITHMETIC = """
Abs Add AddN AddV2 All Any ArgMax ArgMin AvgPool BatchMatMulV2 BatchToSpaceND BiasAdd BroadcastTo Cast Ceil Concat
ConcatV2 Const Conv2D Cumsum DepthwiseConv2dNative Div DivNoNan Einsum Elu Enter Equal Erf Exit Exp ExpandDims Fill
Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Gather GatherV2 Greater GreaterEqual
Identity IdentityN If LeakyRelu Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr LoopCond MatMul Max
MaxPool Maximum Mean Merge Min Minimum MirrorPad Mod Mul Neg NextIteration NoOp NotEqual OneHot OnesLike Pack Pad
PadV2 PartitionedCall Placeholder PlaceholderWithDefault Pow Prod Range Rank ReadVariableOp RealDiv Relu Relu6
Reshape ResizeBicubic ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt Select SelectV2 Selu Shape Sigmoid
Sign Size Slice Softmax Softplus SpaceToBatchND Split SplitV Sqrt Square SquaredDifference Squeeze
StatefulPartitionedCall StatelessIf StatelessWhile StopGradient StridedSlice Sub Sum Switch Tanh Tile TopKV2
Transpose Unpack VarHandleOp Where While ZerosLike
"""
ALLOWED = frozenset(_ARITHMETIC.split())
# How a SavedModel restores its variables, which tf.saved_model.load does by itself.
_RESTORING = """
DisableCopyOnRead RestoreV2 SaveV2 MergeV2Checkpoints ShardedFilename StringJoin StaticRegexFullMatch AssignVariableOp
VariableV2 Assign
"""
LOADING = frozenset(_RESTORING.split())
Segment = Callable[[Any], Any]


def main() -> None:
    """See the module."""
    path = Path(sys.argv[1])
    path = path if path.exists() else fetched(sys.argv[1])
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever TensorFlow prints is no answer
    try:
        segment = saved_model(path) if path.is_dir() else frozen_graph(path)
        shape = segment(np.zeros((33, 33, 3), np.uint8)).shape
    except Exception as error:  # errors of TensorFlow's C++ are of many classes
        refuse(f"{path}: cannot be used as a segmenter: {' '.join(str(error).split())[:200]}")
    if len(shape) not in (2, 3) or min(shape) < 1:
        refuse(
            f"{path} is no segmenter: it answers a picture with {list(shape)}, not with [H,W] labels or [H,W,K] classes"
        )
    out.write(b"ready\n")
    out.flush()
    while (picture := received(sys.stdin.buffer)) is not None:
        try:
            answer = np.ascontiguousarray(segment(picture))
        except Exception as error:  # as above
            refuse(f"{path} fails on a picture of {list(picture.shape)}: {' '.join(str(error).split())[:200]}")
        out.write(f"{answer.dtype.name} {' '.join(map(str, answer.shape))}\n".encode() + answer.tobytes())
        out.flush()


def received(stream: BinaryIO) -> Any:
    """The next picture; None at the end."""
    line = stream.readline()
    if not line:
        return None
    height, width = map(int, line.split())
    return np.frombuffer(stream.read(height * width * 3), np.uint8).reshape(height, width, 3)


def check_operations(path: Path, operations: Iterable[str]) -> None:
    """Refuse a graph that does anything else than arithmetic."""
    unknown = sorted({*operations} - ALLOWED)
    if unknown:
        refuse(f"{path} is not run: its graph has operations that no segmenter needs: {', '.join(unknown[:5])}")


def frozen_graph(path: Path) -> Segment:
    """The graph of DeepLab's authors."""
    if not path.is_file() or path.stat().st_size > LARGEST:
        refuse(f"{path} is no file of a frozen graph: choose frozen_inference_graph.pb, or a SavedModel's folder")
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except Exception:  # protobuf's
        refuse(f"{path} is no frozen graph, or damaged: choose frozen_inference_graph.pb, or a SavedModel's folder")
    names = {node.name for node in graph.node}
    if not {INPUT, OUTPUT} <= names:
        refuse(f"{path} has no {INPUT} and {OUTPUT}: it is none of DeepLab's frozen graphs")
    functions = [node for function in graph.library.function for node in function.node_def]
    own = {function.signature.name for function in graph.library.function}
    check_operations(path, {node.op for node in [*graph.node, *functions]} - own)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    pruned = wrapped.prune(f"{INPUT}:0", f"{OUTPUT}:0")
    return lambda picture: maps(pruned(tf.constant(picture[None])).numpy()[0])


def saved_model(path: Path) -> Segment:
    """The first signature of a SavedModel."""
    if not path.joinpath("saved_model.pb").is_file():
        refuse(f"{path} is no SavedModel: it has no saved_model.pb")
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    described = saved_model_pb2.SavedModel()
    described.ParseFromString(path.joinpath("saved_model.pb").read_bytes())
    for meta in described.meta_graphs:
        library = meta.graph_def.library.function
        own = {function.signature.name for function in library}
        inner = {node.op for function in library for node in function.node_def}
        check_operations(path, ({node.op for node in meta.graph_def.node} | inner) - own - LOADING)
    loaded = tf.saved_model.load(str(path))
    if not loaded.signatures:
        refuse(f"{path} has no signature: it says of no function what goes in")
    name = "serving_default" if "serving_default" in loaded.signatures else next(iter(loaded.signatures))
    function = loaded.signatures[name]
    (keyword, wanted), *others = function.structured_input_signature[1].items()
    if others or wanted.dtype not in (tf.uint8, tf.float32):
        refuse(f"{path}: signature {name!r} does not take one picture, uint8 or float32")

    def segment(picture: Any) -> Any:
        given = tf.constant(picture[None])
        given = given if wanted.dtype == tf.uint8 else tf.cast(given, tf.float32) / 255
        return maps(next(iter(function(**{keyword: given}).values())).numpy()[0])

    return segment


def maps(answer: Any) -> Any:
    """Labels [H,W], or probabilities [H,W,K] of probabilities or of their logarithms; other arrays as they are."""
    if answer.ndim == 3 and answer.shape[2] == 1:
        answer = answer[..., 0]
    if answer.ndim == 2:
        return answer.astype(np.int64)
    if answer.ndim != 3:
        return answer
    answer = answer.astype(np.float32)
    if answer.min() < 0 or abs(answer.sum(-1) - 1).max() > 1e-3:
        answer = np.exp(answer - answer.max(-1, keepdims=True))
        answer /= answer.sum(-1, keepdims=True)
    return answer


if __name__ == "__main__":
    main()
