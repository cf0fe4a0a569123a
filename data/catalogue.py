"""What lies in an image folder or in tar shards, before any class is chosen.

All layouts end as one list of `Record`s with random access, which is what class-balanced sampling and a bit-exact
resume need. A file is opened, read and closed for each picture; no handle is kept, so nothing has to survive the fork,
spawn or pickling of a worker process.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data.corrupt import allowed, too_many
from data.folders import Folder, scan
from data.labels import Label, SampleLabels, parse_dataset_json, read_classes_json, read_json
from data.layout import ClassPictures, arrange
from data.patterns import find_shards
from data.records import Catalogue, Record
from data.report import Tally, printable
from data.shards import DamagedShard, pictures_of, read_index
from data.zips import read_zip
from models.errors import PhotograftError
from models.names.wordnet import english_names


def open_catalogue(
    root: str | Path,
    *,
    val_root: str | Path | None = None,
    val_fraction: float = 0.05,
    picture: str | None = None,
    labels: str | None = None,
    max_corrupt: float | None = None,
) -> Catalogue:
    """Index `root` and split it into training and validation pictures.

    Args:
        root: a folder `root/CLASS/*.jpg` (or `root/train/CLASS` and `root/val/CLASS`, or `root/CLASS/{train,val}`;
            pictures directly in `root` are one class), a folder of `*-train*.tar` and `*-val*.tar` shards (or of any
            `*.tar`), one tar, or a pattern of tars with `{000..009}`, `{a,b}` or `*`.
        val_root: the same for the validation pictures, when they are not found by their usual names.
        val_fraction: part of the pictures, chosen by a hash of their names, for validation when there is no such split.
        picture: which member of a shard's samples is the picture, as a suffix ("jpg"); None for the only one.
        labels: where labels are told. Shards: "cls" (default), "json" or "json:FIELD". Folders: None for class folders,
            or a file in `root` as StyleGAN's tools write it, "dataset.json"; so in a zip of theirs, too.
        max_corrupt: how many damaged shards are left out before it is an error, see `data.corrupt.allowed`; None: none.

    Raises:
        PhotograftError: nothing there, no pictures, a broken tar, a sample without a class, or what can be read in two
            ways.
    """
    where, tally = os.path.expanduser(str(root)), Tally()
    held = None if val_root is None else os.path.expanduser(str(val_root))
    catalogue = _scan(where, held, picture, labels, tally, max_corrupt or 0.0)
    catalogue.notes = tally.lines()
    if not catalogue.train:
        left = f" ({catalogue.notes[-1]})" if catalogue.notes else ""
        raise PhotograftError(
            f"no pictures in {printable(where)}: expected {printable(where)}/CLASS/*.jpg or webdataset shards (*.tar)"
            f"{left}"
        )
    if not catalogue.held:
        _hash_split(catalogue, val_fraction)
        catalogue.notes.append(
            f"no validation set: kept for it by a hash of names (val_fraction {val_fraction:g}): {len(catalogue.val):,}"
        )
    return catalogue


def _scan(
    where: str, val_root: str | None, picture: str | None, labels: str | None, tally: Tally, max_corrupt: float
) -> Catalogue:
    """Whatever lies there, by its kind."""
    shown = printable(where)
    train, val = find_shards(where, tally)
    if train:
        val = find_shards(val_root, tally)[0] if val_root is not None else val
        if val_root is not None and not val:
            raise PhotograftError(f"no tar shards at {printable(val_root)}: give a pattern of .tar files as val_root")
        if set(train) & set(val):
            raise PhotograftError(
                f"{shown}: {printable(min(set(train) & set(val)))} is for training and validation both"
            )
        return _scan_shards(where, train, val, picture, labels or "cls", tally, max_corrupt)
    if not os.path.exists(where):
        raise PhotograftError(f"no such data folder or tar shards: {shown} (check the path, or mount the disk)")
    if picture is not None:
        raise PhotograftError(f"picture is {printable(picture)!r}: it is for tar shards, and {shown} is none")
    if os.path.isdir(where):
        return _scan_folders(where, val_root, labels, tally)
    if where.lower().endswith(".zip") and labels is not None and val_root is None:
        return _number_classes(where, read_zip(where, labels, tally), [], {}, {}, False, tally)
    raise PhotograftError(
        f"{shown} is no folder and no .tar shard: unpack it, and give the folder (a .zip of StyleGAN's tools may stay"
        " one, with labels: dataset.json and no val_root)"
    )


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


def _scan_folders(root: str, val_root: str | None, labels: str | None, tally: Tally) -> Catalogue:
    if val_root is not None and not os.path.isdir(val_root):
        raise PhotograftError(f"no such folder of validation pictures: {printable(val_root)}")
    if val_root is not None and os.path.samefile(root, val_root):
        raise PhotograftError(f"val_root is root itself, {printable(root)}: give another folder, or leave it out")
    top = scan(root, tally, without=val_root)
    held = None if val_root is None else scan(val_root, tally)
    if labels is not None:
        return _labelled_folder(top, held, labels, tally)
    if os.path.isfile(os.path.join(root, "dataset.json")):
        tally.tell("folders are the classes; for the labels in dataset.json give labels: dataset.json")
    layout = arrange(top, tally, held)
    numbers = {name: number for number, name in enumerate(layout.train)}
    names = english_names(list(numbers))
    catalogue = Catalogue(root, list(numbers), names, [""] * len(names), held=layout.held)
    catalogue.train, catalogue.val = _records(layout.train, numbers), _records(layout.val, numbers)
    return catalogue


def _records(classes: dict[str, ClassPictures], numbers: dict[str, int]) -> list[Record]:
    """The pictures class by class, in the order of the class numbers."""
    return [
        Record(classes[name].folder, file, number)
        for name, number in numbers.items()
        if name in classes
        for file in classes[name].names
    ]


def _labelled_folder(top: Folder, held: Folder | None, labels: str, tally: Tally) -> Catalogue:
    """Pictures below a folder with the labels that its file lists."""
    train = _listed(top, labels, tally)
    val = _listed(held, labels, tally) if held is not None else []
    return _number_classes(top.path, train, val, read_classes_json(top.path), {}, held is not None, tally)


def _listed(folder: Folder, labels: str, tally: Tally) -> list[tuple[Record, Label]]:
    if not labels.endswith(".json"):
        raise PhotograftError(f"labels is {printable(labels)!r}: for a folder give a file in it, such as dataset.json")
    path = os.path.join(folder.path, labels)
    known = parse_dataset_json(read_json(path), printable(path))
    found: list[tuple[Record, Label]] = []
    for name in folder.names():
        number = known.pop(name, None)
        if number is None:
            tally.add(f"pictures that {os.path.basename(labels)} does not list", name)
        else:
            found.append((Record(folder.path, name, 0), number))
    for suffix, count in folder.unread.items():
        tally.add("pictures in formats that are not read: convert them", suffix, kind=suffix, count=count)
    for name in known:
        tally.add(f"pictures that {os.path.basename(labels)} lists and that are not there", name)
    return found


# --- tar shards ------------------------------------------------------------------------------------------------------


def _scan_shards(
    where: str, train: list[str], val: list[str], picture: str | None, labels: str, tally: Tally, max_corrupt: float
) -> Catalogue:
    listed = read_classes_json(os.path.dirname(train[0]))
    names = {number: name for number, (name, _) in listed.items()}
    reader = SampleLabels(labels, names)
    damaged: dict[str, str] = {}
    found, held = (_scan_part(part, reader, picture, tally, damaged) for part in (train, val))
    _check_damaged(damaged, len(train) + len(val), max_corrupt)
    shown = [
        f"{len(part)} {'shard' if len(part) == 1 else 'shards'} ({printable(os.path.basename(part[0]))} …)"
        for part in (train, val)
        if part
    ]
    tally.tell(f"training pictures: {shown[0]}, validation pictures: {shown[1] if val else 'no shards of them'}")
    return _number_classes(where, found, held, listed, names, bool(val), tally)


def _scan_part(
    paths: Sequence[str], labels: SampleLabels, picture: str | None, tally: Tally, damaged: dict[str, str]
) -> list[tuple[Record, Label]]:
    """The pictures of the shards that are whole; `damaged` learns the others and why."""
    found: list[tuple[Record, Label]] = []
    for path in paths:
        try:
            found += _scan_shard(path, labels, picture, tally)
        except DamagedShard as error:
            damaged[path] = str(error)
            tally.add("damaged shards: fetch them again", str(error))
    return found


def _check_damaged(damaged: dict[str, str], total: int, max_corrupt: float) -> None:
    """Raise PhotograftError if more shards are damaged than may be."""
    reasons = list(damaged.values())
    if len(reasons) > allowed(max_corrupt, total):
        if not max_corrupt or len(reasons) == 1:
            raise DamagedShard(reasons[0])
        raise too_many("shards", reasons, total, max_corrupt, "fetch them again")


def _scan_shard(path: str, labels: SampleLabels, picture: str | None, tally: Tally) -> list[tuple[Record, Label]]:
    samples = read_index(path, tally)
    with open(path, "rb") as raw:
        return [
            (Record(path, member.name, 0, member.offset, member.size), labels.read(raw, path, key, sample))
            for key, sample, member in pictures_of(path, samples, picture, tally)
        ]


def _number_classes(
    where: str,
    train: Sequence[tuple[Record, Label]],
    val: Sequence[tuple[Record, Label]],
    listed: dict[int, tuple[str, str]],
    names: dict[int, str],
    held: bool,
    tally: Tally,
) -> Catalogue:
    """Classes by number, those that `classes.json` lists too; or by name, sorted, where labels are text."""
    known = {label for _, label in train}
    numbers = {label for label in known if isinstance(label, int)}
    if numbers and numbers != known:
        text, number = next(label for label in known if isinstance(label, str)), next(iter(numbers))
        raise PhotograftError(
            f"{printable(where)}: some labels are numbers ({number}), some are text ({printable(text)!r}): use one kind"
        )
    ids: list[Label] = sorted(numbers | set(listed)) if numbers or not known else sorted(map(str, known))
    dense = {label: position for position, label in enumerate(ids)}
    found = {number: name for number, (name, _) in listed.items()} | names
    catalogue = Catalogue(
        where,
        [str(label) for label in ids],
        [found.get(label, str(label)) if isinstance(label, int) else label for label in ids],
        [listed.get(label, ("", ""))[1] if isinstance(label, int) else "" for label in ids],
        held=held,
    )
    for source, target in ((train, catalogue.train), (val, catalogue.val)):
        target.extend(replace(record, cls=dense[label]) for record, label in source if label in dense)
    for _, label in val:
        if label not in dense:
            tally.add("validation pictures of classes without training pictures", str(label), kind=str(label))
    if held and not catalogue.val:
        raise PhotograftError(
            f"{printable(where)}: the validation set has no picture of a training class: complete it, or move it away"
        )
    return catalogue
