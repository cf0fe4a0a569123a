"""A part takes its look from a reference: by a query, by blended features, by pixels (Collins et al., Fig. 5)."""

import torch
from torch import Tensor

from infer.catalog.activations import resize_maps
from infer.catalog.catalog import Catalog
from infer.catalog.part_transfer import PartTransfer, transfer_parts
from infer.edits.feature_blending import blend_regions
from infer.edits.query_transfer import Query, check_transfers
from infer.evaluate.studies.collage_studies import collaged
from infer.evaluate.studies.measures import Measured
from infer.evaluate.studies.setting import Found, Pair, Setting, natural, pairs
from infer.evaluate.studies.sheets import outlined, pixels_of
from infer.photo.photo import Pixels
from infer.pictures.sheet import sheet
from models.base import Generator
from models.errors import PhotograftError, UnsupportedEdit

PARTS = ("eyes", "nose", "mouth", "muzzle", "ears")  # the paper's are the first three
SIZES = (32, 64)  # px up to which features are blended
MOST = 3  # parts
WAYS = ("query", "blend 32 px", "blend 64 px", "Poisson")
COLUMNS = ("inside", "outside", "seam", "wanted")


@torch.no_grad()
def transfer(setting: Setting) -> Found:
    """Query transfer beside feature blending up to 32 and up to 64 px, and Poisson blending, for parts of a catalog."""
    generator = setting.generator
    check_transfers(generator)
    if not generator.feature_layers:
        raise UnsupportedEdit(f"model {setting.model.name} has no feature layers: features cannot be blended")
    catalog = setting.catalog()
    parts = paper_parts(catalog)
    measured = {(part, way): Measured() for part in parts for way in WAYS}
    plain, others = Measured(), natural(setting)
    shown: list[list[Pixels]] = []
    titles: list[str] = []
    for pair in pairs(setting, "transfer", same_class=False):  # an SNGAN's modulations know the class alone
        maps = catalog.cluster_maps(generator, pair.samples)
        before = len(shown)
        for part in parts:
            mask = part_mask(generator, catalog, part, maps)
            edited = by_every_way(generator, pair, part, mask, catalog)
            for way, image in edited.items():
                measured[part, way].add(image, pair.image, mask, judge=setting.judge, wanted=pair.other, natural=True)
            if before < setting.shown * len(parts):
                first = [outlined(pixels_of(pair.image[:1])[0], mask[0]), pixels_of(pair.other[:1])[0]]
                shown.append([*first, *(pixels_of(image[:1])[0] for image in edited.values())])
                titles.append(part)
        plain.add(pair.image, pair.image, torch.ones_like(pair.image[0, 0]), judge=setting.judge, natural=True)
    rows = [["part", "way", *COLUMNS, "frechet"], ["none", "none", *[""] * len(COLUMNS), plain.distance(others)]]
    rows += [[*key, *found.cells(*COLUMNS), found.distance(others)] for key, found in measured.items()]
    return Found(rows, sheet(shown, ["target", "reference", *WAYS], titles, size=generator.resolution))


def paper_parts(catalog: Catalog) -> list[str]:
    """Up to three parts: those of the paper that the catalog has, else its first ones.

    Raises:
        PhotograftError: it names none.
    """
    parts = [part for part in PARTS if part in catalog.names][:MOST] or [*catalog.names][:MOST]
    if not parts:
        raise PhotograftError("the catalog names no parts: name some (infer.py catalog name)")
    return parts


def part_mask(generator: Generator, catalog: Catalog, part: str, maps: Tensor) -> Tensor:  # [N,K,h,w] -> [N,R,R]
    """Where a part is in pictures with these maps of clusters, 0 or 1, on the CPU."""
    return resize_maps(catalog.part_map(part, maps)[:, None], generator.resolution, "nearest")[:, 0].cpu()


def by_every_way(
    generator: Generator, pair: Pair, part: str, mask: Tensor, catalog: Catalog
) -> dict[str, Tensor]:  # -> [N,3,R,R] each
    """A batch with a part [N,R,R] of the others, by every one of `WAYS`, on the CPU."""
    where = mask.to(generator.device)
    sizes = [layer.resolution for layer in generator.feature_layers]
    found = [transfer_parts(generator, catalog, pair.base, [PartTransfer(part, pair.reference, Query())])]
    for most in SIZES:
        layers = [i for i, size in enumerate(sizes) if size <= most]
        found.append(blend_regions(generator, pair.base, [pair.reference], [where], layers=layers))
    found.append(collaged(pair.image, [pair.other], [mask], "poisson"))
    return {way: image.cpu() for way, image in zip(WAYS, found, strict=True)}
