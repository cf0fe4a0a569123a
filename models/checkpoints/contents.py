"""A foreign file's content as data, whatever it is packed in: torch files, pickles, `.npz`, safetensors.

Nothing is executed, and nothing that a file says about itself is believed before it is compared with the file's size.
What cannot be read is named.
"""

from pathlib import Path
from typing import Any

from models.checkpoints.archives import MAX_BYTES, Archive, ArrayArchive, Unreadable
from models.checkpoints.pickles import read_pickle, read_torch
from models.checkpoints.signatures import HEAD, UNFINISHED, name_archive, name_folder, name_kind
from models.checkpoints.tfhub import is_module, read_module
from models.errors import PhotograftError
from models.tensors import open_tensors

LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # its magic number, pickled


def read_content(path: Path) -> Any:
    """The value of a torch file or pickle, see `pickles`; or arrays by name, each read when it is asked for.

    A module of TensorFlow Hub is its folder or its address.

    Raises:
        PhotograftError: missing, empty, unreadable, damaged or oversized file, or what it is if it holds no weights.
    """
    if is_module(path):
        return read_module(path)
    if path.is_dir():
        raise PhotograftError(f"{path} {name_folder(path)}")
    if not path.is_file():
        raise PhotograftError(
            f"{path} is no regular file: choose one" if path.exists() else f"weights file not found: {path}"
        )
    try:
        return _read(path)
    except OSError as error:
        raise PhotograftError(f"cannot read {path}: {error.strerror or error}") from error
    except Unreadable as error:
        raise PhotograftError(f"{path} {error}{_ending(path)}") from error
    except PhotograftError as error:
        raise PhotograftError(f"{error}{_ending(path)}") from error


def _ending(path: Path) -> str:
    return f" (its name says that the download did not finish: {path.suffix})" if path.suffix in UNFINISHED else ""


def _read(path: Path) -> Any:
    size = path.stat().st_size
    if size == 0:
        raise Unreadable("is empty: download it again")
    if size > MAX_BYTES:
        raise Unreadable(f"is larger than {MAX_BYTES >> 30} GiB: it holds no weights")
    with path.open("rb") as file:
        head = file.read(HEAD)
        file.seek(max(size - 8, 0))
        end = file.read()
    if head.startswith(b"PK"):
        return _read_zip(path)
    if _is_safetensors(head, size):
        return _read_safetensors(path)
    if head.startswith(LEGACY_TORCH):
        return read_torch(path)
    kind = name_kind(head, end, path)
    if kind is None and head.startswith(b"\x80"):
        return read_pickle(path)
    if kind is None or (kind.startswith("is text") and end.endswith(b".")):  # the oldest pickles are text, and end so
        try:
            return read_pickle(path)
        except PhotograftError as error:
            unknown = (
                f"is of no known kind (it begins with the bytes {head[:8].hex(' ')}), or damaged: download it again"
            )
            raise Unreadable(kind or unknown) from error
    raise Unreadable(kind)


def _read_zip(path: Path) -> Any:
    names = Archive(path).names
    base = [name.rsplit("/", 1)[-1] for name in names]
    if "data.pkl" in base and "constants.pkl" not in base:
        return read_torch(path)
    if names and any(name.endswith(".npy") for name in names):
        return ArrayArchive(path)
    raise Unreadable(name_archive(names))


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and 2 <= length < max(size, 1 << 30)


def _read_safetensors(path: Path) -> dict[str, Any]:
    file = open_tensors(path)
    if "photograft" in file.metadata:
        raise Unreadable("is a file of ours already: use it as it is (infer.py inspect shows it)")
    return dict(file.read())
