"""Whole photos: heads that are known are read, edits are made once and measured, the report says what there is."""

import csv
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from infer.cli.main import main
from infer.editor.editor import Editor
from infer.editor.results import ResultFolder
from infer.evaluate import photos as module
from infer.evaluate.class_judge import ClassJudge
from infer.evaluate.known_photos import KnownPhoto, known_photos
from infer.evaluate.photos import Wanted, draw_targets, evaluate_photos
from infer.evaluate.photos_report import edit_rows, photo_sheet, summary, write_photos
from infer.photo.box import Box
from infer.photo.location import FoundHead, Location
from models.errors import PhotograftError
from models.perception.segmentation import Segmenter
from models.zoo import Model, load_model
from tests.infer.conftest import CAT, ellipse
from tests.infer.projection.helpers import exact

PHOTO = CAT[:200, 80:300]
HEADS = [(40, 30, 80, 80), (45, 30, 80, 80), (120, 100, 60, 60)]
FOUND = Box(32, 25, 96, 96)  # the first two


@pytest.fixture
def model(tiny: Path) -> Model:
    return load_model(str(tiny))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos whose heads are known; the last one's is elsewhere than where it is found."""
    folder = tmp_path / "known"
    folder.mkdir()
    lines = []
    for number, head in enumerate(HEADS):
        Image.fromarray(np.roll(PHOTO, number, axis=1)).save(folder / f"{number}.png")
        lines.append({"photo": f"{number}.png", "breed": "Lion", "species": "cat", "box": head})
    (folder / "boxes.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads and animals cost nothing."""

    def create_segmenter(*_: object, **__: object) -> Segmenter:
        return ellipse

    def locate(pixels: NDArray[np.uint8], *_: object, **__: object) -> Location:
        return Location(FOUND, "head", (FoundHead(FOUND, 0.9),))

    for where in ("infer.evaluate.photos", "infer.editor.session"):
        monkeypatch.setattr(f"{where}.create_segmenter", create_segmenter)
    for where in ("infer.evaluate.photos", "infer.editor.opening"):
        monkeypatch.setattr(f"{where}.locate", locate)


# ---------------------------------------------------------------------- what is known


def test_photos_with_boxes_are_read(folder: Path) -> None:
    known = known_photos(folder)
    assert [one.name for one in known] == ["0.png", "1.png", "2.png"]
    assert known[2].heads == ((120.0, 100.0, 60.0, 60.0),)
    assert (known[0].breed, known[0].species) == ("Lion", "cat")
    assert np.array_equal(known[0].read().pixels, PHOTO)
    with (folder / "boxes.jsonl").open("a") as file:
        file.write(json.dumps({"photo": "0.png", "box": [1, 2, 3.5, 4]}))
    assert known_photos(folder)[0].heads == ((40.0, 30.0, 80.0, 80.0), (1.0, 2.0, 3.5, 4.0))


def test_photos_alone_and_scenes(folder: Path, tmp_path: Path) -> None:
    (folder / "boxes.jsonl").unlink()
    assert [(one.name, one.heads) for one in known_photos(folder)] == [(f"{i}.png", None) for i in range(3)]
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    with tarfile.open(scenes / "scenes-val.tar", "w") as tar:
        stream = io.BytesIO()
        Image.fromarray(PHOTO).save(stream, "PNG")
        about = {"heads": [[0.25, 0.5, 0.75, 1.0]], "species": "dog"}
        for name, content in (("a.png", stream.getvalue()), ("a.json", json.dumps(about).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    (scene,) = known_photos(scenes)
    assert (scene.name, scene.species) == ("a", "dog")
    assert scene.heads == ((55.0, 100.0, 110.0, 100.0),)
    assert np.array_equal(scene.read().pixels, PHOTO)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 1: no JSON"),
        ('{"box": [1, 2, 3, 4]}', "as `photo`"),
        ('{"photo": "../0.png", "box": [1, 2, 3, 4]}', "as `photo`"),
        ('{"photo": "0.png", "box": [1, 2, 3]}', "four numbers"),
        ('{"photo": "0.png", "box": [1, 2, 3, -4]}', "four numbers"),
        ('{"photo": "0.png", "box": [1, 2, 3, NaN]}', "four numbers"),
        ('{"photo": "0.png", "box": [1, 2, true, 4]}', "four numbers"),
        ('{"photo": "other.png", "box": [1, 2, 3, 4]}', "not in the folder"),
        ("", "is empty"),
    ],
)
def test_bad_lists_are_one_line(folder: Path, line: str, words: str) -> None:
    (folder / "boxes.jsonl").write_text(line)
    with pytest.raises(PhotograftError, match=words):
        known_photos(folder)


def test_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match="no folder"):
        known_photos(tmp_path / "nowhere")
    with pytest.raises(PhotograftError, match="neither photos nor shards"):
        known_photos(tmp_path)


