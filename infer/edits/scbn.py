"""Spatial conditional batch normalisation: another class in a region (Suzuki et al., section 3.1, Eq. 2).

    gamma~(h,w) = sum_c W(c,h,w) gamma(c), the same for beta, with W >= 0 and sum_c W = 1 at every position.

The functions work on modulations, so they serve every family: CBN's gamma and beta, AdaIN's and StyleGAN2's styles.
What is mixed need not be classes: any K lists of modulations of one generator will do, for instance of several latents.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.base import Generator, Layer, Modulation, StyleGenerator
from models.errors import PhotograftError, UnsupportedEdit

SUM_TOLERANCE = 1e-4  # how far sum_c W may be from 1 in float32


@dataclass(frozen=True)
class Region:
    """A region and the class that it shall have.

    Attributes:
        mask: [H,W], or [N,H,W] for one mask per picture, in [0,1]; soft edges are welcome.
        target: class index, in 0..num_classes-1.
        strength: how much of the target class, in [0,1].
    """

    mask: Tensor
    target: int
    strength: float = 1.0


def region_weights(masks: Sequence[Tensor], strengths: Sequence[float] | None = None) -> Tensor:
    """Weight maps of a base and R regions from the regions' masks.

    Regions are laid over the base one after another, as layers of paint are (alpha compositing): with opacity
    a = strength * mask, a region takes the share a of a position and leaves (1 - a) of whatever lay there before. So a
    later region covers an earlier one where they overlap, and the base keeps the rest.

    Args:
        masks: [H,W] or [N,H,W] each, all of one height and width, in [0,1].
        strengths: one number in [0,1] per mask; 1 if not given.

    Returns:
        [N,1+R,H,W], the base first, non-negative, of sum 1 at every position. N is 1 unless a mask has a batch.

    Raises:
        PhotograftError: masks outside [0,1] or of different sizes, a strength outside [0,1].
    """
    if not masks:
        raise PhotograftError("no region was given: at least one mask is needed")
    strengths = [1.0] * len(masks) if strengths is None else strengths
    if len(strengths) != len(masks):
        raise PhotograftError(f"{len(strengths)} strengths for {len(masks)} masks")
    alphas = []
    for mask, strength in zip(masks, strengths, strict=True):
        if mask.ndim not in (2, 3) or mask.shape[-2:] != masks[0].shape[-2:]:
            raise PhotograftError(f"masks must be [H,W] of one size: {[list(m.shape) for m in masks]}")
        if not 0 <= strength <= 1:
            raise PhotograftError(f"a strength must be in 0..1, not {strength}")
        mask = mask.float()
        if not bool(((mask >= 0) & (mask <= 1)).all()):
            raise PhotograftError("mask values must be in 0..1 (divide a uint8 mask by 255)")
        alphas.append(strength * (mask if mask.ndim == 3 else mask[None]))  # [N,H,W]
    alphas = list(torch.broadcast_tensors(*alphas))
    weights = [torch.ones_like(alphas[0])]
    for alpha in alphas:
        weights = [*(w * (1 - alpha) for w in weights), alpha]
    return torch.stack(weights, dim=1)


def resize_weights(weights: Tensor, resolution: int, mode: str = "area") -> Tensor:  # [N,K,H,W] -> [N,K,R,R]
    """Weight maps at a layer's resolution.

    Args:
        weights: at any size.
        resolution: of the layer.
        mode: "area": along an axis that shrinks every cell is the mean over what it covers (antialiased), along one
            that grows it is interpolated linearly. "nearest": one sample per cell. Both keep sums over K.
    """
    if weights.shape[-2:] == (resolution, resolution):
        return weights
    size = (resolution, resolution)
    if mode == "nearest":
        return F.interpolate(weights, size, mode="nearest-exact")
    if mode != "area":
        raise PhotograftError(f"unknown resizing {mode!r}: choose area or nearest")
    exact = weights.double()  # float32 loses a thousandth where thousands of values are added: sums would not be 1
    fewer = [min(side, resolution) for side in weights.shape[-2:]]
    return F.interpolate(F.interpolate(exact, fewer, mode="area"), size, mode="bilinear").to(weights)


def layer_weights(
    weights: Tensor, layers: Sequence[Layer], chosen: Collection[int] | None = None, mode: str = "area"
) -> list[Tensor | None]:
    """One weight map per modulated layer from full-resolution maps.

    Args:
        weights: [N,K,H,W], see `region_weights`.
        layers: the generator's `modulated_layers`.
        chosen: indices into them where the edit acts; all if None. Early ones change shape, late ones texture.
        mode: see `resize_weights`.

    Returns:
        [N,K,R,R] where the edit acts, None where the base stays as it is.
    """
    chosen = range(len(layers)) if chosen is None else chosen
    wrong = [i for i in chosen if not 0 <= i < len(layers)]
    if wrong:
        raise PhotograftError(f"there is no modulated layer {wrong[0]}: the generator has 0..{len(layers) - 1}")
    if not chosen:
        raise PhotograftError(f"no layer is chosen, the edit would change nothing: give some of 0..{len(layers) - 1}")
    maps: dict[int, Tensor] = {}
    for i in chosen:
        if layers[i].resolution not in maps:
            maps[layers[i].resolution] = resize_weights(weights, layers[i].resolution, mode)
    return [maps[layer.resolution] if i in chosen else None for i, layer in enumerate(layers)]


def check_partition(weights: Tensor, what: str) -> None:
    """Raise PhotograftError unless weights [N,K,...] are non-negative and sum to 1 over K at every position."""
    if not bool((weights >= -SUM_TOLERANCE).all()):  # also false for NaN
        raise PhotograftError(f"{what}: weights must not be negative, the least is {weights.min().item():.4g}")
    total = weights.sum(dim=1)
    if not bool(((total - 1).abs() <= SUM_TOLERANCE).all()):
        low, high = total.min().item(), total.max().item()
        raise PhotograftError(f"{what}: weights must sum to 1 at every position, they sum to {low:.4g}..{high:.4g}")


def spatial_mix(
    modulations: Sequence[Sequence[Modulation]], weights: Sequence[Tensor | None], normalise: bool = True
) -> list[Modulation]:
    """Mix the modulations of K classes (or latents) by maps: the paper's Eq. 2 for gamma, beta or styles.

    Args:
        modulations: K lists with one modulation [N,C] (or [N,C,H,W]) per modulated layer; the first is the base.
        weights: per modulated layer [N,K,H,W] at its resolution (N may be 1), or None: the base as it is.
        normalise: hold W to the paper's definition (non-negative, sum 1). False takes any W, as the original code does.

    Returns:
        One modulation per layer, [N,C,H,W] where there is a map.

    Raises:
        PhotograftError: W of the wrong number of classes, negative, or not summing to 1.
    """
    layers = list(zip(*modulations, strict=True))  # per layer: K modulations
    if len(layers) != len(weights):
        raise PhotograftError(f"{len(weights)} weight maps for {len(layers)} modulated layers")
    mixed = []
    for i, (classes, w) in enumerate(zip(layers, weights, strict=True)):
        if w is None:
            mixed.append(classes[0])
            continue
        if w.ndim != 4 or w.shape[1] != len(classes):
            raise PhotograftError(f"W of modulated layer {i} must be [N,{len(classes)},H,W], not {list(w.shape)}")
        if normalise:
            check_partition(w, f"W of modulated layer {i}")
        shifts = [m.shift for m in classes if m.shift is not None]
        mixed.append(Modulation(_mix([m.scale for m in classes], w), _mix(shifts, w) if shifts else None))
    return mixed


def _mix(values: Sequence[Tensor], w: Tensor) -> Tensor:  # K x [N,C] or [N,C,H,W], [N,K,H,W] -> [N,C,H,W]
    w = w.to(values[0])
    if all(v.ndim == 2 for v in values):
        stacked = torch.stack(list(values), dim=1)  # [N,K,C]
        n = max(len(stacked), len(w))
        return torch.einsum("nkc,nkhw->nchw", stacked.expand(n, -1, -1), w.expand(n, -1, -1, -1))
    parts = [(v if v.ndim == 4 else v[:, :, None, None]) * w[:, k, None] for k, v in enumerate(values)]
    return torch.stack(parts).sum(0)


def region_maps(
    generator: Generator, regions: Sequence[Region], layers: Collection[int] | None = None, mode: str = "area"
) -> list[Tensor | None]:
    """Weight maps of regions, one per modulated layer: what `class_modulations` needs of them, for any latent.

    Args:
        generator: a class-conditional one.
        regions: masks at full resolution (any size), target classes, strengths; later ones lie over earlier ones.
        layers: indices of modulated layers where the edit acts; all if None.
        mode: how masks are resized, see `resize_weights`.

    Raises:
        UnsupportedEdit: a generator without modulated layers or without classes.
        PhotograftError: bad masks, strengths or layers.
    """
    if not generator.modulated_layers or not generator.num_classes:
        other = "" if generator.modulated_layers else ", only features can be blended"
        raise UnsupportedEdit(f"this generator has no class-conditional layers: classes cannot be changed{other}")
    weights = region_weights([r.mask for r in regions], [r.strength for r in regions])
    return layer_weights(weights, generator.modulated_layers, layers, mode)


def class_modulations(
    generator: Generator,
    latent: Tensor,
    label: Tensor,
    regions: Sequence[Region],
    *,
    origin: Tensor | None = None,
    base: Sequence[Modulation] | None = None,
    maps: Sequence[Tensor | None] | None = None,
    layers: Collection[int] | None = None,
    mode: str = "area",
) -> list[Modulation]:
    """Modulations of pictures whose regions have other classes; give them to `generator.synthesize`.

    Args:
        generator: a class-conditional one.
        latent: [N,latent_dim], or w+ [N,num_ws,w_dim] of a style generator.
        label: [N] base classes, or [N,num_classes] weights of classes.
        origin: of w+, see `in_class`.
        base: modulations that the regions are laid over, where other edits have changed them; None: those of the
            latent and its class.
        maps: of the regions, where they are known already.
        regions, layers, mode: else, see `region_maps`.

    Raises:
        UnsupportedEdit: a generator without modulated layers or without classes.
        PhotograftError: bad masks, strengths, classes or layers.
    """
    maps = region_maps(generator, regions, layers, mode) if maps is None else maps
    modulations: list[Sequence[Modulation]] = [generator.modulations(latent, label) if base is None else base]
    for region in regions:
        target = torch.full((len(latent),), region.target, dtype=torch.int64, device=latent.device)
        modulations.append(generator.modulations(in_class(generator, latent, label, target, origin), target))
    return spatial_mix(modulations, maps)


@torch.no_grad()
def in_class(
    generator: Generator, latent: Tensor, label: Tensor | None, target: Tensor, origin: Tensor | None = None
) -> Tensor:
    """Latents that are the same pictures in other classes, as far as that can be said.

    z says it by itself: it goes with any class. w+ has its class in it, so its place is taken by w of the z that it
    came from (E's answer, or where projection began), under the other class. Where only w is known, it moves by what
    the means of w of the two classes differ (`StyleGenerator.class_step`).

    Args:
        generator: a class-conditional one.
        latent: [N,latent_dim] or w+ [N,num_ws,w_dim].
        label: [N] classes of the pictures, or [N,num_classes] weights; only looked at where w moves.
        target: [N] other classes.
        origin: [N,latent_dim], NaN in rows where z is not known; None: in none.

    Returns:
        As latent.

    Raises:
        PhotograftError: w+ of an unknown z and an unknown class.
    """
    if not isinstance(generator, StyleGenerator) or latent.ndim != 3:
        return latent
    z = latent.new_full((len(latent), generator.latent_dim), torch.nan) if origin is None else origin
    known = torch.isfinite(z).all(dim=1)
    moved = generator.mapping(z.nan_to_num(), target).to(latent)
    for i in (~known).nonzero()[:, 0].tolist():
        if label is None:
            raise PhotograftError("the class of these latents is not known: give it, or the z that they came from")
        moved[i] = latent[i] + _step(generator, label[i], int(target[i])).to(latent)
    return moved


def _step(generator: StyleGenerator, label: Tensor, target: int) -> Tensor:  # -> [w_dim]
    """How far the target's mean of w lies from that of a class [], or of a mixture's classes [K], each by its share."""
    if label.ndim == 0:
        return generator.class_step(int(label), target)
    steps = [label[k] * generator.class_step(k, target) for k in label.nonzero()[:, 0].tolist()]
    return torch.stack(steps).sum(0)
