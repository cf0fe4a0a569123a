"""Models of the Hugging Face Hub, fetched by huggingface_hub: the files of one model at a commit."""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from models.errors import PhotograftError
from models.hub.address import Repository, is_safe
from models.hub.kept import Kept, folder_of, keep, kept, models_folder, see
from models.hub.manifest import most_bytes, stem_of
from models.hub.transfer import Transfer, arrived, missing
from models.parts import ENDINGS
from models.progress import tell
from models.reading import sha256

_TIMEOUT = 15.0  # seconds that the hub may be silent


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its size, and its sha256 or, of small ones, git's hash."""

    name: str
    size: int
    sha256: str | None
    git: str | None

    def is_in(self, path: Path) -> bool:
        """Whether this path holds it."""
        if path.stat().st_size != self.size:
            return False
        if self.sha256 is not None:
            return sha256(path) == self.sha256
        return hashlib.sha1(b"blob %d\0" % self.size + path.read_bytes()).hexdigest() == self.git


@dataclass(frozen=True)
class Listing:
    """The files of a model in a repository at a commit."""

    commit: str
    files: tuple[RemoteFile, ...]


class Unreachable(PhotograftError):
    """The hub could not be asked."""


def fetch_repository(address: Repository) -> Kept:
    """The model of a repository. Which commit a branch is is asked each time; without network it is what it was.

    Raises:
        PhotograftError: a missing extra, no such repository or revision, no model in it, or a file that is too large or
            not what the hub says.
    """
    listing = _listing(address, models_folder())
    if isinstance(listing, Unreachable):
        found = kept(address)
        if found is None:
            raise listing
        _tell_once(f"{listing}; {found.pinned} is used, as it was fetched before")
        return found
    pinned = address.at(listing.commit)
    if not address.is_pinned:
        see(address, listing.commit)
    return kept(pinned) or _fetch(pinned, listing)


def _fetch(pinned: Repository, listing: Listing) -> Kept:
    folder = folder_of(pinned)
    found = {file.name: _download(pinned, file, folder) for file in listing.files}
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the library's notes on half downloads
    return keep(pinned, found)


def _download(pinned: Repository, file: RemoteFile, folder: Path) -> str:
    """One file into a folder; returns its sha256."""
    import huggingface_hub
    from huggingface_hub import constants

    with _telling(pinned):
        path = Path(
            huggingface_hub.hf_hub_download(
                f"{pinned.owner}/{pinned.name}",
                file.name,
                revision=pinned.revision,
                local_dir=folder,
                endpoint=constants.ENDPOINT,
                tqdm_class=Transfer,
            )
        )
    if not file.is_in(path):
        path.unlink(missing_ok=True)
        raise PhotograftError(f"{file.name} of {pinned} is not what the hub says: nothing of it is kept; try again")
    hashed = sha256(path)
    arrived(path, hashed)
    return hashed


@lru_cache(maxsize=32)
def _listing(address: Repository, folder: Path) -> Listing | Unreachable:
    """What the hub says of a revision, asked once by a process (for each folder of kept models), also in vain."""
    try:
        return _ask(address)
    except Unreachable as error:
        return error


def _ask(address: Repository) -> Listing:
    try:
        from huggingface_hub import HfApi, constants
    except ImportError as error:
        raise missing("huggingface_hub", error) from error
    if not is_safe(constants.ENDPOINT):
        raise PhotograftError(f"HF_ENDPOINT is {constants.ENDPOINT:.200}: models are fetched by https:// alone")
    with _telling(address):
        info = HfApi(endpoint=constants.ENDPOINT).model_info(
            f"{address.owner}/{address.name}", revision=address.revision, files_metadata=True, timeout=_TIMEOUT
        )
    commit = info.sha or ""
    if not address.at(commit).is_pinned or (address.is_pinned and commit != address.revision):
        raise PhotograftError(f"{address}: the hub does not say which commit that is")
    return Listing(commit, _files(info.siblings or [], str(address)))


def _files(siblings: list[Any], where: str) -> tuple[RemoteFile, ...]:
    """Those that belong to the model; all else in a repository is left there."""
    names = {sibling.rfilename for sibling in siblings if sibling.rfilename.endswith(ENDINGS)}
    names = {name for name in names if "/" not in name and "\\" not in name}
    stem = stem_of([name for name in names if name.endswith(ENDINGS[0])], where)
    wanted = {stem + ending for ending in ENDINGS} & names
    return tuple(_file(sibling, where) for sibling in siblings if sibling.rfilename in wanted)


def _file(sibling: Any, where: str) -> RemoteFile:
    name, size, most = sibling.rfilename, sibling.size, most_bytes(sibling.rfilename)
    if not isinstance(size, int) or (sibling.lfs is None and sibling.blob_id is None):
        raise PhotograftError(f"{where}: the hub does not say size and hash of {name}")
    if size > most:
        raise PhotograftError(f"{where}: {name} is too large: {size:,} bytes, and at most {most:,} are fetched")
    return RemoteFile(name, size, None if sibling.lfs is None else sibling.lfs.sha256, sibling.blob_id)


@contextlib.contextmanager
def _telling(address: Repository) -> Iterator[None]:
    """The library's errors as ours. Those of its transport are of other libraries, by its version."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise PhotograftError(f"{address}: the hub asks for your consent: give it there, then set HF_TOKEN") from error
    except errors.RepositoryNotFoundError as error:
        raise PhotograftError(f"{address}: the hub has no such repository (private ones need HF_TOKEN)") from error
    except errors.RevisionNotFoundError as error:
        raise PhotograftError(f"{address}: the repository has no such revision") from error
    except errors.EntryNotFoundError as error:
        raise Unreachable(f"{address}: a file cannot be fetched: {_words(error)}") from error
    except PhotograftError:
        raise
    except Exception as error:
        raise Unreachable(f"{address}: the hub cannot be reached: {_words(error)}") from error


def _words(error: Exception) -> str:
    return f"{' '.join(str(error).split()) or type(error).__name__:.200}"


@lru_cache(maxsize=8)
def _tell_once(text: str) -> None:
    tell(text)
