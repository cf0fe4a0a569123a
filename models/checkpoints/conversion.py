"""What the networks of a foreign file are, and where they go as files of ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.base import Configurable
from models.checkpoints.tfhub import weights_file
from models.errors import PhotograftError
from models.files import network_writer, sha256
from models.names.published import ClassNames
from models.registry import KINDS
from models.writing import Writer, write_files


@dataclass(frozen=True)
class Description:
    """What one network of a file is.

    Attributes:
        kind, family: as in the registry.
        layout: name of the original's layout with its base width, or the list of widths.
        classes: 0 for an unconditional network; None where the question does not arise (A and B).
        resolution: of its pictures, or None where the weights do not fix it (a discriminator).
        latent_dim: size of z, or None.
        parameters: number of trainable values.
        config: keywords of our class.
    """

    kind: str
    family: str
    layout: str
    classes: int | None
    resolution: int | None
    latent_dim: int | None
    parameters: int
    config: dict[str, Any]

    def __str__(self) -> str:
        parts = [f"{self.kind} ({self.family})", self.layout]
        if self.classes is not None:
            parts.append(f"{self.classes} classes" if self.classes else "unconditional")
        if self.resolution is not None:
            parts.append(f"{self.resolution} px")
        if self.latent_dim is not None:
            parts.append(f"z of {self.latent_dim}")
        return ", ".join([*parts, f"{self.parameters:,} parameters"])


def describe_network(kind: str, network: Configurable, layout: str) -> Description:
    """What a network is; layout: what its file's format calls its architecture."""
    config = network.config
    return Description(
        kind=kind,
        family=KINDS[kind].name_of(network),
        layout=layout,
        classes=getattr(network, "num_classes", config.get("num_classes")),
        resolution=getattr(network, "resolution", None),
        latent_dim=config.get("latent_dim"),
        parameters=sum(p.numel() for p in network.parameters()),
        config=config,
    )


def write_networks(
    networks: Mapping[str, Configurable],
    layouts: Mapping[str, str],
    source: Path,
    out: Path,
    *,
    named: ClassNames | None = None,
) -> list[Path]:
    """Write networks by kind as our safetensors files; returns where.

    One network goes to `out` itself; of several, each to `STEM.KIND.safetensors`, where `models.zoo` finds them as one
    model: `x.safetensors` and `x.generator.safetensors` both name the stem x. named: the generator's classes.

    Raises:
        PhotograftError: a folder that cannot be written, or a file that would take the source's place.
    """
    jobs: dict[Path, Writer] = {}
    weights = weights_file(source)
    hashed = {} if weights is None else {"source_sha256": sha256(weights)}
    stem = out.name.removesuffix(".safetensors").removesuffix(".generator")
    for kind, network in networks.items():
        where = out if len(networks) == 1 else out.with_name(f"{stem}.{kind}.safetensors")
        info: dict[str, Any] = {"source": source.name, **hashed, "layout": layouts[kind]}
        if named is not None and kind == "generator":
            info |= {"class_names": [*named.names], "class_ids": [*named.ids], "names_from": Path(named.source).name}
        if where.exists() and where.samefile(source):
            raise PhotograftError(f"{where} is the file to convert: choose another name")
        jobs[where] = network_writer(network, kind, info)
    write_files(jobs)
    return list(jobs)
