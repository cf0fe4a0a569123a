"""What long work tells whoever waits for it."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Told of progress: what is being done, how much of it is done, how much there is in all."""


def untold(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""
