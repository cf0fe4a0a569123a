"""What a catalog is made of: activations of a layer as vectors, maps of clusters, and contributions M of channels.

Activations stream through taps: only the vectors that are clustered are ever held, the rest is sums. `A` is always
standardised, zero mean and unit variance per channel over all samples and positions (Collins et al., section 3.1).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from infer.catalog.choices import Resize
from infer.catalog.kmeans import CHUNK, assign
from infer.edits.feature_blending import Stream, record_features
from infer.progress import Progress, untold
from models.base import Generator, Layer
from models.errors import PhotograftError
from models.samples import Samples

EPS = 1e-8  # of variances: a channel that never changes contributes nothing
LARGEST_BATCH, PIXELS = 32, 2**22  # samples at a time, and their pixels at most


@dataclass(frozen=True)
class Activations:
    """Vectors of one layer.

    Attributes:
        vectors: [n,C] standardised, float32 or float16; in the order of samples, rows and columns if all are there.
        mean, std: [C] over all samples and positions.
    """

    vectors: Tensor
    mean: Tensor
    std: Tensor


def batch_size(generator: Generator) -> int:
    """Samples at a time that bound memory."""
    return max(1, min(LARGEST_BATCH, PIXELS // generator.resolution**2))


def batches(generator: Generator, samples: Samples, progress: Progress, what: str) -> Iterator[Samples]:
    """Samples in batches."""
    size = batch_size(generator)
    for i in range(0, len(samples), size):
        yield samples[i : i + size]
        progress(what, min(i + size, len(samples)), len(samples))


@torch.no_grad()
def features_at(generator: Generator, layer: Layer, samples: Samples) -> Tensor:  # -> [N,C,H,W]
    """Activations of a layer; the pass through the generator ends there."""
    stream = Stream(samples.latent, generator.modulations(samples.latent, samples.label))
    return record_features(generator, [stream], [layer.name])[layer.name][0]


def collect(
    generator: Generator,
    layer: Layer,
    samples: Samples,
    *,
    max_vectors: int | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    progress: Progress = untold,
) -> Activations:
    """Vectors of a layer at every position of every sample.

    Args:
        generator: any.
        layer: one of its layers.
        samples: N of them.
        max_vectors: hold at most so many, at random positions, the same number of every sample; None: all.
        dtype: in which they are held; float16 halves the memory.
        seed: of the positions.
        progress: told of progress.
    """
    positions = layer.resolution**2
    each = positions if max_vectors is None else max(1, min(positions, max_vectors // len(samples)))
    random = torch.Generator().manual_seed(seed)
    vectors = torch.empty(len(samples) * each, layer.channels, dtype=dtype, device=samples.latent.device)
    moments, at = Moments(), 0
    for part in batches(generator, samples, progress, f"activations of {layer.name}"):
        features = features_at(generator, layer, part)
        moments.add(features)
        rows = features.float().flatten(2).transpose(1, 2)  # [N,HW,C]
        if each < positions:
            chosen = torch.rand(len(part), positions, generator=random).argsort(1)[:, :each].to(rows.device)
            rows = rows.take_along_dim(chosen[..., None], 1)
        count = len(part) * each
        vectors[at : at + count] = rows.reshape(count, -1)
        at += count
    mean, std = (t.float() for t in moments.mean_and_std())
    standardise(vectors, mean, std)
    return Activations(vectors, mean, std)


def standardise(vectors: Tensor, mean: Tensor, std: Tensor) -> None:
    """Bring [n,C] to zero mean and unit variance in place."""
    for part in vectors.split(CHUNK):
        part.sub_(mean.to(part)).div_(std.to(part))


def cluster_maps(features: Tensor, centres: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """U: features [N,C,H,W] -> one-hot memberships [N,K,H,W] of the nearest centres [K,C]."""
    n, channels, height, width = features.shape
    rows = (features.float() - mean[:, None, None]) / std[:, None, None]
    labels = assign(rows.permute(0, 2, 3, 1).reshape(-1, channels), centres)
    return F.one_hot(labels.view(n, height, width), len(centres)).permute(0, 3, 1, 2).float()


def resize_maps(maps: Tensor, resolution: int, mode: Resize = "bilinear") -> Tensor:  # [N,K,H,W] -> [N,K,R,R]
    """Maps at a layer's resolution: "bilinear" as in the paper, "nearest" as in the released code."""
    if mode not in get_args(Resize):
        raise PhotograftError(f"unknown resizing {mode!r}: choose one of {', '.join(get_args(Resize))}")
    if maps.shape[-1] == resolution:
        return maps
    size = (resolution, resolution)
    if mode == "nearest":
        return F.interpolate(maps, size, mode="nearest")
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


