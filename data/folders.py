"""What lies in a folder of pictures: one walk over the tree, in which nothing is passed over without being counted."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from data.report import Tally, printable
from models.errors import PhotograftError

FORMATS = ("JPEG", "JPEG2000", "PNG", "WEBP", "AVIF", "GIF", "BMP", "DIB", "TIFF", "PPM", "TGA")
"""What these may hold, by Pillow's names: others, which may start programs (EPS), are not tried."""
PICTURES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".jpx", ".j2k", ".png", ".apng", ".webp", ".avif", ".gif", ".bmp",
     ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga")
)  # fmt: skip
FORMATS = ("JPEG", "JPEG2000", "PNG", "WEBP", "AVIF", "GIF", "BMP", "DIB", "TIFF", "PPM", "TGA")
"""What these may hold, by Pillow's names: others, which may start programs (EPS), are not tried."""
UNREAD = frozenset(
    (".heic", ".heif", ".hif", ".jxl", ".psd", ".svg", ".eps", ".exr", ".hdr", ".xcf", ".dcm", ".dng", ".cr2", ".cr3",
     ".nef", ".arw", ".orf", ".raf", ".rw2", ".pef", ".srw", ".raw", ".ico", ".pcx", ".qoi", ".npy", ".npz")
)  # fmt: skip
"""Suffixes of pictures in formats that are not read."""

TRAIN = ("train", "training")
VAL = ("val", "valid", "validation", "test", "testing")
"""What splits are called, of folders and shards; in the order of choice."""

_SYSTEM = frozenset(
    ("__macosx", "__pycache__", "$recycle.bin", "recycler", "recycled", "system volume information", "lost+found",
     "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "_gsdata_", "thumbs.db",
     "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r")
)  # fmt: skip
_MAX_DEPTH = 64  # folders in folders
Identity = tuple[int, int]
"""Device and number of a file or folder: the same under all of its names."""


@dataclass(slots=True, eq=False)
class Folder:
    """A folder without what is hidden.

    Attributes:
        path: as it was reached, through links perhaps.
        name: its last part.
        depth: folders above it, from the root of the walk.
        pictures: sorted names of the pictures in it.
        folders: name -> folder in it, sorted.
        unread: suffix -> number of pictures in it, or below, that are in a format that is not read.
        count: pictures in it and below.
    """

    path: str
    name: str
    depth: int = 0
    pictures: list[str] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)
    unread: Counter[str] = field(default_factory=Counter)
    count: int = 0

    @property
    def found(self) -> int:
        """Pictures in it and below, with those in formats that are not read."""
        return self.count + self.unread.total()

    def holding(self) -> dict[str, Folder]:
        """The folders in it that hold pictures, in whatever format."""
        return {name: folder for name, folder in self.folders.items() if folder.found}

    def names(self, prefix: str = "") -> Iterator[str]:
        """The pictures in it and below, relative to it: its own first, then folder by folder, sorted."""
        for name in self.pictures:
            yield prefix + name
        for name, folder in self.folders.items():
            yield from folder.names(f"{prefix}{name}/")


def is_hidden(name: str) -> bool:
    """Whether a name is one that systems and programs put among pictures (.DS_Store, ._copy.jpg, @eaDir, Thumbs.db)."""
    return name.startswith(".") or name.lower() in _SYSTEM


