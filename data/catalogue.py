"""What lies in an image folder or in tar shards, before any class is chosen.

Both layouts end as one list of `Record`s with random access, which is what class-balanced sampling and a bit-exact
resume need. Tar shards (webdataset naming: files of one sample share their key) are therefore indexed once with the
standard library's `tarfile` and then read by offset, not streamed with webdataset: a stream has no random access, and
its shuffle buffer cannot be restored exactly. A file is opened, read and closed for each picture; no handle is kept,
so nothing has to survive the fork, spawn or pickling of a worker process.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from models.errors import PhotograftError

IMAGE_EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".avif")
)
VAL_FOLDERS = ("val", "valid", "validation", "test")
_SYNSET = re.compile(r"n\d{8}")


@dataclass(frozen=True, slots=True)
class Record:
    """Where one picture's bytes are: the file `path/name` (size -1), or `size` bytes at `offset` of the tar `path`."""

    path: str
    name: str
    cls: int
    offset: int = 0
    size: int = -1

    @property
    def key(self) -> str:
        """Short name for messages and for the hash split: CLASS/NAME.jpg or SHARD.tar/KEY.webp."""
        return f"{os.path.basename(self.path)}/{self.name}"

    def read(self) -> bytes:
        """The encoded picture.

        Raises:
            OSError: the file has gone or cannot be read.
        """
        if self.size < 0:
            with open(os.path.join(self.path, self.name), "rb") as file:
                return file.read()
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass
class Catalogue:
    """All classes and pictures found at `where`; `Record.cls` counts in `ids`, `names` and `groups`.

    `ids` are folder names or class numbers, `names` are for people, `groups` holds a name per class ("" = not known).
    """

    where: str
    ids: list[str]
    names: list[str]
    groups: list[str]
    train: list[Record] = field(default_factory=list)
    val: list[Record] = field(default_factory=list)


def open_catalogue(root: str | Path, *, val_root: str | Path | None = None, val_fraction: float = 0.05) -> Catalogue:
    """Index `root` and split it into training and validation pictures.

    Args:
        root: a folder `root/CLASS/*.jpg` (or `root/train/CLASS`, `root/val/CLASS`; pictures directly in `root` are one
            class), a folder of `*-train*.tar` and `*-val*.tar` shards (or of any `*.tar`), one tar, or a pattern of
            tars with `{000..009}`, `{a,b}` or `*`.
        val_root: the same for the validation pictures, when they are not found by their usual names.
        val_fraction: part of the pictures, chosen by a hash of their names, for validation when there is no such split.

    Raises:
        PhotograftError: nothing there, no pictures, a broken tar, a sample without a class.
    """
    text = os.path.expanduser(str(root))
    shards, val_shards = _find_shards(text)
    if shards:
        val_shards = _find_shards(os.path.expanduser(str(val_root)))[0] if val_root is not None else val_shards
        if val_root is not None and not val_shards:
            raise PhotograftError(f"no tar shards at {val_root}: give a pattern of .tar files as val_root")
        catalogue = _scan_shards(text, shards, val_shards)
    elif os.path.isdir(text):
        catalogue = _scan_folders(Path(text), None if val_root is None else Path(val_root).expanduser())
    else:
        raise PhotograftError(f"no such data folder or tar shards: {root} (check the path, or mount the disk)")
    if not catalogue.train:
        raise PhotograftError(f"no pictures in {root}: expected {root}/CLASS/*.jpg or webdataset shards (*.tar)")
    if not catalogue.val and val_root is None:
        _hash_split(catalogue, val_fraction)
    return catalogue


