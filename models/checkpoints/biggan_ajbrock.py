"""ajbrock's BigGAN-PyTorch (`G_ema.pth`, `D.pth`) -> BigGAN and BigGAN-deep, with their discriminators.

The generator divides its weights by sigma anew at every pass; here that is done once. The discriminator keeps u: it
can be trained on.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.base import Configurable
from models.checkpoints.arrays import Arrays, fitted
from models.checkpoints.biggan import bottom_width, divided, taken
from models.checkpoints.parts import DISCRIMINATORS, GENERATORS, Found, by_kind, part_lines
from models.discriminators.biggan_deep import BigGANDeepDiscriminator
from models.discriminators.sn_projection import SNProjectionDiscriminator
from models.errors import PhotograftError
from models.generators.biggan import BigGANDeepGenerator, BigGANGenerator

State = dict[str, tuple[str, Tensor]]
DEPTH = 2  # blocks of BigGAN-deep's generator at each resolution; with others the original does not run
STATISTICS = tuple(
    (f"{mean}_mean", f"{mean}_var") for mean in ("stored", "bn.stored", "bn.running")
)  # of the original's three batch norms
ATTENTION = ("theta", "phi", "g", "o")


def find(content: Any) -> Found | None:
    """State dicts by kind (the generator's running mean first), or None if it is another format's."""
    return by_kind(content, _kind)


def _kind(state: Mapping[str, Any]) -> str | None:
    if "blocks.0.0.conv1.weight" not in state:
        return None
    if "output_layer.2.weight" in state:
        return "generator"
    return "discriminator" if "linear.weight" in state and "embed.weight" in state else None


def remarks(found: Found) -> list[str]:
    """What is assumed because the file does not say it."""
    if "generator" not in found:
        return []
    lines = ["the file does not say eps of its batch norm: 1e-5, as of its training scripts (--bn-eps of convert)"]
    if "blocks.0.0.bn1.bn.running_mean" in found["generator"]:
        lines.append("norms over several devices: gamma multiplies as in training; the original adds it in evaluation")
    return lines


def parts(found: Found, content: Mapping[str, Any]) -> list[str]:
    """Every network of a file that holds several, and what it is used for."""
    return part_lines(content, (*GENERATORS, *DISCRIMINATORS), found)


def read(found: Found, path: Path) -> dict[str, Configurable]:
    """The networks, loaded strictly.

    Raises:
        PhotograftError: missing or unknown arrays, arrays that do not fit.
    """
    makers = {"generator": _generator, "discriminator": _discriminator}
    return {kind: makers[kind](Arrays(state, path)) for kind, state in found.items()}


def _generator(arrays: Arrays) -> Configurable:
    count = _count(arrays)
    deep = "blocks.0.0.conv4.weight" in arrays
    out = "conv4" if deep else "conv2"
    channels = [arrays.shape("blocks.0.0.conv1.weight", 4)[1]]
    channels += [arrays.shape(f"blocks.{i}.0.{out}.weight", 4)[0] for i in range(count)]
    features, given = arrays.shape("linear.weight", 2)
    shared = _shared(arrays)
    num_classes, shared_dim = shared.shape
    unshared = "shared.weight" not in arrays
    condition = shared_dim if unshared else arrays.shape("blocks.0.0.bn1.gain.weight", 2)[1]
    chunk = condition - shared_dim
    config: dict[str, Any] = {
        "channels": channels,
        "num_classes": num_classes,
        "shared_dim": shared_dim,
        "attention": [i + 1 for i in range(count) if f"blocks.{i}.1.gamma" in arrays],
        "bottom_width": bottom_width(features, channels[0], "linear.weight", arrays),
    }
    if chunk < 0 or given != (condition if deep else chunk or given):
        raise arrays.misfit("linear.weight")
    linear = _weight(arrays, "linear")
    bias = arrays.take("linear.bias")
    state: State = {"shared.weight": ("shared.weight", shared), "linear.bias": ("linear.bias", bias)}
    if deep:
        state["class_map.weight"] = "linear.weight", linear[:, :shared_dim]
        linear = linear[:, shared_dim:]
        config |= {"latent_dim": chunk, "up": [i % DEPTH == DEPTH - 1 for i in range(count)]}
    else:
        config |= {"latent_dim": chunk * (count + 1) or given, "hierarchical": chunk > 0}
    state["linear.weight"] = "linear.weight", linear
    for i in range(count):
        state |= _generator_block(arrays, i, deep=deep, unshared=unshared)
    state |= _output(arrays)
    _skip_unused(arrays)
    arrays.finish()
    family = BigGANDeepGenerator if deep else BigGANGenerator
    return fitted(lambda: family(**config), state, arrays)


def _shared(arrays: Arrays) -> Tensor:  # -> [K,S]
    """Embeddings of the classes; of a network in which every layer has a table of its own, the classes themselves."""
    if "shared.weight" in arrays:
        return arrays.ranked("shared.weight", 2)
    return torch.eye(arrays.shape("blocks.0.0.bn1.gain.weight", 2)[0])


def _generator_block(arrays: Arrays, i: int, *, deep: bool, unshared: bool) -> State:
    theirs, ours = f"blocks.{i}.0", f"blocks.{i}"
    state: State = {}
    for number in range(1, 5 if deep else 3):
        name = f"{theirs}.conv{number}"
        state |= _conv(arrays, name, f"{ours}.conv{number}")
        norm = f"{theirs}.bn{number}"
        state |= _statistics(arrays, norm, f"{ours}.norm{number}")
        for part in ("gain", "bias"):
            weight = _weight(arrays, f"{norm}.{part}")
            state[f"{ours}.norm{number}.{part}.weight"] = f"{norm}.{part}.weight", weight.t() if unshared else weight
    if not deep:
        state |= _conv(arrays, f"{theirs}.conv_sc", f"{ours}.skip")
    return state | _attention(arrays, f"blocks.{i}.1", i + 1)


def _attention(arrays: Arrays, theirs: str, place: int, *, learns: bool = False) -> State:
    ours = f"attention.{place}"
    if f"{theirs}.gamma" not in arrays:
        return {}
    state: State = {f"{ours}.gamma": (f"{theirs}.gamma", arrays.take(f"{theirs}.gamma").reshape(()))}
    for part in ATTENTION:
        name = f"{theirs}.{part}"
        state |= _conv(arrays, name, f"{ours}.{part}", bias=False, learns=learns)
    return state


def _output(arrays: Arrays) -> State:
    norm = "output_layer.0"
    state = _statistics(arrays, norm, "norm") | _conv(arrays, "output_layer.2", "to_rgb")
    for theirs, ours in (("gain", "gamma"), ("bias", "beta")):
        state[f"norm.{ours}"] = f"{norm}.{theirs}", arrays.take(f"{norm}.{theirs}")
    return state


def _statistics(arrays: Arrays, theirs: str, ours: str) -> State:
    """Of one of the original's three batch norms; one that accumulated them keeps sums and their number."""
    found = next((pair for pair in STATISTICS if f"{theirs}.{pair[0]}" in arrays), None)
    if found is None:
        raise arrays.missing(f"{theirs}.stored_mean")
    counter = f"{theirs}.bn.accumulation_counter"
    count = max(1.0, arrays.number(counter)) if counter in arrays else 1.0
    pairs = zip(("running_mean", "running_var"), found, strict=True)
    return {f"{ours}.{own}": (f"{theirs}.{n}", arrays.ranked(f"{theirs}.{n}", 1)[None] / count) for own, n in pairs}


def _conv(arrays: Arrays, theirs: str, ours: str, *, bias: bool = True, learns: bool = False) -> State:
    """A layer's weight, with its u where it learns, and its bias."""
    state: State = {f"{ours}.weight": (f"{theirs}.weight", _weight(arrays, theirs, divides=not learns))}
    if learns:
        state[f"{ours}.spectral_norm.u"] = f"{theirs}.u0", arrays.take(f"{theirs}.u0").flatten()
    if bias:
        state[f"{ours}.bias"] = f"{theirs}.bias", arrays.take(f"{theirs}.bias")
    return state


def _weight(arrays: Arrays, name: str, *, divides: bool = True) -> Tensor:
    """As the network applies it: without u it has no spectral norm."""
    weight = taken(arrays, f"{name}.weight")
    if not divides or f"{name}.u0" not in arrays:
        return weight
    return divided(arrays, f"{name}.weight", weight, arrays.take(f"{name}.u0", 1, weight.shape[0]))


def _discriminator(arrays: Arrays) -> Configurable:
    num_classes, _ = arrays.shape("embed.weight", 2)
    state = _conv(arrays, "linear", "linear", learns=True)
    state |= _conv(arrays, "embed", "embedding", bias=False, learns=True)
    build = _deep_discriminator if "input_conv.weight" in arrays else _shallow_discriminator
    make, rest = build(arrays, num_classes)
    _skip_unused(arrays)
    arrays.finish()
    return fitted(make, state | rest, arrays)


def _shallow_discriminator(arrays: Arrays, num_classes: int) -> tuple[Callable[[], Configurable], State]:
    count = _count(arrays)
    widths, hidden = (
        [arrays.shape(f"blocks.{i}.0.{conv}.weight", 4)[0] for i in range(count)] for conv in ("conv2", "conv1")
    )
    level = [i for i in range(1, count) if f"blocks.{i}.0.conv_sc.weight" not in arrays]
    config: dict[str, Any] = {
        "channels": widths,
        "num_classes": num_classes,
        "hidden": "out" if hidden == widths else "all_in",  # the original's D_thin narrows the first block too
        "last_down": widths[-2:-1] == widths[-1:] and not level,
        "attention": [i + 1 for i in range(count) if f"blocks.{i}.1.gamma" in arrays],
        "level": max(1, len(level)),
    }
    state: State = {}
    for i in range(count):
        state |= _discriminator_block(arrays, f"blocks.{i}.0", f"blocks.{i}", 2)
        state |= _attention(arrays, f"blocks.{i}.1", i + 1, learns=True)
    return lambda: SNProjectionDiscriminator(**config), state


def _deep_discriminator(arrays: Arrays, num_classes: int) -> tuple[Callable[[], Configurable], State]:
    """Its blocks lie in lists, one for each resolution, of which the first halves it; attention closes a list."""
    channels, down, attention = [arrays.shape("input_conv.weight", 4)[0]], list[bool](), list[int]()
    state = _conv(arrays, "input_conv", "conv", learns=True)
    for i in range(_count(arrays)):
        depth = _count(arrays, f"blocks.{i}.{{}}.conv1.weight")
        for k in range(depth):
            state |= _discriminator_block(arrays, f"blocks.{i}.{k}", f"blocks.{len(down)}", 4)
            channels.append(arrays.shape(f"blocks.{i}.{k}.conv4.weight", 4)[0])
            down.append(k == 0)
        if f"blocks.{i}.{depth}.gamma" in arrays:
            attention.append(len(down))
            state |= _attention(arrays, f"blocks.{i}.{depth}", len(down), learns=True)
    if len({*channels}) == 1:  # the original's 32 px, whose last blocks stay at 8
        halved = [i for i, halves in enumerate(down) if halves][2:]
        down = [halves and i not in halved for i, halves in enumerate(down)]
    config: dict[str, Any] = {"num_classes": num_classes, "attention": attention}
    return lambda: BigGANDeepDiscriminator(channels, down, **config), state


def _discriminator_block(arrays: Arrays, theirs: str, ours: str, convs: int) -> State:
    state: State = {}
    for n in range(1, convs + 1):
        state |= _conv(arrays, f"{theirs}.conv{n}", f"{ours}.conv{n}", learns=True)
    if f"{theirs}.conv_sc.weight" in arrays:
        state |= _conv(arrays, f"{theirs}.conv_sc", f"{ours}.skip", learns=True)
    return state


def _count(arrays: Arrays, name: str = "blocks.{}.0.conv1.weight") -> int:
    count = 0
    while name.format(count) in arrays:
        count += 1
        if count > 64:
            raise PhotograftError(f"{arrays.path}: more than 64 blocks: no network has so many")
    return count


def _skip_unused(arrays: Arrays) -> None:
    """Counters, logged singular values, and vectors of the smaller ones."""
    arrays.skip("*.sv[0-9]", "*.u[0-9]", "*.accumulation_counter", "*.num_batches_tracked")
