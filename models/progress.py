"""How far long work is: a bar on a terminal, elsewhere a plain line every half minute; from the first process only.

Everything goes to stderr. Short work says nothing where there is no terminal.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from datetime import timedelta
from typing import Any, TypeVar

FIRST, EVERY = 5.0, 30.0  # seconds: until the first plain line, and from one to the next
PATIENCE = 1.0  # seconds that a phase without a count may take before it is named

Item = TypeVar("Item")


def is_first_process() -> bool:
    """Whether this process speaks for all of a training on several devices."""
    torch = sys.modules.get("torch")  # not imported for this: the doors of commands are light
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        return bool(torch.distributed.get_rank() == 0)
    ranks = (os.environ.get(name, "") for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return next((rank == "0" for rank in ranks if rank.isdecimal()), True)


def tell(text: str) -> None:
    """A line on stderr, from the first process."""
    if is_first_process():
        print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Such as 0:05, 12:30 or 2:03:04."""
    text = str(timedelta(seconds=round(max(seconds, 0.0))))
    return text.removeprefix("0:").removeprefix("0") if text.startswith("0:0") else text.removeprefix("0:")


class Counting:
    """Tells how many of `total` are done; `counted` and `counting` make one.

    Args:
        text: what is done, such as "decoding".
        total: how many; None if that is not known.
        unit: of what is counted, such as "pictures".
        clock: seconds.
    """

    def __init__(
        self, text: str, total: int | None, unit: str = "", *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.text, self.total, self.unit, self.clock = text, total, unit, clock
        self.done = 0
        self._silent = not is_first_process()
        self._begun = clock()
        self._next = self._begun + FIRST
        self._told = False
        self._bar: Any = None
        if not self._silent and sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(text, total=total)

    def __call__(self, done: int, total: int | None = None) -> None:
        """So many are done now."""
        self.done, self.total = done, self.total if total is None else total
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=self.total)
        elif not self._silent and (now := self.clock()) >= self._next:
            self._next, self._told = now + EVERY, True
            tell(f"{self.text}: {self._state(now - self._begun)}")

    def close(self) -> None:
        """Take the bar away; what has taken its time is said in one line."""
        took = self.clock() - self._begun
        if self._bar is not None:
            self._bar.stop()
        if not self._silent and (self._told or (self._bar is not None and took >= FIRST)):
            unit = f" {self.unit}" if self.unit else ""
            tell(f"{self.text}: {self.done:,}{unit} in {duration(took)}")

    def _state(self, took: float) -> str:
        rate = self.done / took if took > 0 else 0.0
        unit = f" {self.unit}" if self.unit else ""
        parts = [f"{self.done:,}{unit}" if self.total is None else f"{self.done:,} of {self.total:,}{unit}"]
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s")
        if self.total is not None and rate > 0:
            parts.append(f"{duration((self.total - self.done) / rate)} left")
        return ", ".join(parts)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


@contextlib.contextmanager
def counting(text: str, total: int | None = None, unit: str = "") -> Iterator[Counting]:
    """A `Counting` for a block, which calls it with how many are done."""
    count = Counting(text, total, unit)
    try:
        yield count
    finally:
        count.close()


def counted(items: Iterable[Item], text: str, total: int | None = None, *, unit: str = "") -> Iterator[Item]:
    """The items, counted as they are handed out.

    Args:
        items: of a loop.
        text: what the loop does, such as "decoding".
        total: their number, by default `len(items)`, if they have one.
        unit: of what is counted, such as "pictures".
    """
    known = len(items) if total is None and isinstance(items, Sized) else total
    with counting(text, known, unit) as count:
        for done, item in enumerate(items, start=1):
            yield item
            count(done)


@contextlib.contextmanager
def phase(text: str) -> Iterator[None]:
    """Work whose length nobody knows: it is named when it takes longer than a moment, then every half minute."""
    ended, begun = threading.Event(), time.monotonic()

    def watch() -> None:
        wait = PATIENCE
        while not ended.wait(wait):
            took = time.monotonic() - begun
            tell(f"{text} ..." + (f" ({duration(took)})" if took >= EVERY else ""))
            wait = EVERY

    watcher = threading.Thread(target=watch, daemon=True, name=text)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
