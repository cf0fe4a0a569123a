"""How the finishing network does on heads that no training saw, beside Lanczos and the teacher, and how fast it is.

python docs/experiments/finisher.py FOLDER_OF_SHARDS ... (the folders of its training; needs the extra `sharp`)
"""

import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from models.finisher import load_finisher, with_colours
from models.perception.judges import SqueezeNetFeatures
from models.teacher import load_teacher
from train.sharp_pictures import Source, degraded, read_pairs

SOURCES = {
    "512 px heads from 128": Source("heads512", 512, 128),
    "256 px heads from 128": Source("heads256", 256, 128),
    "dogs and big cats, 128 px from 64": Source("heads128", 128, 64, least=192, without="cat"),
    "the teacher's, 512 px from samples": Source("taught", 512, 128),
}
MOST, RUNS = 60, 5
Pixels = NDArray[np.uint8]


def lanczos(low: Pixels) -> Pixels:
    """Four times as large by OpenCV's Lanczos."""
    side = 4 * len(low)
    return np.asarray(cv2.resize(low, (side, side), interpolation=cv2.INTER_LANCZOS4), np.uint8)


def to_tensor(pixels: Pixels) -> torch.Tensor:
    """[H,W,3] -> [1,3,H,W] in 0..255."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float()


def distances(roots: list[Path]) -> None:
    """Mean absolute error in levels, and the relative distance of SqueezeNet's features, by source and method."""
    judge, methods = SqueezeNetFeatures(), {"Lanczos": lanczos, "finisher": load_finisher().finish}
    for name, source in SOURCES.items():
        pairs, rng = read_pairs(roots, source, "val"), torch.Generator().manual_seed(0)
        found: dict[str, list[tuple[float, float, float]]] = {method: [] for method in methods}
        for i in range(min(MOST, len(pairs.high))):
            high = pairs.high[i : i + 1].float()
            if pairs.low is None:
                small = degraded(F.avg_pool2d(high, source.factor) / 127.5 - 1, rng)
                low = ((small + 1) * 127.5).round().clamp(0, 255)
            else:
                low = pairs.low[i : i + 1].float()
            truth = with_colours(high, low).clamp(0, 255)
            pixels = low[0].permute(1, 2, 0).to(torch.uint8).contiguous().numpy()
            aim = judge(truth)
            for method, enlarge in methods.items():
                drawn = F.avg_pool2d(to_tensor(enlarge(pixels)), 4 // source.factor)
                plain = with_colours(drawn, low).clamp(0, 255)  # of Lanczos too: only detail is compared
                off = torch.linalg.vector_norm(judge(drawn.round()) - aim) / torch.linalg.vector_norm(aim)
                edges = [float((x[..., 1:] - x[..., :-1]).abs().mean()) for x in (plain, truth)]
                found[method].append((float((plain - truth).abs().mean()), float(off), edges[0] / edges[1]))
        for method, values in found.items():
            error, off, sharp = np.mean(values, axis=0)
            print(f"{name}, {len(values)}, {method}: {error:.3f} levels, features {off:.4f}, gradients {sharp:.2f}")


def speed() -> None:
    """Seconds for 128 to 512 px in float32 on two threads, in turns."""
    torch.set_num_threads(2)
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    finisher, teacher = load_finisher(), load_teacher()
    times: dict[str, list[float]] = {"finisher": [], "teacher": []}
    for turn in range(RUNS + 1):
        for name, network in (("finisher", finisher), ("teacher", teacher)):
            start = time.perf_counter()
            network.finish(pixels)
            if turn:  # the first warms up
                times[name].append(time.perf_counter() - start)
    ratio = statistics.median(b / a for a, b in zip(*times.values(), strict=True))
    said = ", ".join(f"{name} {statistics.median(values):.3f} s" for name, values in times.items())
    print(f"128 to 512 px, two threads, float32, medians of {RUNS}: {said}; ratio {ratio:.1f}")


if __name__ == "__main__":
    with torch.inference_mode():
        distances([Path(path) for path in sys.argv[1:]])
        speed()
