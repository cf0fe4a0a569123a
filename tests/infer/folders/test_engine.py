"""Processes that are ended: the others end as well, and nothing that they do takes that for an error of its own."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch

from infer.folders.engine import share_out
from models.errors import PhotograftError
from models.terminal import orderly


@dataclass(frozen=True)
class Slow:
    """A job whose units take long, and which does them another way if one fails, as `infer.folders.work` does."""

    out: Path

    def begin(self, rank: int, device: torch.device) -> "Slow":
        return self

    def read(self, units: Sequence[int]) -> Iterator[int]:
        return iter(units)

    def work(self, read: int) -> None:
        (self.out / f"{read}.pid").write_text(str(os.getpid()))
        try:
            for _ in range(3000):
                time.sleep(0.02)
        except Exception as error:
            (self.out / f"{read}.failed").write_text(repr(error))
        (self.out / f"{read}.done").touch()

    def finish(self) -> None:
        pass


def when_both_work(folder: Path, number: signal.Signals, process: int | None = None) -> None:
    """Send a signal to the second process, or to the one given, once there is work to be interrupted."""

    def send() -> None:
        pids = [folder / f"{unit}.pid" for unit in (0, 1)]
        while not all(path.exists() and path.read_text() for path in pids):
            time.sleep(0.02)
        os.kill(process or int(pids[1].read_text()), number)

    threading.Thread(target=send, daemon=True).start()


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "how"), [(signal.SIGKILL, "signal 9"), (signal.SIGTERM, "code 143")])
def test_a_process_is_ended_and_the_others_with_it(number: signal.Signals, how: str, tmp_path: Path) -> None:
    when_both_work(tmp_path, number)
    with pytest.raises(PhotograftError, match=rf"process 1 was ended \({how}\): go on with --resume"):
        share_out(Slow(tmp_path), [0, 1], devices=2, device="cpu")
    assert written(tmp_path) == ["0.pid", "1.pid"]


@pytest.mark.slow
def test_who_has_started_them_is_ended_and_they_with_it(tmp_path: Path) -> None:
    when_both_work(tmp_path, signal.SIGTERM, os.getpid())
    with orderly() as signals, pytest.raises(KeyboardInterrupt):
        share_out(Slow(tmp_path), [0, 1], devices=2, device="cpu")
    assert signals.received == signal.SIGTERM
    assert not active_children()
    assert written(tmp_path) == ["0.pid", "1.pid"]
