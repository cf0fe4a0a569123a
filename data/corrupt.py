"""How many damaged pictures and shards a data set may have before it is refused: `max_corrupt`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from data.report import printable
from data.values import is_number
from models.errors import PhotograftError

SAFE = 10  # pictures that a share lets pass in small sets, too
_NAMED = 3


def check_max_corrupt(value: object) -> float | None:
    """The limit, if it is one.

    Raises:
        PhotograftError: no number, or below 0.
    """
    if value is None:
        return None
    if not is_number(value) or not math.isfinite(value) or value < 0:  # type: ignore[arg-type, operator]
        raise PhotograftError(
            f"max_corrupt is {value!r:.60}: give a share below 1 (0.05), a count (20), or null for no limit"
        )
    return float(value)  # type: ignore[arg-type]


def allowed(max_corrupt: float | None, total: int, *, safe: int = 0) -> float:
    """How many of `total` may be damaged.

    Args:
        max_corrupt: 0 for none, a share below 1, a count from 1 on; None for no limit.
        total: pictures or shards.
        safe: so many are allowed by any share.
    """
    if max_corrupt is None:
        return math.inf
    if not 0 < max_corrupt < 1:
        return math.floor(max_corrupt)
    return max(math.floor(max_corrupt * total), safe)


def too_many(what: str, damaged: Sequence[str], total: int, max_corrupt: float | None, hint: str) -> PhotograftError:
    """The error that says how many are damaged, the first of them, and what to do.

    Args:
        what: "pictures" or "shards".
        damaged: names, with reasons if they are known.
        total: of them.
        max_corrupt: the limit that is passed.
        hint: how they are mended.
    """
    names = ", ".join(printable(name, 160) for name in damaged[:_NAMED]) + ", ..." * (len(damaged) > _NAMED)
    return PhotograftError(
        f"{len(damaged):,} of {total:,} {what} cannot be read ({names}), more than max_corrupt allows"
        f" ({max_corrupt:g}): {hint}, or raise --data.max_corrupt"
    )
