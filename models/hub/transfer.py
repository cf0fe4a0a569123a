"""What is told of a file that is fetched: how far it is, then its size and sha256."""

from pathlib import Path
from typing import Any, Self

from models.errors import PhotograftError
from models.progress import Counting, tell
from models.reading import MEBI

EXTRA = "pip install 'photograft[hub]'"


class Transfer:
    """A bar as both libraries call one (tqdm's interface), told as `models.progress` tells.

    Args:
        total: bytes, if they are known.
        initial: of them that are there already.
        desc: what is fetched.
    """

    def __init__(self, *_: Any, total: int | None = None, initial: int = 0, desc: str = "", **__: Any) -> None:
        self.total, self.n, self.desc = total, initial, desc
        self._count: Counting | None = None

    def update(self, n: float | None = 1) -> None:
        """So many bytes more."""
        self.n += int(n or 0)
        if self._count is None:
            self._count = Counting(f"fetching {self.desc}", None, "MB")
        total = None if not self.total else -(-self.total // MEBI)
        self._count(min(self.n // MEBI, total or self.n), total)

    def reset(self, total: float | None = None) -> None:
        """From the beginning again."""
        self.n = 0

    def update_transfer(self, n: float | None = 1) -> None:
        """So many bytes from the network, which are not those of the file: the hub compresses them."""

    def _ignored(self, *_: Any, **__: Any) -> None:
        """What a bar may be told that is told otherwise here."""

    refresh = set_description = set_postfix_str = set_transfer_postfix_str = _ignored

    def close(self) -> None:
        """All is there, or nothing more comes."""
        if self._count is not None:
            self._count.close()
            self._count = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def arrived(path: Path, hashed: str) -> None:
    """One line on a file that was fetched and checked."""
    tell(f"fetched {path.name}: {path.stat().st_size / MEBI:.2f} MB, sha256 {hashed}")


def missing(package: str, error: ImportError) -> PhotograftError:
    """The line that says which extra fetches models."""
    return PhotograftError(f"models are fetched by {package}, which is not installed: {EXTRA}")
