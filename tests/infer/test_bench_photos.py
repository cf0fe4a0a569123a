"""The curve of close-ups: every size is an edit that was made, and the table says whether the bars are met."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from infer import bench_photos as module
from infer.bench_photos import SIZES, Cost, bench_photos, measure_here
from models.errors import PhotograftError


def test_a_close_up_is_edited(tiny: Path) -> None:
    cost = measure_here(0.3, str(tiny))
    assert cost.megapixels == 0.3
    assert cost.seconds > 0


def test_a_large_photo_costs_memory(tiny: Path) -> None:
    assert 1 < module.measure(6.0, str(tiny)).bytes_per_pixel < 60


def test_memory_is_the_process_s_own(root: Path) -> None:
    ask = "from infer.bench_photos import _most_memory; print(_most_memory())"
    start = f"import subprocess, sys; held = bytes([1]) * {10**9}; subprocess.run([sys.executable, '-c', {ask!r}])"
    done = subprocess.run([sys.executable, "-c", start], cwd=root, capture_output=True, text=True, check=True)
    assert 10**8 < int(done.stdout) < 10**9


def test_a_size_that_cannot_be_measured_is_said() -> None:
    with pytest.raises(PhotograftError, match=r"0\.3 megapixels could not be measured: .*no-such-model"):
        module.measure(0.3, "no-such-model")


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_installed", lambda name: True)
    monkeypatch.setattr(module, "measure", lambda megapixels: Cost(megapixels, 1.5, 0.25, 30.0))
    console = Console(width=120, record=True, quiet=False)
    assert [cost.megapixels for cost in bench_photos(console=console)] == list(SIZES)
    text = console.export_text()
    for words in (
        "0.5",
        "24",
        "1.50 s",
        "0.25 s",
        "30.0",
        "at most 2 s with settling: met",
        "at most 24 bytes: missed",
    ):
        assert words in text
