"""Trained models by name: which files belong together, their classes, where they come from.

A model is a generator with the networks that projection needs. It is found by its name here, or as the stem of files on
disk (`folder/my-model` for `folder/my-model.generator.safetensors` and its neighbours, which `train.py export` writes).
Names, files and classes are known without torch, which is imported with the first network that is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from os.path import isdir, isfile  # False where pathlib raises: names that are too long
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import PhotograftError
from models.header import NetworkFile, read_header
from models.hub import address
from models.hub.kept import find
from models.names import published
from models.names.choice import class_number
from models.parts import PARTS as PARTS
from models.parts import model_files as model_files
from models.registry import suggest
from models.schema import Classes, PathText, check, short

if TYPE_CHECKING:
    from models.auxiliary import AuxiliaryNetworks
    from models.base import Generator
    from models.discriminators.base import Discriminator
    from models.discriminators.projected import ProjectedDiscriminator
    from models.encoder import Encoder

DEFAULT = "sngan-heads-128"
WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class ZooEntry:
    """A model that ships with the project."""

    stem: Path
    summary: str
    licence: str


NON_COMMERCIAL = "non-commercial use (trained on AFHQ cats among others: CC BY-NC 4.0)"
ZOO: dict[str, ZooEntry] = {
    "sngan-heads-128": ZooEntry(
        WEIGHTS / "sngan-heads-128",
        "SNGAN, 128 px, heads of cats, dogs, wild dogs and big cats in 79 classes",
        NON_COMMERCIAL,
    ),
    "stylegan2-heads-128": ZooEntry(
        WEIGHTS / "stylegan2-heads-128",
        "StyleGAN2, 128 px, the same heads and classes, with a catalog of parts",
        NON_COMMERCIAL,
    ),
}


@dataclass(frozen=True)
class ClassTable:
    """The classes of a generator; attributes as of `Model`."""

    class_names: list[str]
    class_ids: list[str]
    names_from: str
    groups: list[int]
    group_names: list[str]
    distribution: list[float]


@dataclass(frozen=True)
class Model:
    """A generator and what belongs to it, frozen and in evaluation mode.

    Attributes:
        name: under which `load_model` finds it again: in the zoo, the absolute stem of its files, or the address from
            which exactly these files are fetched.
        discriminator: whose features are Psi; None if there is none.
        projected: the projected discriminator, which knows the classes of real pictures; None if there is none.
        encoder: start of the projection; None if there is none.
        auxiliary: A and B; None if there are none.
        class_names: K names, in the order of the labels (empty if unconditional).
        class_ids: a WordNet id per class, "" for none; empty: those that the names have.
        names_from: who named the classes, for people; empty where nobody did.
        groups, group_names: a group (species) per class, and their names.
        distribution: how often training drew each class, as shares.
        hashes: file name -> sha256, the generator's first; empty for a model that was not read from files.
        projection_learning_rate: of Adam on zeta, which the file of A and B names ("learning_rate" in its
            description); None if it names none.
    """

    name: str
    generator: Generator
    discriminator: Discriminator | None = None
    projected: ProjectedDiscriminator | None = None
    encoder: Encoder | None = None
    auxiliary: AuxiliaryNetworks | None = None
    class_names: list[str] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    group_names: list[str] = field(default_factory=list)
    distribution: list[float] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    projection_learning_rate: float | None = None
    class_ids: list[str] = field(default_factory=list)
    names_from: str = ""

    @property
    def fingerprint(self) -> str:
        """sha256 of the generator's file: what a latent belongs to. Empty if there is no file."""
        return next(iter(self.hashes.values()), "")

    @property
    def stem(self) -> str:
        """The name without folders, for file names."""
        return address.title(self.name) or Path(self.name).name

    def class_index(self, name: str) -> int:
        """Label of a class by its name, its WordNet id, its number in plain digits or ImageNet's as "imagenet:151".

        Case and hyphens between words do not matter; see `models.names.choice.class_number`.

        Raises:
            PhotograftError: unknown name, with the nearest ones; or a word or number that may mean several classes.
        """
        if not self.class_names:
            raise PhotograftError(f"model {self.name} is unconditional: it has no classes (blend edits photos without)")
        return class_number(check(str, name, "class"), self.class_names, self.class_ids, self.name)


def model_stem(name: str) -> Path:
    """Where a model's files lie.

    Args:
        name: in the zoo, or a path: `folder/my-model` (of `my-model.generator.safetensors` or, as the conversion of one
            network is named, `my-model.safetensors`), or any .safetensors; or an address (see
            `models.hub`), from where the files are fetched if they are not kept.

    Raises:
        PhotograftError: an unknown name, a folder, a file that does not exist, or a model that cannot be fetched.
    """
    if check(PathText, name, "model") in ZOO:
        return ZOO[name].stem
    if address.is_address(name):
        return find(name).stem
    path = Path(name).expanduser()
    suffixes = (".generator.safetensors", ".safetensors")
    if path.name and any(isfile(path.with_name(path.name + suffix)) for suffix in suffixes):
        return path
    if name and isdir(path):
        raise PhotograftError(f"model {name!r} is a folder: give the .generator.safetensors in it")
    for suffix in suffixes:
        if path.name.endswith(suffix) and path.name != suffix:
            if not isfile(path):
                raise PhotograftError(f"model {short(name)}: no such file")
            return path.with_name(path.name.removesuffix(suffix))
    if path.suffix == ".ckpt" and isfile(path):
        raise PhotograftError(
            f"model {short(name)} is a training's checkpoint: `train.py export {path} OUT` comes first"
        )
    raise PhotograftError(
        f"unknown model {short(name)}{suggest(name, ZOO)} (or give the path of a .generator.safetensors)"
    )


