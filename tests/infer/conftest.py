"""Fixtures of the tests that edit photos: a tiny model, a photo of a cat, a segmenter that costs nothing."""

import hashlib
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch import nn

from infer.cli.main import main
from models.digests import digest
from models.perception.locator import HeadLocator
from models.perception.pose import PoseNetwork
from models.perception.segmentation import NetworkSegmenter
from tests.infer.tiny_model import write_tiny_model

CAT = data.cat()  # [300,451,3] uint8
HEAD = "120,30,160,160"  # of the cat


_ASKED = {(kind, name): vars(kind)[name] for kind, name in (
    (HeadLocator, "heads"), (NetworkSegmenter, "__call__"), (PoseNetwork, "roll"), (PoseNetwork, "turn")
)}  # fmt: skip
_ANSWERS: dict[tuple[object, ...], Any] = {}
_DIGESTS: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()  # of weights, which are frozen


@pytest.fixture(autouse=True)
def seen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the embedded networks see in a picture depends on its pixels alone: they look at each once."""

    def once(kind: type[Any], name: str) -> Callable[..., Any]:
        def answer(seer: Any, pixels: NDArray[np.uint8], **options: Any) -> Any:
            network = getattr(seer, "network", seer)
            if network not in _DIGESTS:
                _DIGESTS[network] = digest(network.state_dict().values())
            about = (pixels.shape, str(pixels.dtype), hashlib.sha256(pixels.tobytes()).digest())
            key = (kind, name, _DIGESTS[network], getattr(seer, "side", 0), *sorted(options.items()), *about)
            if key not in _ANSWERS:
                _ANSWERS[key] = _ASKED[kind, name](seer, pixels, **options)
            return copy(_ANSWERS[key])

        return answer

    for kind, name in _ASKED:
        monkeypatch.setattr(kind, name, once(kind, name))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's generator file, with its neighbours beside it."""
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def tiny_zeta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with auxiliary networks."""
    return write_tiny_model(tmp_path_factory.mktemp("model_zeta"), auxiliary=True)


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    """A photo, PNG, in a folder of its own."""
    path = tmp_path / "photos" / "cat.png"
    path.parent.mkdir()
    Image.fromarray(CAT).save(path)
    return path


@pytest.fixture
def edit(tiny: Path, tmp_path: Path) -> Callable[..., int]:
    """Run `edit` with the tiny model and a box, which makes it fast, into tmp_path/out; returns the exit code."""

    def run(*arguments: object, box: str | None = HEAD, mask: str | None = "box", steps: int | None = 2) -> int:
        command = ["edit", "--model", str(tiny), "--out", str(tmp_path / "out")]
        for option, value in (("--box", box), ("--mask", mask), ("--steps", steps)):
            command += [] if value is None else [option, str(value)]
        return main([*command, *map(str, arguments)])

    return run


def ellipse(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A segmenter: the animal is an ellipse in the middle of every picture."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return ((x / 0.7) ** 2 + (y / 0.8) ** 2 < 1).astype(np.float32)
