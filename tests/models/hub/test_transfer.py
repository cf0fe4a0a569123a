"""What is told while files are fetched, by both libraries' ways of counting."""

from types import SimpleNamespace

import pytest
from huggingface_hub.utils._xet_progress_reporting import XetDownloadProgressReporter

from models import progress
from models.hub.transfer import Transfer


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first plain line does not wait."""
    monkeypatch.setattr(progress, "FIRST", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)


def test_pooch(capfd: pytest.CaptureFixture[str]) -> None:
    bar = Transfer(desc="x.safetensors")
    bar.total = 3 * 2**20
    for _ in range(3):
        bar.update(2**20)
    bar.reset()
    bar.update(bar.total)
    bar.close()
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("fetching x.safetensors: 1 of 3 MB")
    assert lines[-1].startswith("fetching x.safetensors: 3 MB in ")


def test_the_hub_by_its_own_transport(capfd: pytest.CaptureFixture[str]) -> None:
    """Which reports bytes of files and bytes of the network: one bar, of the file."""
    report = SimpleNamespace(
        total_bytes_completed=2**20,
        total_transfer_bytes_completed=2**18,
        total_bytes=2**21,
        total_bytes_completion_rate=1.0,
        total_transfer_bytes_completion_rate=1.0,
    )
    with XetDownloadProgressReporter(
        reconstruction_desc="y", total=2**21, log_level=30, tqdm_class=Transfer
    ) as reporter:
        reporter.update_progress(report)
        report.total_bytes_completed = 2**21
        reporter.update_progress(report)
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(" MB")[0] for line in lines] == ["fetching y: 1 of 2", "fetching y: 2 of 2", "fetching y: 2"]
