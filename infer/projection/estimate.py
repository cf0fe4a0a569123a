"""How long projections take, told from the time of the first updates of one."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise

from infer.projection.options import ORIGINAL_STEPS, ProjectionOptions
from infer.projection.search import HALVING

FIRST = 4  # updates that are timed, the first of them not: it prepares what the others use again
TUNING_UPDATE = 2.0  # of an update of search: gradients of weights, and of a neighbour every second time
TUNING_ENDS = 8.0  # what tuning does before and after its updates


def work(options: ProjectionOptions) -> float:
    """Of one projection, in updates of one start."""
    steps, restarts = ORIGINAL_STEPS if options.steps is None else options.steps, options.restarts or 0
    tuning = int(options.tuning or 0)
    return sum(_starts(t, restarts) for t in range(steps)) + (TUNING_UPDATE * tuning + TUNING_ENDS) * bool(tuning)


def _starts(t: int, restarts: int) -> int:
    """That are still searched in update t."""
    count = 1 + restarts
    for _ in range(t // HALVING):
        count = (count + 1) // 2
    return count


class Estimate:
    """Looks at the progress of projections, each of one thread, and tells how many seconds all of one takes.

    Args:
        options: of the projection, none of them left open; see `infer.projection.model.chosen_options`.
        tell: is told the seconds as soon as they are known, of every projection but those of fewer updates than FIRST.
    """

    def __init__(self, options: ProjectionOptions, tell: Callable[[float], object]) -> None:
        self.options, self.tell = options, tell
        self._times: defaultdict[int, list[float]] = defaultdict(list)

    def __call__(self, what: str, done: int, total: int) -> None:
        """See `infer.progress.Progress`."""
        if not what.startswith("projecting") or done > FIRST:
            return
        times = self._times[threading.get_ident()]
        if done == 1:
            times.clear()
        times.append(time.monotonic())
        if done == FIRST:
            # the least: whatever else the machine does makes an update longer, never shorter
            update = min(after - before for before, after in pairwise(times))
            self.tell(update / _starts(0, self.options.restarts or 0) * work(self.options))
