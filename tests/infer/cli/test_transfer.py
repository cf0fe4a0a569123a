"""The commands catalog and transfer as a user runs them."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from infer.cli.catalog import parse_part
from infer.cli.main import main
from infer.cli.options import fitted
from models.errors import PhotograftError
from tests.infer.conftest import CAT, HEAD

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def out(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a catalog in it."""
    folder = tmp_path_factory.mktemp("catalog")
    command = ["catalog", "build", "-k", "4", "--samples", "12", "--model", str(tiny), "--out", str(folder)]
    assert main([*command, "--no-segment"]) == 0
    assert main(["catalog", "name", "face=0,1", "rest=2", "--model", str(tiny), "--out", str(folder)]) == 0
    return folder


def run(tiny: Path, out: Path, *arguments: object) -> int:
    return main(["transfer", "--model", str(tiny), "--out", str(out), *map(str, arguments)])


def refused(code: int, capture: Capture, words: str) -> None:
    err = capture.readouterr().err
    assert code == 2, err
    assert "Traceback" not in err
    assert words in err


def test_build_writes_numbers_names_and_sheet(out: Path) -> None:
    assert {path.suffix for path in out.iterdir()} >= {".safetensors", ".yaml", ".png"}
    names = yaml.safe_load((out / "tiny.catalog.yaml").read_text())
    assert names["face"] == [0, 1]
    assert names["rest"] == [2]
    with Image.open(out / "tiny.catalog.png") as sheet:
        assert sheet.height > 6 * 128


