"""What names a model that is not on this computer: `hf:OWNER/NAME[@REVISION]`, or an address with its sha256."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, urlsplit

from models.errors import PhotograftError
from models.parts import GENERATOR
from models.schema import PathText, check, short

MANIFEST, WEIGHTS = ".json", ".safetensors"
_HUB = "hf:"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REPOSITORY = re.compile(rf"hf:(?P<owner>{_WORD})/(?P<name>{_WORD})(?:@(?P<revision>{_WORD}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}")
_HASH = re.compile(r"sha256=(?P<sha256>[0-9a-f]{64})")
_PINNING = "end it in #sha256=… (`photograft models --manifest MODEL` or sha256sum says it)"


@dataclass(frozen=True)
class Repository:
    """A repository of the Hugging Face Hub, at a revision: a branch, a tag or a commit."""

    owner: str
    name: str
    revision: str = "main"

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit, whose files never change."""
        return _COMMIT.fullmatch(self.revision) is not None

    @property
    def title(self) -> str:
        """For the names of results."""
        return self.name

    def at(self, revision: str) -> "Repository":
        """The same repository at another revision."""
        return Repository(self.owner, self.name, revision)

    def __str__(self) -> str:
        return f"{_HUB}{self.owner}/{self.name}@{self.revision}"


@dataclass(frozen=True)
class WebFile:
    """A file at an address, and its sha256: a manifest (.json) of a model's files, or a generator (.safetensors)."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """Of the file."""
        return self.url.rpartition("/")[2]

    @property
    def title(self) -> str:
        """For the names of results."""
        return self.name.removesuffix(MANIFEST).removesuffix(GENERATOR).removesuffix(WEIGHTS)

    def beside(self, name: str) -> str:
        """The address of a file in the same folder."""
        return f"{self.url.rpartition('/')[0]}/{name}"

    def __str__(self) -> str:
        return f"{self.url}#sha256={self.sha256}"


def is_address(name: str) -> bool:
    """Whether a model's name says that it is elsewhere, rightly or not."""
    return name.startswith(_HUB) or _SCHEME.match(name) is not None


def parse(name: str) -> Repository | WebFile:
    """What the name says.

    Raises:
        PhotograftError: no such form, http:// beyond this computer, or an address without a hash.
    """
    check(PathText, name, "model")
    if not name.startswith(_HUB):
        return _web_file(name)
    found = _REPOSITORY.fullmatch(name)
    if found is None or ".." in name:
        raise PhotograftError(f"model {short(name)}: a model of the hub is hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    return Repository(found["owner"], found["name"], found["revision"] or "main")


def title(name: str) -> str | None:
    """What an address calls its model, for the names of results; None if it is no address."""
    return parse(name).title if is_address(name) else None


def is_safe(url: str) -> bool:
    """Whether nobody on the way can change what this address gives: https, or a server on this computer."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _web_file(name: str) -> WebFile:
    shown = short(name)
    try:
        parts = urlsplit(name)
        parts.port  # noqa: B018 (raises where it is no number)
    except ValueError as error:
        raise PhotograftError(f"model {shown} is no address: {error}") from error
    if not is_safe(name):
        raise PhotograftError(f"model {shown}: models are fetched by https:// alone")
    file = PurePosixPath(parts.path).name
    if not _is_plain(parts) or _FILE.fullmatch(file) is None or not parts.path.endswith(f"/{file}"):
        raise PhotograftError(f"model {shown}: an address has a host and a plain path, no user and no query")
    if not file.endswith((MANIFEST, WEIGHTS)):
        raise PhotograftError(f"model {shown}: name a STEM.json (`photograft models --manifest`) or a .safetensors")
    found = _HASH.fullmatch(parts.fragment)
    if found is None:
        raise PhotograftError(f"model {shown}: the address does not say the file's hash: {_PINNING}")
    return WebFile(name.partition("#")[0], found["sha256"])


def _is_plain(parts: SplitResult) -> bool:
    steps = PurePosixPath(parts.path).parts
    return bool(parts.hostname) and "@" not in parts.netloc and not parts.query and ".." not in steps
