"""A manifest: which files a model has, and their sha256. Its own sha256 pins all of them."""

import json
from collections.abc import Iterable
from os.path import isfile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from models.errors import PhotograftError
from models.hub.address import MANIFEST, WEIGHTS
from models.parts import ENDINGS, GENERATOR, model_files
from models.reading import MEBI, TENSORS, TEXT, read_text, sha256
from models.schema import FileName, Schema, parse_json, short
from models.writing import text, write_file

LARGEST = MEBI // 16  # of a manifest
_Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(Schema):
    """What a manifest holds: file name -> sha256."""

    photograft_model: Literal[1]
    files: Annotated[dict[FileName, _Hash], Field(min_length=1, max_length=len(ENDINGS))]

    @classmethod
    def of(cls, files: dict[str, str]) -> "Manifest":
        """One of these files."""
        return cls(photograft_model=1, files=dict(sorted(files.items())))

    def to_json(self) -> str:
        """As text: equal manifests are equal text."""
        return json.dumps(self.model_dump(), indent=1) + "\n"

    @property
    def stem(self) -> str:
        """What its files begin with; see `stem_of`."""
        return stem_of(self.files, "the manifest")


def read_manifest(content: str | bytes, where: str) -> Manifest:
    """A manifest's content. Raises PhotograftError for another one, or for files that are no model's."""
    found: Manifest = parse_json(Manifest, content, where)
    stem_of(found.files, where)
    return found


def stem_of(files: Iterable[str], where: str) -> str:
    """The stem of a model's files.

    Raises:
        PhotograftError: there is not one generator, or there are files that do not belong to it.
    """
    names = list(files)
    alone = len(names) == 1 and names[0].endswith(WEIGHTS) and not names[0].endswith(ENDINGS)
    generators = [name for name in names if name.endswith(WEIGHTS if alone else GENERATOR)]
    if len(generators) != 1:
        found = f"{len(generators)}: {', '.join(map(short, sorted(generators)[:4]))}" if generators else "none"
        raise PhotograftError(f"{where}: a model has one NAME{GENERATOR}, and here is {found}")
    stem = generators[0].removesuffix(WEIGHTS if alone else GENERATOR)
    strange = [name for name in names if not alone and name not in {stem + ending for ending in ENDINGS}]
    if strange or not stem:
        raise PhotograftError(f"{where}: {short((strange or names)[0])} does not belong to a model {short(stem)}")
    return stem


def most_bytes(name: str) -> int:
    """The largest that a file of this name may be."""
    return TENSORS if name.endswith(WEIGHTS) else TEXT


def write_manifest(stem: Path) -> tuple[Path, str]:
    """Write STEM.json of a model's files beside them; returns its path and sha256.

    Raises:
        PhotograftError: no generator of our scheme, another file of that name, or a folder that cannot be written.
    """
    beside = (stem.with_name(stem.name + ending) for ending in ENDINGS)
    files = [path for path in beside if isfile(path)] or list(model_files(stem).values())
    manifest = Manifest.of({path.name: sha256(path) for path in files})
    path, content = stem.with_name(stem.name + MANIFEST), manifest.to_json()
    read_manifest(content, str(stem))
    if path.exists() and not _is_manifest(path):
        raise PhotograftError(f"{path} is there and is no manifest: move it away, or rename the model")
    write_file(path, text(content))
    return path, sha256(path)


def _is_manifest(path: Path) -> bool:
    try:
        read_manifest(read_text(path, "manifest", LARGEST), "")
    except PhotograftError:
        return False
    return True
