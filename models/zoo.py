"""Trained models by name: which files belong together, their classes, where they come from.

A model is a generator with the networks that projection needs. It is found by its name here, or as the stem of files on
disk (`folder/my-model` for `folder/my-model.generator.safetensors` and its neighbours, which `train.py export` writes).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.auxiliary import AuxiliaryNetworks
from models.base import Generator
from models.discriminators import SNProjectionDiscriminator
from models.encoder import Encoder
from models.errors import PhotograftError
from models.features import WEIGHTS
from models.files import load_network, sha256
from models.registry import suggest

DEFAULT = "sngan-heads-128"


@dataclass(frozen=True)
class ZooEntry:
    """A model that ships with the project."""

    stem: Path
    summary: str
    licence: str


ZOO: dict[str, ZooEntry] = {
    "sngan-heads-128": ZooEntry(
        WEIGHTS / "sngan-heads-128",
        "SNGAN, 128 px, heads of cats, dogs, wild dogs and big cats in 79 classes",
        "non-commercial use (trained on AFHQ cats among others: CC BY-NC 4.0)",
    ),
}


@dataclass(frozen=True)
class Model:
    """A generator and what belongs to it, frozen and in evaluation mode.

    Attributes:
        name: as it was asked for.
        discriminator: whose features are Psi; None if there is none.
        encoder: start of the projection; None if there is none.
        auxiliary: A and B; None if there are none.
        class_names: K names, in the order of the labels (empty if unconditional).
        groups, group_names: a group (species) per class, and their names.
        distribution: how often training drew each class, as shares.
        hashes: file name -> sha256, for recipes.
    """

    name: str
    generator: Generator
    discriminator: SNProjectionDiscriminator | None = None
    encoder: Encoder | None = None
    auxiliary: AuxiliaryNetworks | None = None
    class_names: list[str] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    group_names: list[str] = field(default_factory=list)
    distribution: list[float] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)

    def class_index(self, name: str) -> int:
        """Label of a class by its name (or its number); case, hyphens and underscores do not matter.

        Raises:
            PhotograftError: unknown name, with the nearest ones; or a word that several classes share.
        """
        if not self.class_names:
            raise PhotograftError(f"model {self.name} is unconditional: it has no classes")
        wanted = _plain(name)
        plain = [_plain(known) for known in self.class_names]
        if wanted in plain:
            return plain.index(wanted)
        if wanted.isdigit() and int(wanted) < len(plain):
            return int(wanted)
        partly = [i for i, known in enumerate(plain) if wanted and wanted in known.split()]
        if len(partly) == 1:
            return partly[0]
        if partly:
            names = ", ".join(self.class_names[i] for i in partly)
            raise PhotograftError(f"class {name!r} could be any of: {names}")
        raise PhotograftError(f"unknown class {name!r}{suggest(wanted, self.class_names)} (infer.py classes lists all)")


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("-", " ").replace("_", " ").split())


def model_stem(name: str) -> Path:
    """Where a model's files lie. Raises PhotograftError for an unknown name."""
    if name in ZOO:
        return ZOO[name].stem
    path = Path(name)
    for suffix in (".generator.safetensors", ".safetensors"):
        if path.name.endswith(suffix) and path.is_file():
            return path.with_name(path.name.removesuffix(suffix))
    if path.with_name(path.name + ".generator.safetensors").is_file():
        return path
    raise PhotograftError(f"unknown model {name!r}{suggest(name, ZOO)}, or give the path of a .generator.safetensors")


def load_model(name: str = DEFAULT) -> Model:
    """Load a model by its name in the zoo or the stem of its files.

    Raises:
        PhotograftError: unknown name, or files that are missing, damaged or do not fit together.
    """
    stem = model_stem(name)
    paths = {
        kind: stem.with_name(f"{stem.name}.{kind}.safetensors")
        for kind in ("generator", "discriminator", "encoder", "auxiliary")
    }
    if not paths["generator"].is_file():  # a file of its own, not named by our scheme
        paths["generator"] = stem.with_name(f"{stem.name}.safetensors")
    generator, header = load_network(paths["generator"], "generator")
    others: dict[str, Any] = {
        kind: load_network(paths[kind], kind)[0]
        for kind in ("discriminator", "encoder", "auxiliary")
        if paths[kind].is_file()
    }
    encoder = others.get("encoder")
    if encoder is not None and encoder.latent_dim != generator.latent_dim:
        raise PhotograftError(f"{paths['encoder']} gives {encoder.latent_dim} latents, not {generator.latent_dim}")
    known = header.info
    names = known.get("class_names") or [f"class {i}" for i in range(generator.num_classes)]
    return Model(
        name,
        generator,
        **others,
        class_names=names,
        groups=known.get("groups", [0] * len(names)),
        group_names=known.get("group_names", ["all"]),
        distribution=known.get("distribution", [1 / max(len(names), 1)] * len(names)),
        hashes={path.name: sha256(path) for path in paths.values() if path.is_file()},
    )
