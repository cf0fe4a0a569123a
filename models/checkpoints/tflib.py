"""Pickled networks of NVIDIA's `tflib`: which networks of a file are wanted, their variables by name, their settings.

A file holds (G, D, Gs), of which Gs is the running mean of G that pictures are drawn with. A network keeps its
variables in a list, and those of its components (`synthesis`, `mapping`) in theirs; full names put `G_synthesis/`
before the latter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import NoneType
from typing import Any

import numpy as np

from models.checkpoints.archives import Unreadable
from models.checkpoints.arrays import Arrays
from models.checkpoints.parts import part_line
from models.checkpoints.pickle_machine import Foreign
from models.checkpoints.told import told
from models.errors import PhotograftError

MAX_SETTING = 1e6  # of numbers that networks are built with
PLAIN = (bool, int, float, str, NoneType)
MAX_NAME = 200  # characters
MAX_TAPS = 32
MAX_COMPONENTS = 8  # the originals have two
USES = {"G": "not read, for Gs is its running mean", "D": "the discriminator", "Gs": "the generator"}
NETWORKS = ("dnnlib.tflib.network.Network", "tfutil.Network")


@dataclass(frozen=True)
class TFNetwork:
    """A network as data.

    Attributes:
        variables: full name -> array.
        settings: keywords of the function that built it, those of its components included.
        function: that function's name.
        discriminator: the network that was trained against it, of a file that holds both.
        parts: what every network of the file is used for, a line each.
        notes: what a reader could not read beside it, a line each.
    """

    variables: Mapping[str, Any]
    settings: Mapping[str, Any]
    function: str = ""
    discriminator: "TFNetwork | None" = None
    parts: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def running_mean(content: Any) -> TFNetwork | None:
    """Gs of a pickled (G, D, Gs), or G of (G, D), with D, also of a dictionary of these names; one network, or an
    archive of variables by name. None if neither.
    """
    if isinstance(content, list | tuple) and len(content) in (2, 3):
        content = dict(zip(USES, content, strict=False))
    if isinstance(content, Mapping):
        found = {name: content[name] for name in USES if _is_network(content.get(name))}
        networks = {name: _network(part.state) for name, part in found.items()}
        main = next((name for name in ("Gs", "G") if name in networks), None)
        if main is not None:
            d, uses = networks.get("D"), USES if main == "Gs" else USES | {"G": USES["Gs"]}
            parts = [part_line(name, network.variables.values(), uses[name]) for name, network in networks.items()]
            return replace(networks[main], discriminator=d if d and d.variables else None, parts=tuple(parts))
    if _is_network(content):
        return _network(content.state)
    if isinstance(content, Mapping) and any(isinstance(name, str) and "/" in name for name in content):
        return TFNetwork(content, {})
    return None


def _is_network(content: Any) -> bool:
    return isinstance(content, Foreign) and content.name in NETWORKS and isinstance(content.state, dict)


def _network(state: Mapping[str, Any]) -> TFNetwork:
    variables, settings = _variables(state, ""), _settings(state)
    components = state.get("components")
    components = components if isinstance(components, dict) else {}
    if len(components) > MAX_COMPONENTS:
        raise Unreadable(f"holds a network of {len(components)} components: it is none of NVIDIA's")
    for component in components.values():
        inner = component.state if isinstance(component, Foreign) else None
        if isinstance(inner, dict) and isinstance(name := inner.get("name"), str):
            variables |= _variables(inner, f"{name[:MAX_NAME]}/")
            settings |= _settings(inner)
    function = state.get("build_func_name", state.get("_build_func_name", ""))
    return TFNetwork(variables, settings, function if isinstance(function, str) else "")


def _variables(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found = state.get("variables")
    if not isinstance(found, list) or not all(isinstance(v, tuple | list) and len(v) == 2 for v in found):
        return {}
    return {prefix + name[:MAX_NAME]: value for name, value in found if isinstance(name, str)}


def _settings(state: Mapping[str, Any]) -> dict[str, Any]:
    settings = state.get("static_kwargs")
    settings = settings.items if isinstance(settings, Foreign) else settings
    return {str(name): value for name, value in settings.items()} if isinstance(settings, dict) else {}


def taps(settings: Mapping[str, Any], name: str, default: tuple[float, ...], where: object) -> tuple[float, ...] | None:
    """A resampling filter among the settings; None where there is to be none.

    Raises:
        PhotograftError: one that is no list of numbers.
    """
    given = settings.get(name, default)
    if isinstance(given, np.ndarray | np.generic):
        given = given.tolist()
    if given is None or given == []:
        return None
    numbers = isinstance(given, list | tuple) and len(given) <= MAX_TAPS
    if not numbers or any(isinstance(t, bool) or not isinstance(t, int | float) or not abs(t) < 1e3 for t in given):
        raise PhotograftError(f"{where}: built with {name}={told(given)}: it must be a list of numbers")
    return tuple(float(tap) for tap in given)


def group_size(settings: Mapping[str, Any], default: int | None, where: object) -> int | None:
    """Pictures of a group of the minibatch standard deviation; None for the whole batch.

    Raises:
        PhotograftError: a setting that is no whole number.
    """
    given = settings.get("mbstd_group_size", default)
    given = given.item() if isinstance(given, np.integer) else given
    if given is not None and (type(given) is not int or not 0 <= given <= MAX_SETTING):
        raise PhotograftError(f"{where}: mbstd_group_size={told(given)} makes no sense: it must be a whole number")
    return None if given is None else max(given, 1)


def grown(arrays: Arrays, sizes: list[int]) -> tuple[list[int], int, float]:
    """How far a network had grown when it was saved, by its `lod`; arrays of what had not begun to are skipped.

    Args:
        arrays: of the network.
        sizes: all its resolutions, in order.

    Returns:
        The resolutions in use, how many are not, and the share that still comes from the one before the last.

    Raises:
        PhotograftError: `lod` is missing or beyond the resolutions.
    """
    lod = arrays.number("lod")
    if not 0 <= lod <= len(sizes) - 1:
        raise PhotograftError(f"{arrays.path}: 'lod' is {lod:g}, beyond the network's {len(sizes)} resolutions")
    unused = int(lod)
    for size in sizes[len(sizes) - unused :]:
        arrays.skip(f"{size}x{size}/*")
    return sizes[: len(sizes) - unused], unused, lod % 1


def require(settings: Mapping[str, Any], expected: Mapping[str, Any], where: object) -> None:
    """Raise PhotograftError if a network was built with a setting that ours does not have."""
    for name, value in expected.items():
        given = settings.get(name, value)
        if isinstance(given, np.ndarray | np.generic):
            given = given.tolist()
        if isinstance(given, tuple):
            given = list(given)
        parts = given if isinstance(given, list) else [given]
        if not all(isinstance(part, PLAIN) for part in parts) or given != value:
            raise PhotograftError(f"{where}: built with {name}={told(given)}: only {told(value)} is supported")
