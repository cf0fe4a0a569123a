"""Every foreign format in one table: which one a file is of is told by its content, never by its name."""

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.base import Configurable
from models.checkpoints import (
    chainer,
    gan_zoo,
    lernapparat,
    nvidia,
    rosinality_stylegan,
    rosinality_stylegan2,
    tf_progan,
    tf_stylegan,
    tf_stylegan2,
)
from models.checkpoints.pickles import MAX_BYTES, read_pickle, read_torch
from models.checkpoints.writing import Description, describe_network, write_networks
from models.errors import PhotograftError

LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # its magic number, pickled


@dataclass(frozen=True)
class Format:
    """One way in which others publish networks.

    Attributes:
        name: for the user.
        find: what `read` needs of a file's content (a state dict, variables by name, a pickled object), or None if the
            file is of another format. It looks at names and types alone: of an archive of arrays it gets no values.
        read: networks by kind, of what was found; raises PhotograftError naming the file.
    """

    name: str
    find: Callable[[Any], Any]
    read: Callable[[Any, Path], dict[str, Configurable]]


FORMATS: tuple[Format, ...] = (
    Format(
        "StyleGAN2 of NVIDIA, TensorFlow", tf_stylegan2.find, tf_stylegan2.read
    ),  # before the next, which shares its names
    Format("StyleGAN of NVIDIA, TensorFlow", tf_stylegan.find, tf_stylegan.read),
    Format("Progressive GAN of NVIDIA, TensorFlow", tf_progan.find, tf_progan.read),
    Format("StyleGAN of lernapparat or GANLocalEditing", lernapparat.find, lernapparat.read),
    Format("StyleGAN of rosinality", rosinality_stylegan.find, rosinality_stylegan.read),
    Format("StyleGAN2 of NVIDIA", nvidia.find, nvidia.read),
    Format("StyleGAN2 of rosinality", rosinality_stylegan2.find, rosinality_stylegan2.read),
    Format("Progressive GAN of pytorch_GAN_zoo", gan_zoo.find, gan_zoo.read),
)


def describe(path: Path) -> list[Description]:
    """What a foreign file holds, one entry per network; raises as `convert` does."""
    found = _identify(path)
    if found is None:
        return chainer.describe(path)
    kind_of_file, networks = found
    return [describe_network(kind, network, kind_of_file.name) for kind, network in networks.items()]


def convert(path: Path, out: Path) -> list[Path]:
    """Write the networks of a foreign file as ours, see `write_networks`; returns where.

    Raises:
        PhotograftError: missing, damaged or unknown file, arrays that are missing, unknown or do not fit, NaN weights,
            a folder that cannot be written.
    """
    found = _identify(path)
    if found is None:
        return chainer.convert(path, out)
    kind_of_file, networks = found
    return write_networks(networks, dict.fromkeys(networks, kind_of_file.name), path, out)


def _identify(path: Path) -> tuple[Format, dict[str, Configurable]] | None:
    """A file's format and networks; None for an archive of arrays of no other format, which is Chainer's to judge."""
    names = _array_names(path)
    content = _content(path) if names is None else dict.fromkeys(names)
    for candidate in FORMATS:
        if candidate.find(content) is not None:
            if names is not None:
                content = _read_arrays(path)
            return candidate, candidate.read(candidate.find(content), path)
    if names is not None:
        return None
    known = "; ".join(candidate.name for candidate in FORMATS)
    raise PhotograftError(f"{path} holds no network that can be read: choose a file of {known}; or a Chainer snapshot")


def _array_names(path: Path) -> list[str] | None:
    """Names in an archive of numpy arrays, or None if the file is something else."""
    if not path.is_file():
        raise PhotograftError(f"weights file not found: {path}")
    if not zipfile.is_zipfile(path):
        return [] if path.suffix == ".npz" else None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise PhotograftError(f"{path} is a damaged archive ({error}): download it again") from error
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return None
    return [name.removesuffix(".npy") for name in names]


def _read_arrays(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise PhotograftError(f"{path} unpacks to more than {MAX_BYTES >> 30} GiB: it holds no weights")
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise PhotograftError(f"{path} is damaged ({error}): download it again") from error


def _content(path: Path) -> Any:
    """The value of a torch file or a pickle."""
    with path.open("rb") as file:
        start = file.read(len(LEGACY_TORCH))
    return read_torch(path) if start == LEGACY_TORCH or start.startswith(b"PK") else read_pickle(path)
