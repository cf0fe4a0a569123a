"""Weights of StyleGAN2 under the names of NVIDIA's torch code -> our networks; other layouts are brought into these.

Every width, the architecture and the resampling filter follow from names and shapes alone. A generator without noise is
one whose noise has no strength.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoints import grey
from models.checkpoints.arrays import RESOLUTIONS, Arrays, N, fitted
from models.discriminators.stylegan2 import StyleGAN2Discriminator
from models.errors import PhotograftError
from models.generators.stylegan2 import BASE, TAPS, StyleGAN2Generator

MAPPING_RATE = 0.01
BESIDE_PICTURE = re.compile(r"to_rgb\.conv\.(weight|bias)$|from_rgb\.weight$")  # our names
GROUP_SIZE = 4
# where the original's layers hold its default filter, whatever the others resample with: these do not resample
UNUSED_FILTER = re.compile(r"(synthesis\.b\d+\.conv1|b\d+\.(fromrgb|conv0)|b4\.conv)\.resample_filter")

# our names -> the original's, one substitution after the other
COMMON = ((r"\.layers\.", ".fc"), (r"from_rgb", "fromrgb"))
GENERATOR = (
    *COMMON,
    (r"^map_latent", "mapping"),
    (r"^w_avg", "mapping.w_avg"),
    (r"conv(\d)\.(strength|const)$", r"conv\1.noise_\2"),
    (r"to_rgb(\.conv)?", "torgb"),
    (r"^blocks", "synthesis.blocks"),
)
DISCRIMINATOR = (
    *COMMON,
    (r"^map_class", "mapping"),
    (r"^(fromrgb|conv|out)\b", r"b4.\1"),
    (r"^linear", "b4.fc"),
)


def build_generator(
    values: Mapping[str, Any],
    path: Path,
    *,
    conv_clamp: float | None = None,
    mapping_rate: float = MAPPING_RATE,
    spelled: Mapping[str, str] | None = None,
    taps: Sequence[float] = TAPS,
    activation: str = "lrelu",
    mapping_activation: str = "lrelu",
    together: bool = False,
) -> StyleGAN2Generator:
    """The generator of a state dict, loaded strictly; without `mapping.w_avg` the mean of w is measured.

    Args:
        values: arrays by NVIDIA's names.
        path: of the file.
        conv_clamp: bound of the activations, or None.
        mapping_rate: relative learning rate of the mapping network, which scales it.
        spelled: NVIDIA's name -> the file's own, see `Arrays`.
        taps: of the resampling filter, where the arrays hold none.
        activation, mapping_activation, together: see `StyleGAN2Generator`.

    Raises:
        PhotograftError: missing or unknown arrays, arrays that do not fit, a filter that is not ours.
    """
    arrays = Arrays(values, path, spelled)
    sizes = _sizes("synthesis.b{}.conv1.weight", values, arrays)
    channels = [arrays.shape(f"synthesis.b{r}.conv1.weight", 4)[0] for r in sizes or (BASE,)]
    for r, (c_in, c_out) in zip(sizes[1:], pairwise(channels), strict=True):
        arrays.take(f"synthesis.b{r}.conv0.weight", c_out, c_in, 3, 3)
    architecture = "orig"
    if len(sizes) > 1:
        present = {"skip": "synthesis.b4.torgb.", "resnet": "synthesis.b8.skip."}
        architecture = next((kind for kind, start in present.items() if _any(values, start)), architecture)
    classes = _mapping(arrays)
    latent_dim = arrays.shape("mapping.fc0.weight", 2)[1] - (classes["embedding"] or 0)
    if latent_dim < 1:
        raise PhotograftError(f"{path}: the mapping network takes no latent")
    taps = _taps(values, arrays, taps)

    def make() -> StyleGAN2Generator:
        return StyleGAN2Generator(
            channels, latent_dim, **classes, architecture=architecture, conv_clamp=conv_clamp,
            mapping_rate=mapping_rate, taps=taps, activation=activation, mapping_activation=mapping_activation,
            together=together,
        )  # fmt: skip

    measured = "mapping.w_avg" not in arrays
    given = {"w_avg": torch.zeros(classes["mapping"][-1])} if measured else {}
    given |= {} if _any_noise(values) else _no_noise(sizes)
    network = _loaded(make, lambda key: _foreign(key, GENERATOR, sizes), given, arrays, grey.drawn)
    if measured:
        network.w_avg.copy_(network.sampled_w_mean())
    return network


def build_discriminator(
    values: Mapping[str, Any],
    path: Path,
    *,
    conv_clamp: float | None = None,
    mapping_rate: float = MAPPING_RATE,
    group_size: int | None = GROUP_SIZE,
    spelled: Mapping[str, str] | None = None,
    taps: Sequence[float] = TAPS,
    activation: str = "lrelu",
    mapping_activation: str = "lrelu",
    clamps_coarsest: bool = True,
) -> StyleGAN2Discriminator:
    """The discriminator of a state dict, loaded strictly: arguments and errors as of `build_generator`.

    Without a mapping network of the class, a last layer of several rows gives a score per class.
    """
    arrays = Arrays(values, path, spelled)
    sizes = [BASE, *_sizes("b{}.conv1.weight", values, arrays, 2 * BASE)]
    last = arrays.shape("b4.conv.weight", 4)
    channels = [last[0], *(arrays.shape(f"b{r}.conv1.weight", 4)[1] for r in sizes[1:])]
    for r, (c_out, c_in) in zip(sizes[1:], pairwise(channels), strict=True):
        arrays.take(f"b{r}.conv0.weight", c_in, c_in, 3, 3)
        arrays.take(f"b{r}.conv1.weight", c_out, c_in, 3, 3)
    architecture = "orig"
    if len(sizes) > 1:
        present = {"skip": "b4.fromrgb.", "resnet": f"b{sizes[-1]}.skip."}
        architecture = next((kind for kind, start in present.items() if _any(values, start)), architecture)
    if not 0 <= last[1] - last[0] <= last[0]:
        raise arrays.misfit("b4.conv.weight")
    classes, scores = {}, arrays.shape("b4.out.weight", 2)[0]
    if "mapping.fc0.weight" in arrays or "mapping.embed.weight" in arrays:
        classes = _mapping(arrays, "mapping.embed.weight")
    elif scores > 1:
        classes = {"num_classes": scores, "mapping": ()}
    taps = _taps(values, arrays, taps)
    final = arrays.shape("b4.fc.weight", 2)[0]

    def make() -> StyleGAN2Discriminator:
        return StyleGAN2Discriminator(
            channels, **classes, architecture=architecture, conv_clamp=conv_clamp, group_size=group_size,
            group_channels=last[1] - last[0], mapping_rate=mapping_rate, taps=taps, final=final,
            activation=activation, mapping_activation=mapping_activation, clamps_coarsest=clamps_coarsest,
        )  # fmt: skip

    def placed(value: Tensor) -> Tensor:
        return grey.seen(value, 3**-0.5)

    return _loaded(make, lambda key: _foreign(key, DISCRIMINATOR, sizes[::-1]), {}, arrays, placed)


def is_grey(values: Mapping[str, Any]) -> bool:
    """Whether a generator of these arrays draws one channel."""
    return any(name.endswith("torgb.bias") and getattr(value, "shape", ()) == (1,) for name, value in values.items())


def _any_noise(values: Iterable[str]) -> bool:
    return any(re.search(r"conv\d\.noise_", name) for name in values)


def _no_noise(sizes: Sequence[int]) -> dict[str, Tensor]:
    """Noise of strength 0 for every convolution, by our names."""
    given: dict[str, Tensor] = {}
    for i, size in enumerate(sizes):
        for layer in ("conv0", "conv1") if i else ("conv1",):
            given |= {f"blocks.{i}.{layer}.strength": torch.zeros(())}
            given |= {f"blocks.{i}.{layer}.const": torch.zeros(size, size)}
    return given


def _sizes(name: str, values: Iterable[str], arrays: Arrays, first: int = BASE) -> list[int]:
    """Resolutions that have this array, from the first one on."""
    sizes: list[int] = []
    while name.format(first << len(sizes)) in arrays:
        sizes.append(first << len(sizes))
        if len(sizes) > RESOLUTIONS:
            raise PhotograftError(f"{arrays.path}: more than {RESOLUTIONS} resolutions: no network has so many")
    after = name.format(first << len(sizes))
    if _any(values, after.rpartition("conv")[0]):  # of this resolution, one array alone is missing
        raise arrays.missing(after)
    return sizes


def _any(values: Iterable[str], start: str) -> bool:
    return any(name.startswith(start) for name in values)


def _mapping(arrays: Arrays, instead: str = "") -> dict[str, Any]:
    """Keywords that the mapping network's arrays give; without an array of this name it must have layers."""
    widths: list[int] = []
    for i in count():
        if f"mapping.fc{i}.weight" not in arrays:
            break
        widths.append(arrays.shape(f"mapping.fc{i}.weight", 2)[0])
    if not widths and instead not in arrays:
        raise arrays.missing("mapping.fc0.weight")
    embedding, classes = arrays.shape("mapping.embed.weight", 2) if "mapping.embed.weight" in arrays else (None, 0)
    return {"mapping": widths, "num_classes": classes, "embedding": embedding}


