"""Collages of pixels, without and with Poisson blending, beside those inside of the generator (Figs. 18, 19)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from infer.edits.feature_blending import blend_regions
from infer.edits.scbn import Region, class_modulations, in_class
from infer.evaluate.studies.measures import Measured
from infer.evaluate.studies.setting import Found, Pair, Setting, halves, natural, need_classes, pairs, region, stream
from infer.evaluate.studies.sheets import outlined, pixels_of
from infer.photo.choices import Method
from infer.photo.compositing import composite
from infer.photo.photo import Pixels
from infer.pictures.sheet import sheet
from models.base import Generator
from models.errors import UnsupportedEdit
from models.samples import Samples

COLUMNS = ("inside", "outside", "seam", "wanted")
METHODS = ("pixel collage", "+ Poisson", "internal collage")

Parts = Callable[[Pair], tuple[Tensor, Tensor]]
"""The pictures that the left and the right half of the region are of."""


def classes(setting: Setting) -> Found:
    """Two classes in the two halves of a region: pixels of the same z in these classes, or sCBN (Fig. 18)."""
    need_classes(setting.model)
    generator = setting.generator

    def parts(pair: Pair) -> tuple[Tensor, Tensor]:
        first, second = (_in_class(generator, pair.samples, targets) for targets in pair.targets)
        return first, second

    return _study(setting, "class collage", parts, lambda pair, masks: _by_class(generator, pair, masks))


def features(setting: Setting) -> Found:
    """The two halves of a region from two references: their pixels, or their features (Fig. 19)."""
    generator = setting.generator
    if not generator.feature_layers:
        raise UnsupportedEdit(f"model {setting.model.name} has no feature layers: features cannot be blended")

    def parts(pair: Pair) -> tuple[Tensor, Tensor]:
        return pair.other, pair.other.roll(1, 0)

    def inside(pair: Pair, masks: Sequence[Tensor]) -> Tensor:
        rolled = Samples(*(None if t is None else t.roll(1, 0) for t in _tensors(pair.others)))  # type: ignore[arg-type]
        return blend_regions(generator, pair.base, [pair.reference, stream(generator, rolled)], masks)

    return _study(setting, "feature collage", parts, inside)


def _tensors(samples: Samples) -> tuple[Tensor, Tensor | None, Tensor | None]:
    return samples.latent, samples.label, samples.origin


def _in_class(generator: Generator, samples: Samples, targets: Tensor) -> Tensor:
    """Samples of the same z in other classes, on the CPU."""
    assert samples.label is not None
    wanted = targets.to(generator.device)
    latent = in_class(generator, samples.latent, samples.label, wanted, samples.origin)
    return generator.synthesize(latent, generator.modulations(latent, wanted)).cpu()


def _by_class(generator: Generator, pair: Pair, masks: Sequence[Tensor]) -> Tensor:
    """sCBN of both classes in one pass; one sample at a time, as each has its own two."""
    found = []
    for i in range(len(pair.samples)):
        one = pair.samples[i : i + 1]
        assert one.label is not None
        regions = [Region(mask, int(targets[i])) for mask, targets in zip(masks, pair.targets, strict=True)]
        mixed = class_modulations(generator, one.latent, one.label, regions, origin=one.origin)
        found.append(generator.synthesize(one.latent, mixed))
    return torch.cat(found)


@torch.no_grad()
def _study(setting: Setting, name: str, parts: Parts, inside: Callable[[Pair, Sequence[Tensor]], Tensor]) -> Found:
    generator = setting.generator
    mask = region(generator.resolution)
    masks = halves(mask)
    measured = {method: Measured() for method in METHODS}
    plain, others = Measured(), natural(setting)
    shown: list[list[Pixels]] = []
    for pair in pairs(setting, name):
        first, second = parts(pair)
        wanted = torch.where(masks[0] > 0.5, first, second)
        edited = {
            METHODS[0]: collaged(pair.image, (first, second), masks, "paste"),
            METHODS[1]: collaged(pair.image, (first, second), masks, "poisson"),
            METHODS[2]: inside(pair, [one.to(generator.device) for one in masks]).cpu(),
        }
        plain.add(pair.image, pair.image, mask, judge=setting.judge, wanted=wanted, natural=True)
        for method, image in edited.items():
            measured[method].add(image, pair.image, mask, judge=setting.judge, wanted=wanted, natural=True)
        for i in range(max(min(setting.shown - len(shown), len(pair.image)), 0)):
            sources = [pixels_of(one[i : i + 1])[0] for one in (first, second)]
            row = [outlined(pixels_of(pair.image[i : i + 1])[0], *masks), *sources]
            shown.append([*row, *(pixels_of(image[i : i + 1])[0] for image in edited.values())])
    rows = [[name, *COLUMNS, "frechet"], ["none", *plain.cells(*COLUMNS), plain.distance(others)]]
    rows += [[method, *found.cells(*COLUMNS), found.distance(others)] for method, found in measured.items()]
    return Found(rows, sheet(shown, ["base", "for red", "for green", *METHODS], size=generator.resolution))


def collaged(base: Tensor, parts: Sequence[Tensor], masks: Sequence[Tensor], method: Method) -> Tensor:
    """Pictures [n,3,R,R] with regions [R,R] (or [n,R,R]) of others pasted in, one after another."""
    found = []
    for i, picture in enumerate(pixels_of(base)):
        for part, mask in zip(parts, masks, strict=True):
            where = (mask if mask.ndim == 2 else mask[i]).numpy().astype(np.float32)
            if where.any():
                picture = composite(picture, pixels_of(part[i : i + 1])[0], where, (0, 0), method=method)
        found.append(torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 127.5 - 1)
    return torch.stack(found)