def test_targets_take_turns_among_groups_and_are_not_the_own_breed(model: Model) -> None:
    photos = [KnownPhoto(f"{i}", Path("x"), breed="Black Cat") for i in range(30)]
    targets = draw_targets(model, photos, 1, seed=0)
    groups = [model.groups[target] for (target,) in targets]
    assert [groups.count(group) for group in (0, 1, 2)] == [10, 10, 10]
    assert model.class_index("black cat") not in [target for (target,) in targets]
    assert targets == draw_targets(model, photos, 1, seed=0)
    assert targets != draw_targets(model, photos, 1, seed=1)
    assert all(len(set(row)) == 3 for row in draw_targets(model, photos, 3, seed=0))


# ---------------------------------------------------------------------- edits


def test_edits_are_measured_and_reported(model: Model, folder: Path, pictures: Path, tmp_path: Path) -> None:
    networks, known = exact(model), known_photos(folder)
    judge = ClassJudge(networks, pictures, real=40)
    wanted = Wanted(to=("lion", "black cat"), preset="fast")
    report = evaluate_photos(networks, known, wanted, judge=judge)
    assert [[edit.target for edit in one.edits] for one in report.results] == [["lion", "black cat"]] * 3
    assert [one.place.right for one in report.results if one.place] == [True, True, False]
    lines = {line.name: line for line in summary(report)}
    assert lines["right place"].mean == pytest.approx(2 / 3)
    assert lines["wrong place"].interval == pytest.approx((0.0615, 0.7923), abs=1e-3)
    assert lines["none found"].mean == 0
    assert lines["right place"].count == 3
    assert lines["IoU of the square with the known head's at least 0.5"].mean == pytest.approx(2 / 3)
    casts = [edit.measures.cast for one in report.results for edit in one.edits]
    assert lines["colour cast: distance of mean colours (CIELAB)"].mean == pytest.approx(np.mean(casts))
    assert lines["colour cast: distance of mean colours (CIELAB)"].count == 6
    missed = [not edit.crop.first for one in report.results for edit in one.edits if edit.crop]
    assert lines["first class missed, crop"].mean == pytest.approx(np.mean(missed))
    assert "detectability: accuracy" not in lines  # of three photos
    written = write_photos(report, model, "known", ResultFolder(tmp_path / "out"))
    assert [path.name for path in written] == [
        f"tiny_photos{end}" for end in (".md", ".csv", "_summary.csv", "_sheet.png")
    ]
    rows = list(csv.DictReader(io.StringIO(written[1].read_text())))
    assert len(rows) == 6
    assert float(rows[0]["cast"]) == pytest.approx(casts[0], abs=1e-4)
    assert [row["right place"] for row in rows[::2]] == ["1", "1", "0"]
    assert next(iter(model.hashes.values()))[:12] in written[0].read_text()
    sheet = np.asarray(Image.open(written[3]))
    assert sheet.shape == photo_sheet(report).shape
    assert sheet.shape[0] > sheet.shape[1] / 9 * 2 - 10  # six edits, three in a row


def test_paste_has_no_cast_and_poisson_has(model: Model, folder: Path) -> None:
    networks, known = exact(model), known_photos(folder)[:1]
    pasted, blended = (
        evaluate_photos(networks, known, Wanted(to=("lion",), preset="fast", method=method))
        .results[0]
        .edits[0]
        .measures
        for method in ("paste", "poisson")
    )
    assert pasted.cast < 0.25 * blended.cast


def test_detectability_of_many(model: Model, folder: Path) -> None:
    known = [replace(known_photos(folder)[0], name=str(i)) for i in range(12)]
    report = evaluate_photos(exact(model), known, Wanted(to=("lion",), preset="fast", method="paste"))
    lines = {line.name: line for line in summary(report)}
    assert lines["detectability: accuracy"].mean == 1  # twelve times the same
    assert lines["detectability: accuracy"].count == 12


