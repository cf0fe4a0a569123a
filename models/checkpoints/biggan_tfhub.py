"""DeepMind's BigGAN and BigGAN-deep of TensorFlow Hub -> ours, from variables by their names in the module.

Conditions begin with z there, first maps are stored position by position, kernels are [kh,kw,I,O].
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from models.base import Configurable
from models.checkpoints.arrays import Arrays, fitted
from models.checkpoints.biggan import attended, bottom_width, channels_first, class_first, divided, taken
from models.checkpoints.tfhub import MOST_CONSTANTS
from models.errors import PhotograftError
from models.generators.biggan import BigGANDeepGenerator, BigGANGenerator
from models.tf.module import CONSTANT

State = dict[str, tuple[str, Tensor]]
EPS = 1e-4  # of batch norm
STEP_EPS = 1e-4  # of the power iteration of BigGAN
ATTENTION = {"theta": "theta", "phi": "phi", "g": "g", "o": "o_conv"}
G = "Generator"


def find(content: Any) -> dict[str, str] | None:
    """Plain names -> the names in the file (running means first), or None if it is another format's."""
    if not isinstance(content, Mapping):
        return None
    if not any(isinstance(name, str) and f"{G}/GBlock/conv0/w" in name for name in content):
        return None
    plain: dict[str, str] = {}
    for name in sorted((n for n in content if isinstance(n, str)), key=lambda n: "/ema_" in n):
        found = re.sub(r"/ema_[^/]*$", "", name.removesuffix(":0").removeprefix("module/"))
        plain[found] = name
    return _Found(plain, content)


class _Found(dict[str, str]):
    """Names, with the content that they are of."""

    def __init__(self, plain: Mapping[str, str], content: Mapping[str, Any]) -> None:
        super().__init__(plain)
        self.content = content


def remarks(found: Mapping[str, str]) -> list[str]:
    """What a user should know of the module."""
    return ["not written: a discriminator, which these modules do not have: give one, or photos cannot be projected"]


def read(found: dict[str, str], path: Path) -> dict[str, Configurable]:
    """The generator, loaded strictly.

    Raises:
        PhotograftError: missing or unknown variables, variables that do not fit; BigGAN-deep without its graph.
    """
    assert isinstance(found, _Found)
    arrays = Arrays({plain: found.content[name] for plain, name in found.items()}, path, found)
    deep = f"{G}/GBlock/conv3/w" in arrays
    arrays.skip("*/u1", "*accumulation_counter", "global_step", "*/update_accus", "Discriminator/*")
    if not deep:
        arrays.skip(f"{CONSTANT}*")
    return {"generator": _deep(arrays) if deep else _shallow(arrays)}


def _block_name(i: int) -> str:
    return f"{G}/GBlock{f'_{i}' if i else ''}"


def _numbered(name: str, i: int) -> str:
    return f"{name}_{i}" if i else name


def _blocks(arrays: Arrays, conv: str) -> tuple[int, list[int]]:
    """How many blocks there are, and the widths of the first map and of their outputs."""
    blocks = 0
    while f"{_block_name(blocks)}/conv0/w" in arrays and blocks < 64:
        blocks += 1
    widths = [arrays.shape(f"{_block_name(0)}/conv0/w", 4)[2]]
    return blocks, widths + [arrays.shape(f"{_block_name(i)}/{conv}/w", 4)[3] for i in range(blocks)]


def _divided(arrays: Arrays, name: str, eps: float) -> Tensor:
    """A layer's weight [O,...] / sigma."""
    weight = taken(arrays, f"{name}/w")
    weight = weight.t() if weight.ndim == 2 else weight.permute(3, 2, 0, 1) if weight.ndim == 4 else weight
    return divided(arrays, f"{name}/w", weight, arrays.take(f"{name}/u0", 1, weight.shape[0]), eps=eps)