def _hash_split(catalogue: Catalogue, fraction: float) -> None:
    """Move a fixed pseudo-random part to validation; the choice of a picture depends on its name alone."""
    threshold = int(fraction * 2**32)
    train: list[Record] = []
    seen: set[int] = set()
    for record in catalogue.train:
        digest = hashlib.blake2b(record.key.encode("utf-8", "surrogateescape"), digest_size=4).digest()
        if int.from_bytes(digest, "big") < threshold:
            catalogue.val.append(record)
        else:
            train.append(record)
            seen.add(record.cls)
    lost = [record for record in catalogue.val if record.cls not in seen]  # never a class without training pictures
    catalogue.val = [record for record in catalogue.val if record.cls in seen]
    catalogue.train = train + lost


# --- folders ---------------------------------------------------------------------------------------------------------


def _scan_folders(root: Path, val_root: Path | None) -> Catalogue:
    train_root = root / "train" if (root / "train").is_dir() else root
    if val_root is None and train_root is not root:
        val_root = next((root / name for name in VAL_FOLDERS if (root / name).is_dir()), None)
    if val_root is not None and not val_root.is_dir():
        raise PhotograftError(f"no such folder of validation pictures: {val_root}")
    folders = _class_folders(train_root)
    numbers = {name: number for number, name in enumerate(folders)}
    names = _readable_names(list(folders))
    catalogue = Catalogue(str(root), list(folders), names, [""] * len(names))
    for name, folder in folders.items():
        catalogue.train.extend(_pictures(folder, numbers[name]))
    for name, folder in (_class_folders(val_root) if val_root is not None else {}).items():
        if name in numbers:
            catalogue.val.extend(_pictures(folder, numbers[name]))
    return catalogue


def _class_folders(root: Path) -> dict[str, str]:
    """Class name -> folder, sorted by name; a folder that holds only pictures is one class."""
    with os.scandir(root) as entries:
        folders = {entry.name: entry.path for entry in entries if entry.is_dir() and not entry.name.startswith(".")}
    return dict(sorted(folders.items())) or {root.resolve().name: str(root)}


def _pictures(folder: str, cls: int) -> Iterator[Record]:
    """Every picture below `folder`, in sorted order."""
    for path, subfolders, files in os.walk(folder):
        subfolders.sort()
        for name in sorted(files):
            if os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS and not name.startswith("."):
                yield Record(folder, os.path.relpath(os.path.join(path, name), folder), cls)


def _readable_names(folders: list[str]) -> list[str]:
    """ImageNet's English names when the folders are the 1000 synsets (torchvision keeps them in synset order)."""
    if len(folders) == 1000 and all(_SYNSET.fullmatch(name) for name in folders):
        from torchvision.models._meta import _IMAGENET_CATEGORIES

        return list(_IMAGENET_CATEGORIES)
    return list(folders)


# --- tar shards ------------------------------------------------------------------------------------------------------


def _find_shards(root: str) -> tuple[list[str], list[str]]:
    """(training shards, validation shards) at a folder, a file or a pattern; both empty when it is not about tars."""
    if os.path.isdir(root):
        folder = glob.escape(root)
        train, val, every = (sorted(glob.glob(f"{folder}/{name}")) for name in ("*-train*.tar", "*-val*.tar", "*.tar"))
        return (train, val) if train else (every, [])
    if not root.endswith(".tar"):
        return [], []
    shards = _expand(root)
    folder, pattern = os.path.split(root)
    val_pattern = os.path.join(folder, pattern.replace("train", "val"))
    return shards, [] if val_pattern == root else _expand(re.sub(r"\{[^{}]*\}", "*", val_pattern))


def _expand(pattern: str) -> list[str]:
    """Existing files of a pattern with `{000..009}`, `{a,b}` and `*`, sorted.

    Raises:
        PhotograftError: a shard that the braces name is missing.
    """
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices: list[list[str]] = []
    for number, part in enumerate(parts):
        span = re.fullmatch(r"(\d+)\.\.(\d+)", part)
        if number % 2 == 0:
            choices.append([part])
        elif span:
            first, last = span.groups()
            choices.append([str(k).zfill(len(first)) for k in range(int(first), int(last) + 1)])
        else:
            choices.append(part.split(","))
    found: list[str] = []
    for path in map("".join, itertools.product(*choices)):
        matches = [path] if os.path.isfile(path) else sorted(glob.glob(path))
        if not matches and len(parts) > 1:
            raise PhotograftError(f"missing shard {path} of {pattern}: complete the download or correct the pattern")
        found.extend(matches)
    return sorted(set(found))


