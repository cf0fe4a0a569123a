"""Pictures that are drawn more often than others of their class: `--data.often FILE`, lines PICTURE,TIMES."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.records import Record
from data.report import printable
from data.tables import read_pairs
from models.errors import PhotograftError

MOST = 100


def read_often(path: str, records: Sequence[Record]) -> tuple[NDArray[np.int64], str]:
    """How often each picture is drawn where others are drawn once, int64 [N], and a line on what the file told.

    Args:
        path: a table, see `data.tables.read_pairs`; pictures are called by `Record.key`, as in messages.
        records: the training pictures. Those that the file does not tell of are drawn once.

    Raises:
        PhotograftError: a file that cannot be read, a line that is not of this form, a picture twice, or none of these.
    """
    given: dict[str, int] = {}
    for _, where, picture, count in read_pairs(path, "PICTURE,TIMES", "every picture that is drawn more than once"):
        if not (count.isascii() and count.isdigit() and len(count) < 10 and 1 <= int(count) <= MOST):
            raise PhotograftError(f"{where}: {printable(count)} times: give a whole number from 1 to {MOST}")
        if picture in given:
            raise PhotograftError(f"{where}: {printable(picture)} is there twice")
        given[picture] = int(count)
    held = Counter(record.key for record in records)
    known = [picture for picture in given if picture in held]
    if not known:
        raise PhotograftError(
            f"{printable(path)} tells of {printable(next(iter(given)))} and others, none of which is a training picture"
            f" here (such as {printable(records[0].key)})"
        )
    for picture in known:
        if held[picture] > 1:
            raise PhotograftError(f"{printable(path)}: {printable(picture)} is the name of {held[picture]} pictures")
    times = np.array([given.get(record.key, 1) for record in records], np.int64)
    more = int((times > 1).sum())
    line = f"{printable(path)}: {more:,} of {len(records):,} training pictures are drawn up to {times.max()} times"
    left = len(given) - len(known)
    return times, line + (f"; it tells of {left:,} that are not there" if left else "")