def is_installed(name: str) -> bool:
    """Whether the generator of a model of the zoo is there."""
    return "generator" in model_files(ZOO[name].stem)


def load_model(name: str = DEFAULT) -> Model:
    """Load a model by its name in the zoo or by its files (see `model_stem`).

    Raises:
        PhotograftError: unknown name, or files that are missing, damaged or do not fit together.
    """
    from models.files import load_network, sha256

    stem = model_stem(name)
    paths = _installed(name, stem)
    generator, header = load_network(paths["generator"], "generator")
    loaded = {part: load_network(path, PARTS[part]) for part, path in list(paths.items())[1:]}
    others: dict[str, Any] = {part: network for part, (network, _) in loaded.items()}
    _check_fit(generator, others, paths)
    return Model(
        _found_again(name, stem),
        generator,
        **others,
        **vars(_classes(header, generator.num_classes, stem)),
        hashes={path.name: sha256(path) for path in paths.values()},
        projection_learning_rate=loaded["auxiliary"][1].known.learning_rate if "auxiliary" in loaded else None,
    )


def read_classes(name: str = DEFAULT) -> ClassTable:
    """The classes of a model, from its generator's header alone.

    Raises:
        PhotograftError: unknown name, or a file that is missing, damaged or no generator's.
    """
    stem = model_stem(name)
    path = _installed(name, stem)["generator"]
    header = read_header(path)
    if header.kind != "generator":
        raise PhotograftError(f"{path} holds a {header.kind}, not a generator")
    count = check(Classes, header.config.get("num_classes", 0), f"{path} is damaged: num_classes")
    return _classes(header, count, stem)


def _found_again(name: str, stem: Path) -> str:
    """A name of the same files, wherever a command runs."""
    if name in ZOO:
        return name
    return find(name).pinned if address.is_address(name) else str(stem.absolute())


def _installed(name: str, stem: Path) -> dict[str, Path]:
    """The files of a model. Raises PhotograftError if the generator's is not there."""
    paths = model_files(stem)
    if "generator" not in paths:
        file = stem.with_name(f"{stem.name}.generator.safetensors")
        raise PhotograftError(
            f"the weights of model {name!r} are missing ({file}): install the package again,"
            " export a training there (train.py export), or choose other weights with --model FILE"
        )
    return paths


def with_encoder(model: Model, path: Path) -> Model:
    """The model with the encoder of another file instead of its own.

    Raises:
        PhotograftError: a file that is missing, damaged, or of an encoder that does not fit.
    """
    from models.files import load_network, sha256

    encoder, _ = load_network(path, "encoder")
    _check_fit(model.generator, {"encoder": encoder}, {"encoder": path})
    hashes = {file: value for file, value in model.hashes.items() if not file.endswith(".encoder.safetensors")}
    return replace(model, encoder=encoder, hashes=hashes | {path.name: sha256(path)})


def _check_fit(generator: Generator, others: dict[str, Any], paths: dict[str, Path]) -> None:
    """Raise PhotograftError unless the networks have one z and one list of classes, and lie under their own names."""
    from models.discriminators.projected import ProjectedDiscriminator

    for kind, network in others.items():
        if isinstance(network, ProjectedDiscriminator) != (kind == "projected"):
            raise PhotograftError(f"{paths[kind]} holds a {type(network).__name__}: rename the file")
        latents = getattr(network, "latent_dim", generator.latent_dim)
        if latents != generator.latent_dim:
            raise PhotograftError(f"{paths[kind]} has {latents} latents, the generator {generator.latent_dim}")
        classes = getattr(network, "num_classes", 0)
        if classes not in (0, generator.num_classes):
            raise PhotograftError(f"{paths[kind]} has {classes} classes, the generator {generator.num_classes}")
        size = generator.resolution
        if kind == "discriminator" and (network.resolution not in (None, size) or network.least > size):
            raise PhotograftError(f"{paths[kind]} is for other pictures than the generator's, which have {size} px")


def _classes(header: NetworkFile, count: int, stem: Path) -> ClassTable:
    """From the table of names beside a generator's file, from the file, or made up where neither says anything."""
    known = header.known
    known.check_classes(count, header.path)
    names = names_of(header, count, stem)
    return ClassTable(
        class_names=[*names.names],
        class_ids=[*names.ids],
        names_from=names.source,
        groups=known.groups or [0] * count,
        group_names=known.group_names or ["all"],
        distribution=known.distribution or [1 / max(count, 1)] * count,
    )


def names_of(header: NetworkFile, count: int, stem: Path) -> published.ClassNames:
    """What a generator's classes are called: by `STEM.names.csv`, by its file, by their number, else by nobody.

    Raises:
        PhotograftError: a table that cannot be read or has another number of names.
    """
    beside = stem.with_name(stem.name + published.SUFFIX)
    if count and isfile(beside):
        return published.given(beside, count)
    known = header.known
    if names := tuple(known.class_names):
        return published.ClassNames(names, tuple(known.class_ids) or published.ids_of(names), known.names_from)
    return (published.assumed(count) if count else None) or published.unnamed(count)