def test_show(tiny: Path, out: Path, capsys: Capture) -> None:
    assert main(["catalog", "show", "--model", str(tiny), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "4 clusters" in text
    assert "face: 0, 1" in text
    command = ["catalog", "show", "--model", str(tiny), "--out", str(out), "--layer", "1", "--layer", "2", "-k", "3"]
    assert main([*command, "--samples", "9"]) == 0
    with Image.open(out / "tiny_clusters.png") as sheet:
        assert 3 * 128 <= sheet.height < 4 * 128


def test_name_takes_away(tiny: Path, out: Path, capsys: Capture) -> None:
    command = ["catalog", "name", "--model", str(tiny), "--out", str(out)]
    assert main([*command, "more=3"]) == 0
    assert main([*command, "more="]) == 0
    assert "more" not in yaml.safe_load((out / "tiny.catalog.yaml").read_text())
    refused(main([*command, "more="]), capsys, "no part 'more'")
    refused(main([*command, "eyes=9"]), capsys, "no cluster 9")
    refused(main([*command, "eyes"]), capsys, "eyes=3,7")


def test_parse_part() -> None:
    assert parse_part("left eye = 3, 7,3", 8) == ("left eye", (3, 7))
    assert parse_part("x=", 8) == ("x", ())
    for bad in ("=1", "a=b", "a=1,,2", "a"):
        with pytest.raises(PhotograftError):
            parse_part(bad, 8)


def test_samples(tiny: Path, out: Path) -> None:
    asked = ("-p", "face", "--class", "lion", "--reference-class", "black cat", "--epsilon", 3, "--shift")
    assert run(tiny, out, *asked) == 0
    with Image.open(out / "tiny_0_face.png") as result:
        assert result.size == (32, 32)
    recipe = json.loads((out / "tiny_0_face.json").read_text())
    assert recipe["source"] == {"sample": {"seed": 0, "class": "lion", "truncation": 1}}
    assert recipe["references"] == [{"sample": {"seed": 1, "class": "black cat", "truncation": 1}}]
    assert recipe["catalog"]["parts"] == {"face": [0, 1]}
    (step,) = recipe["edit"]["steps"]
    assert (step["part"], step["reference"], step["epsilon"], step["shift"]) == ("face", 0, 3, True)
    first = (out / "tiny_0_face.png").read_bytes()
    assert run(tiny, out, *asked) == 0
    assert (out / "tiny_0_face.png").read_bytes() == first
    for other in (asked[:-1], (*asked, "--mode", "global", "--lam", 0), (*asked, "--released")):  # no shift, ...
        assert run(tiny, out, *other) == 0
        assert (out / "tiny_0_face.png").read_bytes() != first


def test_several_parts(tiny: Path, out: Path) -> None:
    assert run(tiny, out, "-p", "face", "-p", "3", "--reference-seed", 5, "--reference-seed", 6, "--seed", 9) == 0
    recipe = json.loads((out / "tiny_9_face_3.json").read_text())
    assert recipe["catalog"]["parts"] == {"face": [0, 1], "3": [3]}
    assert [reference["sample"]["seed"] for reference in recipe["references"]] == [5, 6]
    assert [(step["part"], step["reference"]) for step in recipe["edit"]["steps"]] == [("face", 0), ("3", 1)]


def test_photos(tiny: Path, out: Path, cat: Path) -> None:
    reference = cat.with_name("other.png")
    Image.fromarray(np.ascontiguousarray(CAT[:, ::-1])).save(reference)
    asked = ("-p", "face", "--reference", reference, "--box", HEAD, "--preset", "fast", "--mode", "global", "--shift")
    assert run(tiny, out, cat, *asked, "--class", "lion", "--reference-class", "golden retriever") == 0
    with Image.open(out / "cat_face.png") as result:
        pixels = np.asarray(result)
    assert pixels.shape == CAT.shape
    x, y, w, h = map(int, HEAD.split(","))
    inside = np.zeros(CAT.shape[:2], bool)
    inside[y : y + h, x : x + w] = True
    assert np.array_equal(pixels[~inside], CAT[~inside])
    assert not np.array_equal(pixels[inside], CAT[inside])
    recipe = json.loads((out / "cat_face.json").read_text())
    assert recipe["source"]["box"] == HEAD
    assert recipe["references"][0]["photo"]["path"] == str(reference)
    assert (out / "cat_face.panel.png").is_file()


def test_refusals(tiny: Path, out: Path, cat: Path, tmp_path: Path, capsys: Capture) -> None:
    refused(run(tiny, out), capsys, "say which part")
    refused(run(tiny, out, "-p", "nose"), capsys, "unknown part 'nose'")
    refused(run(tiny, out, "-p", "7"), capsys, "no cluster 7")
    refused(run(tiny, out, "-p", "face", "--mode", "global", "--lam", "2"), capsys, "0..1")
    refused(run(tiny, out, "-p", "face", "--class", "horse"), capsys, "unknown class")
    refused(run(tiny, tmp_path / "none", "-p", "face"), capsys, "no catalog at")
    two = ("--reference-seed", 1, "--reference-seed", 2)
    refused(run(tiny, out, "-p", "face", "-p", "rest", "-p", "3", *two), capsys, "2 --reference-seed for 3")
    refused(run(tiny, out, tmp_path / "no.jpg", "-p", "face"), capsys, "no.jpg")


def test_the_photo_is_never_written_over(tiny: Path, out: Path, capsys: Capture) -> None:
    photo = out / "own.png"
    Image.fromarray(CAT).save(photo)
    before = photo.read_bytes()
    assert run(tiny, out, photo, "-p", "face", "--box", HEAD, "--preset", "fast") == 0  # own_face.png
    assert photo.read_bytes() == before


def test_fitted() -> None:
    assert fitted("--x", None, 1, 2, "--part") == [1, 1]
    assert fitted("--x", ["a"], None, 2, "--part") == ["a", "a"]
    assert fitted("--x", ["a", "b"], None, 2, "--part") == ["a", "b"]
    assert fitted("--x", None, 1, 0, "--part") == []
    with pytest.raises(PhotograftError, match="--x is for --part: give that too"):
        fitted("--x", ["a"], None, 0, "--part")