class Moments:
    """Sums over samples and positions of one layer: of A and A^2 and, with maps U, of both in every cluster."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[Tensor] = []  # A, A^2: [C]; U: [K]; A U, A^2 U: [K,C]

    def add(self, features: Tensor, maps: Tensor | None = None) -> None:
        """Features [N,C,H,W], and maps [N,K,H,W] of the same size."""
        assert features.ndim == 4, features.shape
        a = features.float().transpose(0, 1).flatten(1)  # [C,NHW]
        new = [a.double().sum(1), a.double().square().sum(1)]
        if maps is not None:
            assert maps.shape[0] == features.shape[0] and maps.shape[2:] == features.shape[2:], maps.shape
            u = maps.to(a).transpose(0, 1).flatten(1)  # [K,NHW]
            new += [u.double().sum(1), (u @ a.T).double(), (u @ a.square().T).double()]
        self.count += a.shape[1]
        self.sums = [old + more for old, more in zip(self.sums, new, strict=True)] if self.sums else new

    def mean_and_std(self) -> tuple[Tensor, Tensor]:
        """Of each channel, [C] float64; the population's."""
        mean = self.sums[0] / self.count
        variance = (self.sums[1] / self.count - mean.square()).clamp_min(0)
        return mean, (variance + EPS).sqrt()

    def contributions(self) -> Tensor:  # -> [K,C]
        """M, the paper's Eq. 1: mean over samples and positions of A^2 U with A standardised."""
        mean, std = self.mean_and_std()
        u, ua, uaa = self.sums[2:]
        squares = uaa - 2 * mean * ua + mean.square() * u[:, None]
        return (squares / (self.count * std.square())).float()


@torch.no_grad()
def contributions(
    generator: Generator,
    layer: Layer,
    samples: Samples,
    centres: Tensor,
    mean: Tensor,
    std: Tensor,
    *,
    resize: Resize = "bilinear",
    progress: Progress = untold,
) -> tuple[list[Tensor], Tensor]:
    """M of all modulated layers for the clusters of one layer.

    Args:
        generator: any; with random noise the clusters are those of one draw and A is of another.
        layer: that was clustered; centres [K,C], mean and std [C] are its.
        samples: N of them.
        resize: how maps come to each layer's resolution.
        progress: told of progress.

    Returns:
        M [K,C_l] per modulated layer, and how often each position is in each cluster [K,H,W].
    """
    moments = {modulated.name: Moments() for modulated in generator.modulated_layers}
    total = torch.zeros(len(centres), layer.resolution, layer.resolution, device=centres.device)
    for part in batches(generator, samples, progress, "contributions of channels"):
        maps = cluster_maps(features_at(generator, layer, part), centres, mean, std)
        total += maps.sum(0)
        if moments:
            _add_all(generator, part, maps, moments, resize)
    return [m.contributions() for m in moments.values()], total / len(samples)


def _add_all(generator: Generator, samples: Samples, maps: Tensor, moments: dict[str, Moments], resize: Resize) -> None:
    def tap(layer: Layer, features: Tensor) -> Tensor:
        if layer.name in moments:
            moments[layer.name].add(features, resize_maps(maps, layer.resolution, resize))
        return features

    generator(samples.latent, samples.label, tap)


def find_layer(layers: Sequence[Layer], name: str | None = None) -> Layer:
    """A layer by its name or its number in the order of execution.

    Without a name it is the first modulated layer (of any kind if none is) of 32 pixels, which the paper found most
    semantic, or of the next smaller size.

    Raises:
        PhotograftError: no such layer.
    """
    if name is None:
        candidates = [layer for layer in layers if layer.modulated] or list(layers)
        return min(candidates, key=lambda layer: (layer.resolution > 32, abs(layer.resolution - 32)))
    for i, layer in enumerate(layers):
        if name in (layer.name, str(i)):
            return layer
    raise PhotograftError(f"there is no layer {name!r}: the generator has {', '.join(layer.name for layer in layers)}")
