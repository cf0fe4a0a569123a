"""Recipes that a browser sends: a .json, or a .zip of it with the masks that belong to it."""

import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from infer.app import KEPT
from infer.editor.recipe import Recipe
from infer.editor.recipe_file import read_recipe
from models.errors import PhotograftError
from models.writing import write_files

_MOST_FILES, _MOST_BYTES = 100, 256 << 20


@contextmanager
def read_sent(path: Path) -> Iterator[Recipe]:
    """A recipe, and its masks for as long as the block lasts; the file that was sent is taken away after it.

    Raises:
        PhotograftError: no recipe, or an archive with anything but one and plain files beside it.
    """
    with tempfile.TemporaryDirectory(dir=KEPT.name) as folder:
        try:
            found = _unpacked(path, Path(folder)) if path.suffix.lower() == ".zip" else path
            yield read_recipe(found)
        except PhotograftError as error:
            raise PhotograftError(str(error).replace(str(path), path.name).replace(folder, path.name)) from error
        finally:
            if Path(KEPT.name) in path.parents:
                shutil.rmtree(path.parent, ignore_errors=True)


def _unpacked(path: Path, folder: Path) -> Path:
    """The recipe of an archive, beside its masks."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > _MOST_FILES or sum(one.file_size for one in members) > _MOST_BYTES:
                raise PhotograftError(f"{path.name} is too large for a recipe with its masks")
            for one in members:
                if Path(one.filename).name != one.filename or "\\" in one.filename or not _is_plain(one):
                    raise PhotograftError(f"{path.name} has folders or links in it: a recipe's archive has files alone")
                write_files({folder / one.filename: partial(_write, archive.read(one))})
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise PhotograftError(f"{path.name} cannot be unpacked: send the recipe's .json, or its .zip") from error
    recipes = sorted(folder.glob("*.json"))
    if len(recipes) != 1:
        raise PhotograftError(f"{path.name} holds {len(recipes)} recipes: one is needed")
    return recipes[0]


def _write(content: bytes, stream: BinaryIO) -> None:
    stream.write(content)


def _is_plain(member: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(member.external_attr >> 16)
    return not member.is_dir() and kind in (0, stat.S_IFREG)
