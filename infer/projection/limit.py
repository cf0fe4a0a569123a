"""How long a projection may take: a limit in seconds, asked before every update."""

import math
import time


class Limit:
    """Seconds from now on.

    Args:
        seconds: None: without an end.
    """

    def __init__(self, seconds: float | None) -> None:
        self._begun = time.monotonic()
        self._seconds = math.inf if seconds is None else seconds

    @property
    def taken(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._begun

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.taken >= self._seconds
