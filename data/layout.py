"""Which folders are classes, and which are splits: recognised by where they lie, never by a name alone.

Splits are `ROOT/{train,val}/CLASS`, `ROOT/CLASS/{train,val}` or, for one class, `ROOT/{train,val}` with pictures in
them. A folder that is called `train` beside other folders of pictures is a class. What can be read in two ways is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from data.folders import TRAIN, VAL, Folder
from data.report import Tally, printable
from models.errors import PhotograftError

_WORD = re.compile(rf"(?:.*[ _.-])?({'|'.join(TRAIN + VAL)})(?:set)?\d*(?:[ _.-].*)?")
_CONTAINERS = (
    "data",
    "dataset",
    "images",
    "image",
    "imgs",
    "img",
    "jpegimages",
    "jpg",
    "photos",
    "pictures",
    "raw-img",
)
_STRAY = 0.1  # loose pictures as a share of those in class folders: more may be what is meant


@dataclass(frozen=True)
class ClassPictures:
    """A class's pictures, by names relative to the class's folder."""

    folder: str
    names: list[str]


@dataclass
class Layout:
    """Class name -> its pictures, for both splits; `held` tells that there is a validation set, of whatever classes."""

    train: dict[str, ClassPictures]
    val: dict[str, ClassPictures] = field(default_factory=dict)
    held: bool = False


def arrange(root: Folder, tally: Tally, val_root: Folder | None = None) -> Layout:
    """Find classes and splits in a folder.

    Args:
        root: what was found in it.
        tally: is told what was taken for what, and what belongs to no class or split.
        val_root: the validation pictures' folder, when it was named.

    Raises:
        PhotograftError: it can be read in two ways, or there is a validation set that cannot be used.
    """
    top = _descend(root)
    split = _outer_split(top)
    if split is None and _inner_split(top):
        if val_root is not None:
            raise PhotograftError(f"{_shown(top)}: its classes are divided into train and val: leave val_root out")
        return _inner_layout(top, tally)
    train, held = split or (top, _val_beside_classes(top))
    chosen = val_root or next(iter(held), None)
    beside = [] if split else held
    layout = Layout(_classes(_descend(train), tally, flat_name=top.name, without=beside), held=chosen is not None)
    if split or held:
        _leave_out(top if split else None, [f for f in (train, chosen) if f is not None], held, tally)
    if chosen is not None:
        layout.val = _matching(layout.train, _descend(chosen), tally)
    tally.tell(
        f"training pictures: {_shown(_descend(train))}, validation pictures: "
        + (_shown(_descend(chosen)) if chosen is not None else "no folder of them")
    )
    return layout


# --- splits ---


def _descend(top: Folder) -> Folder:
    """Past folders that only hold the folder that is meant: ROOT/ROOT/CLASS, ROOT/images/train/CLASS."""
    while True:
        holding = list(top.holding().values())
        if top.pictures or len(holding) != 1:
            return top
        (only,) = holding
        if not only.holding() or only.pictures or _plain(only):
            return top
        if only.name == top.name or only.name.lower() in _CONTAINERS:
            top = only
            continue
        end = _end(only)
        inner = {name.lower() for name in end.holding()}
        return end if inner & set(TRAIN) and inner & set(VAL) else top


def _end(folder: Folder) -> Folder:
    """Past folders that hold nothing but a folder: A of A/B/C/{D,E} is a way to C."""
    while not folder.pictures and len(folder.holding()) == 1:
        (folder,) = folder.holding().values()
    return folder


def _word(folder: Folder) -> str:
    """The split that a folder's name speaks of, alone or as a part ("val", "seg_train", "test set"); "" if none."""
    found = _WORD.fullmatch(folder.name.lower())
    return found[1] if found else ""


def _plain(folder: Folder) -> bool:
    return folder.name.lower() in TRAIN + VAL


def _class_names(folder: Folder) -> set[str]:
    return set(_descend(folder).holding())