def _layer(arrays: Arrays, name: str, ours: str, eps: float, *, bias: bool = True) -> State:
    placed: State = {f"{ours}.weight": (f"{name}/w", _divided(arrays, name, eps))}
    if bias:
        placed[f"{ours}.bias"] = f"{name}/b", arrays.take(f"{name}/b")
    return placed


def _attention(arrays: Arrays, channels: list[int], eps: float) -> tuple[list[int], State]:
    name = f"{G}/attention"
    if f"{name}/gamma" not in arrays:
        return [], {}
    place = attended(arrays, f"{name}/theta/w", channels, axis=2)
    placed: State = {f"attention.{place}.gamma": (f"{name}/gamma", arrays.take(f"{name}/gamma").reshape(()))}
    for own, theirs in ATTENTION.items():
        placed |= _layer(arrays, f"{name}/{theirs}", f"attention.{place}.{own}", eps, bias=False)
    return [place], placed


def _first(arrays: Arrays, name: str, channels: int, eps: float) -> tuple[Tensor, Tensor, int]:
    """Weight and bias of the first map, and its height."""
    weight = _divided(arrays, name, eps)
    width = bottom_width(len(weight), channels, f"{name}/w", arrays)
    bias = channels_first(arrays.take(f"{name}/b", len(weight))[:, None], width)[:, 0]
    return channels_first(weight, width), bias, width


def _last(arrays: Arrays, norm: str, names: tuple[str, str]) -> State:
    """gamma and beta of the norm before the picture."""
    pairs = zip(("gamma", "beta"), names, strict=True)
    return {f"norm.{own}": (f"{norm}/{theirs}", arrays.take(f"{norm}/{theirs}").flatten()) for own, theirs in pairs}


def _shallow(arrays: Arrays) -> Configurable:
    blocks, channels = _blocks(arrays, "conv1")
    first = f"{G}/G_Z/G_linear"
    weight, bias, width = _first(arrays, first, channels[0], STEP_EPS)
    chunk = weight.shape[1]
    shared = arrays.ranked("linear/w", 2)
    placed: State = {
        "shared.weight": ("linear/w", shared),
        "linear.weight": (f"{first}/w", weight),
        "linear.bias": (f"{first}/b", bias),
    }
    for i in range(blocks):
        name, own = _block_name(i), f"blocks.{i}"
        for theirs, ours in (("conv0", "conv1"), ("conv1", "conv2"), ("conv_sc", "skip")):
            placed |= _layer(arrays, f"{name}/{theirs}", f"{own}.{ours}", STEP_EPS)
        for k in range(2):
            norm = f"{own}.norm{k + 1}"
            placed |= _accumulated(arrays, f"{name}/{_numbered('CrossReplicaBN', k)}", norm)
            for theirs, ours in (("gamma", "gain"), ("beta", "bias")):
                layer = f"{name}/{_numbered('HyperBN', k)}/{theirs}"
                placed[f"{norm}.{ours}.weight"] = f"{layer}/w", class_first(_divided(arrays, layer, STEP_EPS), chunk)
    attention, found = _attention(arrays, channels, STEP_EPS)
    placed |= found | _last(arrays, f"{G}/ScaledCrossReplicaBN", ("gamma", "beta"))
    placed |= _accumulated(arrays, f"{G}/ScaledCrossReplicaBNbn", "norm")
    placed |= _layer(arrays, f"{G}/conv_2d", "to_rgb", STEP_EPS)
    arrays.finish()
    config: dict[str, Any] = {
        "channels": channels,
        "latent_dim": chunk * (blocks + 1),
        "num_classes": shared.shape[0],
        "shared_dim": shared.shape[1],
        "attention": attention,
        "bottom_width": width,
        "eps": EPS,
    }
    return fitted(lambda: BigGANGenerator(**config), placed, arrays)


