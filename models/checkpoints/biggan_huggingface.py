"""Hugging Face's pytorch-pretrained-biggan (`pytorch_model.bin`, `config.json` beside it) -> BigGAN-deep.

Its generators were converted from TensorFlow Hub; there are no discriminators.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from torch import Tensor

from models.base import Configurable
from models.checkpoints.arrays import Arrays, fitted
from models.checkpoints.biggan import bottom_width, channels_first, class_first, divided, taken
from models.errors import PhotograftError
from models.generators.biggan import BigGANDeepGenerator
from models.schema import Positive, Schema, Width, parse_json

State = dict[str, tuple[str, Tensor]]
ATTENTION = {"theta": "snconv1x1_theta", "phi": "snconv1x1_phi", "g": "snconv1x1_g", "o": "snconv1x1_o_conv"}
EPS = 1e-4


class Config(Schema):
    """What of `config.json` weights do not say."""

    model_config = ConfigDict(**{**Schema.model_config, "extra": "ignore", "strict": False})

    layers: Annotated[list[tuple[bool, Width, Width]], Field(min_length=1, max_length=64)]
    eps: Positive = EPS


def find(content: Any) -> Mapping[str, Any] | None:
    """The generator's state dict, or None if it is another format's."""
    known = isinstance(content, Mapping) and "generator.gen_z.weight_orig" in content
    return content if known else None


def remarks(state: Mapping[str, Any]) -> list[str]:
    """What a user should know of the file."""
    return [
        "it holds statistics of several truncations: `convert --truncation` says which stand, else those of 1 do",
        "not written: a discriminator, which these files do not have: give one, or photos cannot be projected",
    ]


def read(state: Mapping[str, Any], path: Path) -> dict[str, Configurable]:
    """The generator, loaded strictly.

    Raises:
        PhotograftError: missing or unknown arrays, arrays that do not fit, a `config.json` that is none of these.
    """
    arrays = Arrays(state, path)
    embedding = arrays.ranked("embeddings.weight", 2)  # [S,K]
    shared_dim, num_classes = embedding.shape
    features, condition = arrays.shape("generator.gen_z.weight_orig", 2)
    latent_dim = condition - shared_dim
    names, attention = _blocks(arrays)
    channels = [arrays.shape(f"{names[0]}.conv_0.weight_orig", 4)[1]]
    channels += [arrays.shape(f"{name}.conv_3.weight_orig", 4)[0] for name in names]
    if latent_dim < 1:
        raise arrays.misfit("generator.gen_z.weight_orig")
    width = bottom_width(features, channels[0], "generator.gen_z.weight_orig", arrays)
    beside = _config(path)
    up = [i % 2 == 1 for i in range(len(names))] if beside is None else [layer[0] for layer in beside.layers]
    if len(up) != len(names):
        raise PhotograftError(f"{path}: config.json beside it speaks of {len(up)} blocks, there are {len(names)}")
    linear = class_first(_divided(arrays, "generator.gen_z"), latent_dim)
    linear = channels_first(linear, width)
    bias = channels_first(arrays.take("generator.gen_z.bias")[:, None], width)[:, 0]
    placed: State = {
        "shared.weight": ("embeddings.weight", embedding.t()),
        "linear.weight": ("generator.gen_z.weight_orig", linear[:, shared_dim:]),
        "class_map.weight": ("generator.gen_z.weight_orig", linear[:, :shared_dim]),
        "linear.bias": ("generator.gen_z.bias", bias),
    }
    for i, name in enumerate(names):
        placed |= _block(arrays, name, f"blocks.{i}", latent_dim)
    for name, place in attention.items():
        placed[f"attention.{place}.gamma"] = f"{name}.gamma", arrays.take(f"{name}.gamma").reshape(())
        for own, theirs in ATTENTION.items():
            placed |= _layer(arrays, f"{name}.{theirs}", f"attention.{place}.{own}", bias=False)
    placed |= _output(arrays)
    arrays.finish()
    config: dict[str, Any] = {
        "channels": channels,
        "up": up,
        "latent_dim": latent_dim,
        "num_classes": num_classes,
        "shared_dim": shared_dim,
        "attention": list(attention.values()),
        "bottom_width": width,
        "eps": EPS if beside is None else beside.eps,
        "statistics": arrays.shape("generator.bn.running_means", 2)[0],
    }
    return {"generator": fitted(lambda: BigGANDeepGenerator(**config), placed, arrays)}


def _config(path: Path) -> Config | None:
    """Of the file of that name beside the weights, or of the name that the weights have."""
    beside = (path.with_name("config.json"), path.with_name(path.name.replace("pytorch_model.bin", "config.json")))
    found = next((file for file in beside if file != path and file.is_file()), None)
    if found is None:
        return None
    try:
        text = found.read_text("utf-8")
        if "layers" not in json.loads(text):
            return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise PhotograftError(f"cannot read {found}: {error}") from error
    return parse_json(Config, text, str(found))


def _blocks(arrays: Arrays) -> tuple[list[str], dict[str, int]]:
    """Names of the blocks, and of attention with the number of blocks before it."""
    names: list[str] = []
    attention: dict[str, int] = {}
    for i in range(128):
        name = f"generator.layers.{i}"
        if f"{name}.conv_0.weight_orig" in arrays:
            names.append(name)
        elif f"{name}.gamma" in arrays:
            attention[name] = len(names)
    if not names:
        raise arrays.missing("generator.layers.0.conv_0.weight_orig")
    return names, attention


def _divided(arrays: Arrays, name: str) -> Tensor:
    weight = taken(arrays, f"{name}.weight_orig")
    u = arrays.take(f"{name}.weight_u", weight.shape[0])
    return divided(arrays, f"{name}.weight_orig", weight, u, arrays.take(f"{name}.weight_v", weight[0].numel()))


def _layer(arrays: Arrays, name: str, ours: str, *, bias: bool = True) -> State:
    placed: State = {f"{ours}.weight": (f"{name}.weight_orig", _divided(arrays, name))}
    if bias:
        placed[f"{ours}.bias"] = f"{name}.bias", arrays.take(f"{name}.bias")
    return placed


def _statistics(arrays: Arrays, name: str, ours: str) -> State:
    pairs = (("running_mean", "running_means"), ("running_var", "running_vars"))
    return {f"{ours}.{own}": (f"{name}.{theirs}", arrays.ranked(f"{name}.{theirs}", 2)) for own, theirs in pairs}


def _block(arrays: Arrays, name: str, ours: str, latent_dim: int) -> State:
    placed: State = {}
    for i in range(4):
        norm, own = f"{name}.bn_{i}", f"{ours}.norm{i + 1}"
        placed |= _layer(arrays, f"{name}.conv_{i}", f"{ours}.conv{i + 1}") | _statistics(arrays, norm, own)
        for theirs, part in (("scale", "gain"), ("offset", "bias")):
            weight = class_first(_divided(arrays, f"{norm}.{theirs}"), latent_dim)
            placed[f"{own}.{part}.weight"] = f"{norm}.{theirs}.weight_orig", weight
    return placed


def _output(arrays: Arrays) -> State:
    """The last norm, and the picture: the original makes as many channels as there are and keeps three."""
    rgb = "generator.conv_to_rgb"
    placed = _statistics(arrays, "generator.bn", "norm")
    placed["norm.gamma"] = "generator.bn.weight", arrays.take("generator.bn.weight")
    placed["norm.beta"] = "generator.bn.bias", arrays.take("generator.bn.bias")
    placed["to_rgb.weight"] = f"{rgb}.weight_orig", _divided(arrays, rgb)[:3]
    placed["to_rgb.bias"] = f"{rgb}.bias", arrays.take(f"{rgb}.bias")[:3]
    return placed
