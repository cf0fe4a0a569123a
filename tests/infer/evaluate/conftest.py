"""Data for the tests of measures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor, nn

from infer.evaluate.judging import Probe
from models.digests import digest
from models.perception.judges import JUDGES
from tests.infer.tiny_model import CLASSES

COLOURS = dict(zip(CLASSES, [(20, 20, 20), (120, 80, 40), (220, 180, 90), (250, 240, 10)], strict=True))


@pytest.fixture(scope="session", autouse=True)
def remembered() -> Iterator[None]:
    """A probe, and a judge's features, depend on what they are made of alone: the same ones are computed once.

    Tests judge the same pictures again and again, and fitting a probe to them takes 2000 steps.
    """
    fit, probes, features = Probe.__init__, {}, {}

    def fit_once(probe: Probe, seen: Tensor, labels: Tensor, num_classes: int, *more: Any, **options: Any) -> None:
        key = (digest([seen, labels]), num_classes, more, *sorted(options.items()))
        if key in probes:
            nn.Linear(seen.shape[1], num_classes)  # draws the random numbers that the fit draws
        else:
            fit(probe, seen, labels, num_classes, *more, **options)
            probes[key] = dict(vars(probe))
        vars(probe).update(probes[key])

    def once(kind: type[nn.Module]) -> Any:
        forward = kind.forward

        def judge(network: nn.Module, images: Tensor) -> Tensor:
            first = next(network.parameters())
            key = (kind, first.stride(), images.stride(), digest([first, images]))
            if key not in features:
                features[key] = forward(network, images)
            return features[key].clone()

        return judge

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Probe, "__init__", fit_once)
        for kind in JUDGES.values():
            patch.setattr(kind, "forward", once(kind))
        yield


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of plain pictures, each class in a colour of its own."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for split, count in (("train", 12), ("val", 3)):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(np.array(colour) + random.normal(0, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder
