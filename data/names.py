"""Names that a file gives to classes: `--data.names FILE`, a table of two columns, FOLDER,NAME."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from data.report import printable
from data.tables import read_pairs
from models.errors import PhotograftError


def read_names(path: str) -> dict[str, str]:
    """Folder -> name, see `data.tables.read_pairs`. For shards the first column is the class's number.

    Raises:
        PhotograftError: a file that cannot be read, a line that is not of this form, or a folder or name twice.
    """
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, where, folder, name in read_pairs(path, "FOLDER,NAME", "every class"):
        if folder in found:
            raise PhotograftError(f"{where}: folder {printable(folder)} is named twice")
        if name in lines:
            raise PhotograftError(f"{where}: {printable(name)!r} is the name of line {lines[name]}'s folder already")
        found[folder], lines[name] = name, number
    return found


def renamed(ids: Sequence[str], names: Sequence[str], path: str) -> tuple[list[str], str]:
    """The classes' names with those of a file, and a line on what it named.

    Args:
        ids: a folder's name, or a class's number, per class.
        names: the names so far.
        path: see `read_names`.

    Raises:
        PhotograftError: see `read_names`; or no such class at all, or two classes of one name.
    """
    given = read_names(path)
    if not set(given) & set(ids):
        raise PhotograftError(
            f"{printable(path)} names {printable(next(iter(given)))} and others, none of which is a class here (such as"
            f" {printable(ids[0])}): its first column holds the folders' names"
        )
    found = [given.get(id_, name) for id_, name in zip(ids, names, strict=True)]
    twice = [name for name, count in Counter(found).items() if count > 1]
    if twice:
        folders = [printable(id_) for id_, name in zip(ids, found, strict=True) if name == twice[0]]
        raise PhotograftError(
            f"{printable(path)}: {printable(twice[0])!r} would be the name of {' and '.join(folders[:3])}: choose"
            " another"
        )
    unknown = [folder for folder in given if folder not in set(ids)]
    left = f"; it names {len(unknown):,} that are not there, first: {printable(unknown[0])}" if unknown else ""
    return found, f"{printable(path)} names {len(given) - len(unknown):,} of {len(ids):,} classes{left}"
