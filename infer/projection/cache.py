"""Projections that were made, and latents that settled, kept between runs: a second edit of a photo does not project.

Each is a file, named by the hash of all that it depends on: what comes out of it is the same to the bit as what making
it again gives. Nothing but tensors and JSON is read; a file that is damaged, or of another projection, is
none, and is replaced. Files are written whole, so any number of processes share a folder.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

import torch
from platformdirs import user_cache_path
from safetensors.torch import save
from torch import Tensor

from infer.progress import Progress
from infer.projection.delta import Delta, from_tensors
from infer.projection.mixture import Source, source_label
from infer.projection.model import chosen_options, project_pictures
from infer.projection.options import UNSET, ProjectionOptions
from infer.projection.presets import DEFAULT_PRESET, get_preset
from infer.projection.search import Projection
from models.base import Generator, StyleGenerator
from models.digests import code_digest, digest, digests
from models.errors import PhotograftError
from models.hub.kept import CACHE
from models.prepared import Networks
from models.reading import MEBI, check_file
from models.schema import short
from models.tensors import open_tensors
from models.terminal import Say
from models.writing import remove_stale, write_file

FOLDER, LIMIT = CACHE, "PHOTOGRAFT_CACHE_MB"  # of the environment
DEFAULT_LIMIT = 512 * MEBI
_LARGEST = 256 * MEBI  # of a file that is read
_SUFFIX = ".latent.safetensors"
_TENSORS = ("latent", "label", "loss", "feature_curve", "pixel_curve", "iterations", "zeta", "origin", "tuned")
_DELTA = "delta "  # begins the names of a delta's tensors
_PROJECTING = ("infer/projection", "models")  # what a projection goes through
_EDITING = ("infer/edits", "infer/editor", *_PROJECTING)  # and what a latent settles for


@dataclass(frozen=True)
class ProjectionCache:
    """A folder of projections and settled latents, of bounded size: what was not used for longest goes first.

    Attributes:
        folder: is made with the first file.
        limit: in bytes, of all files together.
    """

    folder: Path
    limit: int = DEFAULT_LIMIT

    @classmethod
    def default(cls) -> Self:
        """The user's: `PHOTOGRAFT_CACHE` is another folder, `PHOTOGRAFT_CACHE_MB` another size.

        Raises:
            PhotograftError: a size that is no number.
        """
        said, folder = os.environ.get(LIMIT, ""), os.environ.get(FOLDER)
        if said and not said.isdecimal():
            raise PhotograftError(f"{LIMIT} is {short(said)}: give whole megabytes, such as 512")
        where = Path(folder) if folder else user_cache_path("photograft") / "projections"
        return cls(where, int(said) * MEBI if said else DEFAULT_LIMIT)

    def project(
        self,
        networks: Networks,
        target: Tensor,
        source: Source | None = None,
        *,
        preset: str = DEFAULT_PRESET,
        options: ProjectionOptions = UNSET,
        progress: Progress | None = None,
        say: Say = lambda text: None,
    ) -> list[Projection]:
        """Projections of pictures that are projected together: those that are kept, else all are made now, and kept.

        Args:
            networks, target, source, preset, options, progress: see `infer.projection.model.project_pictures`; target
                is [N,3,R,R], of which no one's rounding is its own where N > 1.
            say: is told where the projections come from, and that the folder cannot be written to.

        Returns:
            One projection per picture.

        Raises:
            PhotograftError: as there.
        """
        asked = [asked_of(networks, target, source, preset, options, row) for row in range(len(target))]
        found = [kept for text in asked if (kept := self.find(text, networks.model.generator)) is not None]
        if len(found) == len(target):
            say("the projection is taken from the cache")
            return found
        made = project_pictures(
            networks, target, source, preset=preset, options=options, batch_size=len(target), progress=progress
        )
        with _telling(say, "projection"):
            for text, projection in zip(asked, made, strict=True):
                if projection.stopped is None:  # how far a stopped one came is the clock's, and not what was asked for
                    self.keep(text, projection)
        return made

    def settle(
        self, networks: Networks, asked: Any, make: Callable[[], Tensor], say: Say = lambda text: None
    ) -> Tensor:
        """Latents that settled for edits: those that are kept, else those that `make` finds now, and kept.

        Args:
            networks: with which they settle.
            asked: all else that they depend on, for each edit.
            make: see `infer.projection.settling.settle`; latents are z [N,latent_dim].
            say: is told that the folder cannot be written to.
        """
        text = json.dumps(surroundings(networks, _EDITING) | {"settling": asked}, sort_keys=True, default=str)
        path, z = self._path(text), (torch.float32, (len(asked), networks.model.generator.latent_dim))
        with contextlib.suppress(PhotograftError):
            latent = _tensors(path, text)[0].get("latent")
            if latent is not None and (latent.dtype, tuple(latent.shape)) == z and bool(latent.isfinite().all()):
                _used(path)
                return latent
        latent = make()
        with _telling(say, "settled latent"):
            self._write(text, {"latent": latent})
        return latent

    def find(self, asked: str, generator: Generator) -> Projection | None:
        """What was kept of a projection, on the CPU; None if there is nothing that can be used.

        Args:
            asked: see `asked_of`.
            generator: which the projection must fit.
        """
        path = self._path(asked)
        try:
            found = _read(path, asked, generator)
        except PhotograftError:
            return None
        _used(path)
        return found

    def keep(self, asked: str, found: Projection) -> None:
        """Write one picture's projection, and remove the oldest if there are too many.

        Raises:
            PhotograftError: the folder cannot be written to.
        """
        tensors = {name: t for name in _TENSORS if (t := getattr(found, name)) is not None}
        for delta in found.deltas:
            tensors |= {_DELTA + name: t for name, t in delta.tensors().items()}
        self._write(asked, tensors, deltas=str(len(found.deltas)))

    def _write(self, asked: str, tensors: Mapping[str, Tensor], **words: str) -> None:
        metadata = words | {"asked": asked, "digest": _digest(tensors)}
        content = save({name: t.cpu().contiguous() for name, t in tensors.items()}, metadata)
        write_file(self._path(asked), lambda stream: stream.write(content))
        remove_stale(self.folder)
        self._shrink()

    def files(self) -> list[tuple[Path, os.stat_result]]:
        """What is kept, with its size and when it was used last: the oldest first."""
        found = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):  # another process has just removed it
                found.append((path, path.stat()))
        return sorted(found, key=lambda file: file[1].st_mtime_ns)

    def clear(self) -> int:
        """Remove all that is kept; returns the number of files. Raises PhotograftError if one cannot be removed."""
        files = self.files()
        for path, _ in files:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise PhotograftError(f"{path}: cannot be removed ({error.strerror or error})") from error
        return len(files)

    def _shrink(self) -> None:
        files = self.files()
        size = sum(stat.st_size for _, stat in files)
        for path, stat in files:
            if size <= self.limit:
                break
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            size -= stat.st_size

    def _path(self, asked: str) -> Path:
        return self.folder / f"{hashlib.sha256(asked.encode()).hexdigest()}{_SUFFIX}"


def asked_of(
    networks: Networks, target: Tensor, source: Source | None, preset: str, options: ProjectionOptions, row: int = 0
) -> str:  # target [N,3,R,R]
    """All that the projection of a picture, the row of those that are projected together, depends on, as JSON:
    pictures, networks, options, program and processor; not its time, which changes nothing of one that is whole.

    Raises:
        PhotograftError: an unknown preset or class.
    """
    asked: dict[str, Any] = {
        "picture": digest([target]),
        "class": None if source is None else source_label(networks.model, source).tolist(),
        "preset": asdict(get_preset(preset)),
        "options": chosen_options(networks.model, preset, replace(options, max_seconds=None)).said(),
    }
    if len(target) > 1:
        asked["row"] = row
    return json.dumps(surroundings(networks, _PROJECTING) | asked, sort_keys=True, default=str)


def surroundings(networks: Networks, rooms: tuple[str, ...]) -> dict[str, Any]:
    """What every result depends on beside its own: networks, program (of these rooms) and processor."""
    model, device = networks.model, networks.device
    weights = digests(model)
    return {
        "networks": weights,
        "configs": {name: getattr(model, name).config for name in weights},
        "form": [networks.psi_name, str(networks.dtype), networks.channels_last],
        "program": [_code(rooms), torch.__version__],
        # sums are added up in another order by other threads and instructions
        "processor": [torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()],
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


@cache
def _code(rooms: tuple[str, ...]) -> str:
    return code_digest(*rooms, suffixes=[".py"])


@contextlib.contextmanager
def _telling(say: Say, what: str) -> Iterator[None]:
    """Say that something is not kept, and go on: the photo can be edited all the same."""
    try:
        yield
    except PhotograftError as error:
        say(f"the {what} is not kept: {error}")


def _used(path: Path) -> None:
    with contextlib.suppress(OSError):  # a folder that is only read
        os.utime(path)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    names = sorted(tensors)
    return hashlib.sha256(json.dumps([names, digest(tensors[name] for name in names)]).encode()).hexdigest()


def _tensors(path: Path, asked: str) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """A file's tensors and metadata. Raises PhotograftError if it is missing, damaged, or of something else."""
    check_file(path, "projection", _LARGEST)
    file = open_tensors(path, "projection")
    # A copy, whose memory lies as that of a new projection: products round by that too.
    tensors = {name: t.clone() for name, t in file.read(single=False, finite=False).items()}
    if file.metadata.get("asked") != asked or file.metadata.get("digest") != _digest(tensors):
        raise PhotograftError(f"{path} is damaged")
    return tensors, file.metadata