def _outer_split(top: Folder) -> tuple[Folder, list[Folder]] | None:
    """(training folder, folders to validate with, the best first) if the folders in `top` are splits."""
    holding = list(top.holding().values())
    plain = [folder for folder in holding if _plain(folder)]
    named = plain or [folder for folder in holding if _word(folder)]
    trains = [folder for folder in named if _word(folder) in TRAIN]
    held = sorted((f for f in named if f not in trains), key=lambda folder: VAL.index(_word(folder)))
    others = [folder for folder in holding if folder not in named]
    if plain and not others and len(trains) != 1:
        what = f"{_listed(trains)}: which is the training set?" if trains else f"{_listed(held)} without train."
        raise PhotograftError(f"{_shown(top)} holds {what} Name it train, or give the folder that is meant as root")
    if len(trains) != 1:
        return None
    (train,) = trains
    inner = _class_names(train)
    if not others:
        return (train, held) if inner or plain else None
    if any(inner & _class_names(folder) for folder in held):
        return train, held
    if inner & {name for folder in others for name in folder.holding()}:
        return None  # folders of one kind, such as bus/images beside train/images
    if plain and (inner or held):
        raise PhotograftError(
            f"{_shown(top)} holds {_listed([train, *held])} and {_listed(others)}: splits or classes? Give"
            f" {_shown(train)} as root if that is the training set, or rename it if it is a class"
        )
    return None


def _val_beside_classes(top: Folder) -> list[Folder]:
    """Folders such as `val` that hold the classes that lie beside them, the best first."""
    holding = top.holding()
    named = [folder for folder in holding.values() if folder.name.lower() in VAL and not folder.pictures]
    classes = set(holding) - {folder.name for folder in named}
    held = [folder for folder in named if classes & set(folder.holding())]
    return sorted(held, key=lambda folder: VAL.index(folder.name.lower()))


def _inner_split(top: Folder) -> bool:
    """Whether the classes' folders are divided into splits: ROOT/CLASS/{train,val}."""
    words = {
        name: {inner.lower() for inner in folder.holding()} if not folder.pictures else set()
        for name, folder in top.holding().items()
    }
    divided = [name for name, found in words.items() if found & set(TRAIN)]
    if not any(words[name] & set(VAL) for name in divided):
        return False
    whole = [name for name in words if name not in divided]
    if whole:
        raise PhotograftError(
            f"{_shown(top)}: {printable(divided[0])} is divided into train and val, {printable(whole[0])} is not:"
            " sort all classes in the same way"
        )
    return True


def _inner_layout(top: Folder, tally: Tally) -> Layout:
    layout = Layout({}, held=True)
    for name, folder in top.folders.items():
        parts = {inner.lower(): part for inner, part in folder.holding().items()}
        used = [next((parts[word] for word in words if word in parts), None) for words in (TRAIN, VAL)]
        for target, part in zip((layout.train, layout.val), used, strict=True):
            target[name] = ClassPictures(folder.path, [] if part is None else list(part.names(f"{part.name}/")))
        _leave_out(folder, [part for part in used if part is not None], [], tally)
        _tell_unread(name, folder, tally)
    _tell_of_loose(top, list(top.holding().values()), tally)
    _tell_of_empty(top, tally)
    tally.tell(f"{_shown(top)}: each class is divided into training and validation pictures by the folders in it")
    return layout


# --- classes ---


def _classes(
    top: Folder, tally: Tally, *, flat_name: str = "", without: Sequence[Folder] = ()
) -> dict[str, ClassPictures]:
    """The classes in `top`: its folders, or itself when there is none with pictures."""
    holding = [folder for folder in top.holding().values() if folder not in without]
    if not holding:
        _tell_unread(top.name, top, tally)
        return {flat_name or top.name: ClassPictures(top.path, top.pictures)}
    _tell_of_loose(top, holding, tally)
    _tell_of_common(holding, tally)
    for folder in holding:
        _tell_of_class(folder, len(holding), tally)
    _tell_of_empty(top, tally)
    folders = {name: folder for name, folder in top.folders.items() if folder not in without}
    return {name: ClassPictures(folder.path, list(folder.names())) for name, folder in folders.items()}


