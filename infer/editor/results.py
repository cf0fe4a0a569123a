"""Where a command's results go, and what they are called.

Names come from photos and classes. None takes the place of a file that the command reads, of another result of the
same run, or of another photo's result; results of an earlier run on the same photo are replaced.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from pathlib import Path

from models.errors import PhotograftError
from models.writing import Writer, path_of, write_chosen, write_files
from models.zoo import model_files, model_stem

Make = Callable[[str], Mapping[str, Writer]]
"""The files of a result, by their names, from the name that they shall begin with."""
Done = Callable[[list[Path]], object]
Identity = tuple[int, int] | Path
_LARGEST_RECIPE = 16 * 2**20  # bytes


def identity(path: str | Path) -> Identity:
    """What a path names, however it is spelt: a file's device and number, or where it will be if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return Path(os.path.realpath(path))
    except ValueError:  # no name of a file at all
        return Path(path)
    return found.st_dev, found.st_ino


def model_inputs(name: str) -> list[Path]:
    """The files that a model is read from. Raises PhotograftError for an unknown one."""
    return list(model_files(model_stem(name)).values())


def check_folder(folder: Path) -> None:
    """Make a folder and see that files can be written there: better before the work than after it.

    Raises:
        PhotograftError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise PhotograftError(f"{folder}: cannot be written to ({reason}): choose another folder with --out") from error


class ResultFolder:
    """A folder for results, which never replace what the command reads.

    Args:
        folder: is made when something is written.
        inputs: files that are read, known by what they are and not by how they are spelt.
    """

    def __init__(self, folder: Path, inputs: Iterable[str | Path] = ()) -> None:
        self.folder = folder
        self._kept = {identity(path) for path in inputs}
        self._began = time.time()

    def protect(self, path: Path) -> None:
        """One more input."""
        self._kept.add(identity(path))

    def write(self, name: str, make: Make, photo: Path | None = None, done: Done = lambda paths: None) -> list[Path]:
        """Write the files of one result, all or none, under a name that is numbered where it is taken.

        Args:
            name: see `models.writing.file_name`.
            make: called with the free name.
            photo: that the result is of.
            done: is told the paths as soon as the files are there, before a signal can end the command.

        Returns:
            The paths, in the order of `make`.

        Raises:
            PhotograftError: they cannot be written; none of them is left.
        """
        chosen: list[Path] = []

        def choose() -> dict[Path, Writer]:
            for number in count(1):
                free = name if number == 1 else f"{name}_{number}"
                files = make(free)
                if self._is_free(files, f"{free}.json", photo):
                    break
            chosen.extend(self.folder / file for file in files)
            jobs = dict(zip(chosen, files.values(), strict=True))
            # The recipe takes its place first: where the process is killed then, it says whose the others are.
            return dict(sorted(jobs.items(), key=lambda job: job[0].suffix != ".json"))

        write_chosen(self.folder, choose, lambda: done(chosen))
        self._kept |= set(map(identity, chosen))
        return chosen

    def replace(self, jobs: Mapping[str, Writer]) -> list[Path]:
        """Write files whose names are fixed, all or none; returns their paths.

        Raises:
            PhotograftError: one of them is an input, or they cannot be written.
        """
        paths = {self.folder / file: writer for file, writer in jobs.items()}
        for path in paths:
            if identity(path) in self._kept:
                raise PhotograftError(f"{path} is read by this command: choose another folder with --out")
        write_files(paths)
        return list(paths)

    def _is_free(self, files: Mapping[str, Writer], recipe: str, photo: Path | None) -> bool:
        """Whether these files may be written: they are new, or the same photo's of an earlier run."""
        for path in (self.folder / file for file in files):
            if identity(path) in self._kept or _changed_since(path, self._began):
                return False
        if recipe not in files:
            return True
        if not os.path.lexists(self.folder / recipe):  # a file of these names is somebody else's
            paths = (self.folder / file for file in files)
            return not any(os.path.lexists(path) and not os.path.isdir(path) for path in paths)
        return _is_of(self.folder / recipe, photo)


def _changed_since(path: Path, moment: float) -> bool:
    """Whether another process has written a file meanwhile."""
    try:
        return os.lstat(path).st_ctime > moment
    except OSError:
        return False


def _is_of(recipe: Path, photo: Path | None) -> bool:
    """Whether a recipe is of this photo."""
    if recipe.is_dir():  # of which the writer tells
        return True
    if not recipe.is_file() or recipe.stat().st_size > _LARGEST_RECIPE:
        return False
    try:
        content = json.loads(recipe.read_bytes())
        found = (content.get("photo") or content.get("source", {}).get("photo") or {}).get("path")
        return found is None if photo is None or found is None else identity(path_of(found)) == identity(photo)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return False  # not of ours
