"""Pictures that a generator knows: samples of its prior, and photos that were projected."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.catalog.catalog import Catalog
from infer.catalog.part_transfer import stream_of
from infer.edits.feature_blending import Stream
from infer.photo.box import Box
from infer.photo.location import FoundHead
from infer.projection.delta import Delta, load_delta
from infer.projection.mixture import Source, source_label, source_title
from models.base import Generator
from models.samples import Samples, draw
from models.schema import Seed, Text, Weight, check
from models.zoo import Model


@dataclass(frozen=True)
class Sample:
    """A sample of a model's prior.

    Attributes:
        seed: of the draw.
        class_name: its class; None: drawn too.
        truncation: see `models.samples.truncated`.

    Raises:
        PhotograftError: a value that is no such thing.
    """

    seed: int = 0
    class_name: str | None = None
    truncation: float = 1.0

    def __post_init__(self) -> None:
        check(Seed, self.seed, "the seed of a sample")
        check(Text | None, self.class_name, "the class of a sample")
        check(Weight, self.truncation, "truncation")


@dataclass(frozen=True)
class Projected:
    """A photo, and where its projection ended.

    Attributes:
        photo, pixels, size: path (None: an array), sha256 of the upright RGB pixels, (width, height).
        box, located: the square that was projected, and how it was found.
        roll: degrees by which its head is turned clockwise, and was turned back; 0: it was not turned.
        confidence: of the head that was found; None where there was none, or a recipe is from before it was written.
        heads: all that were found, if there are several.
        class_name: of the crop, or the weights of a mixture by its names; None if the model is unconditional.
        latent: z of latent_dim values or w+ of num_ws rows; origin: the z that w+ came from, if known.
        loss, iterations, settings: of the projection.
        delta: file of what the photo changes in the generator, see `infer.projection.delta.Delta`; None for nothing.
    """

    photo: Path | None
    pixels: str
    size: tuple[int, int]
    box: Box
    located: str
    class_name: Source | None
    latent: tuple[float, ...] | tuple[tuple[float, ...], ...]
    loss: float | None
    iterations: int
    settings: dict[str, Any]
    origin: tuple[float, ...] | None = None
    delta: Path | None = None
    confidence: float | None = None
    heads: tuple[FoundHead, ...] = ()
    roll: float = 0.0


@dataclass(frozen=True, eq=False)
class Point:
    """A picture that the generator knows: what edits start from, and what they take parts of.

    Attributes:
        samples: its latent and class, on the CPU.
        generator: that makes it: the model's, or a copy with the photo's delta; on the device.
        class_name: for people; None if there are no classes.
        said: how a recipe says it.
        delta: what the photo changes in the generator.
    """

    samples: Samples
    generator: Generator
    class_name: str | None
    said: Sample | Projected
    delta: Delta | None = None

    @property
    def title(self) -> str:
        """For people: its class, else its seed, else nothing."""
        return self.class_name or (str(self.said.seed) if isinstance(self.said, Sample) else "")

    @cached_property
    def stream(self) -> Stream:
        """Its latent and modulations, for edits."""
        return replace(stream_of(self.generator, self.samples), generator=self.generator)

    @torch.no_grad()
    def image(self) -> Tensor:  # -> [1,3,R,R]
        """What the generator makes of it."""
        return self.generator(self.samples.latent, self.samples.label)


class Pointing(Protocol):
    """Whatever has a picture that the generator knows: an editor with its photo or sample."""

    model: Model

    def point(self) -> Point: ...


def sample_point(model: Model, sample: Sample) -> Point:
    """A sample, drawn with a model whose generator is on the device. Raises PhotograftError for an unknown class."""
    label = None if sample.class_name is None else model.class_index(sample.class_name)
    drawn = draw(model, 1, seed=sample.seed, truncation=sample.truncation, label=label).cpu()
    if sample.truncation != 1:
        drawn = replace(drawn, origin=None)  # w is no longer that of z
    name = None if drawn.label is None or not model.class_names else model.class_names[int(drawn.label)]
    return Point(drawn, model.generator, name, replace(sample, class_name=name))


def projected_point(model: Model, known: Projected) -> Point:
    """A photo's projection, as a recipe has it; the photo itself is not needed. The model is as in `sample_point`.

    Raises:
        PhotograftError: an unknown class, or no file of the delta.
    """
    label = None if known.class_name is None else source_label(model, known.class_name)
    origin = None if known.origin is None else torch.tensor([known.origin])
    delta = None if known.delta is None else load_delta(known.delta, model.fingerprint)
    generator = model.generator if delta is None else delta.applied(model.generator)
    name = source_title(known.class_name)
    return Point(Samples(torch.tensor([known.latent]), label, origin), generator, name, known, delta)


def part_area(catalog: Catalog, generator: Generator, samples: Samples, part: str) -> NDArray[np.float32]:  # -> [r,r]
    """Where a part is in a picture, at the size of the catalog's layer."""
    maps = catalog.cluster_maps(generator, samples)
    return np.asarray(catalog.part_map(part, maps)[0].cpu()).clip(0, 1).astype(np.float32)


def pixels_hash(pixels: NDArray[np.uint8]) -> str:  # [H,W,3]
    """sha256 of size and pixels: the same however the file is packed."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def plain(latent: Tensor) -> Any:
    """A tensor's numbers as nested tuples."""
    return tuple(map(plain, latent)) if latent.ndim > 1 else tuple(latent.tolist())
