"""Fixtures of the tests that edit photos: a tiny model, a photo of a cat, a segmenter that costs nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from infer.cli.main import main
from tests.infer.tiny_model import write_tiny_model

CAT = data.cat()  # [300,451,3] uint8
HEAD = "120,30,160,160"  # of the cat


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
