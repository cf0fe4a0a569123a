"""Files read with bounds: regular ones only (no device, no pipe), and not above a size that their kind can have."""

import contextlib
import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open

from models.errors import PhotograftError

MEBI = 2**20
TEXT, TENSORS = 16 * MEBI, 4096 * MEBI  # the largest file of each
_STARTS = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_ENDS = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


def check_file(path: Path, what: str, most: int) -> None:
    """Raise PhotograftError unless there is a regular file of at most so many bytes."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        raise PhotograftError(f"{what} " + (f"not found: {path}" if missing else f"{path}: {reason}")) from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a device or a pipe"
        raise PhotograftError(f"{what} {path} is {kind}, not a file")
    if found.st_size > most:
        raise PhotograftError(f"{what} {path} is too large: {found.st_size:,} bytes, and at most {most:,} are read")


def sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path, what: str, most: int = TEXT) -> str:
    """A text file of ours, UTF-8, of at most so many bytes. Raises PhotograftError for another one."""
    check_file(path, what, most)
    try:
        with path.open("rb") as file:
            return file.read(most).decode()
    except OSError as error:
        raise PhotograftError(f"{what} {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PhotograftError(f"{path} is not a {what}: it is no text (UTF-8)") from error


def read_yaml(path: Path, what: str) -> Any:
    """The content of a short YAML file of ours: plain values, each key once, without anchors, tags or deep nesting.

    Raises:
        PhotograftError: another one.
    """
    text, depth = read_text(path, what, most=MEBI // 8), 0
    try:
        for token in yaml.scan(text, yaml.SafeLoader):
            depth += isinstance(token, _STARTS) - isinstance(token, _ENDS)
            if depth > 20 or isinstance(token, yaml.AliasToken):
                raise PhotograftError(f"{what} {path} is nested or repeats parts by anchors: write a plain list")
            if isinstance(token, yaml.TagToken):  # whose values the library takes unchecked
                raise PhotograftError(f"{what} {path} says types by tags (!!int): write plain values")
        return yaml.load(text, _EachOnce)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no such date
        raise PhotograftError(f"{what} {path} is not YAML: {' '.join(str(error).split()):.200}") from error


class _EachOnce(yaml.SafeLoader):
    """Refuses a key twice, of which the last would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The library's hook."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r:.80} is there twice")
        return super().construct_mapping(node, deep)


def read_metadata(path: Path, what: str = "weights file") -> dict[str, str]:
    """The texts in the header of a safetensors file, of which nothing else is read.

    Args:
        path: of the file.
        what: it is called in errors.

    Raises:
        PhotograftError: no file, or a damaged one.
    """
    with opened(path, what, "np") as file:
        return file.metadata() or {}


@contextlib.contextmanager
def opened(path: Path, what: str, framework: str) -> Iterator[Any]:
    """A safetensors file for a framework of that library's ("pt", "np"), in whose block its errors are ours.

    Raises:
        PhotograftError: no file, or a damaged one.
    """
    check_file(path, what, TENSORS)
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise PhotograftError(f"{path} is not a safetensors file or is damaged: {error}") from error
