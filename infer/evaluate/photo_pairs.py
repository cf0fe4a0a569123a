"""Pairs for a human study, from photos that are edited and measured: each edit beside its photo, and methods beside
each other where several have edited the same photo into the same class.

`pairs/PHOTO/photo.png` is a photo, `pairs/PHOTO/CLASS/METHOD.png` what a method made of it, `pairs.csv` the list.
"""

from itertools import combinations
from pathlib import Path

from infer.editor.points import pixels_hash
from infer.editor.results import ResultFolder
from infer.evaluate.known_photos import KnownPhoto
from infer.evaluate.photos import EditResult, Wanted
from infer.evaluate.report_files import picture_png, write_report
from infer.evaluate.study_pairs import (
    MORE_REAL,
    PHOTO,
    SHOWN,
    WHICH_PHOTO,
    Pair,
    Picture,
    at_most,
    pairs_csv,
    read_pairs,
)
from infer.photo.choices import DEFAULT_FINISH
from infer.projection.presets import DEFAULT_PRESET
from models.writing import file_name
from models.zoo import Model

LIST = "pairs.csv"


def method_label(model: Model, wanted: Wanted) -> str:
    """What a study calls these edits: the model, the method, and of the rest what is not the default."""
    words = [model.stem, wanted.method]
    words += [
        value for value, usual in ((wanted.preset, DEFAULT_PRESET), (wanted.finish, DEFAULT_FINISH)) if value != usual
    ]
    return " ".join(words)


class PairFolder:
    """Keeps pictures as they are made, and writes the list in the end; those of earlier runs stay in it.

    Args:
        folder: for the list and the pictures.
        model: that edits, and label: what its edits are called, see `method_label`.

    Raises:
        PhotograftError: the list of an earlier run cannot be read.
    """

    def __init__(self, folder: Path, model: Model, label: str) -> None:
        self.folder, self.model, self.label = folder, model, label
        self._results = ResultFolder(folder)
        before = read_pairs(folder / LIST) if (folder / LIST).exists() else []
        self._made = {pair.first: pair for pair in before if pair.rival == PHOTO}

    def keep(self, known: KnownPhoto, edit: EditResult, before: Picture, after: Picture) -> None:
        """An edit: the whole photo before and after, uint8 [H,W,3], made as small as a study shows it."""
        photo = Path("pairs", file_name(known.name, pixels_hash(before)[:8]))
        first, second = photo / file_name(edit.target) / f"{file_name(self.label)}.png", photo / "photo.png"
        pictures = ((first, after), (second, before))
        write_report({str(path): picture_png(at_most(pixels, SHOWN)) for path, pixels in pictures}, self._results)
        first, second = self.folder / first, self.folder / second
        kinds = self._kind(edit.source), self._kind(edit.target)
        self._made[first] = Pair(first, second, self.label, PHOTO, *kinds, WHICH_PHOTO)

    def write(self) -> Path:
        """Write the list; returns its path."""
        content = pairs_csv(with_rivals(list(self._made.values())), self.folder)
        (path,) = write_report({LIST: content}, self._results)
        return path

    def _kind(self, name: str) -> str:
        """A class as rates are counted by it: its species where the model knows them."""
        if not name or not self.model.group_names:
            return name
        return self.model.group_names[self.model.groups[self.model.class_index(name)]]


def with_rivals(pairs: list[Pair]) -> list[Pair]:
    """Edits beside their photos, and then those that lie in one folder beside each other."""
    edits = sorted(pairs, key=lambda pair: pair.first)
    together: dict[Path, list[Pair]] = {}
    for pair in edits:
        together.setdefault(pair.first.parent, []).append(pair)
    rivals = [
        Pair(one.first, other.first, one.method, other.method, one.source, one.target, MORE_REAL)
        for members in together.values()
        for one, other in combinations(sorted(members, key=lambda pair: pair.method), 2)
    ]
    return [*edits, *rivals]
