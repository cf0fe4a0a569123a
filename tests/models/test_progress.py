"""What long work tells, without a terminal: plain lines at their times, from the first process alone."""

import io
import time
from collections.abc import Callable

import pytest

from models.progress import Counting, counted, counting, duration, is_first_process, phase, tell

Err = Callable[[], list[str]]


@pytest.fixture
def err(capsys: pytest.CaptureFixture[str]) -> Err:
    return lambda: capsys.readouterr().err.splitlines()


def test_lines_come_after_five_seconds_and_then_every_thirty(err: Err) -> None:
    now = 0.0
    count = Counting("decoding", 1000, "pictures", clock=lambda: now)
    for done in range(1, 101):
        now = float(done)
        count(done * 10)
    count.close()
    assert err() == [
        "decoding: 50 of 1,000 pictures, 10/s, 1:35 left",
        "decoding: 350 of 1,000 pictures, 10/s, 1:05 left",
        "decoding: 650 of 1,000 pictures, 10/s, 0:35 left",
        "decoding: 950 of 1,000 pictures, 10/s, 0:05 left",
        "decoding: 1,000 pictures in 1:40",
    ]


def test_a_total_that_is_not_known(err: Err) -> None:
    now = 0.0
    count = Counting("reading", None, clock=lambda: now)
    now = 6.0
    count(3)
    assert err() == ["reading: 3, 0.5/s"]


def test_short_work_says_nothing_and_items_come_through(err: Err) -> None:
    assert list(counted("abc", "reading")) == ["a", "b", "c"]
    assert list(counted(iter(range(3)), "reading", 3)) == [0, 1, 2]
    with counting("fitting") as count:
        count(1, 2)
    assert err() == []


def test_only_the_first_process_speaks(err: Err, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.progress.FIRST", 0.0)
    for rank, lines in (("1", 0), ("0", 2)):
        monkeypatch.setenv("RANK", rank)
        assert is_first_process() == (rank == "0")
        assert list(counted([7], "reading")) == [7]
        tell("said")
        found = err()
        assert len(found) == (3 if lines else 0)


def test_a_phase_is_named_when_it_takes_longer(err: Err, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.progress.PATIENCE", 0.02)
    monkeypatch.setattr("models.progress.EVERY", 0.05)
    with phase("reading classes"):
        pass
    assert err() == []
    with phase("reading classes"):
        time.sleep(0.3)
    lines = err()
    assert lines[0] == "reading classes ..."
    assert lines[1] == "reading classes ... (0:00)"
    with pytest.raises(ValueError, match="broken"), phase("reading classes"):
        raise ValueError("broken")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    assert list(counted(range(5), "decoding", unit="pictures")) == list(range(5))
    assert "decoding" in shown.getvalue()
    assert "\x1b[" in shown.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59, "0:59"), (65, "1:05"), (754, "12:34"), (3605, "1:00:05"), (-3, "0:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
