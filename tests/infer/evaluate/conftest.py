"""Data for the tests of measures."""

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


_FIT, _PROBES = Probe.__init__, {}
_JUDGES, _FEATURES = {kind: kind.forward for kind in JUDGES.values()}, {}


@pytest.fixture(autouse=True)
def judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe, and a judge's features, depend on what they are made of alone: the same ones are computed once.

    Tests judge the same pictures again and again, and fitting a probe to them takes 2000 steps.
    """

    def fit(probe: Probe, seen: Tensor, labels: Tensor, num_classes: int, *more: Any, **options: Any) -> None:
        key = (digest([seen, labels]), num_classes, more, *sorted(options.items()))
        if key in _PROBES:
            nn.Linear(seen.shape[1], num_classes)  # draws the random numbers that the fit draws
        else:
            _FIT(probe, seen, labels, num_classes, *more, **options)
            _PROBES[key] = dict(vars(probe))
        vars(probe).update(_PROBES[key])

    def judge(network: nn.Module, images: Tensor) -> Tensor:
        first = next(network.parameters())
        key = (type(network), first.stride(), images.stride(), digest([first, images]))
        if key not in _FEATURES:
            _FEATURES[key] = _JUDGES[type(network)](network, images)
        return _FEATURES[key].clone()

    monkeypatch.setattr(Probe, "__init__", fit)
    for kind in _JUDGES:
        monkeypatch.setattr(kind, "forward", judge)


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
