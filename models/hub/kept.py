"""Models that were fetched: a folder each in the user's cache, with a manifest, written when all files are there.

They are found again without network. A file that is not what the manifest says any more is as one that is missing.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path

from models.errors import PhotograftError
from models.hub.address import Repository, WebFile, parse
from models.hub.manifest import LARGEST, Manifest, read_manifest
from models.reading import read_text, sha256
from models.writing import text, write_file

CACHE = "PHOTOGRAFT_CACHE"  # of the environment: a folder instead of the user's
_RECORD = "photograft.json"
_OURS = ("hf--", "url--")  # begin the folders' names


@dataclass(frozen=True)
class Kept:
    """A model that lies in the cache.

    Attributes:
        pinned: the name under which exactly these files are fetched again.
        stem: of its files.
    """

    pinned: str
    stem: Path


def models_folder() -> Path:
    """Where fetched models are kept: `PHOTOGRAFT_CACHE`/models, or the user's cache."""
    chosen = os.environ.get(CACHE)
    return (Path(chosen) if chosen else user_cache_path("photograft")) / "models"


def folder_of(address: Repository | WebFile) -> Path:
    """The folder of a pinned model."""
    if isinstance(address, WebFile):
        return models_folder() / f"url--{address.sha256}"
    return models_folder() / f"hf--{address.owner}--{address.name}--{address.revision}"


def kept(address: Repository | WebFile) -> Kept | None:
    """The model of an address, if all of it is there as it was fetched; of a branch or a tag, as it was seen last."""
    if isinstance(address, Repository) and not address.is_pinned:
        seen = last_seen(address)
        return None if seen is None else kept(seen)
    folder = folder_of(address)
    try:
        manifest = read_manifest(read_text(folder / _RECORD, "manifest", LARGEST), "")
    except PhotograftError:
        return None
    if not all(is_file_of(folder / name, known) for name, known in manifest.files.items()):
        return None
    return Kept(str(address), folder / manifest.stem)


def keep(address: Repository | WebFile, files: dict[str, str]) -> Kept:
    """Note that all files of a pinned model are in its folder: name -> sha256.

    Raises:
        PhotograftError: they are no model's, or the folder cannot be written to.
    """
    folder, manifest = folder_of(address), Manifest.of(files)
    stem = manifest.stem
    write_file(folder / _RECORD, text(manifest.to_json()))
    return Kept(str(address), folder / stem)


def last_seen(address: Repository) -> Repository | None:
    """The commit that a branch or a tag was when it was asked for last."""
    with contextlib.suppress(PhotograftError):
        found = address.at(read_text(_note(address), "note", 100).strip())
        return found if found.is_pinned else None
    return None


def see(address: Repository, commit: str) -> None:
    """Note which commit a branch or a tag is. Raises PhotograftError if the folder cannot be written to."""
    if last_seen(address) != address.at(commit):
        write_file(_note(address), text(commit + "\n"))


def is_file_of(path: Path, known: str) -> bool:
    """Whether this file is there and has this sha256."""
    try:
        found = path.stat()
        return _hash(path, found.st_size, found.st_mtime_ns, found.st_ino) == known
    except OSError:
        return False


@lru_cache(maxsize=256)
def _hash(path: Path, size: int, changed: int, number: int) -> str:
    """sha256 of a file that has not changed meanwhile: models are looked for several times by a command."""
    return sha256(path)


def _note(address: Repository) -> Path:
    return models_folder() / f"hf--{address.owner}--{address.name}--at--{address.revision}.txt"


# ---------------------------------------------------------------------- all of them


def find(name: str) -> Kept:
    """The model of an address: the one that is kept, else it is fetched.

    Raises:
        PhotograftError: a name of another form, a missing extra, or a model that cannot be fetched or is not what its
            hash says.
    """
    address = parse(name)
    found = kept(address) if isinstance(address, WebFile) or address.is_pinned else None
    if found is not None:
        return found
    if isinstance(address, WebFile):
        from models.hub.web import fetch_manifest

        return fetch_manifest(address)
    from models.hub.huggingface import fetch_repository

    return fetch_repository(address)


def fetched() -> Iterator[tuple[Path, int]]:
    """The folders of fetched models, whole or not, with the bytes in them."""
    with contextlib.suppress(OSError):
        for folder in sorted(models_folder().iterdir()):
            if folder.is_dir() and not folder.is_symlink() and folder.name.startswith(_OURS):
                yield folder, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def clear() -> int:
    """Remove all of them; returns their number. Raises PhotograftError if one cannot be removed."""
    folders = [folder for folder, _ in fetched()]
    try:
        for folder in folders:
            shutil.rmtree(folder)
        for note in models_folder().glob("hf--*--at--*.txt"):
            note.unlink(missing_ok=True)
    except OSError as error:
        raise PhotograftError(f"{error.filename}: cannot be removed ({error.strerror or error})") from error
    return len(folders)