def _taps(values: Mapping[str, Any], arrays: Arrays, default: Sequence[float]) -> tuple[float, ...]:
    """The one filter that all layers resample with, of an even number of taps; taken from `arrays`."""
    held = {name: arrays.take(name) for name in values if name.endswith("resample_filter")}
    filters = [value for name, value in held.items() if not UNUSED_FILTER.fullmatch(name)]
    if not filters:
        return even_taps(default)
    line = filters[0].flatten(1).sum(1) if filters[0].ndim == 2 else filters[0].flatten()
    line = line / line.sum()
    expected = torch.outer(line, line) if filters[0].ndim == 2 else line
    if not all(f.shape == expected.shape and torch.allclose(f, expected, atol=1e-5) for f in filters):
        raise PhotograftError(f"{arrays.path}: its layers resample with filters that differ or are not separable")
    return even_taps(line.tolist())


def even_taps(taps: Sequence[float]) -> tuple[float, ...]:
    """A filter of an odd number of taps as one of an even number: the original pads it so that a zero goes first."""
    return tuple(taps) if len(taps) % 2 == 0 else (0.0, *taps)


def _foreign(key: str, names: tuple[tuple[str, str], ...], sizes: list[int]) -> str:
    """The original's name of one of our weights; sizes: of our blocks, in order."""
    for pattern, replacement in names:
        key = re.sub(pattern, replacement, key)
    return re.sub(r"\bblocks\.(\d+)", lambda match: f"b{sizes[int(match[1])]}", key)


def _loaded(
    make: Callable[[], N],
    foreign: Callable[[str], str],
    given: Mapping[str, Tensor],
    arrays: Arrays,
    coloured: Callable[[Tensor], Tensor],
) -> N:
    """The network of the arrays of these names, all of them, and of values that are not in the file.

    Args:
        coloured: makes what the layers beside the picture hold that of three channels.
    """
    with torch.device("meta"):
        keys = list(make().state_dict())
    placed = {key: (foreign(key), given[key] if key in given else arrays.take(foreign(key))) for key in keys}
    arrays.finish()
    for key in (key for key in keys if BESIDE_PICTURE.search(key)):
        placed[key] = placed[key][0], coloured(placed[key][1])
    return fitted(make, placed, arrays)
