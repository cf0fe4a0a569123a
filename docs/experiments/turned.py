"""How far are the heads turned that a generator makes, and those that it was taught with?

python docs/experiments/turned.py HEADS MODEL... [--samples 1000] [--seed 1]

Turn: the cosine distance of MobileNet's features of a head and of its mirror image (`PoseNetwork.turns`). A soft
picture is a little more like its mirror image than a sharp one, so real heads are also measured at half the resolution.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data.loaders import PictureStore
from data.splits import open_pictures
from infer.evaluate.generator import draw_samples
from models.perception.pose import SIDE, load_pose
from models.prepared import Networks
from models.progress import counted
from models.zoo import load_model

BATCH = 64
AT = (0.05, 0.5, 0.9, 0.95)
FAR = 0.9  # quantile of real heads beyond which a head is called turned away


def turns(images: Tensor, name: str) -> Tensor:  # uint8 [N,3,R,R] -> [N]
    """How far each head is turned."""
    parts = counted(images.split(BATCH), name, unit="batches")
    found = []
    for part in parts:
        x = part.float() / 127.5 - 1
        x = x if x.shape[-1] == SIDE else F.interpolate(x, size=SIDE, mode="bilinear", antialias=True)
        found.append(load_pose().turns(x))
    return torch.cat(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="class folders or tar shards")
    parser.add_argument("models", nargs="+", help="names, or paths of generators")
    parser.add_argument("--samples", type=int, default=1000, help="of each model, and real heads (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the samples (default: 1)")
    options = parser.parse_args()
    pictures = open_pictures(options.data)
    rows = np.random.default_rng(options.seed).choice(len(pictures), min(options.samples, len(pictures)), replace=False)
    real = PictureStore(pictures, resolution=SIDE, crop="center", in_memory=False).many(rows)[0]
    soft = F.interpolate(real.float(), scale_factor=0.5, mode="area").round().to(torch.uint8)
    found = {"real heads": turns(real, "real heads"), "real heads, half the resolution": turns(soft, "softened")}
    for name in options.models:
        samples, _ = draw_samples(Networks.of(load_model(name)), options.samples, options.seed, 1.0, lambda *_: None)
        found[name] = turns(samples, name)
    far = float(found["real heads"].quantile(FAR))
    print(f"| heads | {' | '.join(f'{at:.0%}' for at in AT)} | beyond {far:.3f} |\n|---|{'---|' * (len(AT) + 1)}")
    for name, values in found.items():
        quantiles = " | ".join(f"{float(value):.3f}" for value in values.quantile(torch.tensor(AT)))
        print(f"| {name} | {quantiles} | {100 * float((values > far).float().mean()):.1f} % |")


if __name__ == "__main__":
    main()
