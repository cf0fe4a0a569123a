"""Files read with bounds: regular ones only (no device, no pipe), and not above a size that their kind can have."""

import contextlib
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.errors import PhotograftError

MEBI = 2**20
TEXT, TENSORS = 16 * MEBI, 4096 * MEBI  # the largest file of each
FLOATS = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
INTEGERS = {"BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32}
_STARTS = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_ENDS = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
DTYPES = FLOATS | INTEGERS | {"I64": torch.int64}


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


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file, of which only the header is read yet.

    Attributes:
        path: of the file.
        metadata: its texts.
        described: name of each tensor -> an empty one of its shape and dtype, on the "meta" device.
    """

    path: Path
    metadata: Mapping[str, str]
    described: Mapping[str, Tensor]

    def read(self, *, single: bool = True) -> dict[str, Tensor]:
        """The tensors; floats as float32 unless `single` is False.

        Raises:
            PhotograftError: a file that changed since, NaN or infinite values.
        """
        with _opened(self.path) as file:
            tensors = {name: file.get_tensor(name) for name in self.described}
        if single:
            tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        check_finite(tensors, self.path)
        return tensors


def open_tensors(path: Path, what: str = "weights file") -> TensorFile:
    """The header of a safetensors file.

    Args:
        path: of the file.
        what: it is called in errors.

    Raises:
        PhotograftError: no file, a damaged one, or tensors of types that no network here has.
    """
    check_file(path, what, TENSORS)
    with _opened(path) as file:
        described = {}
        for name in file.keys():  # noqa: SIM118 (not a dict)
            part = file.get_slice(name)
            dtype = part.get_dtype()
            if dtype not in DTYPES:
                raise PhotograftError(
                    f"{path}: tensor {name!r:.80} is of type {dtype}: convert it to float32 or float16"
                )
            described[name] = torch.empty(part.get_shape(), dtype=DTYPES[dtype], device="meta")
        return TensorFile(path, file.metadata() or {}, described)


def check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise PhotograftError, naming the tensor, if any weight is NaN or infinite, or a variance negative."""
    for key, tensor in tensors.items():
        if key.endswith("running_var") and bool((tensor < 0).any()):
            raise PhotograftError(f"{path}: {key!r:.80} holds negative variances: the file is unusable")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise PhotograftError(f"{path}: weights {key!r:.80} hold NaN or infinite values: the file is unusable")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise PhotograftError(f"{path} is not a safetensors file or is damaged: {error}") from error