def test_kept_edits_are_not_made_again(
    model: Model, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks, known = exact(model), known_photos(folder)
    first = evaluate_photos(networks, known, Wanted(preset="fast"), folder=tmp_path / "kept")
    asked: list[str] = []
    edit = Editor.edit

    def counted(self: Editor, to: str, **options: object) -> object:
        asked.append(to)
        return edit(self, to, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Editor, "edit", counted)
    again = evaluate_photos(networks, known, Wanted(preset="fast"), folder=tmp_path / "kept")
    assert not asked
    assert edit_rows(again) == edit_rows(first)
    evaluate_photos(networks, known, Wanted(preset="fast", method="paste"), folder=tmp_path / "kept")
    assert len(asked) == 3
    evaluate_photos(networks, known, Wanted(preset="fast", method="paste", finish="off"), folder=tmp_path / "kept")
    assert len(asked) == 6
    monkeypatch.setattr(module, "code_digest", lambda *_: "other code")
    evaluate_photos(networks, known, Wanted(preset="fast"), folder=tmp_path / "kept", limit=2)
    assert len(asked) == 8


def test_another_method_does_not_cost_the_projections_again(
    model: Model, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks, known = exact(model), known_photos(folder)[:1]
    pasted = Wanted(to=("lion",), method="paste")
    wanted = edit_rows(evaluate_photos(networks, known, pasted))
    evaluate_photos(networks, known, Wanted(to=("lion",)), folder=tmp_path / "kept")
    monkeypatch.setattr(Editor, "project", None)
    assert edit_rows(evaluate_photos(networks, known, pasted, folder=tmp_path / "kept")) == wanted
    with pytest.raises(TypeError):
        evaluate_photos(networks, known, replace(pasted, seed=3), folder=tmp_path / "kept")


def test_fewer_photos_have_the_same_targets(model: Model, folder: Path) -> None:
    networks, known = exact(model), known_photos(folder)
    everything = {one.photo.name: one for one in evaluate_photos(networks, known, Wanted(preset="fast")).results}
    some = evaluate_photos(networks, known, Wanted(preset="fast"), limit=2).results
    assert len(some) == 2
    assert all(one.edits[0].target == everything[one.photo.name].edits[0].target for one in some)


def test_known_places(model: Model, folder: Path) -> None:
    wanted = Wanted(to=("lion",), preset="fast", known_places=True)
    report = evaluate_photos(exact(model), known_photos(folder), wanted)
    assert [one.box for one in report.results][2] == Box(114, 95, 72, 72)
    assert "right place" not in {line.name for line in summary(report)}


def test_where_nothing_is_found_nothing_is_right_or_wrong(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "locate", lambda *_: Location(FOUND, "centre"))
    report = evaluate_photos(None, known_photos(folder), Wanted(places_only=True))
    lines = {line.name: line.mean for line in summary(report)}
    assert (lines["right place"], lines["wrong place"], lines["none found"]) == (0, 0, 1)

    def refuse(*_: object, **__: object) -> Location:
        raise PhotograftError("nothing is found")

    monkeypatch.setattr("infer.editor.opening.locate", refuse)
    refused = evaluate_photos(exact(model), known_photos(folder), Wanted(preset="fast"))
    assert all(one.box is None and not one.edits for one in refused.results)
    assert {line.name: line.mean for line in summary(refused)}["none found"] == 1
    assert len(edit_rows(refused)) == 4
    assert photo_sheet(refused).size


# ---------------------------------------------------------------------- the command


def test_command(tiny: Path, folder: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["evaluate", "photos", str(folder), "--model", str(tiny), "--out", str(out), "--preset", "fast"]
    assert main([*command, "--data", str(pictures), "--real", "40"]) == 0
    told = capsys.readouterr()
    assert "tiny_photos_sheet.png" in told.out
    assert "right place" in told.out
    assert "editing photos (0% done)" in told.err
    assert main([*command, "--limit", "1", "--to", "lion"]) == 0
    assert "--data" in capsys.readouterr().err  # no classes without
    assert main([*command, "--place-only"]) == 0
    assert (out / "tiny_places.csv").read_text().count("\n") == 4


def test_command_errors(tiny: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["evaluate", "photos", str(folder), "--model", str(tiny), "--out", str(out), "--preset", "fast"]
    assert main([*command, "--to", "unicorn"]) == 2
    assert "unicorn" in capsys.readouterr().err
    (folder / "boxes.jsonl").unlink()
    (folder / "1.png").write_bytes(b"no picture")
    assert main(command) == 2
    told = capsys.readouterr()
    assert "1.png" in told.err
    assert "places are not measured" in told.err
    assert (out / "tiny_photos.csv").read_text().count("\n") == 3  # the others are measured
    for photo in folder.iterdir():
        photo.write_bytes(b"no picture")
    assert main(command) == 2
    assert "none of 3 photos" in capsys.readouterr().err
