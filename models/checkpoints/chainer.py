"""Reader of the original collaging code's Chainer snapshots (`.npz`) -> our networks.

A snapshot names its arrays by link paths (`block2/b1/gammas/W`); the class, the layout and every width follow from
names and shapes alone, so the original's 64, 128 and 256 px networks and any other widths load the same way. Snapshots
of a whole trainer hold the same arrays under `updater/model:opt_gen/`, `.../model:opt_dis/`, `.../model:opt_enc/`.

Left out on purpose: `N` (a counter that nothing reads), an encoder's last batch norm (registered, never applied) and
`_fast_alpha` (inner step sizes, of use in training only).
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.auxiliary import AuxiliaryNetworks
from models.base import Configurable
from models.checkpoints.archives import Unreadable
from models.checkpoints.arrays import some
from models.discriminators.sn_projection import SN_LAYOUTS, SNProjectionDiscriminator
from models.encoder import ResNetEncoder
from models.errors import PhotograftError
from models.files import load_state
from models.generators.sngan import LAYOUTS, SNGANGenerator
from models.tensors import check_finite

Arrays = dict[str, Tensor]

CLASSES: dict[str, type[Configurable]] = {
    "generator": SNGANGenerator,
    "discriminator": SNProjectionDiscriminator,
    "encoder": ResNetEncoder,
    "auxiliary": AuxiliaryNetworks,
}
KNOWN_LAYOUTS: dict[str, dict[str, tuple[int, ...]]] = {  # widths in units of ch
    "generator": LAYOUTS,
    "discriminator": SN_LAYOUTS,
    "encoder": {"resnetenc_small": (1, 2, 4, 4, 8, 8)},
}
TRAINER_PREFIX = re.compile(r"updater/model:[^/]+/")

# module in our network -> link of the original; the numbers of layers depend on the network's depth
LINKS = {
    **{"conv1": "c1", "conv2": "c2", "skip": "c_sc", "norm1": "b1", "norm2": "b2"},
    **{"a1": "lA1", "a2": "lA2", "prelu_zeta": "preluMiddleW", "b1": "lB1", "b2": "lB2", "prelu_z": "preluW"},
    **{"prelu": "prelu_out", "embedding": "l_y", "spectral_norm": ""},
}
VALUES = {"weight": "W", "bias": "b", "running_mean": "avg_mean", "running_var": "avg_var", "u": "u"}
AUXILIARY_LINKS = ("lA1", "lA2", "lB1", "lB2", "preluMiddleW", "preluW", "_fast_alpha")


def fits(names: Iterable[str]) -> bool:
    """Whether an archive of arrays is a snapshot, by their names."""
    return any(re.match(r"/?(updater/model:[^/]+/)?/?(block\d{1,2}|l\d{1,2}|lA1|prelu_out)/", name) for name in names)


def read_arrays(archive: Mapping[str, Any], path: Path) -> dict[str, Configurable]:
    """All networks of a Chainer snapshot's arrays, by kind: generator, discriminator, encoder, auxiliary.

    Strict: every array finds its place and every place its array. The networks are float32, frozen, in evaluation mode.

    Raises:
        PhotograftError: unknown or missing arrays (named), NaN weights, a concatenation discriminator.
    """
    networks: dict[str, Configurable] = {}
    for arrays in _read_models(archive, path):
        for kind, own in _split(arrays, path).items():
            if kind in networks:
                raise PhotograftError(f"{path} holds more than one {kind}: save them in files of their own")
            networks[kind] = _build(kind, own, path)
    return networks


def _read_models(archive: Mapping[str, Any], path: Path) -> list[Arrays]:
    """The arrays of each model in a file, by link path."""
    models: dict[str, Arrays] = {}
    try:
        for name, (model, key) in _wanted(archive).items():
            arrays = models.setdefault(model, {})
            if key in arrays:
                raise PhotograftError(f"{path} holds {key!r} twice")
            arrays[key] = _to_tensor(archive[name], key, path)
    except Unreadable as error:
        raise PhotograftError(f"{path} {error}") from error
    for arrays in models.values():
        check_finite(arrays, path)
    return list(models.values()) or [{}]


def _wanted(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Name -> (model, link path): all arrays, or those of the models in a trainer's snapshot."""
    keys = {name: name.lstrip("/") for name in names}
    found = {name: TRAINER_PREFIX.match(key) for name, key in keys.items()}
    wanted = {name: (m.group(), keys[name][m.end() :]) for name, m in found.items() if m}
    return wanted or {name: ("", key) for name, key in keys.items()}