def _read(path: Path, asked: str, generator: Generator) -> Projection:
    """A projection. Raises PhotograftError as `_tensors`."""
    tensors, metadata = _tensors(path, asked)
    own = {name: tensors.pop(name, None) for name in _TENSORS}
    deltas: Sequence[Delta] = ()
    if metadata.get("deltas") == "1":
        deltas = [from_tensors({name.removeprefix(_DELTA): t for name, t in tensors.items()}, path)]
        deltas[0].check(generator.state_dict())
    if not _fits(own, generator):
        raise PhotograftError(f"{path} is damaged")
    return Projection(**own, deltas=tuple(deltas))  # type: ignore[arg-type]


def _fits(found: Mapping[str, Tensor | None], generator: Generator) -> bool:
    """Whether these are the tensors of one picture's projection onto this generator."""
    dim, classes, curve = generator.latent_dim, generator.num_classes, found["feature_curve"]
    one, steps = (torch.float32, (1,)), 0 if curve is None else len(curve)
    styles = [(torch.float32, (1, generator.num_ws, generator.w_dim))] if isinstance(generator, StyleGenerator) else []
    allowed: dict[str, Sequence[object]] = {
        "latent": [(torch.float32, (1, dim)), *styles],
        "label": [(torch.int64, (1,)), (torch.float32, (1, classes))] if classes else [None],
        "loss": [one],
        "feature_curve": [(torch.float32, (steps, 1))],
        "pixel_curve": [(torch.float32, (steps, 1))],
        "iterations": [(torch.int64, (1,))],
        "origin": [None, (torch.float32, (1, dim))],
        "tuned": [None, (torch.int64, (1,))],
    }
    for name, kinds in allowed.items():
        tensor = found[name]
        if (None if tensor is None else (tensor.dtype, tuple(tensor.shape))) not in kinds:
            return False
    latent, label = found["latent"], found["label"]
    known = label is None or label.ndim == 2 or 0 <= int(label) < classes
    return known and latent is not None and bool(latent.isfinite().all())
