"""What networks are wrapped in, taken off in one place: averages, DataParallel, Lightning, whole modules, parts.

A file's content is offered to the readers as a row of views, from the outside in; a reader takes the first that it
knows, so that no reader need know of any wrapper.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from models.checkpoints.modules import StateDict, Visits, entries, is_dictionary, module_state
from models.checkpoints.parts import DISCRIMINATORS, GENERATORS
from models.checkpoints.pickle_machine import Foreign

PREFIXES = ("module.", "_orig_mod.")  # of the names of DataParallel, averaged and compiled modules
MAX_DEPTH = 4  # of wrappers within wrappers
MAX_PREFIXES = 8  # of one name
MEAN_OF_W = "latent_avg"  # lies beside the generator that it belongs to
NVIDIA_TUPLE = ("G", "D", "G_ema")

RANKS = (  # of a wrapper's name: which of several is tried first
    re.compile(r"(^|_)(ema|avg|averaged?|running)|ema$|^avg", re.IGNORECASE),
    re.compile(r"^(net_?)?g\d*$|gen|decoder|synth", re.IGNORECASE),
    re.compile(r"^(params|state_?dict|model|net|network|weights)$", re.IGNORECASE),
)
NO_NETWORK = re.compile(r"optim|sched|loop|callback|^opts?$|^args$|config|^state$|^param_groups$", re.IGNORECASE)


@dataclass(frozen=True)
class View:
    """A file's content as seen at one place within its wrappers.

    Attributes:
        content: what is there; a dictionary has texts as keys, and dictionaries of arrays in it have so too.
        where: names that lead there.
        beside: parts that lie there too, and are no other state of the same network: name -> what they hold.
    """

    content: Any
    where: tuple[str, ...] = ()
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def views(content: Any) -> Iterator[View]:
    """All views of a content, averages and what is in them first, then from the outside in.

    Raises:
        Unreadable: dictionaries or modules that contain each other, or far too many.
    """
    opener = _Opener()
    queue, seen = deque([View(content)]), set[int]()
    while queue:
        view = queue.popleft()
        if not isinstance(view.content, Mapping):
            yield view
        opened = opener.open(view.content)
        if opened is None or id(opened) in seen:
            continue
        seen.add(id(opened))
        view = View(opener.with_parts(opened), view.where, view.beside)
        yield view
        if len(view.where) < MAX_DEPTH:
            inner = list(opener.inner_views(view))
            queue.extendleft(below for below in reversed(inner) if _averaged(below))
            queue.extend(below for below in inner if not _averaged(below))
            queue.extendleft(opener.sorted_out(view))


def is_array(value: Any) -> bool:
    """Whether a value is an array or tensor."""
    return isinstance(value, Tensor | np.ndarray | np.number)


class _Opener:
    """Dictionaries of what holds them, each once, and within a budget."""

    def __init__(self) -> None:
        self._visits = Visits()
        self._opened: dict[int, tuple[Any, Mapping[str, Any] | None]] = {}  # with the value, which keeps its id

    def open(self, value: Any) -> Mapping[str, Any] | None:
        """A dictionary of texts of a module, an object, NVIDIA's (G, D, G_ema); None of anything else."""
        if id(value) not in self._opened:
            self._opened[id(value)] = value, self._open(value)
        return self._opened[id(value)][1]

    def with_parts(self, content: Mapping[str, Any]) -> Mapping[str, Any]:
        """With all modules and dictionaries in it opened: readers of several networks know their names."""
        if not any(map(is_dictionary, content.values() if isinstance(content, dict) else ())):
            return content
        return {name: (is_dictionary(value) and self.open(value)) or value for name, value in content.items()}

    def inner_views(self, view: View) -> Iterator[View]:
        """Of the dictionaries and modules in a dictionary, and of the parts that its names begin with."""
        inner = {name: value for name, value in view.content.items() if isinstance(value, Mapping | Foreign)}
        beside = {
            name: value
            for name, value in inner.items()
            if isinstance(value, Mapping) and _rank(name) == len(RANKS) and self._holds_arrays(value)
        }
        yield from self._below(view, inner, beside)
        parts = _by_part(view.content)
        yield from self._below(view, parts, parts)

    def sorted_out(self, view: View) -> Iterator[View]:
        """A generator and its discriminator whose names stand before those of their arrays, each in a dictionary."""
        parts = _by_part(view.content)
        if not parts.keys().isdisjoint(GENERATORS) and not parts.keys().isdisjoint(DISCRIMINATORS):
            self._visits.spend(len(view.content))
            yield View(parts, view.where, view.beside)

    def _below(self, view: View, inner: Mapping[str, Any], beside: Mapping[str, Mapping[str, Any]]) -> Iterator[View]:
        mean = {MEAN_OF_W: view.content[MEAN_OF_W]} if is_array(view.content.get(MEAN_OF_W)) else {}
        for name in sorted((name for name in inner if not NO_NETWORK.search(name)), key=_rank):
            value = inner[name]
            if mean and isinstance(value, Mapping) and not isinstance(value, StateDict):
                self._visits.spend(len(value))
                value = mean | dict(value)
            others = {other: part for other, part in beside.items() if other != name and not NO_NETWORK.search(other)}
            self._visits.spend(len(others))
            yield View(value, (*view.where, name), {**view.beside, **others})

    def _holds_arrays(self, values: Mapping[str, Any]) -> bool:
        self._visits.spend(len(values))
        return any(map(is_array, values.values()))

    def _open(self, value: Any) -> Mapping[str, Any] | None:
        self._visits.spend(1)
        if isinstance(value, list | tuple):
            parts = [self.open(part) if is_dictionary(part) else None for part in value[:3]]
            return dict(zip(NVIDIA_TUPLE, value, strict=False)) if len(value) <= 3 and any(parts) else None
        state = module_state(value, self._visits)
        found = entries(value) if state is None else state
        self._visits.spend(len(found))
        if not found:
            return None
        if not all(isinstance(name, str) for name in found):
            found = {name if isinstance(name, str) else repr(name)[:80]: part for name, part in found.items()}
        return _stripped(found)


def _by_part(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What names with dots begin with -> what follows -> value."""
    parts: dict[str, dict[str, Any]] = {}
    for name in content:
        part, dot, rest = name.partition(".")
        if dot:
            parts.setdefault(part, {})[rest] = content[name]
    return parts


def _stripped(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without the prefixes that all names of a wrapped module have."""
    for _ in range(MAX_PREFIXES):
        dotted = [name for name in values if "." in name]
        prefix = next((p for p in PREFIXES if dotted and all(name.startswith(p) for name in dotted)), None)
        if prefix is None:
            break
        values = {name.removeprefix(prefix): values[name] for name in values if name != "n_averaged"}
    return values


def _averaged(view: View) -> bool:
    """Whether it is an average or lies in one, however deep: {"ema": {"shadow": ...}, "model": ...}."""
    return any(_rank(name) == 0 for name in view.where)


def _rank(name: str) -> int:
    return next((i for i, pattern in enumerate(RANKS) if pattern.search(name)), len(RANKS))
