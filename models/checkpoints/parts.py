"""The networks of a file that holds several: what each is, which are read, and why others are not."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from models.base import Configurable
from models.checkpoints.told import told
from models.errors import PhotograftError

UNREAD = " is not read"

GENERATORS = ("G_ema", "g_ema", "netG_ema", "generator_ema", "G", "g", "netG", "generator")  # the running mean first
DISCRIMINATORS = ("D", "netD", "d", "discriminator")
Found = dict[str, Mapping[str, Any]]
"""State dicts by kind."""


def by_kind(content: Any, kind_of: Callable[[Mapping[str, Any]], str | None]) -> Found | None:
    """Generator and discriminator of a file, which may hold them under any of their usual names; None for neither.

    Args:
        content: a state dict, or a dictionary of such.
        kind_of: which of the two a state dict is, None if it is another format's.
    """
    if not isinstance(content, Mapping):
        return None
    found: Found = {}
    for kind, names in (("generator", GENERATORS), ("discriminator", DISCRIMINATORS)):
        for part in (content, *map(content.get, names)):
            if isinstance(part, Mapping) and kind_of(part) == kind:
                found[kind] = part
                break
    return found or None


def count_values(values: Iterable[Any]) -> int:
    """Numbers in the arrays among some values."""
    return sum(int(np.prod(v.shape)) for v in values if isinstance(v, Tensor | np.ndarray | np.number))


def part_line(name: str, values: Iterable[Any], use: str) -> str:
    """One network of a file, and what is made of it."""
    return f"{told(name)}, {count_values(values):,} values: {use}"


def part_lines(content: Mapping[str, Any], names: Iterable[str], used: Mapping[str, Any]) -> list[str]:
    """A line for each of these entries of a file that holds arrays.

    Args:
        content: of the file, by name.
        names: of the entries, where they are there.
        used: kind -> the entry that was read as such.
    """
    lines = []
    for name in names:
        part = content.get(name)
        if not isinstance(part, Mapping) or not count_values(part.values()):
            continue
        kind = next((kind for kind, value in used.items() if value is part), None)
        if kind is not None:
            lines.append(part_line(name, part.values(), f"the {kind}"))
        else:
            lines.append(part_line(name, part.values(), "not read, for another state of the network is"))
    return lines


def corrected(lines: Iterable[str], notes: Iterable[str]) -> list[str]:
    """Lines of parts after reading, of which notes say what could not be read."""
    unread = {note.partition(UNREAD)[0] for note in notes if UNREAD in note}
    split = (line.rpartition(": ") for line in lines)
    return [f"{name}: {'not read' if use in unread else use}" for name, _, use in split]


def read_beside(
    networks: dict[str, Configurable], kind: str, read: Callable[[], Configurable], notes: list[str] | None
) -> None:
    """Read a network that lies beside the generator; where that cannot be done, notes say why.

    Raises:
        PhotograftError: it cannot be read, and there are no notes to say so.
    """
    try:
        networks[kind] = read()
    except PhotograftError as error:
        if notes is None:
            raise
        notes.append(f"the {kind}{UNREAD}: {error}")
