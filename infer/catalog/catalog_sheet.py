"""Catalogs to look at: where clusters lie on samples, in colours (Collins et al., Figs. 2 and 9-12)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from infer.catalog.activations import cluster_maps, collect, features_at, find_layer, resize_maps
from infer.catalog.catalog import Catalog
from infer.catalog.kmeans import spherical_kmeans
from infer.photo.photo import Pixels
from infer.pictures.colours import colours
from infer.pictures.convert import to_pixels
from infer.pictures.sheet import sheet
from infer.progress import Progress, untold
from models.samples import Samples
from models.zoo import Model

TILE, SHOWN = 128, 8
_OVERLAY = 0.6  # opacity of colours over the picture
_DIM = 0.25  # of what does not belong to the cluster that is shown


@torch.no_grad()
def pictures(model: Model, samples: Samples) -> list[Pixels]:
    """Samples as uint8 [R,R,3]."""
    return [
        to_pixels(model.generator(one.latent, one.label)) for one in (samples[i : i + 1] for i in range(len(samples)))
    ]


def overlay(picture: Pixels, maps: Tensor) -> Pixels:  # [R,R,3], [K,H,W] -> [R,R,3]
    """The picture under the colours of its clusters."""
    full = resize_maps(maps[None], len(picture), "nearest")[0].cpu().numpy()
    colour = np.einsum("khw,kc->hwc", full, colours(len(full))) * 255
    return ((1 - _OVERLAY) * picture + _OVERLAY * colour).round().clip(0, 255).astype(np.uint8)


def spotlight(picture: Pixels, mask: Tensor) -> Pixels:  # [R,R,3], [H,W] in [0,1] -> [R,R,3]
    """The picture, dark where the mask is 0."""
    full = resize_maps(mask[None, None], len(picture), "nearest")[0, 0, ..., None].cpu().numpy()
    return (picture * (_DIM + (1 - _DIM) * full)).round().clip(0, 255).astype(np.uint8)


def catalog_sheet(catalog: Catalog, model: Model, samples: Samples) -> Pixels:
    """Samples, all clusters in colours, then a row per cluster that shows it alone, under its number and name."""
    shown = pictures(model, samples)
    maps = catalog.cluster_maps(model.generator, samples)
    rows = [shown, [overlay(picture, m) for picture, m in zip(shown, maps, strict=True)]]
    titles = ["samples", "all clusters"]
    for k in range(len(catalog.centres)):
        rows.append([spotlight(picture, m[k]) for picture, m in zip(shown, maps, strict=True)])
        parts = [name for name, clusters in catalog.names.items() if k in clusters]
        titles.append(f"{k} {', '.join(parts)}".strip())
    return sheet(rows, names=titles, size=TILE)


def choices_sheet(
    model: Model,
    layers: Sequence[str],
    clusters: Sequence[int],
    fitted: Samples,
    *,
    shown: int = SHOWN,
    seed: int = 0,
    progress: Progress = untold,
) -> Pixels:
    """Samples under the colours of clusters, a row for each layer and K: to choose both by eye.

    Args:
        model: any.
        layers: names or numbers; clusters: values of K.
        fitted: samples that are clustered; the first `shown` of them are shown.
        shown: columns.
        seed: of k-means.
        progress: told of progress.
    """
    first = fitted[:shown]
    base = pictures(model, first)
    rows, titles = [base], ["samples"]
    for name in layers:
        layer = find_layer(model.generator.layers, name)
        found = collect(model.generator, layer, fitted, max_vectors=200_000, seed=seed, progress=progress)
        features = features_at(model.generator, layer, first)
        for k in clusters:
            centres = spherical_kmeans(found.vectors, k, seed=seed).centres
            maps = cluster_maps(features, centres, found.mean, found.std)
            rows.append([overlay(picture, m) for picture, m in zip(base, maps, strict=True)])
            titles.append(f"{layer.name}, {layer.resolution} px, K = {k}")
    return sheet(rows, names=titles, size=TILE)