def _to_tensor(array: Any, key: str, path: Path) -> Tensor:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise PhotograftError(f"{path}: {key!r} is not an array of numbers")
    return torch.from_numpy(array.astype(np.float32))


def _split(arrays: Arrays, path: Path) -> dict[str, Arrays]:
    """Arrays of one model by kind of network; the auxiliary networks live inside a generator's snapshot."""
    auxiliary = {k: v for k, v in arrays.items() if k.split("/")[0] in AUXILIARY_LINKS}
    rest = {k: v for k, v in arrays.items() if k not in auxiliary}
    parts: dict[str, Arrays] = {}
    if "prelu_out/W" in rest:
        parts["encoder"] = rest
    elif "block1/c1/u" in rest:
        parts["discriminator"] = rest
    elif "l1/W" in rest and "block2/c1/W" in rest:
        parts["generator"] = rest
    elif rest or "lA1/W" not in auxiliary:
        what = some(sorted(arrays), 3) or "nothing"
        raise PhotograftError(f"{path} is no snapshot of the original's networks: it holds {what}")
    if auxiliary.keys() - {"_fast_alpha/W"}:
        parts["auxiliary"] = auxiliary
    return parts


def _build(kind: str, arrays: Arrays, path: Path) -> Configurable:
    """The network of these arrays, loaded strictly."""
    config, numbered = _READERS[kind](arrays, path)
    with torch.device("meta"):  # so that no size in the file takes memory before it fits
        shapes = CLASSES[kind](**config).state_dict()
    state, left = {}, dict(arrays)
    for name, own in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros(own.shape, dtype=own.dtype)
            continue
        key = _link_path(name, numbered, arrays)
        if key not in left:
            raise PhotograftError(f"{path}: {key!r} of the {kind} is missing")
        value = left.pop(key)
        if value.numel() != own.numel() or _squeezed(value) != _squeezed(own):
            raise PhotograftError(f"{path}: {key!r} is {list(value.shape)}, which does not fit the {kind}")
        state[name] = value.reshape(own.shape)
    _check_left(left, kind, numbered, path)
    network = CLASSES[kind](**config)
    load_state(network, state, path)
    return network.freeze()


def _squeezed(tensor: Tensor) -> list[int]:
    return [n for n in tensor.shape if n != 1]


def _link_path(name: str, numbered: dict[str, str], arrays: Arrays) -> str:
    """Name in our state dict -> link path of the original."""
    *modules, value = name.split(".")
    links: list[str] = []
    for module in modules:
        if module.isdigit():
            links[-1] = f"block{int(module) + int(numbered['blocks'])}"
        else:
            links.append(numbered.get(module) or LINKS.get(module, module))
    if modules == ["norm"]:  # a plain batch norm
        value = {"weight": "gamma", "bias": "beta"}.get(value, value)
    elif value in ("gamma", "beta"):
        table = "/".join([*links, value + "s", "W"])
        plain = "/".join([*links, value])
        return plain if plain in arrays else table
    return "/".join([link for link in links if link] + [VALUES.get(value, value)])


def _check_left(left: Arrays, kind: str, numbered: dict[str, str], path: Path) -> None:
    ignored = {"encoder": numbered.get("unused", ""), "auxiliary": "_fast_alpha"}.get(kind)
    unknown = [k for k in sorted(left) if k.split("/")[-1] != "N" and k.split("/")[0] != ignored]
    if unknown:
        raise PhotograftError(f"{path}: unknown arrays in the {kind}: {some(unknown)}")


Reader = Callable[[Arrays, Path], tuple[dict[str, Any], dict[str, str]]]


def _shape(arrays: Arrays, key: str, ndim: int, path: Path) -> tuple[int, ...]:
    if key not in arrays:
        raise PhotograftError(f"{path}: {key!r} is missing")
    shape = tuple(arrays[key].shape)
    if len(shape) != ndim or 0 in shape:
        raise PhotograftError(f"{path}: {key!r} is {list(shape)}, not an array of {ndim} dimensions")
    return shape


def _last_block(arrays: Arrays) -> int:
    return max((int(m.group(1)) for k in arrays if (m := re.match(r"block(\d{1,2})/c1/W$", k))), default=2)


