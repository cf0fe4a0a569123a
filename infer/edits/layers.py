"""Which layers an edit works on, as people write it."""

import re

from models.errors import PhotograftError


def parse_layers(text: str | None, count: int) -> list[int] | None:
    """Indices of layers from "0-3", "2", "0,2-4" or "all", of `count` layers; None means all.

    Raises:
        PhotograftError: another form, or layers that there are not.
    """
    if text is None or text == "all":
        return None
    chosen: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})\s*(?:-\s*(\d{1,3})\s*)?", part)
        if match is None:
            raise PhotograftError(f"--layers takes A-B, A,B,C or all, not {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < count:
            raise PhotograftError(f"--layers must lie in 0-{count - 1} for this model, first to last: {text!r}")
        chosen += range(first, last + 1)
    return sorted(set(chosen))
