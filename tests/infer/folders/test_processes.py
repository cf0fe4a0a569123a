"""Several processes: what they write is what one writes, and one that dies loses only what it had not finished."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infer.cli.main import main
from tests.infer.folders.conftest import HEAD, SMALL

pytestmark = pytest.mark.slow
Process = subprocess.Popen[str]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "photos"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(np.roll(SMALL, 4 * number, axis=1)).save(folder / f"{number}.png")
    Image.fromarray(SMALL).save(folder / "0.tif")  # whose results would be called like those of 0.png
    (folder / "7.png").write_bytes(b"no photo")
    return folder


def start(root: Path, *arguments: object, through: tuple[str, ...] = ()) -> Process:
    command, pipe = [sys.executable, *through, str(root / "infer.py"), *map(str, arguments)], subprocess.PIPE
    return subprocess.Popen(command, env=os.environ | ONE_THREAD, text=True, stdout=pipe, stderr=pipe)


@pytest.fixture
def whole(one_thread: None, tiny: Path, photos: Path) -> Path:
    """What one process writes."""
    out = photos.parent / "whole"
    if not out.exists():
        assert main([str(argument) for argument in (*edit(tiny, photos, out), "--devices", 1)]) == 2
    return out


def edit(tiny: Path, photos: Path, out: Path) -> list[object]:
    fixed = ["edit", photos, "--to", "lion", "--model", tiny, "--out", out, "--steps", "2", "--device", "cpu"]
    return [*fixed, "--box", HEAD, "--mask", "box", "--batch", 2, "--no-cache"]


def results(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != "summary.jsonl"}


def lines(out: Path) -> list[dict[str, object]]:
    kept = ("photo", "key", "state", "box", "loss", "to", "files", "error", "warnings")
    read = [json.loads(line) for line in (out / "summary.jsonl").read_text().splitlines()]
    return [{name: line.get(name) for name in kept} for line in read]


def children(process: int) -> dict[str, int]:
    """Processes that were spawned, by what they were told."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (folder / "stat").is_file():
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == process:
                found[(folder / "cmdline").read_text()] = int(folder.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
def test_one_of_two_is_killed_and_the_run_gone_on_with(
    root: Path, tiny: Path, photos: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    two = start(root, *edit(tiny, photos, out), "--devices", 2)
    until = time.monotonic() + 300
    while not all((out / f"summary.part{rank}.jsonl").exists() for rank in (0, 1)):
        assert two.poll() is None, two.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    victim = max(pid for told, pid in children(two.pid).items() if "spawn_main" in told)
    os.kill(victim, signal.SIGKILL)
    said, told = two.communicate(timeout=300)
    assert two.returncode == 2
    assert "was ended (signal 9): go on with --resume" in told
    assert "Traceback" not in told
    done = {str(line["photo"]) for line in lines(out) if line["state"] == "done"}
    assert 0 < len(done) <= 7
    assert not list(out.glob("summary.part*"))

    again = start(root, *edit(tiny, photos, out), "--devices", 2, "--resume")
    said, told = again.communicate(timeout=300)
    assert again.returncode == 2, told
    assert f"{7 - len(done)} photos edited, {len(done)} before, 0 skipped, 1 failed" in said
    assert results(out) == results(whole)


def test_torchrun_starts_the_processes(root: Path, tiny: Path, photos: Path, whole: Path, tmp_path: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    run = start(root, *edit(tiny, photos, tmp_path / "two"), through=torchrun)
    said, told = run.communicate(timeout=300)
    assert run.returncode != 0, told  # one photo cannot be read
    assert said.count("7 photos edited, 0 before, 0 skipped, 1 failed") == 1
    assert results(tmp_path / "two") == results(whole)
    assert lines(tmp_path / "two") == lines(whole)
