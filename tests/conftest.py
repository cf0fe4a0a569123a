"""What every test shares: seeds, thread limits, quiet services, paths and marks."""

import importlib.util
import os
import random
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("WANDB_MODE", "disabled")  # a test that logs asks for offline mode itself
os.environ.setdefault("WANDB_SILENT", "true")

# Set before torch is imported, and inherited by the commands that tests start. A worker inherits its controller's
# environment, so it sets its own number: more threads than cores wait for each other, ten times as long.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import pytest
import torch

from models.tf.process import NEEDED
from train.memory import keep_freed_memory

keep_freed_memory()  # judges' activations, mapped anew for each batch, cost a third of their tests' time
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this computer cannot run, and say why."""
    missing = {
        "gpu": None if torch.cuda.is_available() else "no CUDA device",
        "browser": None if _asked_for_browser() else "no chromium with chromedriver: install Debian's chromium-driver",
        "tfhub": None if _asked_for_tensorflow() else "TensorFlow is not installed: make tfhub installs it",
    }
    for item in items:
        for mark, reason in missing.items():
            if reason and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


def _asked_for_tensorflow() -> bool:
    """Whether it is there, or the extra was asked for: then its tests fail where it is not."""
    return bool(os.environ.get("PHOTOGRAFT_TFHUB")) or all(map(importlib.util.find_spec, NEEDED))


def _asked_for_browser() -> bool:
    """Whether there is one with its driver, or it was asked for: then its tests fail where it is not."""
    return bool(os.environ.get("PHOTOGRAFT_BROWSER")) or all(map(shutil.which, ("chromium", "chromedriver")))


@pytest.fixture(autouse=True)
def seed() -> int:
    """Every test starts from the same random state (Python, NumPy, torch); returns the seed."""
    value = 0
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
    return value


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[Path]]:
    """New folders for kept projections, which nothing is in. The user's own are left alone."""
    folders = (tmp_path_factory.getbasetemp() / f"cache{number}" for number in count())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHOTOGRAFT_CACHE", str(next(folders)))  # of fixtures that several tests share
        yield folders


@pytest.fixture(autouse=True)
def cache_folder(caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's projections are kept: no test takes another's."""
    folder = next(caches)
    monkeypatch.setenv("PHOTOGRAFT_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of numeric fixtures from the original implementations."""
    return ROOT / "tests" / "golden"