def _matching(train: dict[str, ClassPictures], held: Folder, tally: Tally) -> dict[str, ClassPictures]:
    """The validation pictures of the training classes."""
    flat = not held.holding()
    if flat and len(train) > 1:
        raise PhotograftError(
            f"{_shown(held)} holds {held.found:,} validation pictures without class folders: sort them into"
            f" {_shown(held)}/CLASS, or give the training folder alone as root to leave them out"
        )
    found = _classes(held, tally)
    if flat:  # they are of the one class
        found = dict(zip(train, found.values(), strict=True))
    common = {name: pictures for name, pictures in found.items() if name in train}
    for name in found.keys() - common.keys():
        if found[name].names:
            reason = "validation pictures of classes without training pictures"
            tally.add(reason, name, kind=name, count=len(found[name].names))
    if not any(pictures.names for pictures in common.values()):
        raise PhotograftError(
            f"{_shown(held)} holds no validation picture that can be read of {_names(list(train))}: name its folders"
            " as the training folders are named, or give the training folder alone as root"
        )
    return common


# --- what is told ---


def _tell_of_loose(top: Folder, holding: Sequence[Folder], tally: Tally) -> None:
    """Count pictures beside the class folders. Raises PhotograftError if they are many: they may be what is meant."""
    inside = sum(folder.found for folder in holding)
    if top.pictures and (len(holding) == 1 or len(top.pictures) > _STRAY * inside):
        raise PhotograftError(
            f"{_shown(top)} holds {len(top.pictures):,} loose pictures beside {_listed(holding)} with {inside:,}: move"
            " away what is not meant, and sort the rest into a folder for each class"
        )
    if top.pictures:
        first = f"{top.name}/{top.pictures[0]}"
        tally.add("loose pictures beside the class folders", first, count=len(top.pictures))


def _tell_of_empty(top: Folder, tally: Tally) -> None:
    for name, folder in top.folders.items():
        if not folder.found:
            tally.add("class folders without pictures", name)


def _tell_of_class(folder: Folder, classes: int, tally: Tally) -> None:
    _tell_unread(folder.name, folder, tally)
    end = _end(folder) if classes == 1 else folder
    inner = end.holding()
    if _plain(folder):
        tally.tell(f"{_shown(folder)} is taken for a class: it lies beside other classes, not as a split does")
    if inner and folder.pictures:
        tally.tell(f"class {printable(folder.name)}: pictures in {_listed(list(inner.values()))} count too")
    elif classes == 1 and len(inner) > 1:
        tally.tell(
            f"{_shown(folder)} is taken for one class: if {_listed(list(inner.values()))} are the classes, give"
            f" {_shown(end)} as root"
        )


def _tell_of_common(holding: Sequence[Folder], tally: Tally) -> None:
    """ROOT/{images,masks}/{cat,dog}, ROOT/{train,dev}/{cat,dog}: the classes are perhaps the inner ones."""
    common = set.intersection(*(set(folder.holding()) for folder in holding)) if len(holding) > 1 else set()
    if len(common) > 1:
        tally.tell(
            f"{_listed(holding)} are taken for the classes: if {_names([f'{name}/' for name in sorted(common)])}, which"
            " lie in each of them, are the classes, give the one that is meant as root"
        )


def _tell_unread(name: str, folder: Folder, tally: Tally) -> None:
    for suffix, count in folder.unread.items():
        reason = "pictures in formats that are not read: convert them"
        tally.add(reason, f"{count:,} {suffix} of class {name}", kind=suffix, count=count)
    if folder.unread and not folder.count:
        tally.add("classes, since none of their pictures can be read", name, kind=name)


def _leave_out(top: Folder | None, used: Sequence[Folder], held: Sequence[Folder], tally: Tally) -> None:
    """Count what lies beside the splits that are used."""
    for folder in top.holding().values() if top is not None else held:
        if folder not in used:
            tally.add("pictures beside the splits in use", folder.path, kind=folder.name, count=folder.found)
    if top is not None:
        if top.pictures:
            tally.add("loose pictures beside the splits", f"{top.name}/{top.pictures[0]}", count=len(top.pictures))
        for folder in top.folders.values():
            if _plain(folder) and not folder.found:
                tally.tell(f"{_shown(folder)} holds no pictures")


def _shown(folder: Folder) -> str:
    return printable(folder.path)


def _listed(folders: Sequence[Folder]) -> str:
    return _names([f"{folder.name}/" for folder in folders])


def _names(names: Sequence[str]) -> str:
    shown = [printable(name, 40) for name in names[:4]]
    return ", ".join(shown) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