def _scan_shards(where: str, train: list[str], val: list[str]) -> Catalogue:
    listed = _read_classes_json(os.path.dirname(train[0]))
    names = {number: name for number, (name, _) in listed.items()}
    train_records = [record for path in train for record in _scan_shard(path, names)]
    val_records = [record for path in val for record in _scan_shard(path, names)]
    numbers = sorted(set(names) | {record.cls for record in train_records})
    dense = {number: position for position, number in enumerate(numbers)}
    catalogue = Catalogue(
        where,
        [str(number) for number in numbers],
        [names.get(number, str(number)) for number in numbers],
        [listed[number][1] if number in listed else "" for number in numbers],
    )
    for source, target in ((train_records, catalogue.train), (val_records, catalogue.val)):
        target.extend(Record(r.path, r.name, dense[r.cls], r.offset, r.size) for r in source if r.cls in dense)
    return catalogue


def _read_classes_json(folder: str) -> dict[int, tuple[str, str]]:
    """Class number -> (name, group) from `classes.json`; empty without one."""
    path = os.path.join(folder, "classes.json")
    if not os.path.exists(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            entries = json.load(file)["classes"]
        return {int(entry["index"]): (str(entry["name"]), str(entry.get("species", ""))) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        expected = '{"classes": [{"index": 0, "name": "tabby"}, ...]}'
        raise PhotograftError(f"{path} cannot be used ({error!r}): expected {expected}") from None


def _scan_shard(path: str, names: dict[int, str]) -> Iterator[Record]:
    """Records of one tar with their class numbers; `names` learns the names that only `KEY.json` has."""
    samples: dict[str, dict[str, tuple[str, int, int]]] = {}
    try:
        with tarfile.open(path, "r:") as tar, open(path, "rb") as raw:
            for member in tar:
                folder, base = os.path.split(member.name)
                key, _, extension = base.partition(".")
                if member.isfile() and key:
                    sample = samples.setdefault(os.path.join(folder, key), {})
                    sample["." + extension.lower()] = (member.name, member.offset_data, member.size)
            for key, sample in samples.items():
                picture = next((sample[extension] for extension in sample if extension in IMAGE_EXTENSIONS), None)
                if picture is not None:
                    yield Record(path, picture[0], _sample_class(raw, path, key, sample, names), picture[1], picture[2])
    except (tarfile.TarError, EOFError) as error:
        raise PhotograftError(f"{path} is truncated or not an uncompressed tar ({error}): fetch it again") from None


def _sample_class(
    raw: BinaryIO, path: str, key: str, sample: dict[str, tuple[str, int, int]], names: dict[int, str]
) -> int:
    """The number in `KEY.cls`; its name is read from `KEY.json` when nothing else has told it."""

    def text(extension: str) -> str:
        _, offset, size = sample[extension]
        raw.seek(offset)
        return raw.read(size).decode("utf-8", errors="replace").strip()

    if ".cls" not in sample:
        raise PhotograftError(f"{path}: sample {key} has no {key}.cls with its class index: add it to the shard")
    if not text(".cls").isdigit():
        raise PhotograftError(f"{path}: {key}.cls holds {text('.cls')[:40]!r}: expected a class index (0, 1, 2, ...)")
    cls = int(text(".cls"))
    if cls not in names and ".json" in sample:
        try:
            names[cls] = str(json.loads(text(".json"))["class"])
        except (ValueError, KeyError, TypeError):
            names[cls] = str(cls)
    return cls
