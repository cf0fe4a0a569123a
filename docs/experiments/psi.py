"""Which features should projection compare? Candidates for Psi, judged by what no training saw.

python docs/experiments/psi.py HEADS [--photos 32] [--steps 30] [--rates 0.5,1,2] [--only 0,4,5] [--model NAME]

Photos of the validation split are projected under their own classes, each with every candidate, with the schedule of
the editor's presets at some multiples of its rate; the best one by the judges counts. SqueezeNet and EfficientNet-
Lite0 (extra [judge]) judge 1 - cosine to the photo, and pixels are compared. Differences to the first candidate are
photo by photo, with 95 % intervals.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infer.evaluate.curves import Photos, validation_photos
from infer.evaluate.distances import mean_interval
from infer.projection.model import chosen_options
from infer.projection.search import project
from models.perception.efficientnet import EfficientNetLite0
from models.perception.judges import SqueezeNetFeatures, to_uint8
from models.prepared import Networks
from models.zoo import DEFAULT, load_model

MEASURES = ("SqueezeNet", "EfficientNet", "pixels")


class Psi(nn.Module):
    """Features [N,...] of pictures, as `infer.projection.search.project` takes them."""

    def __init__(self, like: nn.Module, features: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.of = like, features

    def features(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.of(x)


def unit(x: Tensor) -> Tensor:  # [N,...] -> [N,D] of length 1
    """Psi of one set of features."""
    return F.normalize(x.flatten(1).float(), dim=1)


def candidates(networks: Networks) -> dict[str, Psi]:
    """By name, the one in use first."""
    own, sn = networks.projected, networks.discriminator
    assert own is not None
    assert sn is not None

    def blocks(x: Tensor) -> Tensor:
        """Every block of the SN discriminator, at unit length each."""
        found = []
        for block in sn.blocks:  # type: ignore[union-attr]
            x = block(x)
            found.append(unit(F.relu(x)))
        return torch.cat(found, 1)

    def heads(x: Tensor) -> Tensor:
        """What the projected discriminator's heads make of frozen ImageNet features, at unit length each."""
        return torch.cat([unit(h) for h in own.heads(own.project(x))], 1)

    return {
        "frozen features under the projected discriminator's heads (in use)": Psi(own, own.features),
        "its heads": Psi(own, heads),
        "last features of the SN discriminator (the paper's)": Psi(sn, sn.features),
        "all blocks of the SN discriminator": Psi(sn, blocks),
        "heads and SN discriminator, half each": Psi(
            own, lambda x: torch.cat([unit(heads(x)), unit(sn.features(x))], 1)
        ),
        "heads and frozen features, half each": Psi(
            own, lambda x: torch.cat([unit(heads(x)), unit(own.features(x))], 1)
        ),
    }


def judged(judges: dict[str, nn.Module], images: Tensor, photos: Photos) -> dict[str, Tensor]:
    """Distances [N] by every judge and in pixels."""
    pair = to_uint8(images), to_uint8(photos.target)
    found = {name: 1 - F.cosine_similarity(*(judge(x) for x in pair)) for name, judge in judges.items()}
    return found | {"pixels": (images - photos.target).square().mean((1, 2, 3))}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--photos", type=int, default=32)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rates", default="0.5,1,2")
    parser.add_argument("--only", help="numbers of candidates, from 0")
    parser.add_argument("--model", default=DEFAULT)
    asked = parser.parse_args()
    networks = Networks.of(load_model(asked.model), dtype=torch.float32)
    photos = validation_photos(asked.data, networks, asked.photos, 0, encode=False)
    judges: dict[str, nn.Module] = {"SqueezeNet": SqueezeNetFeatures(), "EfficientNet": EfficientNetLite0()}
    usual = replace(chosen_options(networks.model, "balanced"), steps=asked.steps)
    assert usual.learning_rate is not None
    print("| Psi | rate | " + " | ".join(MEASURES) + " |\n|---|---|---|---|---|", flush=True)
    first: dict[str, Tensor] | None = None
    chosen = list(candidates(networks).items())
    for number in range(len(chosen)) if asked.only is None else map(int, asked.only.split(",")):
        name, psi = chosen[number]
        found = []
        for factor in map(float, asked.rates.split(",")):
            options = replace(usual, learning_rate=factor * usual.learning_rate)
            z = project(networks, photos.target, photos.label, options, psi=psi, batch_size=8).latent
            with torch.no_grad():
                parts = zip(z.split(8), photos.label.split(8), strict=True)  # type: ignore[union-attr]
                images = torch.cat([networks.exact(code, label) for code, label in parts])
            found.append((factor, judged(judges, images, photos)))
        factor, best = min(found, key=lambda one: float(one[1]["SqueezeNet"].mean() + one[1]["EfficientNet"].mean()))
        cells = []
        for measure, values in best.items():
            text = f"{float(values.mean()):.4f}"
            if first is not None:
                low, high = mean_interval(values - first[measure])
                text += f" ({float((values - first[measure]).mean()):+.4f}, {low:+.4f} to {high:+.4f})"
            cells.append(text)
        first = first or best
        print(f"| {name} | {factor:g} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
