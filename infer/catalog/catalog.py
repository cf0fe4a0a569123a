"""A generator's catalog: clusters of one layer, the channels' contributions to them, and names of parts. Made once.

Two files: `NAME.catalog.safetensors` with the numbers, and `NAME.catalog.yaml` beside it, which a person edits:

    eyes: [3, 7]
    background: [0]
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from os.path import exists
from pathlib import Path
from typing import Annotated

import torch
import yaml
from pydantic import Field
from safetensors.torch import save
from torch import Tensor

from infer.catalog.activations import cluster_maps, collect, contributions, features_at, find_layer
from infer.catalog.choices import CLUSTERS, SAMPLES, Resize
from infer.catalog.kmeans import spherical_kmeans
from infer.progress import Progress, untold
from models.base import Generator, Layer
from models.errors import PhotograftError
from models.processor import Floating
from models.reading import read_yaml
from models.registry import suggest
from models.samples import Samples, draw
from models.schema import Count, Name, PathText, Schema, Seed, Text, Weight, Width, bounded, parse_json, short
from models.tensors import open_tensors
from models.writing import Writer, file_name, write_file
from models.zoo import Model, model_stem

FORMAT = "1"
SUFFIX = ".catalog.safetensors"

Names = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Settings:
    """What a catalog was made from and how.

    Attributes:
        model, weights: name of the model, and sha256 of its generator's file.
        layer: that was clustered.
        clusters, samples, truncation, seed, resize: K, N and the rest of `build_catalog`.
    """

    model: str
    weights: str
    layer: str
    clusters: int
    samples: int
    truncation: float
    seed: int
    resize: Resize


@dataclass(frozen=True)
class Catalog:
    """See the module.

    Attributes:
        settings: how it was made.
        centres: [K,C] of length 1; mean, std: [C] of the clustered layer.
        contributions: name of a modulated layer -> M [K,C_l], the paper's Eq. 1.
        maps: [K,H,W], how often each position is in each cluster.
        names: part -> its clusters. A cluster may belong to several parts or to none.
    """

    settings: Settings
    centres: Tensor
    mean: Tensor
    std: Tensor
    contributions: dict[str, Tensor]
    maps: Tensor
    names: Names = field(default_factory=dict)

    def clusters(self, part: str) -> tuple[int, ...]:
        """Clusters of a part by its name, or by their numbers: "3" or "3,7".

        Raises:
            PhotograftError: no such part or cluster.
        """
        if part in self.names:
            return self.names[part]
        numbers = part.replace(" ", "").split(",")
        if all(re.fullmatch("[0-9]{1,6}", number) for number in numbers):
            return checked(tuple(map(int, numbers)), len(self.centres), "this catalog")
        known = ", ".join(self.names) or "none"
        raise PhotograftError(
            f"unknown part {short(part)}{suggest(part, list(self.names))}: there are {known}; or numbers"
        )

    def part(self, part: str) -> list[Tensor]:
        """M of a part, [C] per modulated layer: the sum over its clusters, as their masks are merged."""
        rows = list(self.clusters(part))
        return [m[rows].sum(0) for m in self.contributions.values()]

    def part_map(self, part: str, maps: Tensor) -> Tensor:  # [N,K,H,W] -> [N,H,W]
        """Where a part is in maps of clusters."""
        return maps[:, list(self.clusters(part))].sum(1)

    def layer(self, generator: Generator) -> Layer:
        """The clustered layer of a generator."""
        return find_layer(generator.layers, self.settings.layer)

    def cluster_maps(self, generator: Generator, samples: Samples) -> Tensor:  # -> [N,K,H,W]
        """U of samples, one-hot."""
        return cluster_maps(features_at(generator, self.layer(generator), samples), self.centres, self.mean, self.std)

    def check_fits(self, model: Model) -> None:
        """Raise PhotograftError unless the catalog was made with this model's weights."""
        modulated = [(layer.name, layer.channels) for layer in model.generator.modulated_layers]
        known = [(name, m.shape[1]) for name, m in self.contributions.items()]
        if self.settings.weights != model.fingerprint or modulated != known:
            made = f"of model {self.settings.model}, or of other weights"
            raise PhotograftError(f"the catalog is {made}, not of {model.name}: make one (infer.py catalog build)")


