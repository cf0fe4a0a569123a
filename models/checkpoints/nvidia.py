"""NVIDIA's StyleGAN2 in torch (`stylegan2-ada-pytorch`, `stylegan3`) -> our StyleGAN2 networks.

A `.pkl` holds G, D and G_ema as pickled modules beside the source code that would rebuild them. Here they are trees of
data: weights by name, and what the layers noted about themselves. The code in the file is not looked at. Bare state
dicts are read too; they do not say whether activations were clamped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.base import Configurable
from models.checkpoints.pickle_machine import Foreign
from models.checkpoints.stylegan2 import GROUP_SIZE, MAPPING_RATE, build_discriminator, build_generator
from models.errors import PhotograftError

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
MAX_DEPTH = 8  # of containers within containers; the originals have four


@dataclass(frozen=True)
class Module:
    """One network of a file.

    Attributes:
        arrays: its weights, by the names of its state dict.
        notes: numbers and texts that its layers kept (`synthesis.b4.conv1.conv_clamp`), if the file has them.
        keywords: what it was built with, by name, whatever part of it they were for.
    """

    arrays: Mapping[str, Any]
    notes: Mapping[str, Any] = field(default_factory=dict)
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def setting(self, note: str, keyword: str, default: Any = None) -> Any:
        """As a layer noted it, else as the network was built with it, else the default."""
        return self.notes.get(note, self.keywords.get(keyword, default))


def find(content: Any) -> dict[str, Module] | None:
    """Networks by kind in a file's content, or None if it is another format's."""
    if not isinstance(content, Mapping):
        return None
    if "synthesis.b4.const" in content:
        return {"generator": Module(content)}
    if "b4.conv.weight" in content and "b4.out.weight" in content:
        return {"discriminator": Module(content)}
    found = {}
    for kind, names in (("generator", ("G_ema", "G")), ("discriminator", ("D",))):
        state = next((state for name in names if (state := _state(content.get(name))) is not None), None)
        if state is not None:
            found[kind] = _module(state)
    return found or None


def read(found: Mapping[str, Module], path: Path) -> dict[str, Configurable]:
    """The networks, loaded strictly; the generator is the running mean if the file has one.

    Raises:
        PhotograftError: a StyleGAN3, missing or unknown arrays, unknown settings.
    """
    networks: dict[str, Configurable] = {}
    for kind, module in found.items():
        if any(name.startswith("synthesis.L0_") for name in module.arrays):
            raise PhotograftError(f"{path} holds a StyleGAN3, which cannot be read: choose a StyleGAN2")
        layer = "synthesis.b4.conv1" if kind == "generator" else "b4.conv"
        if (activation := module.setting(f"{layer}.activation", "activation", "lrelu")) != "lrelu":
            raise PhotograftError(f"{path}: activation {activation!r:.40}: only 'lrelu' is supported")
        conv_clamp = module.setting(f"{layer}.conv_clamp", "conv_clamp")
        mapping_rate = module.setting("mapping.fc0.bias_gain", "lr_multiplier", MAPPING_RATE)
        for name, value in (("conv_clamp", conv_clamp), ("lr_multiplier", mapping_rate)):
            _check_number(name, value, path, optional=name == "conv_clamp")
        if kind == "generator":
            networks[kind] = build_generator(module.arrays, path, conv_clamp=conv_clamp, mapping_rate=mapping_rate)
            continue
        group_size = module.setting("b4.mbstd.group_size", "mbstd_group_size", GROUP_SIZE)
        _check_number("mbstd_group_size", group_size, path, optional=True)
        networks[kind] = build_discriminator(
            module.arrays,
            path,
            conv_clamp=conv_clamp,
            mapping_rate=mapping_rate,
            group_size=None if group_size is None else int(group_size),
        )
    return networks


def _check_number(name: str, value: Any, path: Path, *, optional: bool) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
    if not number and not (optional and value is None):
        raise PhotograftError(f"{path}: {name}={value!r:.40} makes no sense: it must be a positive number")


def _entries(value: Any) -> Mapping[Any, Any]:
    """Of a dictionary, plain or of a class of its own; none of anything else."""
    if isinstance(value, Foreign):
        value = value.items or value.state
    return value if isinstance(value, Mapping) else {}


def _state(module: Any) -> Mapping[Any, Any] | None:
    """Attributes of a pickled module, or None if it is none."""
    if not isinstance(module, Foreign) or module.name != PERSISTENT or not module.args:
        return None
    return _entries(_entries(module.args[0]).get("state"))


def _module(state: Mapping[Any, Any]) -> Module:
    arrays: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    _walk(state, "", arrays, notes)
    keywords: dict[str, Any] = {}
    _flatten(_entries(state.get("_init_kwargs")), keywords)
    return Module(arrays, notes, keywords)


def _walk(state: Mapping[Any, Any], prefix: str, arrays: dict[str, Any], notes: dict[str, Any], depth: int = 0) -> None:
    """Collect the weights and notes of a module and its children."""
    if depth == MAX_DEPTH:  # a module within itself
        return
    for group in ("_parameters", "_buffers"):
        arrays |= {f"{prefix}{name}": v for name, v in _entries(state.get(group)).items() if v is not None}
    notes |= {f"{prefix}{name}": v for name, v in state.items() if isinstance(v, str | int | float | None)}
    for name, child in _entries(state.get("_modules")).items():
        if (inner := _state(child)) is not None:
            _walk(inner, f"{prefix}{name}.", arrays, notes, depth + 1)


def _flatten(keywords: Mapping[Any, Any], found: dict[str, Any], depth: int = 0) -> None:
    """Collect keywords by name, those of parts included; the outermost of one name counts."""
    for name, value in keywords.items():
        if not _entries(value):
            found.setdefault(str(name), value)
    for value in keywords.values():
        if depth < MAX_DEPTH:
            _flatten(_entries(value), found, depth + 1)
