"""Every foreign format in one table: which one a file is of is told by its content, never by its name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.base import Configurable
from models.checkpoints import (
    basicsr,
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
from models.checkpoints.archives import ArrayArchive, Unreadable
from models.checkpoints.contents import read_content
from models.checkpoints.conversion import Description, describe_network, write_networks
from models.checkpoints.resemblance import SHOWN, listing, main_view, nearest, resemblance
from models.checkpoints.told import told
from models.checkpoints.wrappers import View, views
from models.errors import PhotograftError
from models.names.published import ClassNames, given
from models.reading import read_metadata


def _nothing(_: Any) -> list[str]:
    return []


@dataclass(frozen=True)
class Format:
    """One way in which others publish networks.

    Attributes:
        name: for the user.
        find: what `read` needs of a file's content (a state dict, variables by name, a pickled object), or None if the
            file is of another format. It looks at names and types alone: of an archive of arrays it gets no values.
        read: networks by kind, of what was found; raises PhotograftError naming the file.
        remarks: what is assumed of what was found because the file does not say it, a line each.
    """

    name: str
    find: Callable[[Any], Any]
    read: Callable[[Any, Path], dict[str, Configurable]]
    remarks: Callable[[Any], list[str]] = _nothing


FORMATS: tuple[Format, ...] = (
    # before the next, which shares its names:
    Format("StyleGAN2 of NVIDIA, TensorFlow", tf_stylegan2.find, tf_stylegan2.read),
    Format("StyleGAN of NVIDIA, TensorFlow", tf_stylegan.find, tf_stylegan.read),
    Format("Progressive GAN of NVIDIA, TensorFlow", tf_progan.find, tf_progan.read),
    Format("StyleGAN of lernapparat or GANLocalEditing", lernapparat.find, lernapparat.read),
    Format("StyleGAN of rosinality", rosinality_stylegan.find, rosinality_stylegan.read),
    Format("StyleGAN2 of NVIDIA", nvidia.find, nvidia.read, nvidia.remarks),
    Format(
        "StyleGAN2 of rosinality", rosinality_stylegan2.find, rosinality_stylegan2.read, rosinality_stylegan2.remarks
    ),
    Format("StyleGAN2 of BasicSR", basicsr.find, basicsr.read, rosinality_stylegan2.remarks),
    Format("Progressive GAN of pytorch_GAN_zoo", gan_zoo.find, gan_zoo.read),
)


@dataclass(frozen=True)
class Reading:
    """What was read of a foreign file.

    Attributes:
        networks: by kind, frozen.
        layouts: what the file's format calls the architecture of each.
        remarks: what was assumed, and what else the file holds that is not read; a line each.
    """

    networks: dict[str, Configurable]
    layouts: dict[str, str]
    remarks: list[str]

    def descriptions(self) -> list[Description]:
        """What each network is."""
        return [describe_network(kind, network, self.layouts[kind]) for kind, network in self.networks.items()]


class UnknownNetwork(PhotograftError):
    """A file that can be read, but holds no network of a known format.

    Attributes:
        listing: what it holds instead, a line each.
    """

    def __init__(self, message: str, listing: list[str]) -> None:
        super().__init__(message)
        self.listing = listing


def read(path: Path) -> Reading:
    """The networks of a foreign file.

    Raises:
        UnknownNetwork: with what the file holds.
        PhotograftError: missing or damaged file, one of another kind (named), arrays that are missing, unknown or do
            not fit, NaN weights.
    """
    content = read_content(path)
    if isinstance(content, dict) and {"networks", "pytorch-lightning_version"} <= content.keys():
        raise PhotograftError(f"{path} is a training's checkpoint: `train.py export {path} OUT` writes its networks")
    try:
        seen = []
        for view in views(content):
            for candidate in FORMATS:
                if (found := candidate.find(view.content)) is not None:
                    networks = candidate.read(found, path)
                    remarks = [*candidate.remarks(found), *_beside(view)]
                    return Reading(networks, dict.fromkeys(networks, candidate.name), remarks)
            seen.append(view)
        if isinstance(content, ArrayArchive) and chainer.fits(content):
            networks = chainer.read_arrays(content, path)
            return Reading(networks, {kind: chainer.layout(kind, n.config) for kind, n in networks.items()}, [])
        main = main_view(seen)
        lines = listing(main, content)
    except Unreadable as error:
        raise PhotograftError(f"{path} {error}") from error
    raise UnknownNetwork(f"{path} holds no network that can be read: {resemblance(main)}", lines)


def is_foreign(path: Path) -> bool:
    """Whether a file is a safetensors file of somebody else."""
    return path.is_file() and "photograft" not in read_metadata(path)


def convert(path: Path, out: Path, say: Callable[[str], object] = _nothing, *, names: str | None = None) -> list[Path]:
    """Write the networks of a foreign file as ours, see `write_networks`; returns where.

    Args:
        path: the file.
        out: the file to write, or whose name others are made of.
        say: gets the remarks on what was read.
        names: of the generator's classes, see `models.names.published.given`; None: the files say nothing of them.

    Raises:
        PhotograftError: as `read` does, a folder that cannot be written, or names that are not of these classes.
    """
    reading = read(path)
    named = None if names is None else _named(reading, names, path)
    for remark in reading.remarks:
        say(remark)
    return write_networks(reading.networks, reading.layouts, path, out, named=named)


def _named(reading: Reading, names: str, path: Path) -> ClassNames:
    """The names of the generator's classes that were asked for."""
    count = getattr(reading.networks.get("generator"), "num_classes", 0)
    if not count:
        raise PhotograftError(f"{path} has no generator with classes: leave --names out")
    return given(names, count)


def _beside(view: View) -> list[str]:
    """What lies beside the network that was read, and what it is."""
    remarks = []
    for name, part in list(view.beside.items())[:SHOWN]:
        found = nearest(part)
        unread = "which is another state or part" if found and found[0].readable else "for which there is no reader"
        what = f"{found[0].name}, {unread}" if found else "no network that is known here"
        remarks.append(f"not read: {told(name)}, {len(part)} entries: {what}")
    return remarks
