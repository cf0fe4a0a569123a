"""ONNX files in onnxruntime beside the same networks in torch: passes in turn, in one process for a number of threads.

photograft export-onnx sngan-heads-128 --out FOLDER
python docs/experiments/onnx_speed.py FOLDER sngan-heads-128 THREADS

docs/performance.md has the table. The least of all times counts: it is the one that other work has disturbed least.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch

from models.onnx.graphs import Graph, graphs
from models.zoo import load_model

BLOCKS, PASSES, BATCHES, SECONDS = 8, 5, (1, 4), 25.0


def seconds(f: Callable[[], object]) -> list[float]:
    found = []
    for _ in range(PASSES):
        start = time.perf_counter()
        f()
        found.append(time.perf_counter() - start)
    return found


def times(graph: Graph, file: Path, threads: int, count: int) -> tuple[list[float], list[float]]:
    """Of passes of so many items: torch's, onnxruntime's."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    inputs = graph.example(count)
    given = {name: value.numpy() for name, value in zip(graph.inputs, inputs, strict=True)}
    ours, theirs, until = list[float](), list[float](), time.monotonic() + SECONDS
    for block in range(BLOCKS + 1):
        found = seconds(lambda: graph.module(*inputs)), seconds(lambda: session.run(None, given))
        if block:  # the first one warms up
            ours += found[0]
            theirs += found[1]
        if ours and time.monotonic() > until:
            break
    return sorted(ours), sorted(theirs)


@torch.inference_mode()
def measure(folder: Path, name: str, threads: int) -> None:
    torch.set_num_threads(threads)
    model = load_model(name)
    for graph in graphs(model)[0]:
        graph.module.to(memory_format=torch.channels_last)
        file = folder / f"{model.stem}.{graph.part}.onnx"
        for count in BATCHES:
            ours, theirs = times(graph, file, threads, count)
            least = f"{1e3 * ours[0]:.1f} | {1e3 * theirs[0]:.1f} | {ours[0] / theirs[0]:.2f}"
            middle = f"{1e3 * ours[len(ours) // 2]:.1f} | {1e3 * theirs[len(theirs) // 2]:.1f}"
            print(f"| {graph.part}, {count} | {threads} | {least} | {middle} |", flush=True)


if __name__ == "__main__":
    measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
