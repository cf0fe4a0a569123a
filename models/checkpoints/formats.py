"""Every foreign format in one table: which one a file is of is told by its content, never by its name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.base import Configurable
from models.checkpoints import (
    basicsr,
    biggan_ajbrock,
    biggan_huggingface,
    biggan_tfhub,
    chainer,
    gan_zoo,
    grey,
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
from models.checkpoints.parts import corrected
from models.checkpoints.resemblance import SHOWN, listing, main_view, nearest, resemblance
from models.checkpoints.told import told
from models.checkpoints.wrappers import View, views
from models.errors import PhotograftError
from models.names.published import ClassNames, given
from models.reading import read_metadata


def _nothing(_: Any) -> list[str]:
    return []


def _notes(found: Any) -> list[str]:
    """What was not read beside a generator, and why."""
    return list(found.notes or ())


def _tensorflow_notes(found: Any) -> list[str]:
    return [*grey.remarks(found.variables), *found.notes]


def _parts(found: Any, _: Any) -> list[str]:
    return corrected(found.parts, found.notes or ())


def _no_parts(_found: Any, _content: Any) -> list[str]:
    return []


@dataclass(frozen=True)
class Format:
    """One way in which others publish networks.

    Attributes:
        name: for the user.
        find: what `read` needs of a file's content (a state dict, variables by name, a pickled object), or None if the
            file is of another format. It looks at names and types alone: of an archive of arrays it gets no values.
        read: networks by kind, of what was found; raises PhotograftError naming the file.
        remarks: what is assumed of what was found because the file does not say it, and what of it was not read and
            why, a line each; asked for after `read`.
        parts: every network of a file that holds several and what it is used for, a line each: of what was found, and
            of the content that it was found in.
    """

    name: str
    find: Callable[[Any], Any]
    read: Callable[[Any, Path], dict[str, Configurable]]
    remarks: Callable[[Any], list[str]] = _nothing
    parts: Callable[[Any, Any], list[str]] = _no_parts


AJBROCK = "BigGAN of ajbrock"
FORMATS: tuple[Format, ...] = (
    # before the next, which shares its names:
    Format("StyleGAN2 of NVIDIA, TensorFlow", tf_stylegan2.find, tf_stylegan2.read, _tensorflow_notes, _parts),
    Format("StyleGAN of NVIDIA, TensorFlow", tf_stylegan.find, tf_stylegan.read, _tensorflow_notes, _parts),
    Format("Progressive GAN of NVIDIA, TensorFlow", tf_progan.find, tf_progan.read, _tensorflow_notes, _parts),
    Format("StyleGAN of lernapparat or GANLocalEditing", lernapparat.find, lernapparat.read),
    Format("StyleGAN of rosinality", rosinality_stylegan.find, rosinality_stylegan.read, _notes, _parts),
    Format("StyleGAN2 of NVIDIA", nvidia.find, nvidia.read, nvidia.remarks, nvidia.parts),
    Format(
        "StyleGAN2 of rosinality",
        rosinality_stylegan2.find,
        rosinality_stylegan2.read,
        rosinality_stylegan2.remarks,
        rosinality_stylegan2.parts,
    ),
    Format("StyleGAN2 of BasicSR", basicsr.find, basicsr.read, rosinality_stylegan2.remarks),
    Format("Progressive GAN of pytorch_GAN_zoo", gan_zoo.find, gan_zoo.read, _notes, _parts),
    Format(AJBROCK, biggan_ajbrock.find, biggan_ajbrock.read, biggan_ajbrock.remarks, biggan_ajbrock.parts),
    Format("BigGAN of TensorFlow Hub", biggan_tfhub.find, biggan_tfhub.read, biggan_tfhub.remarks),
    Format("BigGAN-deep of Hugging Face", biggan_huggingface.find, biggan_huggingface.read, biggan_huggingface.remarks),
)


@dataclass(frozen=True)
class Reading:
    """What was read of a foreign file.

    Attributes:
        networks: by kind, frozen.
        layouts: what the file's format calls the architecture of each.
        remarks: what was assumed, and what else the file holds that is not read; a line each.
        parts: the networks of a file that holds several, and which of them were read; a line each.
    """

    networks: dict[str, Configurable]
    layouts: dict[str, str]
    remarks: list[str]
    parts: list[str] = field(default_factory=list)

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
    """The networks of a foreign file, or of a module of TensorFlow Hub (its folder, or its address).

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
                    layouts = dict.fromkeys(networks, candidate.name)
                    return Reading(networks, layouts, remarks, candidate.parts(found, view.content))
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


def convert(
    path: Path,
    out: Path,
    say: Callable[[str], object] = _nothing,
    *,
    names: str | None = None,
    truncation: float = 1.0,
    ported_statistics: bool = False,
    bn_eps: float | None = None,
) -> list[Path]:
    """Write the networks of a foreign file as ours, see `write_networks`; returns where.

    Args:
        path: the file, or a module of TensorFlow Hub.
        out: the file to write, or whose name others are made of.
        say: gets the remarks on what was read.
        names: of the generator's classes, see `models.names.published.given`; None: the files say nothing of them.
        truncation, ported_statistics: of generators with statistics of several truncations, see
            `models.generators.biggan`.
        bn_eps: eps of the batch norms of ajbrock's generators, but for the last one's, which is 1e-5 whatever they were
            trained with; None: 1e-5.

    Raises:
        PhotograftError: as `read` does, a folder that cannot be written, or names that are not of these classes.
    """
    reading = read(path)
    named = None if names is None else _named(reading, names, path)
    if truncation != 1 or ported_statistics:
        config = reading.networks["generator"].config if "generator" in reading.networks else {}
        if config.get("statistics", 1) == 1:
            raise PhotograftError(
                f"{path} holds no statistics of several truncations: leave out --truncation and --ported-statistics"
            )
        config |= {"truncation": truncation, "ported_statistics": ported_statistics}
    if bn_eps is not None:
        if reading.layouts.get("generator") != AJBROCK:
            raise PhotograftError(
                f"{path} is none of ajbrock's generators, whose files do not say it: leave --bn-eps out"
            )
        reading.networks["generator"].config |= {"eps": bn_eps, "last_eps": 1e-5}
    for line in (*reading.parts, *reading.remarks):
        say(line)
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
