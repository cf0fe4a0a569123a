"""Features of another picture in a region: by which layers, and beside interpolation of latents (Figs. 13 and 11)."""

from collections.abc import Callable

import torch
from torch import Tensor

from infer.edits.feature_blending import blend_regions
from infer.evaluate.studies.measures import Measured
from infer.evaluate.studies.setting import Found, Pair, Setting, natural, pairs, region
from infer.evaluate.studies.sheets import outlined, pixels_of
from infer.photo.photo import Pixels
from infer.pictures.sheet import sheet
from models.base import Generator
from models.errors import UnsupportedEdit

RATIOS = (0.0, 0.5, 1.0)
STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
SETS = 4  # of layers, as the paper's: 1; 1, 2; 1, 2, 3; 1, 2, 3, 4

Way = Callable[[Pair], Tensor]


def layers(setting: Setting) -> Found:
    """Blending in the first, the first two, three and four layers at ratios of 0, 0.5 and 1 (Fig. 13)."""
    generator, mask = setting.generator, region(setting.generator.resolution)
    _need_features(setting)
    sizes = [layer.resolution for layer in generator.feature_layers]
    ways: dict[tuple[str, str], Way] = {}
    for count in range(1, min(SETS, len(sizes)) + 1):
        title = f"up to {sizes[count - 1]} px"
        for ratio in RATIOS[1:]:
            ways[title, f"{ratio:g}"] = _blending(generator, mask, ratio, [*range(count)])
    columns = ("inside", "outside", "coarse", "fine", "seam", "wanted")
    return _study(setting, ("layers", "M"), ways, columns)


def interpolation(setting: Setting) -> Found:
    """The latent on its way to another one, beside blending in a region with the same weight (Fig. 11)."""
    generator, mask = setting.generator, region(setting.generator.resolution)
    _need_features(setting)
    ways: dict[tuple[str, str], Way] = {}
    for step in STEPS[1:]:
        ways["latents", f"{step:g}"] = _between(generator, step)
    for step in STEPS[1:]:
        ways["features", f"{step:g}"] = _blending(generator, mask, step, None)
    return _study(setting, ("interpolated", "weight"), ways, ("inside", "outside", "coarse", "fine", "seam", "wanted"))


def _need_features(setting: Setting) -> None:
    if not setting.generator.feature_layers:
        raise UnsupportedEdit(f"model {setting.model.name} has no feature layers: features cannot be blended")


def _blending(generator: Generator, mask: Tensor, strength: float, layers: list[int] | None) -> Way:
    where = mask.to(generator.device)
    return lambda pair: blend_regions(
        generator, pair.base, [pair.reference], [where], strengths=[strength], layers=layers
    )


def _between(generator: Generator, weight: float) -> Way:
    def way(pair: Pair) -> Tensor:
        latent = torch.lerp(pair.samples.latent, pair.others.latent, weight)
        return generator.synthesize(latent, generator.modulations(latent, pair.samples.label))

    return way


@torch.no_grad()
def _study(
    setting: Setting, names: tuple[str, str], ways: dict[tuple[str, str], Way], columns: tuple[str, ...]
) -> Found:
    generator, mask = setting.generator, region(setting.generator.resolution)
    measured = {way: Measured() for way in ways}
    plain, others = Measured(), natural(setting)
    shown: list[list[Pixels]] = []
    for pair in pairs(setting, names[0]):
        edited = {way: make(pair).cpu() for way, make in ways.items()}
        plain.add(pair.image, pair.image, mask, judge=setting.judge, wanted=pair.other, natural=True)
        for way, image in edited.items():
            measured[way].add(image, pair.image, mask, judge=setting.judge, wanted=pair.other, natural=True)
        for i in range(max(min(setting.shown - len(shown), len(pair.image)), 0)):
            first = [outlined(pixels_of(pair.image[i : i + 1])[0], mask), pixels_of(pair.other[i : i + 1])[0]]
            shown.append([*first, *(pixels_of(image[i : i + 1])[0] for image in edited.values())])
    rows = [[*names, *columns, "frechet"], ["none", "0", *plain.cells(*columns), plain.distance(others)]]
    rows += [[*way, *found.cells(*columns), found.distance(others)] for way, found in measured.items()]
    titles = ["base", "reference", *(f"{way[0]}: {way[1]}" for way in ways)]
    return Found(rows, sheet(shown, titles, size=generator.resolution))
