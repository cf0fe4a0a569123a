"""NVIDIA's StyleGAN2 in torch (`stylegan2-ada-pytorch`, `stylegan3`) -> our StyleGAN2 networks.

A `.pkl` holds G, D and G_ema as pickled modules beside the source code that would rebuild them. Here they are trees of
data: weights by name, and what the layers noted about themselves. The code in the file is not looked at. Bare state
dicts are read too; they do not say whether activations were clamped.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.base import Configurable
from models.checkpoints import grey
from models.checkpoints.modules import StateDict
from models.checkpoints.parts import DISCRIMINATORS, GENERATORS, Found, by_kind, part_lines
from models.checkpoints.stylegan2 import GROUP_SIZE, MAPPING_RATE, build_discriminator, build_generator, is_grey
from models.checkpoints.tflib import MAX_SETTING
from models.checkpoints.told import told
from models.errors import PhotograftError
from models.layers.equalized import ACTIVATIONS


def find(content: Any) -> Found | None:
    """State dicts by kind in a file's content, or None if it is another format's."""
    return by_kind(content, _kind)


def _kind(state: Mapping[str, Any]) -> str | None:
    if "synthesis.b4.const" in state or any(name.startswith("synthesis.L0_") for name in state):
        return "generator"
    return "discriminator" if "b4.conv.weight" in state and "b4.out.weight" in state else None


def remarks(found: Found) -> list[str]:
    """What is assumed of networks that say nothing about themselves."""
    lines = [grey.GREY] if is_grey(found.get("generator", {})) else []
    if not all(isinstance(state, StateDict) for state in found.values()):
        lines.append("a bare state dict does not say whether activations are clamped (conv_clamp): they are not")
    return lines


def parts(found: Found, content: Mapping[str, Any]) -> list[str]:
    """Every network of a file that holds several, and what it is used for."""
    return part_lines(content, (*GENERATORS, *DISCRIMINATORS), found)


def _setting(state: Mapping[str, Any], note: str, keyword: str, default: Any = None) -> Any:
    """As a layer noted it, else as the network was built with it, else the default."""
    if not isinstance(state, StateDict):
        return default
    return state.notes.get(note, state.keywords.get(keyword, default))


def read(found: Found, path: Path) -> dict[str, Configurable]:
    """The networks, loaded strictly; the generator is the running mean if the file has one.

    Raises:
        PhotograftError: a StyleGAN3, missing or unknown arrays, unknown settings.
    """
    networks: dict[str, Configurable] = {}
    for kind, state in found.items():
        if kind == "generator" and "synthesis.b4.const" not in state:
            raise PhotograftError(f"{path} {_without_layers(state)}: choose a StyleGAN2")
        layer = "synthesis.b4.conv1" if kind == "generator" else "b4.conv"
        activations: dict[str, Any] = {
            "activation": _activation(state, layer, path),
            "mapping_activation": _activation(state, "mapping.fc0", path),
        }
        grey.check_channels(_picture_channels(state), path)
        conv_clamp = _setting(state, f"{layer}.conv_clamp", "conv_clamp")
        mapping_rate = _setting(state, "mapping.fc0.bias_gain", "lr_multiplier", MAPPING_RATE)
        for name, value in (("conv_clamp", conv_clamp), ("lr_multiplier", mapping_rate)):
            _check_number(name, value, path, optional=name == "conv_clamp")
        if kind == "generator":
            networks[kind] = build_generator(
                state, path, conv_clamp=conv_clamp, mapping_rate=mapping_rate, **activations
            )
            continue
        group_size = _setting(state, "b4.mbstd.group_size", "mbstd_group_size", GROUP_SIZE)
        _check_number("mbstd_group_size", group_size, path, optional=True)
        networks[kind] = build_discriminator(
            state,
            path,
            conv_clamp=conv_clamp,
            mapping_rate=mapping_rate,
            group_size=None if group_size is None else int(group_size),
            clamps_coarsest=False,
            **activations,
        )
    return networks


def _without_layers(state: Mapping[str, Any]) -> str:
    """What a generator is whose layers are those of StyleGAN3."""
    if any(name.startswith("mapping.embed_proj.") for name in state):
        return "holds a StyleGAN-XL (a StyleGAN3 that grew, of ImageNet's classes), for which there is no reader"
    return "holds a StyleGAN3 (alias-free, from Fourier features), for which there is no reader"


def _activation(state: Mapping[str, Any], layer: str, path: Path) -> str:
    """As a layer noted it. Raises PhotograftError for one that is not among `ACTIVATIONS`."""
    note = _setting(state, f"{layer}.activation", "activation", "lrelu")
    if not isinstance(note, str) or note not in ACTIVATIONS:
        raise PhotograftError(f"{path}: activation {told(note)}: only {', '.join(ACTIVATIONS)} can be read")
    return note


def _picture_channels(state: Mapping[str, Any]) -> int:
    """Of a network's pictures; 3 where its arrays do not say it, which are complained of later."""
    for name, axis in (("torgb.weight", 0), ("fromrgb.weight", 1)):
        for key, value in state.items():
            if key.endswith(name) and len(getattr(value, "shape", ())) == 4:
                return int(value.shape[axis])
    return 3


def _check_number(name: str, value: Any, path: Path, *, optional: bool) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_SETTING
    if not number and not (optional and value is None):
        raise PhotograftError(f"{path}: {name}={told(value)} makes no sense: it must be a positive number")
