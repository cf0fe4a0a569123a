"""Another class in a region: how strongly, and by which layers (Suzuki et al., Figs. 9 and 12)."""

import torch
from torch import Tensor

from infer.edits.scbn import Region, class_modulations
from infer.evaluate.studies.measures import Measured
from infer.evaluate.studies.setting import Found, Pair, Setting, need_classes, pairs, region
from infer.evaluate.studies.sheets import outlined, pixels_of
from infer.photo.photo import Pixels
from infer.pictures.sheet import sheet
from models.base import Generator

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
Way = tuple[float, list[int] | None]  # strength and layers
LAYERS = ("all layers", "the first", "all but the first")


def strength(setting: Setting) -> Found:
    """sCBN in a disc over the head at 0, 25, 50, 75 and 100 % (Fig. 9)."""
    ways: dict[str, Way] = {f"{value:.0%}": (value, None) for value in STRENGTHS}
    columns = ("inside", "outside", "coarse", "fine", "seam", "target", "own")
    return _study(setting, "strength", ways, columns)


def layers(setting: Setting) -> Found:
    """sCBN in all layers, in the one closest to z alone, and in all but that one (Fig. 12)."""
    count = len(setting.generator.modulated_layers)
    ways: dict[str, Way] = {LAYERS[0]: (1.0, None), LAYERS[1]: (1.0, [0]), LAYERS[2]: (1.0, [*range(1, count)])}
    return _study(setting, "layers", ways, ("inside", "outside", "coarse", "fine", "seam", "target", "own"))


def _study(setting: Setting, name: str, ways: dict[str, Way], columns: tuple[str, ...]) -> Found:
    need_classes(setting.model)
    generator = setting.generator
    mask = region(generator.resolution)
    measured = {way: Measured() for way in ways}
    shown: list[list[Pixels]] = []
    names: list[str] = []
    for pair in pairs(setting, name):
        assert pair.samples.label is not None
        target = pair.targets[0]
        edited = {way: changed(generator, pair, mask, *how) for way, how in ways.items()}
        for way, image in edited.items():
            measured[way].add(image, pair.image, mask, judge=setting.judge, targets=target, own=pair.samples.label)
        for i in range(max(min(setting.shown - len(shown), len(target)), 0)):
            row = [outlined(pixels_of(pair.image[i : i + 1])[0], mask)]
            shown.append([*row, *(pixels_of(image[i : i + 1])[0] for image in edited.values())])
            classes = setting.model.class_names
            names.append(f"{classes[int(pair.samples.label[i])]} to {classes[int(target[i])]}")
    rows = [[name, *columns], *([way, *found.cells(*columns)] for way, found in measured.items())]
    return Found(rows, sheet(shown, ["sample", *ways], names, size=generator.resolution))


@torch.no_grad()
def changed(generator: Generator, pair: Pair, mask: Tensor, strength: float, layers: list[int] | None) -> Tensor:
    """The samples of a batch with their target class in a region, on the CPU; each by the target that it has."""
    assert pair.samples.label is not None
    edited = pair.image.clone()
    for target in pair.targets[0].unique().tolist():
        rows = (pair.targets[0] == target).nonzero()[:, 0]
        chosen = rows.to(generator.device)
        latent, label = pair.samples.latent[chosen], pair.samples.label[chosen]
        origin = None if pair.samples.origin is None else pair.samples.origin[chosen]
        wanted = [Region(mask.to(generator.device), int(target), strength)]
        mixed = class_modulations(generator, latent, label, wanted, origin=origin, layers=layers)
        edited[rows] = generator.synthesize(latent, mixed).cpu()
    return edited
