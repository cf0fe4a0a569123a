"""A training that was stopped, or killed, goes on as if it had not been."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.tiny import fit, read, write_shards

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("data") / "shards")


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


PARTS = ("state_dict", "optimizer_states", "callbacks", "networks", "classes", "ImageDataModule", "global_step")


def assert_same_run(first: Path, second: Path) -> None:
    a, b = read(first), read(second)
    assert {"state_dict", "optimizer_states", "callbacks", "networks", "ImageDataModule"} <= set(a)
    assert [d for part in PARTS for d in differences(a[part], b[part], part)] == []


def test_resume_is_exact(shards: Path, tmp_path: Path) -> None:
    fit(shards, tmp_path / "whole", 8)
    fit(shards, tmp_path / "halves", 4)
    half = tmp_path / "half.ckpt"
    (tmp_path / "halves" / "last.ckpt").rename(half)
    torch.manual_seed(99)  # whatever happened in between
    fit(shards, tmp_path / "halves", 8, resume=half)
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
    assert prefixes == {"images_seen", "steps", "generator", "encoder", "ema", "adversaries"}


def test_killed_training_resumes(shards: Path, tmp_path: Path, root: Path) -> None:
    folder, code = tmp_path / "killed", "import sys; from pathlib import Path; from tests.train.tiny import fit; "
    code += "fit(Path(sys.argv[1]), Path(sys.argv[2]), 100000, minutes=0)"
    command = [sys.executable, "-W", "ignore", "-c", code, str(shards), str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"]}
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 120
        last, part = folder / "last.ckpt", folder / "last.ckpt.part"
        while not last.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        while not part.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.0005)  # best in the middle of writing
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
    finally:
        process.kill()
    assert process.returncode == -signal.SIGKILL, errors.decode()[-2000:]
    reached = int(read(last)["state_dict"]["steps"])  # the file is whole
    assert reached >= 1
    kept = tmp_path / "killed.ckpt"
    last.rename(kept)
    fit(shards, folder, reached + 2, resume=kept)
    fit(shards, tmp_path / "whole", reached + 2)
    assert_same_run(tmp_path / "whole" / "last.ckpt", folder / "last.ckpt")


def test_timed_checkpoint_keeps_some(shards: Path, tmp_path: Path) -> None:
    from train.callbacks import TimedCheckpoint

    fit(shards, tmp_path, 4, callbacks=(TimedCheckpoint(1e9, str(tmp_path / "kept"), keep_every=8),))
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert names == ["images_000000008.ckpt", "images_000000016.ckpt", "last.ckpt"]
    assert int(read(tmp_path / "kept" / "images_000000008.ckpt")["state_dict"]["images_seen"]) == 8