def checked(clusters: tuple[int, ...], count: int, where: str) -> tuple[int, ...]:
    """Clusters without repetitions. Raises PhotograftError for none, or for numbers that do not exist."""
    wrong = [k for k in clusters if not 0 <= k < count]
    if wrong or not clusters:
        what = f"no cluster {short(wrong[0])}" if wrong else "a part without clusters"
        raise PhotograftError(f"{what} in {where}: there are 0..{count - 1}")
    return tuple(dict.fromkeys(clusters))


def check_name(part: str) -> str:
    """A part's name. Raises PhotograftError for one that would be taken for numbers of clusters."""
    if not part.strip() or re.fullmatch("[0-9, ]+", part):
        raise PhotograftError(f"a part cannot be called {short(part)}: numbers mean clusters")
    return part


@bounded
def build_catalog(
    model: Model,
    *,
    layer: str | None = None,
    clusters: Width = CLUSTERS,
    samples: Count = SAMPLES,
    truncation: Weight = 1.0,
    restarts: Count = 4,
    max_vectors: Annotated[int, Field(ge=2)] | None = None,
    dtype: Floating = torch.float32,
    resize: Resize = "bilinear",
    seed: Seed = 0,
    progress: Progress = untold,
) -> Catalog:
    """Cluster the activations of one layer and measure what each channel of every layer contributes to each cluster.

    Args:
        model: any; for one without modulated layers there are clusters and no contributions.
        layer: name or number; None: see `infer.catalog.activations.find_layer`.
        clusters: K.
        samples: N.
        truncation, seed: of the samples, see `models.samples.draw`; the seed is that of k-means too.
        restarts: of k-means.
        max_vectors, dtype: see `infer.catalog.activations.collect`.
        resize: how maps come to each layer's size: "bilinear" (the paper) or "nearest" (the released code).
        progress: told of progress.

    Raises:
        PhotograftError: no such layer, or more clusters than vectors.
    """
    generator = model.generator
    chosen = find_layer(generator.layers, layer)
    drawn = draw(model, samples, seed=seed, truncation=truncation)
    found = collect(generator, chosen, drawn, max_vectors=max_vectors, dtype=dtype, seed=seed, progress=progress)
    centres = spherical_kmeans(found.vectors, clusters, restarts=restarts, seed=seed).centres
    m, maps = contributions(generator, chosen, drawn, centres, found.mean, found.std, resize=resize, progress=progress)
    settings = Settings(model.name, model.fingerprint, chosen.name, clusters, samples, float(truncation), seed, resize)
    by_layer = dict(zip((modulated.name for modulated in generator.modulated_layers), m, strict=True))
    return Catalog(settings, centres, found.mean, found.std, by_layer, maps)


# ---------------------------------------------------------------------- files


def default_path(model: Model, folder: Path) -> Path:
    """Where a model's catalog is: in the folder where `catalog build` puts it, else beside the model's files."""
    own = folder / f"{file_name(model.stem)}{SUFFIX}"
    if own.is_file():
        return own
    stem = model_stem(model.name)
    return stem.with_name(f"{stem.name}{SUFFIX}")


def names_path(path: Path) -> Path:
    """The names that belong to a catalog's file."""
    return path.with_suffix(".yaml")


def catalog_files(catalog: Catalog, path: Path) -> dict[Path, Writer]:
    """The numbers, and the names beside them. Raises PhotograftError for a name that no catalog has."""
    if not path.name.endswith(SUFFIX):
        raise PhotograftError(f"{path}: a catalog's file is named NAME{SUFFIX}")
    tensors = {"centres": catalog.centres, "mean": catalog.mean, "std": catalog.std, "maps": catalog.maps}
    tensors |= {f"contributions.{name}": m for name, m in catalog.contributions.items()}
    # safetensors does not keep the order of keys, and that of the layers counts
    described = asdict(catalog.settings) | {"layers": list(catalog.contributions)}
    content = save(
        {key: t.cpu().contiguous() for key, t in tensors.items()},
        {"photograft_catalog": FORMAT, "settings": json.dumps(described)},
    )
    return {path: lambda stream: stream.write(content), names_path(path): _names_writer(catalog)}


