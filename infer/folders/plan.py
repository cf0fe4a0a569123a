"""What a run has to do: photos that are worked on together, and which of them an earlier run has finished."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from infer.editor.steps import ChangeClass, Step
from infer.folders.items import Item
from infer.folders.options import FolderOptions
from infer.folders.summary import Finished, is_whole, key_of
from models.digests import code_digest, digests
from models.files import sha256
from models.prepared import Networks

_ROOMS = ("infer/editor", "infer/edits", "infer/folders", "infer/photo", "infer/pictures", "infer/projection", "models")


@dataclass(frozen=True)
class Unit:
    """Photos that one process works on together.

    Attributes:
        items: the photos.
        wanted: which of them are not finished; the others are projected with them, so that rounding is the same.
    """

    items: tuple[Item, ...]
    wanted: tuple[bool, ...]


class Keys:
    """Hashes of all that photos' results depend on: photo, edits, options, weights and program.

    Args:
        networks: of the run.
        options: of the run.
    """

    def __init__(self, networks: Networks, options: FolderOptions) -> None:
        weights = digests(networks.model)
        configs = {name: getattr(networks.model, name).config for name in weights}
        program = [code_digest(*_ROOMS, suffixes=[".py"]), code_digest("models")]
        self.common = [weights, configs, networks.psi_name, str(networks.dtype), program, asdict(options)]

    def __call__(self, item: Item) -> str:
        """A photo's; "" where its files cannot be read, which is told later."""
        try:
            steps = [[(repr(step), _hash_of(step)) for step in group] for group in item.groups]
            photo = [sha256(item.path), str(item.path.absolute()), str(item.name)]
            return key_of({"photo": photo, "steps": steps, "box": str(item.box), "common": self.common})
        except OSError:
            return ""


def find_finished(
    items: Iterable[Item], keys: Keys, known: Mapping[str, Finished], out: Path
) -> dict[PurePosixPath, Finished]:
    """Photos of which an earlier run's results are all there, with what it said of them."""
    found = {}
    for item in items if known else ():
        line = known.get(keys(item))
        if line is not None and is_whole(line, out):
            found[item.name] = line
    return found


def units_of(items: Sequence[Item], finished: Collection[PurePosixPath], *, batch: int, pixels: int) -> list[Unit]:
    """Photos in groups of `batch` at most, with `pixels` at most if it is more than one; a group that is finished is
    left out.

    Groups depend on the photos alone and not on what is finished, so that a run that goes on rounds as one that was
    never stopped. Photos whose results would have one name, such as a.jpg and a.png, are always together: the first
    has the name.
    """
    groups: list[list[Item]] = []
    size = 0
    for bundle in _namesakes(items):
        own = sum(_pixels(item.path) for item in bundle)
        if groups and len(groups[-1]) + len(bundle) <= batch and size + own <= pixels:
            groups[-1] += bundle
            size += own
        else:
            groups.append(list(bundle))
            size = own
    units = [Unit(tuple(group), tuple(item.name not in finished for item in group)) for group in groups]
    return [unit for unit in units if any(unit.wanted)]


def _namesakes(items: Sequence[Item]) -> list[list[Item]]:
    """Photos of one folder and stem together, in the order of the first of them."""
    found: dict[Any, list[Item]] = {}
    for item in items:
        found.setdefault(str(item.name.with_suffix("")).casefold(), []).append(item)
    return list(found.values())


def _pixels(path: Path) -> int:
    """Of a photo, by its header; 0 where it cannot be read, which is told when it is opened."""
    try:
        with Image.open(path) as image:
            return image.width * image.height
    except Exception:  # readers raise anything
        return 0


def _hash_of(step: Step) -> str | None:
    """Of a painted region's file."""
    if isinstance(step, ChangeClass) and isinstance(step.region, Path) and step.region.is_file():
        return sha256(step.region)
    return None
