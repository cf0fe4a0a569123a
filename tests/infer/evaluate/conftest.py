"""Data for the tests of measures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.infer.tiny_model import CLASSES

COLOURS = dict(zip(CLASSES, [(20, 20, 20), (120, 80, 40), (220, 180, 90), (250, 240, 10)], strict=True))


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