def _widths(arrays: Arrays, first: int, path: Path) -> list[tuple[int, int, int]]:
    """(in, hidden, out) of the blocks from number `first` on, each of which must take what the one before gives."""
    widths: list[tuple[int, int, int]] = []
    for i in range(first, _last_block(arrays) + 1):
        hidden, c_in = _shape(arrays, f"block{i}/c1/W", 4, path)[:2]
        if widths and widths[-1][2] != c_in:
            reason = "concatenation discriminators are not supported" if first == 1 else "the file is damaged"
            raise PhotograftError(f"{path}: block{i} takes {c_in} channels, not {widths[-1][2]}: {reason}")
        widths.append((c_in, hidden, _shape(arrays, f"block{i}/c2/W", 4, path)[0]))
    return widths


def _classes(arrays: Arrays, path: Path) -> int:
    table = "block2/b1/gammas/W"
    return 0 if "block2/b1/gamma" in arrays else _shape(arrays, table, 2, path)[0]


def _bottom_width(features: int, channels: int, key: str, path: Path) -> int:
    width = math.isqrt(features // channels)
    if width == 0 or width * width * channels != features:
        raise PhotograftError(f"{path}: {key!r} has {features} features, not a square map of {channels} channels")
    return width


def _read_generator(arrays: Arrays, path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    features, latent_dim = _shape(arrays, "l1/W", 2, path)
    widths = _widths(arrays, 2, path)
    channels = [widths[0][0], *(out for _, _, out in widths)]
    end = _last_block(arrays) + 1
    config = {
        "channels": channels,
        "latent_dim": latent_dim,
        "num_classes": _classes(arrays, path),
        "bottom_width": _bottom_width(features, channels[0], "l1/W", path),
    }
    return config, {"blocks": "2", "linear": "l1", "norm": f"b{end}", "to_rgb": f"l{end}"}


def _read_discriminator(arrays: Arrays, path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    widths = _widths(arrays, 1, path)
    num_classes, dim = _shape(arrays, "l_y/W", 2, path) if "l_y/W" in arrays else (0, widths[-1][2])
    if dim != widths[-1][2]:
        raise PhotograftError(f"{path}: a concatenation discriminator: only projection discriminators are supported")
    hidden_out = any(hidden == out != c_in for c_in, hidden, out in widths[1:])
    config = {
        "channels": [out for _, _, out in widths],
        "num_classes": num_classes,
        "hidden": "out" if hidden_out else "in",
        "last_down": f"block{_last_block(arrays)}/c_sc/W" in arrays,  # a last block that keeps its size has no shortcut
    }
    return config, {"blocks": "1", "linear": f"l{_last_block(arrays) + 1}"}


def _read_encoder(arrays: Arrays, path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    conv = "block1" if "block1/W" in arrays else "l1"
    widths = _widths(arrays, 2, path)
    end = _last_block(arrays) + 1
    linear = next((k for k in (f"l{end}", f"l{end}_enc") if f"{k}/W" in arrays), f"l{end}")
    latent_dim, features = _shape(arrays, f"{linear}/W", 2, path)
    config = {
        "channels": [_shape(arrays, f"{conv}/W", 4, path)[0], *(out for _, _, out in widths)],
        "latent_dim": latent_dim,
        "num_classes": _classes(arrays, path),
        "bottom_width": _bottom_width(features, widths[-1][2], f"{linear}/W", path),
    }
    return config, {"blocks": "2", "conv": conv, "linear": linear, "unused": f"b{end}"}


def _read_auxiliary(arrays: Arrays, path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    hidden_a, latent_dim = _shape(arrays, "lA1/W", 2, path)
    zeta_dim, hidden_b = _shape(arrays, "lA2/W", 2, path)[0], _shape(arrays, "lB1/W", 2, path)[0]
    return {"latent_dim": latent_dim, "zeta_dim": zeta_dim, "hidden_a": hidden_a, "hidden_b": hidden_b}, {}


_READERS: dict[str, Reader] = {
    "generator": _read_generator,
    "discriminator": _read_discriminator,
    "encoder": _read_encoder,
    "auxiliary": _read_auxiliary,
}


def layout(kind: str, config: dict[str, Any]) -> str:
    """Name of the original's layout if the widths are those of one, else the widths."""
    if kind == "auxiliary":
        return f"zeta of {config['zeta_dim']}"
    channels: list[int] = config["channels"]
    ch = channels[-1] if kind == "generator" else channels[0]
    for name, multiples in KNOWN_LAYOUTS[kind].items():
        if channels == [ch * m for m in multiples]:
            return f"{name}, ch {ch}"
    return f"widths {', '.join(map(str, channels))}"
