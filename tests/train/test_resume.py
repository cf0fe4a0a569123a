"""A training that was stopped, or killed, goes on as if it had not been."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import PhotograftError
from tests.train.tiny import (
    Training,
    auxiliary_training,
    encoder_training,
    fit,
    gan,
    read,
    reconstruction,
    write_model,
    write_shards,
)
from train.gan.start import Start
from train.gan.terms import Decorrelation, Diversity, Outline, Saturation

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
]


TRAININGS: dict[str, Callable[[Path], Training]] = {  # each with all that a checkpoint has to hold
    "gan": lambda model: gan(
        terms=[*reconstruction(), Saturation(0.1), Decorrelation(0.1), Diversity(1.0), Outline(1.0)],
        start=Start(whiten_codes=True),
    ),
    "encoder": partial(encoder_training, pixel_weight=0.1, ema=0.9),
    "feature encoder": partial(encoder_training, family="feature", latent_weight=0.1),
    "auxiliary": partial(auxiliary_training, random_starts=0.5, learn_step_size=True, warm_up=2),
}


def run(name: str, shards: Path, folder: Path, steps: int, **settings: Any) -> Training:
    """`tiny.fit` of one of the trainings, against the model that lies beside the data."""
    model = shards / "tiny.generator.safetensors"
    return fit(shards, folder, steps, make=lambda: TRAININGS[name](model), **settings)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_shards(tmp_path_factory.mktemp("data") / "shards")
    write_model(folder)
    return folder


def differences(first: Any, second: Any, path: str = "") -> list[str]:
    """Paths at which two nested states are not bit for bit the same."""
    if isinstance(first, torch.Tensor):
        same = isinstance(second, torch.Tensor) and first.dtype == second.dtype and torch.equal(first, second)
        return [] if same else [path]
    if type(first) is not type(second):
        return [path]
    if isinstance(first, dict):
        if list(first) != list(second):
            return [f"{path} (keys)"]
        return [d for key in first for d in differences(first[key], second[key], f"{path}/{key}")]
    if isinstance(first, list | tuple):
        if len(first) != len(second):
            return [f"{path} (length)"]
        pairs = enumerate(zip(first, second, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{path}/{i}")]
    return [] if first == second else [path]


PARTS = (
    "state_dict",
    "optimizer_states",
    "callbacks",
    "networks",
    "classes",
    "ImageDataModule",
    "global_step",
    "generator",
)


def assert_same_run(first: Path, second: Path) -> None:
    a, b = read(first), read(second)
    assert {"state_dict", "optimizer_states", "callbacks", "networks", "ImageDataModule"} <= set(a)
    assert [d for part in PARTS for d in differences(a.get(part), b.get(part), part)] == []


@pytest.mark.parametrize("name", TRAININGS)
def test_resume_is_exact(name: str, shards: Path, tmp_path: Path) -> None:
    run(name, shards, tmp_path / "whole", 8)
    run(name, shards, tmp_path / "halves", 4)
    half = tmp_path / "half.ckpt"
    (tmp_path / "halves" / "last.ckpt").rename(half)
    torch.manual_seed(99)  # whatever happened in between
    run(name, shards, tmp_path / "halves", 8, resume=half)
    assert read(half)["state_dict"]["steps"] == 4
    whole = tmp_path / "whole" / "last.ckpt"
    assert differences(read(half)["state_dict"], read(whole)["state_dict"])  # the training does something
    assert_same_run(whole, tmp_path / "halves" / "last.ckpt")


def test_everything_that_learns_has_learnt_and_is_kept(shards: Path, tmp_path: Path) -> None:
    module = fit(shards, tmp_path, 3)
    content = read(tmp_path / "last.ckpt")
    assert len(content["optimizer_states"]) == 3
    assert content["networks"].keys() == {"generator", "encoder", "adversaries.0.network", "adversaries.1.network"}
    for name, state in module.state_dict().items():
        assert torch.equal(state, content["state_dict"][name]), name
    moments = [len(optimizer["state"]) for optimizer in content["optimizer_states"]]
    assert all(moments)
    prefixes = {key.split(".")[0] for key in content["state_dict"]}
    assert prefixes == {"images_before", "images_seen", "steps", "generator", "encoder", "ema", "adversaries"}


def kill(name: str, shards: Path, folder: Path, root: Path) -> None:
    """Train in a process that writes a checkpoint after every step, and kill it, best in the middle of writing."""
    code = "import sys; from pathlib import Path; from tests.train.test_resume import run; "
    code += "run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), 100000, minutes=0)"
    command = [sys.executable, "-W", "ignore", "-c", code, name, str(shards), str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"]}
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 120
        last = folder / "last.ckpt"
        while not last.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        while not any(folder.glob(".photograft-*.tmp")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
    finally:
        process.kill()
    assert process.returncode == -signal.SIGKILL, errors.decode()[-2000:]


@pytest.mark.parametrize("name", ["gan", "encoder", "auxiliary"])
def test_killed_training_resumes(name: str, shards: Path, tmp_path: Path, root: Path) -> None:
    folder, kept = tmp_path / "killed", tmp_path / "killed.ckpt"
    kill(name, shards, folder, root)
    (folder / "last.ckpt").rename(kept)
    reached = int(read(kept)["state_dict"]["steps"])  # the file is whole
    assert reached >= 1
    run(name, shards, folder, reached + 3, resume=kept)
    run(name, shards, tmp_path / "whole", reached + 3)
    assert_same_run(tmp_path / "whole" / "last.ckpt", folder / "last.ckpt")


@pytest.mark.parametrize("name", ["encoder", "auxiliary"])
def test_another_generator_does_not_resume(name: str, shards: Path, tmp_path: Path) -> None:
    run(name, shards, tmp_path / "first", 1)
    last, other = tmp_path / "first" / "last.ckpt", write_model(tmp_path / "other", seed=2)
    with pytest.raises(PhotograftError, match="another generator"):
        fit(shards, tmp_path / "second", 2, last, make=lambda: TRAININGS[name](other))
    assert not (tmp_path / "second" / "last.ckpt").exists()
    moved = shutil.copytree(shards, tmp_path / "moved") / "tiny.generator.safetensors"
    fit(shards, tmp_path / "third", 2, last, make=lambda: TRAININGS[name](moved))
    assert int(read(tmp_path / "third" / "last.ckpt")["state_dict"]["steps"]) == 2


def test_timed_checkpoint_keeps_some(shards: Path, tmp_path: Path) -> None:
    from train.callbacks import TimedCheckpoint

    fit(shards, tmp_path, 4, callbacks=(TimedCheckpoint(1e9, str(tmp_path / "kept"), keep_every=8),))
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert names == ["images_000000008.ckpt", "images_000000016.ckpt", "last.ckpt"]
    assert int(read(tmp_path / "kept" / "images_000000008.ckpt")["state_dict"]["images_seen"]) == 8
