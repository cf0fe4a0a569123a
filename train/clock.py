"""Where the time of a training's steps goes: functions are wrapped, each second belongs to the innermost of them."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Name = str | Callable[..., str]
"""Of a part; or what makes one of the function's arguments."""


class Clock:
    """Seconds of parts that may lie in each other; those of the inner ones are not counted in the outer one.

    For work that is done when a function returns: on a GPU that is only its launch.

    Attributes:
        seconds: by part.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = now()
        self._undo: list[Callable[[], None]] = []

    def _turn(self) -> None:
        """Give the time since the last turn to the innermost open part."""
        now = self._now()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What runs in the block belongs to a part."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def wrap(self, owner: Any, attribute: str, name: Name) -> None:
        """Count what a function of a module, a class or an object takes; `restore` undoes it."""
        function = getattr(owner, attribute)
        own = attribute in vars(owner)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name if isinstance(name, str) else name(*args, **kwargs)):
                return function(*args, **kwargs)

        before = vars(owner).get(attribute)
        setattr(owner, attribute, timed)
        self._undo.append(lambda: setattr(owner, attribute, before) if own else delattr(owner, attribute))

    def restore(self) -> None:
        """Unwrap everything, the last first."""
        while self._undo:
            self._undo.pop()()