def save_names(catalog: Catalog, path: Path) -> Path:
    """Write the names that belong to a catalog's file."""
    write_file(names_path(path), _names_writer(catalog))
    return names_path(path)


def _names_writer(catalog: Catalog) -> Writer:
    lines = ["# Parts and their clusters; the numbers are those of the sheet. Edit freely.\n"]
    for name, clusters in catalog.names.items():
        lines.append(yaml.safe_dump({name: list(clusters)}, default_flow_style=None, allow_unicode=True))
    text = "".join(lines)
    return lambda stream: stream.write(text.encode())


def load_catalog(path: Path, model: Model) -> Catalog:
    """Read a catalog and its names.

    Raises:
        PhotograftError: missing, damaged, not a catalog, or of another model's weights.
    """
    if not exists(path):
        raise PhotograftError(f"no catalog at {path}: make one (infer.py catalog build), or give --catalog FILE")
    file = open_tensors(path, "catalog")
    if file.metadata.get("photograft_catalog") != FORMAT:
        raise PhotograftError(f"{path} is not a catalog of this version: make one (infer.py catalog build)")
    described: _Described = parse_json(_Described, file.metadata.get("settings", ""), f"{path} is damaged: settings")
    _check_shapes(described, file.described, path)
    tensors = file.read()
    maps = tensors["maps"]
    if bool((tensors["std"] < 0).any()) or not 0 <= float(maps.min()) <= float(maps.max()) <= 1 + 1e-3:
        raise PhotograftError(f"{path} is damaged: negative deviations, or maps that are no shares")
    settings = Settings(**described.model_dump(exclude={"layers"}))
    by_layer = {name: tensors[f"contributions.{name}"] for name in described.layers}
    catalog = Catalog(settings, tensors["centres"], tensors["mean"], tensors["std"], by_layer, maps)
    catalog.check_fits(model)
    return replace(catalog, names=load_names(names_path(path), len(catalog.centres)))


class _Described(Schema):
    """`Settings` as a file has them, with the layers of its contributions."""

    model: PathText
    weights: Text
    layer: Name
    clusters: Width
    samples: Count
    truncation: Weight
    seed: Seed
    resize: Resize
    layers: Annotated[list[Name], Field(max_length=1000)]


def _check_shapes(described: _Described, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise PhotograftError unless a catalog's tensors are there and fit each other."""
    names = ["centres", "mean", "std", "maps", *(f"contributions.{name}" for name in described.layers)]
    missing = [name for name in names if name not in tensors]
    if missing or len(tensors) != len(names) or not all(t.is_floating_point() for t in tensors.values()):
        what = f"no {missing[0]}" if missing else "tensors that no catalog has"
        raise PhotograftError(f"{path} is damaged: there are {what}")
    centres, mean, std, maps, *contributions = (tensors[name] for name in names)
    k, channels = centres.shape if centres.ndim == 2 else (0, 0)
    fit = mean.shape == std.shape == (channels,) and maps.ndim == 3 and len(maps) == k == described.clusters
    if not fit or not maps.numel() or any(m.ndim != 2 or len(m) != k for m in contributions):
        raise PhotograftError(f"{path} is damaged: its tensors do not fit each other")


def load_names(path: Path, count: int) -> dict[str, tuple[int, ...]]:
    """Names from a YAML file; none if it does not exist.

    Raises:
        PhotograftError: not YAML, not lists of numbers by name, or clusters that the catalog does not have.
    """
    if not exists(path):
        return {}
    content = read_yaml(path, "file of names") or {}
    if not isinstance(content, dict):
        raise PhotograftError(f"{path} must hold lines such as `eyes: [3, 7]`")
    for name, clusters in content.items():
        numbers = clusters if isinstance(clusters, list) else [None]
        if not isinstance(name, str) or any(isinstance(k, bool) or not isinstance(k, int) for k in numbers):
            raise PhotograftError(f"{path}: {short(name)} must be a name with a list of numbers, as in `eyes: [3, 7]`")
    return {check_name(name): checked(tuple(clusters), count, str(path)) for name, clusters in content.items()}
