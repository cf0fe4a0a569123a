"""Pairs for a study from edited photos: each edit beside its photo, methods beside each other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infer.cli.main import main
from infer.evaluate.known_photos import known_photos
from infer.evaluate.photo_pairs import LIST, PairFolder, method_label, with_rivals
from infer.evaluate.photos import Wanted, evaluate_photos
from infer.evaluate.study_pairs import MORE_REAL, PHOTO, WHICH_PHOTO, Pair, read_pairs
from models.errors import PhotograftError
from models.zoo import Model
from tests.infer.evaluate.test_photos import PHOTO as PIXELS
from tests.infer.evaluate.test_photos import cheap, folder, model  # noqa: F401 (fixtures)
from tests.infer.projection.helpers import exact


def paired(model: Model, folder: Path, out: Path, wanted: Wanted) -> list[Pair]:  # noqa: F811
    kept = PairFolder(out, model, method_label(model, wanted))
    evaluate_photos(exact(model), known_photos(folder)[:1], wanted, folder=out / "photos", keep=kept.keep)
    return read_pairs(kept.write())


def test_edits_lie_beside_their_photo_and_methods_beside_each_other(
    model: Model,  # noqa: F811
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    wanted = Wanted(to=("lion",), preset="fast", method="paste")
    (pair,) = paired(model, folder, out, wanted)
    assert (pair.method, pair.rival, pair.question) == (f"{model.stem} paste fast", PHOTO, WHICH_PHOTO)
    names = model.group_names
    assert pair.target == (names[model.groups[model.class_index("lion")]] if names else "lion")
    with Image.open(pair.second) as photo, Image.open(pair.first) as edit:
        assert np.array_equal(np.asarray(photo), PIXELS)
        assert edit.size == photo.size
        assert not np.array_equal(np.asarray(edit), PIXELS)
    both = paired(model, folder, out, replace(wanted, method="poisson"))
    assert [one.rival for one in both] == [PHOTO, PHOTO, f"{model.stem} poisson fast"]
    assert both[0] == pair
    assert (both[2].method, both[2].question) == (f"{model.stem} paste fast", MORE_REAL)
    assert both[2].first == both[0].first
    assert paired(model, folder, out, wanted) == both  # once more changes nothing


def test_rivals_are_of_one_photo_and_one_class() -> None:
    made = [
        Pair(Path(f"{photo}/{kind}/{method}.png"), Path(f"{photo}/photo.png"), method, PHOTO, "cat", kind)
        for photo in "ab"
        for kind in ("cat", "dog")
        for method in ("x", "y", "z")
        if (photo, method) != ("b", "z")
    ]
    rivals = with_rivals(made)[len(made) :]
    assert len(rivals) == 2 * 3 + 2 * 1
    assert all(pair.first.parent == pair.second.parent and pair.method < pair.rival for pair in rivals)
    assert {(pair.target, pair.first.parent.name) for pair in rivals} == {("cat", "cat"), ("dog", "dog")}


def test_a_broken_list_of_before_is_said_at_once(model: Model, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / LIST).write_text("what\n")
    with pytest.raises(PhotograftError, match="'what' is no column"):
        PairFolder(tmp_path, model, "label")


def test_the_command_needs_edits(
    tiny: Path,
    folder: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["evaluate", "photos", str(folder), "--model", str(tiny), "--out", str(tmp_path / "out"), "--pairs"]
    assert main([*command, "--place-only"]) == 2
    assert "--pairs needs edits" in capsys.readouterr().err