def identity(path: str) -> Identity:
    """Which folder this is, whatever it is called."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def scan(root: str, tally: Tally, *, without: str | None = None) -> Folder:
    """Walk over a folder. Links are followed, once; what is left out goes to the tally.

    Args:
        root: the folder.
        tally: learns what is left out: hidden and system files, links that are broken or lead to what is counted
            already, files that are no pictures.
        without: a folder that is not part of it, wherever it lies.

    Raises:
        PhotograftError: a folder that cannot be listed.
    """
    return _Walk(root, tally, without).run()


class _Walk:
    """The state of one walk: real folders are visited before linked ones, so that these are the ones left out."""

    def __init__(self, root: str, tally: Tally, without: str | None) -> None:
        self.root, self.tally = root, tally
        self.real_root = os.path.realpath(root)
        self.top = Folder(root, os.path.basename(self.real_root))
        self.seen = {identity(root)}
        self.excluded = {identity(without)} - self.seen if without is not None else set()
        self.all: list[Folder] = []
        self.linked: list[tuple[str, Folder]] = []  # path of a link to a folder, the folder that it lies in
        self.links: dict[tuple[str, str], Identity] = {}  # folder's path and name of a link to a picture -> the picture

    def run(self) -> Folder:
        pending = [self.top]
        while pending or self.linked:
            if not pending:
                self.linked.sort(key=lambda entry: entry[0], reverse=True)
                path, parent = self.linked.pop()
                pending += self._enter(path, parent, linked=True)
                continue
            folder = pending.pop()
            self.all.append(folder)
            for path in self._list(folder):
                pending += self._enter(path, folder)
        self._drop_repeated_pictures()
        for folder in reversed(self.all):  # children before parents
            folder.pictures.sort()
            folder.folders = dict(sorted(folder.folders.items()))
            folder.count = len(folder.pictures) + sum(child.count for child in folder.folders.values())
            for child in folder.folders.values():
                folder.unread += child.unread
        return self.top

    def _enter(self, path: str, parent: Folder, *, linked: bool = False) -> list[Folder]:
        """The folder at `path`, unless it was visited."""
        if parent.depth >= _MAX_DEPTH:
            raise PhotograftError(f"{printable(path)}: folders are nested more than {_MAX_DEPTH} deep: move it up")
        try:
            which = identity(path)
        except OSError as error:
            raise self._unlistable(path, error) from error
        if which in self.excluded:
            return []
        if which in self.seen or (linked and self._above(path)):
            self.tally.add("links to folders that are counted already", self._short(path))
            return []
        self.seen.add(which)
        name = os.path.basename(path)
        parent.folders[name] = Folder(path, name, parent.depth + 1)
        return [parent.folders[name]]

    def _above(self, path: str) -> bool:
        target = os.path.realpath(path)
        return self.real_root.startswith(target.rstrip("/") + "/")

    def _list(self, folder: Folder) -> list[str]:
        """Sort the entries of a folder into pictures, links and the rest; gives the paths of the folders in it."""
        inner: list[str] = []
        try:
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    if is_hidden(entry.name):
                        self.tally.add("hidden or system files and folders", self._short(entry.path))
                    elif entry.is_dir(follow_symlinks=False):
                        inner.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        self._file(folder, entry)
                    else:
                        self._link(folder, entry)
        except OSError as error:
            raise self._unlistable(folder.path, error) from error
        return inner

    def _file(self, folder: Folder, entry: os.DirEntry[str]) -> bool:
        """Whether it is a picture that counts."""
        suffix = os.path.splitext(entry.name)[1].lower()
        if suffix in PICTURES:
            folder.pictures.append(entry.name)
            return True
        if suffix in UNREAD:
            folder.unread[suffix] += 1
        else:
            self.tally.add("files that are no pictures", self._short(entry.path), kind=suffix or "without suffix")
        return False

    def _link(self, folder: Folder, entry: os.DirEntry[str]) -> None:
        try:
            target = entry.stat()
        except OSError:
            self.tally.add("links that lead nowhere", self._short(entry.path))
            return
        if stat.S_ISDIR(target.st_mode):
            self.linked.append((entry.path, folder))
        elif not stat.S_ISREG(target.st_mode):
            self.tally.add("pipes, sockets and devices", self._short(entry.path))
        elif self._file(folder, entry):
            self.links[folder.path, entry.name] = (target.st_dev, target.st_ino)

    def _drop_repeated_pictures(self) -> None:
        """Of a picture and links to it only the picture counts; of several links, the first."""
        if not self.links:
            return
        known: set[Identity] = set()
        for folder in self.all:
            plain = (name for name in folder.pictures if (folder.path, name) not in self.links)
            known.update(identity(os.path.join(folder.path, name)) for name in plain)
        repeated: set[tuple[str, str]] = set()
        for link in sorted(self.links):
            if self.links[link] in known:
                repeated.add(link)
                self.tally.add("links to pictures that are counted already", self._short(os.path.join(*link)))
            known.add(self.links[link])
        for folder in self.all if repeated else ():
            folder.pictures = [name for name in folder.pictures if (folder.path, name) not in repeated]

    def _short(self, path: str) -> str:
        return path[len(self.root) :].lstrip("/") or path

    def _unlistable(self, path: str, error: OSError) -> PhotograftError:
        return PhotograftError(
            f"{printable(path)} cannot be listed ({error.strerror}): make it readable, or move it away"
        )
