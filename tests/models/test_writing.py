"""Sets of files: all or none, whatever fails, and earlier files stay."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from models.errors import PhotograftError
from models.terminal import breakable, orderly, unbroken
from models.writing import remove_stale, write_files, written_beside


def text(content: str) -> Callable[[BinaryIO], Any]:
    return lambda stream: stream.write(content.encode())


def test_all_files_are_written_and_folders_made(tmp_path: Path) -> None:
    write_files({tmp_path / "a" / "one": text("1"), tmp_path / "b" / "two": text("2")})
    assert (tmp_path / "a" / "one").read_text() == "1"
    assert (tmp_path / "b" / "two").read_text() == "2"
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["one", "two"]


def test_the_writers_error_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("earlier")

    def broken(stream: BinaryIO) -> None:
        stream.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_files({tmp_path / "one": text("1"), tmp_path / "two": broken})
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"one": "earlier"}


def test_a_folder_of_the_second_name_keeps_the_first_file(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("earlier")
    (tmp_path / "two").mkdir()
    with pytest.raises(PhotograftError, match="two: cannot be written, a folder"):
        write_files({tmp_path / "one": text("1"), tmp_path / "two": text("2")})
    assert (tmp_path / "one").read_text() == "earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_failing_rename_puts_earlier_files_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int, links: bool
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"earlier {name}")
    calls, replace = 0, os.replace

    def failing(source: Path, to: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(28, "No space left on device")
        replace(source, to)

    def no_link(source: Path, to: Path, **options: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "replace", failing)
    if not links:
        monkeypatch.setattr(os, "link", no_link)
    with pytest.raises(PhotograftError, match="No space left"):
        write_files({tmp_path / name: text(name) for name in ("one", "two", "three")})
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"one": "earlier one", "two": "earlier two"}


# ---------------------------------------------------------------------- signals


@pytest.fixture(autouse=True)
def reached_by_signals() -> Iterator[None]:
    """What runs these tests may ignore SIGINT, as a shell's background does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def twice_at(monkeypatch: pytest.MonkeyPatch, function: str, second: str) -> None:
    """SIGINT when `function` is called first, and another one when `second` then is."""
    calls = {name: getattr(os, name) for name in (function, second)}
    armed: list[str] = []

    def call(name: str, *arguments: object, **options: object) -> object:
        if not armed and name == function:
            armed.append(name)
            signal.raise_signal(signal.SIGINT)
        elif len(armed) == 1 and name == second:
            armed.append(name)
            signal.raise_signal(signal.SIGTERM)
        return calls[name](*arguments, **options)

    for name in calls:
        monkeypatch.setattr(os, name, partial(call, name))


@pytest.mark.parametrize(("first", "second"), [("fsync", "unlink"), ("link", "unlink"), ("fsync", "fsync")])
def test_a_second_signal_waits_until_half_a_set_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"earlier {name}")
    twice_at(monkeypatch, first, second)
    with orderly(), pytest.raises(KeyboardInterrupt):
        write_files({tmp_path / name: text(name) for name in ("one", "two", "three")})
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"one": "earlier one", "two": "earlier two"}


def test_signals_while_a_failed_set_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"earlier {name}")
    calls, replace = 0, os.replace

    def failing(source: Path, to: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(28, "No space left on device")
        if calls > 3:
            signal.raise_signal(signal.SIGINT)
        replace(source, to)

    monkeypatch.setattr(os, "replace", failing)
    with orderly() as signals, pytest.raises(KeyboardInterrupt):
        write_files({tmp_path / name: text(name) for name in ("one", "two", "three")})
    assert (calls, signals.received) == (5, signal.SIGINT)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"one": "earlier one", "two": "earlier two"}


def test_two_signals_at_once_in_a_file_written_beside(tmp_path: Path) -> None:
    def ended() -> None:
        with written_beside(tmp_path / "one") as path:
            path.write_text("half")
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.pthread_kill(threading.get_ident(), number)  # no other thread takes it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with orderly(), pytest.raises(KeyboardInterrupt):
        ended()
    assert list(tmp_path.iterdir()) == []
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("held", [True, False])
def test_a_process_of_another_one_exits_with_a_code(held: bool) -> None:
    steps = []

    def ended() -> None:
        with unbroken() if held else contextlib.nullcontext():
            signal.raise_signal(signal.SIGTERM)
            steps.append("done")

    with orderly(exits=True):
        with pytest.raises(SystemExit) as end:
            ended()
        signal.raise_signal(signal.SIGINT)  # nothing more: it ends already
    assert end.value.code == 143
    assert steps == ["done"] * held


def test_a_breakable_part_ends_at_once_and_the_rest_does_not() -> None:
    steps = []

    def ended() -> None:
        with unbroken():
            signal.raise_signal(signal.SIGINT)
            steps.append("held")
            try:
                with breakable():
                    steps.append("never")
            finally:
                signal.raise_signal(signal.SIGTERM)
                steps.append("taken away")

    with orderly() as signals, pytest.raises(KeyboardInterrupt):
        ended()
    assert steps == ["held", "taken away"]
    assert (signals.held, signals.guarded, signals.waits) == (0, False, False)


def test_what_a_killed_command_has_left_is_taken_away(tmp_path: Path) -> None:
    old, fresh, other = (tmp_path / name for name in (".photograft-a.tmp", ".photograft-b.tmp", "last.ckpt"))
    for path in (old, fresh, other):
        path.write_text("half")
    for path in (old, other):
        os.utime(path, (0, 0))
    remove_stale(tmp_path)
    remove_stale(tmp_path / "none")
    assert sorted(tmp_path.iterdir()) == [fresh, other]
