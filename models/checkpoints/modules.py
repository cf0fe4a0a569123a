"""Whole modules in a pickle, as state dicts: what `torch.save(network)` and NVIDIA's `.pkl` hold.

The classes are never looked up: a module is its parameters, its buffers and its children, by name.
"""

from collections.abc import Mapping
from typing import Any

from models.checkpoints.archives import Unreadable
from models.checkpoints.pickle_machine import Foreign

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"  # of NVIDIA's modules, which bring their source code
MAX_ENTRIES = 300_000  # that are looked at in one file: a hundred times the largest published training state's
NOTES = (str, int, float, type(None))
WRAPPERS = ("module", "_orig_mod")  # the child that DataParallel, averaged and compiled modules have


class Visits:
    """How many entries of a file's dictionaries are looked at, however they contain each other."""

    def __init__(self) -> None:
        self._left = MAX_ENTRIES

    def spend(self, count: int) -> None:
        """Raise Unreadable when all are spent."""
        self._left -= count
        if self._left < 0:
            raise Unreadable("holds parts that contain each other, or far more than any network has: it is none")


class StateDict(dict[str, Any]):
    """A module's weights by name, and what it says about itself.

    Attributes:
        notes: numbers and texts that its layers kept (`synthesis.b4.conv1.conv_clamp`).
        keywords: what it was built with, by name, whatever part of it they were for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.notes: dict[str, Any] = {}
        self.keywords: dict[str, Any] = {}


def entries(value: Any) -> Mapping[Any, Any]:
    """Of a dictionary, plain or of a class of its own; none of anything else."""
    if isinstance(value, Foreign):
        value = value.items or value.state
    return value if isinstance(value, Mapping) else {}


def module_state(value: Any, visits: Visits) -> StateDict | None:
    """The state dict of a pickled module, or None if it is none. Raises Unreadable when the visits are spent."""
    attributes = _attributes(value)
    if attributes is None:
        return None
    attributes = _unwrapped(attributes, visits)
    found = StateDict()
    found.keywords |= _flattened(entries(attributes.get("_init_kwargs")), visits)
    todo = [("", attributes)]
    while todo:
        prefix, attributes = todo.pop()
        arrays = [*entries(attributes.get("_parameters")).items(), *entries(attributes.get("_buffers")).items()]
        children = entries(attributes.get("_modules"))
        visits.spend(1 + len(attributes) + len(arrays) + len(children) + len(prefix))
        unsaved = attributes.get("_non_persistent_buffers_set")
        for name, array in arrays:
            if array is not None and not (isinstance(unsaved, set) and name in unsaved):
                found[f"{prefix}{name}"] = array
        found.notes |= {f"{prefix}{name}": v for name, v in attributes.items() if isinstance(v, NOTES)}
        inner = ((f"{prefix}{name}.", _attributes(child)) for name, child in children.items())
        todo.extend((name, state) for name, state in inner if state is not None)
    return found


def is_dictionary(value: Any) -> bool:
    """Whether a value is a dictionary, one of a class of its own, or a pickled module."""
    if isinstance(value, Foreign):
        return bool(value.items) or _attributes(value) is not None
    return isinstance(value, Mapping)


def _unwrapped(attributes: Mapping[Any, Any], visits: Visits) -> Mapping[Any, Any]:
    """Attributes of the network within a DataParallel or the like."""
    while True:
        visits.spend(1)
        children = entries(attributes.get("_modules"))
        only = next(iter(children), None) if len(children) == 1 else None
        inner = _attributes(children[only]) if only in WRAPPERS else None
        if inner is None:
            return attributes
        attributes = inner


def _attributes(module: Any) -> Mapping[Any, Any] | None:
    if not isinstance(module, Foreign):
        return None
    if module.name == PERSISTENT and module.args:
        return entries(entries(module.args[0]).get("state"))
    attributes = entries(module.state)
    return attributes if "_parameters" in attributes and "_modules" in attributes else None


def _flattened(keywords: Mapping[Any, Any], visits: Visits) -> dict[str, Any]:
    """Keywords by name, those of parts included; the outermost of one name counts."""
    found: dict[str, Any] = {}
    level, seen = [keywords], set[int]()
    while level:
        below = []
        for part in level:
            visits.spend(1 + len(part))
            for name, value in part.items():
                inner = entries(value)
                if not inner:
                    found.setdefault(str(name), value)
                elif id(inner) not in seen:
                    seen.add(id(inner))
                    below.append(inner)
        level = below
    return found
