"""What the ONNX files of a model compute: a module each, whose inputs and output have names.

| part | inputs | output |
|---|---|---|
| generator | z [N,D], classes [N,K] (weights, of sum 1) | image [N,3,R,R] |
| generator-maps | z [N,D], maps [N,K,R,R] (weights at every pixel, of sum 1): sCBN | image |
| encoder | image (and classes) | z |

A style generator is cut at w+: `mapping` has z and classes, `generator` has ws [N,L,W], and `generator-maps` has
ws [N,M,L,W] of M pictures, mixed by maps [N,M,R,R].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Generator, Modulation, StyleGenerator
from models.encoder import Encoder
from models.prepared import prepare
from models.zoo import Model

MIXED = 2  # pictures, of an example of mixed ones
Axis = str | int
Inputs = dict[str, tuple[Axis, ...]]
Example = Callable[[int], tuple[Tensor, ...]]


@dataclass(frozen=True, eq=False)
class Graph:
    """One file's network.

    Attributes:
        part: of the file's name.
        module: takes the inputs in their order.
        inputs: names with shapes; an axis that varies has a name.
        output: its name and shape.
        example: so many random inputs.
    """

    part: str
    module: nn.Module
    inputs: Inputs
    output: tuple[str, tuple[Axis, ...]]
    example: Example


class Drawing(nn.Module):
    """z and weights of classes -> image; of an unconditional generator z alone."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        image: Tensor = self.generator(z, classes)
        return image


class MixingClasses(Drawing):
    """z and weights of classes at every pixel -> image: sCBN (Suzuki et al., Eq. 2) at every modulated layer."""

    def forward(self, z: Tensor, maps: Tensor) -> Tensor:  # type: ignore[override]
        n, classes = z.shape[0], self.generator.num_classes
        each = torch.eye(classes, dtype=z.dtype, device=z.device).repeat(n, 1)  # [N K,K]
        modulations = self.generator.modulations(z.repeat_interleave(classes, dim=0), each)
        return self.generator.synthesize(z, mixed(self.generator, modulations, maps))


class Mapping(nn.Module):
    """z and weights of classes -> w+."""

    def __init__(self, generator: StyleGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        return self.generator.mapping(z, classes)


class Synthesis(Mapping):
    """w+ -> image."""

    def forward(self, ws: Tensor) -> Tensor:  # type: ignore[override]
        return self.generator.synthesize(ws, self.generator.styles(ws))


class MixingStyles(Mapping):
    """w+ of M pictures and their weights at every pixel -> one image."""

    def forward(self, ws: Tensor, maps: Tensor) -> Tensor:  # type: ignore[override]
        modulations = self.generator.styles(ws.flatten(0, 1))
        return self.generator.synthesize(ws[:, 0], mixed(self.generator, modulations, maps))


class Encoding(nn.Module):
    """Picture (and weights of classes) -> z."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor, classes: Tensor | None = None) -> Tensor:
        z: Tensor = self.encoder(image, classes)
        return z


def mixed(generator: Generator, modulations: Sequence[Modulation], maps: Tensor) -> list[Modulation]:
    """Modulations [N K,C(,r,r)] of K classes (or pictures) for each of N, mixed by maps [N,K,R,R] -> [N,C,r,r].

    As `infer.edits.scbn.spatial_mix`, in operations that every runtime has: at a layer of r px each weight is the mean
    over R/r pixels.
    """
    n, count = maps.shape[0], maps.shape[1]
    layers = generator.modulated_layers
    sizes = {layer.resolution for layer in layers}
    by_size = {r: F.avg_pool2d(maps, generator.resolution // r) for r in sizes}  # [N,K,r,r]

    def mix(t: Tensor, weights: Tensor) -> Tensor:
        each = t.unflatten(0, (n, count))
        if t.ndim == 4:
            return (each * weights[:, :, None]).sum(1)
        return (each.mT @ weights.flatten(2)).unflatten(2, weights.shape[2:])

    return [
        m.map(partial(mix, weights=by_size[layer.resolution])) for m, layer in zip(modulations, layers, strict=True)
    ]


def graphs(model: Model) -> tuple[list[Graph], list[str]]:
    """The files that a model becomes, and in words what it has no file for."""
    generator = prepare(model.generator)
    found = _of_styles(generator) if isinstance(generator, StyleGenerator) else _of_classes(generator)
    missing = []
    if not generator.modulated_layers:
        missing.append("generator-maps: its layers take no modulation, so no classes or styles are mixed")
    elif not generator.num_classes and not isinstance(generator, StyleGenerator):
        missing.append("generator-maps: the model is unconditional, so there are no classes to mix")
    if model.encoder is None:
        missing.append("encoder: the model has none")
    else:
        found.append(_of_encoder(prepare(model.encoder)))
    return found, missing


def _of_classes(generator: Generator) -> list[Graph]:
    d, k, r = generator.latent_dim, generator.num_classes, generator.resolution
    z: Inputs = {"z": ("N", d)}
    image = ("image", ("N", 3, r, r))
    if not k:
        return [Graph("generator", Drawing(generator), z, image, lambda n: (torch.randn(n, d),))]
    found = [Graph("generator", Drawing(generator), {**z, "classes": ("N", k)}, image, _coded(d, k))]
    if generator.modulated_layers:
        maps: Inputs = {**z, "maps": ("N", k, r, r)}
        found.append(Graph("generator-maps", MixingClasses(generator), maps, image, _coded(d, k, r, r)))
    return found


def _of_styles(generator: StyleGenerator) -> list[Graph]:
    d, k, r = generator.latent_dim, generator.num_classes, generator.resolution
    ws = (generator.num_ws, generator.w_dim)
    code: Example = _coded(d, k) if k else lambda n: (torch.randn(n, d),)
    inputs: Inputs = {"z": ("N", d), "classes": ("N", k)} if k else {"z": ("N", d)}
    styled: Inputs = {"ws": ("N", *ws)}
    several: Inputs = {"ws": ("N", "M", *ws), "maps": ("N", "M", r, r)}
    image = ("image", ("N", 3, r, r))
    mapping = Mapping(generator)

    def styles(n: int) -> tuple[Tensor]:
        return (mapping(*code(n)),)

    def mixed_styles(n: int) -> tuple[Tensor, Tensor]:
        (all_of_them,) = styles(n * MIXED)
        return all_of_them.unflatten(0, (n, MIXED)), torch.randn(n, MIXED, r, r).softmax(1)

    return [
        Graph("mapping", mapping, inputs, ("ws", ("N", *ws)), code),
        Graph("generator", Synthesis(generator), styled, image, styles),
        Graph("generator-maps", MixingStyles(generator), several, image, mixed_styles),
    ]


def _of_encoder(encoder: Encoder) -> Graph:
    r, k = encoder.resolution, encoder.num_classes
    inputs: Inputs = {"image": ("N", 3, r, r), "classes": ("N", k)} if k else {"image": ("N", 3, r, r)}

    def example(n: int) -> tuple[Tensor, ...]:
        image = torch.rand(n, 3, r, r) * 2 - 1
        return (image, torch.randn(n, k).softmax(1)) if k else (image,)

    return Graph("encoder", Encoding(encoder), inputs, ("z", ("N", encoder.latent_dim)), example)


def _coded(latent_dim: int, classes: int, *pixels: int) -> Example:
    """z, and weights of classes (at every pixel)."""
    return lambda n: (torch.randn(n, latent_dim), torch.randn(n, classes, *pixels).softmax(1))
