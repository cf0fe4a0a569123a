"""Pickles as NVIDIA's TensorFlow code writes them: (G, D, Gs), of a module that this computer does not have."""

import pickle
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.golden_fixtures import Arrays


class Network:
    """Stands for tflib's class of that name, which a pickle asks for."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return self.state


def write_pickle(path: Path, module: str, value: Any, protocol: int = 4) -> Path:
    """Write a value whose networks are of a class of this module."""
    parts = module.split(".")
    modules = {".".join(parts[: i + 1]): types.ModuleType(part) for i, part in enumerate(parts)}
    with mock.patch.dict(sys.modules, modules), mock.patch.object(Network, "__module__", module):
        setattr(modules[module], "Network", Network)  # noqa: B010 (a module made here)
        path.write_bytes(pickle.dumps(value, protocol))
    return path


def flat(name: str, variables: Mapping[str, Any], function: str, **settings: Any) -> Network:
    """A network whose variables are all its own."""
    state = {"version": 3, "name": name, "static_kwargs": settings, "components": {}, "build_func_name": function}
    return Network(state | {"variables": list(variables.items())})


def styled(name: str, variables: Mapping[str, Any], function: str, **settings: Any) -> Network:
    """A generator whose variables lie in its mapping and its synthesis."""
    own = {key: value for key, value in variables.items() if "/" not in key}
    network = flat(name, own, function, **settings)
    network.state["components"] = {
        part: flat(
            f"G_{part}",
            {k.removeprefix(f"G_{part}/"): v for k, v in variables.items() if k.startswith(f"G_{part}/")},
            f"G_{part}",
            **settings,
        )
        for part in ("synthesis", "mapping")
    }
    return network


def grown_discriminator(resolution: int, width: int = 6) -> Arrays:
    """Random variables of a Progressive GAN's or StyleGAN's."""
    rng, found = np.random.default_rng(0), {"lod": np.zeros((), np.float32)}

    def layer(name: str, *shape: int) -> None:
        found[f"{name}/weight"] = rng.standard_normal(shape).astype(np.float32)
        found[f"{name}/bias"] = rng.standard_normal(shape[-1:]).astype(np.float32) / 4

    sizes = [4 << i for i in range(resolution.bit_length() - 2)]
    for lod, size in enumerate(reversed(sizes)):
        layer(f"FromRGB_lod{lod}", 1, 1, 3, width)
        if size > 4:
            layer(f"{size}x{size}/Conv0", 3, 3, width, width)
            layer(f"{size}x{size}/Conv1_down", 3, 3, width, width)
    layer("4x4/Conv", 3, 3, width + 1, width)
    layer("4x4/Dense0", 16 * width, width)
    layer("4x4/Dense1", width, 1)
    return found
