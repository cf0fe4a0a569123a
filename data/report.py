"""What is told about the data: lines for people, on stderr unless another place is given."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from models.terminal import visible

SHOWN_CLASSES = 40  # rows of the table; of more classes, the first and the last
_ENDS = 5
_SHOWN_KINDS = 6  # of what one line lists


def say_to_stderr(text: str) -> None:
    """One line for a person to read."""
    print(text, file=sys.stderr, flush=True)


def printable(text: str, limit: int = 100) -> str:
    """A name from data for one line of a terminal, cut where it is long; see `models.terminal.visible`."""
    shown = visible(text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


class Tally:
    """What was taken for what, and what is left out, by reason: how often, of which kinds, and the first of it."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._kinds: dict[str, Counter[str]] = {}
        self._first: dict[str, str] = {}

    def tell(self, text: str) -> None:
        """A line on how the data were understood."""
        self._told.append(text)

    def add(self, reason: str, example: str, *, kind: str = "", count: int = 1) -> None:
        """One more that is left out for this reason; `kind` (a suffix) is listed beside it."""
        self._kinds.setdefault(reason, Counter())[kind] += count
        self._first.setdefault(reason, example)

    def lines(self) -> list[str]:
        """What was told, then a line for each reason."""
        found = list(self._told)
        for reason, kinds in self._kinds.items():
            named = [f"{printable(kind, 20)} {count}" for kind, count in kinds.most_common(_SHOWN_KINDS) if kind]
            named += ["…"] * (len(kinds) > _SHOWN_KINDS)
            listed = f" ({', '.join(named)})" if named else ""
            found.append(f"left out, {reason}: {kinds.total():,}{listed}, first: {printable(self._first[reason])}")
        return found


def class_table(names: Sequence[str], train: Sequence[int], val: Sequence[int]) -> list[str]:
    """Number, training pictures, validation pictures and name of every class; of many, the first and the last."""
    rows = [
        f"{number:6d} {in_train:9,d} {in_val:11,d}  {printable(name)}"
        for number, (name, in_train, in_val) in enumerate(zip(names, train, val, strict=True))
    ]
    if len(rows) > SHOWN_CLASSES:
        rows[_ENDS:-_ENDS] = [f"     … {len(rows) - 2 * _ENDS:,} more …"]
    return [f"{'number':>6} {'training':>9} {'validation':>11}  class", *rows]