def _accumulated(arrays: Arrays, name: str, ours: str) -> State:
    """Statistics of BigGAN's norms, which are means already: the counter beside them is not used."""
    pairs = (("running_mean", "mean"), ("running_var", "var"))
    names = {own: f"{name}/accumulated_{theirs}" for own, theirs in pairs}
    return {f"{ours}.{own}": (theirs, arrays.ranked(theirs, 1)[None]) for own, theirs in names.items()}


def _deep(arrays: Arrays) -> Configurable:
    blocks, channels = _blocks(arrays, "conv3")
    first = f"{G}/GenZ/G_linear"
    weight, bias, width = _first(arrays, first, channels[0], 0.0)
    shared = arrays.ranked("linear/w", 2)
    num_classes, shared_dim = shared.shape
    latent_dim = weight.shape[1] - shared_dim
    if latent_dim < 1:
        raise arrays.misfit(f"{first}/w")
    placed: State = {
        "shared.weight": ("linear/w", shared),
        "linear.weight": (f"{first}/w", weight[:, :latent_dim]),
        "class_map.weight": (f"{first}/w", weight[:, latent_dim:]),
        "linear.bias": (f"{first}/b", bias),
    }
    norms = []
    for i in range(blocks):
        name, own = _block_name(i), f"blocks.{i}"
        for k in range(4):
            norm = f"{own}.norm{k + 1}"
            placed |= _layer(arrays, f"{name}/conv{k}", f"{own}.conv{k + 1}", 0.0)
            for theirs, ours in (("scale", "gain"), ("offset", "bias")):
                layer = f"{name}/{_numbered('BatchNorm', k)}/{theirs}"
                placed[f"{norm}.{ours}.weight"] = f"{layer}/w", class_first(_divided(arrays, layer, 0.0), latent_dim)
            norms.append((norm, arrays.shape(f"{name}/conv{k}/w", 4)[2]))
    norms.append(("norm", channels[-1]))
    attention, found = _attention(arrays, channels, 0.0)
    placed |= found | _last(arrays, f"{G}/BatchNorm", ("scale", "offset"))
    statistics = _standing(arrays, norms)
    rgb = _layer(arrays, f"{G}/conv_to_rgb", "to_rgb", 0.0)
    placed |= statistics | {name: (theirs, value[:3]) for name, (theirs, value) in rgb.items()}
    arrays.finish()
    config: dict[str, Any] = {
        "channels": channels,
        "up": [i % 2 == 1 for i in range(blocks)],
        "latent_dim": latent_dim,
        "num_classes": num_classes,
        "shared_dim": shared_dim,
        "attention": attention,
        "bottom_width": width,
        "eps": EPS,
        "statistics": len(statistics["norm.running_mean"][1]),
    }
    return fitted(lambda: BigGANDeepGenerator(**config), placed, arrays)


def _standing(arrays: Arrays, norms: list[tuple[str, int]]) -> State:
    """Means and variances [S,C] of all norms in order, which are constants of the module's graph."""
    names = [name for i in range(MOST_CONSTANTS) if (name := f"{CONSTANT}{i}") in arrays]
    if len(names) > 2 * len(norms):  # the original's graph has five stacks for each norm, of which two are these
        names = [name for name in names if int(name.removeprefix(CONSTANT)) % 5 in (1, 3)]
        arrays.skip(f"{CONSTANT}*")
    if len(names) != 2 * len(norms):
        raise PhotograftError(
            f"{arrays.path}: {len(names)} tables of statistics for {len(norms)} norms, which have two each: those of"
            " BigGAN-deep are constants of the module's graph, so give the folder of the whole module"
        )
    placed: State = {}
    for k, (norm, channels) in enumerate(norms):
        for name, own in zip(names[2 * k : 2 * k + 2], ("running_mean", "running_var"), strict=True):
            table = arrays.ranked(name, 2)
            if table.shape[1] != channels:
                raise arrays.misfit(name)
            placed[f"{norm}.{own}"] = name, table
    return placed
