"""Sweeps: what is written of an edit at several strengths, and that a recipe does it again."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from infer.cli.main import main
from infer.editor.editor import Editor
from infer.editor.recipe_file import read_recipe
from infer.editor.sweep import evenly_strong, shown, strength_words
from infer.photo.box import Box
from infer.pictures import animation
from infer.pictures.animation import LONGEST, duration, gif, mp4, reduced, there_and_back
from infer.pictures.sheet import tile
from models.errors import PhotograftError
from models.zoo import load_model

CAT = data.cat()
Edit = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_list_of_strengths_is_a_sweep(edit: Edit, cat: Path, tmp_path: Path, capsys: Capture) -> None:
    assert edit(cat, "--to", "lion", "--strength", "0,0.25,1") == 0
    out, stems = tmp_path / "out", [f"cat_to_lion_{s}" for s in ("s000", "s025", "s100")]
    said = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert said == [
        *(f"{stem}.png" for stem in stems),
        *(f"cat_to_lion_sweep.{kind}" for kind in ("png", "gif", "mp4")),
    ]
    own = {f"{stem}{kind}" for stem in stems for kind in (".png", ".panel.png", ".json")}
    assert set(names(out)) == own | {f"cat_to_lion_sweep.{kind}" for kind in ("png", "gif", "mp4", "json")}
    np.testing.assert_array_equal(pixels_of(out / f"{stems[0]}.png"), CAT)
    assert [read_recipe(out / f"{stem}.json").steps[0].strength for stem in stems] == [0, 0.25, 1]  # type: ignore[union-attr]
    assert edit(cat, "--to", "lion", "--out", tmp_path / "alone") == 0
    np.testing.assert_array_equal(pixels_of(out / f"{stems[2]}.png"), pixels_of(tmp_path / "alone" / "cat_to_lion.png"))
    recipe = read_recipe(out / "cat_to_lion_sweep.json")
    assert recipe.sweep == (0, 0.25, 1)
    assert recipe.steps[0].strength == 1  # type: ignore[union-attr]
    with Image.open(out / "cat_to_lion_sweep.gif") as moving:
        assert moving.n_frames == 4, "there and back"  # type: ignore[attr-defined]
        assert moving.size == (451, 300)


def test_a_sweep_is_done_again_by_its_recipe(edit: Edit, cat: Path, tmp_path: Path) -> None:
    mask = np.zeros(CAT.shape[:2], np.uint8)
    mask[60:140, 140:240] = 200
    Image.fromarray(mask).save(tmp_path / "mask.png")
    given = ["--to", "lion", "--to", "black cat", "--mask", "box", "--mask", tmp_path / "mask.png", "--together"]
    assert edit(cat, *given, "--strength", 0.9, "--strength", 0.3, "--sweep", 3, mask=None) == 0
    out, again, (recipe,) = tmp_path / "out", tmp_path / "again", (tmp_path / "out").glob("*_sweep.json")
    assert recipe.name == "cat_to_lion_black-cat_sweep.json"
    (tmp_path / "mask.png").unlink()
    half = read_recipe(out / "cat_to_lion_black-cat_s050.json")
    assert [step.strength for step in half.steps] == [0.45, 0.15]  # type: ignore[union-attr]
    assert main(["edit", "--recipe", str(recipe), "--out", str(again)]) == 0
    assert names(out) == names(again)
    for name in names(out):
        assert (out / name).read_bytes() == (again / name).read_bytes(), name
    assert main(["edit", "--recipe", str(recipe), "--strength", "1", "--out", str(tmp_path / "one")]) == 0
    assert "cat_to_lion_black-cat.png" in names(tmp_path / "one"), "asked for otherwise, it is no sweep"


def test_recipes_of_before_stay_what_they_are_unless_asked(edit: Edit, cat: Path, tmp_path: Path) -> None:
    assert edit(cat, "--to", "lion", "--strength", 0.5) == 0
    now = tmp_path / "out" / "cat_to_lion.json"
    content = json.loads(now.read_text())
    assert content["edit"].pop("scale") == "photo"
    before = tmp_path / "before.json"
    before.write_text(json.dumps(content))

    def done(recipe: Path, *more: str) -> tuple[str, np.ndarray]:
        folder = tmp_path / f"{recipe.stem}{len(more)}"
        assert main(["edit", "--recipe", str(recipe), "--out", str(folder), *more]) == 0
        said = json.loads((folder / "cat_to_lion.json").read_text())["edit"]["scale"]
        return said, pixels_of(folder / "cat_to_lion.png")

    old, new = done(before), done(now)
    assert (old[0], new[0]) == ("mix", "photo")
    np.testing.assert_array_equal(new[1], pixels_of(now.with_suffix(".png")))
    assert (old[1] != new[1]).any()
    asked = done(before, "--strength", "0.5")
    assert asked[0] == "photo"
    np.testing.assert_array_equal(asked[1], new[1])


def test_nothing_of_others_is_overwritten(edit: Edit, cat: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("cat_to_lion_sweep.gif", "cat_to_lion_s100.png"):
        (out / name).write_bytes(b"somebody's")
    assert edit(cat, "--to", "lion", "--strength", "0,1") == 0
    assert (out / "cat_to_lion_sweep.gif").read_bytes() == b"somebody's"
    assert (out / "cat_to_lion_s100.png").read_bytes() == b"somebody's"
    assert {"cat_to_lion_sweep_2.gif", "cat_to_lion_s100_2.png"} <= set(names(out))
    assert json.loads((out / "cat_to_lion_sweep_2.json").read_text())["files"]["result"] == "cat_to_lion_s100_2.png"
    before = names(out)
    assert edit(cat, "--to", "lion", "--strength", "0,1") == 0
    assert names(out) == before, "results of the same photo are replaced"


def test_several_photos_and_classes_are_one_contact_sheet(edit: Edit, cat: Path, tmp_path: Path) -> None:
    other = cat.with_name("other.png")
    Image.fromarray(CAT[:, ::-1]).save(other)
    assert edit(cat, other, "--to", "lion", "--to", "black cat", "--sweep", 2) == 0
    assert len(list((tmp_path / "out").glob("*_sweep.gif"))) == 4
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        assert sheet.width > 6 * 256, "photo, projection, two strengths of two classes"


def test_strengths_of_files() -> None:
    assert strength_words([0, 0.25, 1]) == ["s000", "s025", "s100"]
    assert strength_words([0.251, 0.252]) == ["s0251", "s0252"]
    assert strength_words([0.5, 0.5]) == ["s050", "s050"]
    assert evenly_strong(5) == (0, 0.25, 0.5, 0.75, 1)
    assert len(set(strength_words(evenly_strong(64)))) == 64
    with pytest.raises(PhotograftError, match="2 to 64 strengths, not 65"):
        evenly_strong(65)


def test_the_row_shows_the_square_with_some_around(tiny: Path) -> None:
    editor = Editor(load_model(str(tiny))).set_photo(CAT, Box(20, 30, 160, 160)).project("black cat", steps=0)
    look = shown(editor, editor.edit("lion", mask="box"))
    np.testing.assert_array_equal(look.part, tile(editor.edits[0].pixels[:230, :220]))
    np.testing.assert_array_equal(look.frame, editor.edits[0].pixels)
    large = np.zeros((3000, 4000, 3), np.uint8)
    editor.photo = replace(editor.photo, pixels=large)  # type: ignore[type-var]
    look = shown(editor, replace(editor.edits[0], pixels=large))
    assert (look.part.shape, look.frame.shape) == ((256, 256, 3), (480, LONGEST, 3)), "whatever the photo's size"


def test_animations_go_there_and_back() -> None:
    frames = [reduced(np.full((900, 1501, 3), 60 * i, np.uint8)) for i in range(4)]
    assert [int(frame[0, 0, 0]) for frame in there_and_back(frames)] == [0, 60, 120, 180, 120, 60]
    assert frames[0].shape == (384, LONGEST, 3)
    assert [len(there_and_back(frames[:n])) for n in (1, 2)] == [1, 2]
    assert [duration(n) for n in (2, 5, 64)] == [600, 400, 60]
    stream = io.BytesIO()
    gif(frames)(stream)
    with Image.open(stream) as moving:
        assert (moving.n_frames, moving.info["loop"], moving.info["duration"]) == (6, 0, 500)  # type: ignore[attr-defined]


def test_films_where_they_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [np.full((61, 81, 3), (200, 60 * i, 0), np.uint8) for i in range(4)]
    writer = mp4(frames)
    assert writer is not None
    with (tmp_path / "film.mp4").open("wb") as stream:
        writer(stream)
    played = cv2.VideoCapture(str(tmp_path / "film.mp4"))
    assert played.get(cv2.CAP_PROP_FRAME_COUNT) == 6
    _, frame = played.read()
    assert frame.shape == (62, 82, 3)
    assert abs(int(frame[30, 40, 2]) - 200) < 12, "red is red"
    monkeypatch.setattr(animation, "_by_ffmpeg", lambda frames, rate: None)
    by_opencv = mp4(frames)
    assert by_opencv is not None
    with io.BytesIO() as stream:
        by_opencv(stream)
        assert b"mp4v" in stream.getvalue()
    monkeypatch.setattr(animation, "_CODEC", "none")
    assert mp4(frames) is None


def test_films_by_ffmpeg_are_what_browsers_play() -> None:
    """With the extra `video`: H.264 in 4:2:0, and the same bytes again."""
    pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    frames = [np.full((61, 81, 3), (200, 60 * i, 0), np.uint8) for i in range(4)]
    contents = []
    for _ in range(2):
        with io.BytesIO() as stream:
            writer = mp4(frames)
            assert writer is not None
            writer(stream)
            contents.append(stream.getvalue())
    assert contents[0] == contents[1]
    assert b"avc1" in contents[0]
    assert b"mp4v" not in contents[0]
