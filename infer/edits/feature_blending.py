"""Spatial feature blending: parts of other pictures, carried over in feature space (Suzuki et al., section 3.2, Eq. 3).

    F0 <- sum_i M_i * U_i(F_i) at chosen layers, recursively, with M_i >= 0 and sum_i M_i = 1 at every position.

F0 is the base picture's features on their way through the generator, so blending at one layer reaches all later ones;
F_i are the references' own features, which nothing changes. Every reference keeps its own latent and modulations. (The
original code runs all of them under the base's classes: give them the base's modulations for that.)

Written over taps alone, so it serves every generator that has feature layers.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from infer.edits.choices import DEFAULT_SIZE
from infer.edits.scbn import check_partition, region_weights, resize_weights
from models.base import Generator, Layer, Modulation, Tap
from models.errors import PhotograftError, UnsupportedEdit

Shift = tuple[float, float]


@dataclass(frozen=True)
class Stream:
    """One picture on its way through the generator.

    Attributes:
        latent: [N,latent_dim], or w+ [N,num_ws,w_dim]; of one kind in all pictures that go through together.
        modulations: one per modulated layer, of the picture's own class (or edited).
        generator: that makes the picture, where it is a copy tuned to it; None: that of the other pictures.
    """

    latent: Tensor
    modulations: Sequence[Modulation]
    generator: Generator | None = None


def shift_features(features: Tensor, dx: float, dy: float) -> Tensor:  # [N,C,H,W] -> [N,C,H,W]
    """U: translate by (dx, dy) pixels of the feature map, to the right and down.

    Whole pixels are moved exactly, parts of a pixel by linear interpolation; what moves in repeats the border.
    """
    return _shift_axis(_shift_axis(features, dx, 3), dy, 2)


def _shift_axis(features: Tensor, offset: float, dim: int) -> Tensor:
    whole = int(offset // 1)
    part = offset - whole
    size = features.shape[dim]
    at = torch.arange(size, device=features.device)

    def moved(by: int) -> Tensor:
        return features if by == 0 else features.index_select(dim, (at - by).clamp(0, size - 1))

    return moved(whole) if part == 0 else torch.lerp(moved(whole), moved(whole + 1), part)


def blend(
    generator: Generator,
    base: Stream,
    references: Sequence[Stream],
    weights: Mapping[int, Tensor],
    *,
    shifts: Sequence[Shift] | None = None,
    normalise: bool = True,
) -> Tensor:
    """Picture whose features are blended with those of references.

    Args:
        generator: any with feature layers.
        base: the picture that is edited, N pictures.
        references, weights, shifts, normalise: see `blending_tap`.

    Returns:
        [N,3,R,R] in [-1,1].

    Raises:
        UnsupportedEdit: a generator without feature layers.
        PhotograftError: M that does not fit a layer, is negative or does not sum to 1.
    """
    tap = blending_tap(generator, references, weights, shifts=shifts, normalise=normalise)
    return generator.synthesize(base.latent, base.modulations, tap)


def blending_tap(
    generator: Generator,
    references: Sequence[Stream],
    weights: Mapping[int, Tensor],
    *,
    shifts: Sequence[Shift] | None = None,
    normalise: bool = True,
) -> Tap:
    """What blends features of references, recorded here, into those of a picture on its way through the generator.

    Args:
        generator: any with feature layers.
        references: R pictures (or batches of N) that parts are taken from.
        weights: index into `generator.feature_layers` -> M at that layer, [N,1+R,H,W] at its resolution, or
            [N,1+R,C,H,W] to weight channels too; the base comes first; N may be 1. Other layers are left alone.
        shifts: U of each reference: (dx, dy) in pixels of the *image*, scaled to each layer's pixels.
        normalise: hold M to the paper's definition (non-negative, sum 1). False takes any M, as the original code does.

    Raises:
        UnsupportedEdit: a generator without feature layers.
        PhotograftError: M that does not fit a layer, is negative or does not sum to 1.
    """
    layers = generator.feature_layers
    if not layers:
        raise UnsupportedEdit("this generator has no feature layers: features cannot be blended")
    shifts = [(0.0, 0.0)] * len(references) if shifts is None else shifts
    if len(shifts) != len(references):
        raise PhotograftError(f"{len(shifts)} shifts for {len(references)} references")
    for index, m in weights.items():
        _check_weights(m, index, layers, 1 + len(references), normalise)
    by_name = {layers[index].name: m for index, m in weights.items()}
    recorded = record_features(generator, references, tuple(by_name)) if references else {}

    def tap(layer: Layer, features: Tensor) -> Tensor:
        if layer.name not in by_name:
            return features
        m = by_name[layer.name].to(features)
        m = m if m.ndim == 5 else m[:, :, None]  # [N,1+R,C or 1,H,W]
        mixed = m[:, 0] * features
        scale = layer.resolution / generator.resolution
        for i, ((dx, dy), other) in enumerate(zip(shifts, recorded.get(layer.name, ()), strict=True), start=1):
            mixed = torch.addcmul(mixed, m[:, i], shift_features(other, dx * scale, dy * scale))
        return mixed

    return tap


def _check_weights(m: Tensor, index: int, layers: Sequence[Layer], streams: int, normalise: bool) -> None:
    if not 0 <= index < len(layers):
        raise PhotograftError(f"there is no feature layer {index}: the generator has 0..{len(layers) - 1}")
    layer = layers[index]
    size = (layer.resolution, layer.resolution)
    if m.ndim not in (4, 5) or m.shape[1] != streams or tuple(m.shape[-2:]) != size:
        raise PhotograftError(f"M of layer {layer.name} must be [N,{streams},{size[0]},{size[1]}], not {list(m.shape)}")
    if normalise:
        check_partition(m, f"M of layer {layer.name}")


class _Enough(Exception):
    """Every wanted feature is recorded: the rest of the network need not run."""


def record_features(
    generator: Generator, streams: Sequence[Stream], names: Sequence[str]
) -> dict[str, tuple[Tensor, ...]]:
    """Features of pictures at named layers: name -> [N,C,H,W] per stream.

    One batched pass, and one for each stream with a generator of its own. A pass ends at the last of the layers, so
    early layers cost little.
    """
    shared = [stream for stream in streams if stream.generator is None]
    batches = [(generator, shared)] if shared else []
    batches += [(stream.generator, [stream]) for stream in streams if stream.generator is not None]
    of: dict[int, dict[str, Tensor]] = {}  # by the stream's id
    for network, batch in batches:
        recorded = _record(network, batch, names)
        of |= {id(stream): {name: found[i] for name, found in recorded.items()} for i, stream in enumerate(batch)}
    return {name: tuple(of[id(stream)][name] for stream in streams) for name in names}


def _record(generator: Generator, streams: Sequence[Stream], names: Sequence[str]) -> dict[str, tuple[Tensor, ...]]:
    recorded: dict[str, tuple[Tensor, ...]] = {}
    sizes = [len(stream.latent) for stream in streams]

    def tap(layer: Layer, features: Tensor) -> Tensor:
        if layer.name in names:
            recorded[layer.name] = features.split(sizes)
            if len(recorded) == len(names):
                raise _Enough
        return features

    latent = torch.cat([stream.latent for stream in streams])
    with contextlib.suppress(_Enough):
        generator.synthesize(latent, _concatenate(streams), tap)
    return recorded


def _concatenate(streams: Sequence[Stream]) -> list[Modulation]:
    """Modulations of all streams as one batch; where some vary over space, all do."""
    batched = []
    for modulations in zip(*(stream.modulations for stream in streams), strict=True):
        scales = _same_form([m.scale for m in modulations])
        shifts = _same_form([m.shift for m in modulations if m.shift is not None])
        batched.append(Modulation(torch.cat(scales), torch.cat(shifts) if shifts else None))
    return batched


def _same_form(values: Sequence[Tensor]) -> list[Tensor]:
    spatial = next((v for v in values if v.ndim == 4), None)
    if spatial is None:
        return list(values)
    return [v if v.ndim == 4 else v[:, :, None, None].expand(-1, -1, *spatial.shape[2:]) for v in values]


def blend_regions(
    generator: Generator,
    base: Stream,
    references: Sequence[Stream],
    masks: Sequence[Tensor],
    *,
    strengths: Sequence[float] | None = None,
    layers: Sequence[int] | None = None,
    shifts: Sequence[Shift] | None = None,
    mode: str = "area",
) -> Tensor:
    """Carry a region of each reference over into the base.

    Args:
        generator, base: see `blend`.
        references, masks, strengths, layers, shifts, mode: see `regions_tap`.

    Returns:
        [N,3,R,R] in [-1,1].
    """
    tap = regions_tap(generator, references, masks, strengths=strengths, layers=layers, shifts=shifts, mode=mode)
    return generator.synthesize(base.latent, base.modulations, tap)


def regions_tap(
    generator: Generator,
    references: Sequence[Stream],
    masks: Sequence[Tensor],
    *,
    strengths: Sequence[float] | None = None,
    layers: Sequence[int] | None = None,
    shifts: Sequence[Shift] | None = None,
    mode: str = "area",
) -> Tap:
    """What carries a region of each reference over into a picture on its way through the generator.

    Args:
        generator, references, shifts: see `blending_tap`.
        masks: one [H,W] or [N,H,W] per reference in [0,1], at any one size, where in the *base* its features go; later
            ones lie over earlier ones (see `infer.edits.scbn.region_weights`).
        strengths: one number in [0,1] per reference; 1 if not given.
        layers: indices into `generator.feature_layers`; None: those up to 32 px, as in the original's
            demo. Those that the generator does not have are an error.
        mode: how masks are resized: "area" or "nearest".
    """
    if len(masks) != len(references):
        raise PhotograftError(f"{len(masks)} masks for {len(references)} references")
    full = region_weights(masks, strengths)
    sizes = [layer.resolution for layer in generator.feature_layers]
    layers = [i for i, size in enumerate(sizes) if size <= DEFAULT_SIZE] if layers is None else layers
    wrong = [i for i in layers if not 0 <= i < len(sizes)]
    if wrong:
        raise PhotograftError(f"there is no feature layer {wrong[0]}: the generator has 0..{len(sizes) - 1}")
    weights = {i: resize_weights(full, sizes[i], mode) for i in layers}
    return blending_tap(generator, references, weights, shifts=shifts)
