"""What commands say and how they end: no text from a file steers a terminal, and signals end a command in order."""

import contextlib
import os
import signal
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from types import FrameType

Say = Callable[[str], None]
"""Told something in words, for a person to read."""

_STEERING = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # control, format (such as bidi overrides), surrogates, line ends
_JOINERS = "\u200c\u200d"  # part of words and emoji


def steers(character: str) -> bool:
    """Whether a character would move, hide or reorder text, or is no character at all."""
    return unicodedata.category(character) in _STEERING and character not in _JOINERS


def visible(text: object) -> str:
    r"""Text for one line of a terminal, whatever a file or a name holds.

    Control characters, bidi overrides and line ends become escapes such as `\x1b`; a byte that is not UTF-8 in a file's
    name becomes `\xff`. All else stays as it is, so that printed paths can be used.
    """
    return "".join(_escaped(character) if steers(character) else character for character in str(text))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python holds it
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode()


class Signals:
    """What ended a command; see `orderly`."""

    received: int | None = None
    held: int = 0  # blocks of `unbroken` around what runs, less one of `breakable`
    guarded: bool = False  # in `breakable`
    waits: bool = False
    exits: bool = False

    @property
    def code(self) -> int:
        """The exit code of a shell's convention: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.received or signal.SIGINT)

    @property
    def end(self) -> BaseException:
        """What a signal raises."""
        return SystemExit(self.code) if self.exits else KeyboardInterrupt()


_signals = Signals()  # of the command that runs


@contextlib.contextmanager
def orderly(exits: bool = False) -> Iterator[Signals]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt in the block as Ctrl-C does, so that what is half done is taken away.

    In other threads than the main one, where Python handles no signals, nothing changes.

    Args:
        exits: raise SystemExit instead, for processes that another one has started: it sees their exit codes.
    """
    global _signals
    signals = Signals()
    signals.exits = exits
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if exits and signals.received:
            return  # on its way out: a second one would be an error of what Python does at the end
        signals.received = number
        if signals.held:
            signals.waits = True
        else:
            signals.held = int(signals.guarded)  # at once: two signals can come together
            raise signals.end

    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            before[number] = signal.signal(number, stop)
    outer, _signals = _signals, signals
    try:
        yield signals
    finally:
        ended, signals.held = signals.received, 1  # a late signal does not keep a handler from its place
        for number, handler in before.items():
            signal.signal(number, handler)
        _signals = outer
        signals.held = 0
        if signals.received and not ended:
            raise signals.end


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """A signal that comes in the block ends an `orderly` command after it: for short steps that belong together."""
    signals = _signals
    outer, guarded = signals.held, signals.guarded
    signals.held = outer + 1
    try:
        yield
    finally:
        signals.guarded, signals.held = guarded, outer
        if signals.waits and not outer:
            signals.waits = False
            raise signals.end


class breakable:  # noqa: N801 (as the functions beside it)
    """In an `unbroken` block: a signal ends this part at once, and a second one waits for the end of that block.

    (A class, as a signal may come when a generator's block has ended and its `finally` has not begun.)
    """

    def __enter__(self) -> None:
        if _signals.held == 1:
            _signals.guarded, _signals.held = True, 0
            if _signals.waits:
                _signals.waits, _signals.held = False, 1
                raise _signals.end

    def __exit__(self, *error: object) -> None:
        if _signals.guarded:
            _signals.held = 1
            _signals.guarded = False


def robust_streams() -> None:
    """Let stdout write any text: what its encoding does not have becomes escapes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not so where a test or a notebook has replaced it
            stream.reconfigure(errors="backslashreplace")


def reader_gone() -> int:
    """What is still to be written to a closed pipe is dropped, such as that of `| head`. Returns the exit code."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13  # as if SIGPIPE had ended it
