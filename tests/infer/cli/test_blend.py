"""The command blend as a user runs it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from infer.catalog.part_transfer import stream_of
from infer.cli.blend import parse_move
from infer.cli.main import main
from infer.edits.feature_blending import blend_regions
from infer.pictures.convert import to_pixels
from models.errors import PhotograftError
from models.samples import draw
from models.zoo import load_model
from tests.infer.conftest import CAT, HEAD

Capture = pytest.CaptureFixture[str]


def run(tiny: Path, out: Path, *arguments: object) -> int:
    return main(["blend", "--model", str(tiny), "--out", str(out), *map(str, arguments)])


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def paint(path: Path, shape: tuple[int, ...], rows: slice) -> Path:
    mask = np.zeros(shape[:2], np.uint8)
    mask[rows] = 255
    Image.fromarray(mask).save(path)
    return path


def test_samples_are_blended_as_the_function_does(tiny: Path, tmp_path: Path) -> None:
    model = load_model(str(tiny))
    size = model.generator.resolution
    mask = paint(tmp_path / "top.png", (size, size), slice(size // 2))
    asked = ("--seed", 3, "--class", "lion", "--reference-seed", 5, "--reference-class", "black cat", "--mask", mask)
    assert run(tiny, tmp_path, *asked, "--layers", "1-2", "--strength", 0.7, "--move", "4,-2.5") == 0
    source, other = (
        stream_of(model.generator, draw(model, 1, seed=seed, label=model.class_index(name)))
        for seed, name in ((3, "lion"), (5, "black cat"))
    )
    area = torch.zeros(size, size)
    area[: size // 2] = 1
    options = {"strengths": [0.7], "layers": [1, 2], "shifts": [(4, -2.5)]}
    with torch.no_grad():
        expected = blend_regions(model.generator, source, [other], [area], **options)
    assert np.array_equal(pixels_of(tmp_path / "tiny_3_blend_top.png"), to_pixels(expected))
    recipe = json.loads((tmp_path / "tiny_3_blend_top.json").read_text())
    assert recipe["source"] == {"sample": {"seed": 3, "class": "lion", "truncation": 1}}
    assert recipe["references"] == [{"sample": {"seed": 5, "class": "black cat", "truncation": 1}}]
    (step,) = recipe["edit"]["steps"]
    expected = {"step": "blend", "reference": 0, "region": "tiny_3_blend_top.mask0.png", "part": None, "name": "top"}
    assert step == expected | {"move": [4, -2.5], "strength": 0.7, "layers": [1, 2]}
    assert (tmp_path / "tiny_3_blend_top.panel.png").is_file()


def test_each_region_has_its_reference(tiny: Path, tmp_path: Path) -> None:
    size = load_model(str(tiny)).generator.resolution
    masks = [paint(tmp_path / f"{i}.png", (size, size), slice(i * size // 2, (i + 1) * size // 2)) for i in (0, 1)]
    where = ("--mask", masks[0], "--mask", masks[1])
    assert run(tiny, tmp_path, *where, "--reference-seed", 1, "--reference-seed", 2) == 0
    one = pixels_of(tmp_path / "tiny_0_blend_0_1.png")
    panel = pixels_of(tmp_path / "tiny_0_blend_0_1.panel.png")
    assert run(tiny, tmp_path, *where, "--reference-seed", 1) == 0
    narrower = panel.shape[1] - pixels_of(tmp_path / "tiny_0_blend_0_1.panel.png").shape[1]
    assert narrower == panel.shape[0] + 4 - 22  # a picture that serves both is shown once
    assert run(tiny, tmp_path, *where, "--reference-seed", 2, "--reference-seed", 1) == 0
    assert not np.array_equal(pixels_of(tmp_path / "tiny_0_blend_0_1.png"), one)


def test_all_of_all_layers_is_the_reference(tiny: Path, tmp_path: Path) -> None:
    asked = ("--reference-seed", 5, "--reference-class", "lion", "--mask", "box", "--layers", "all")
    assert run(tiny, tmp_path, *asked) == 0
    model = load_model(str(tiny))
    other = draw(model, 1, seed=5, label=model.class_index("lion"))
    with torch.no_grad():
        expected = to_pixels(model.generator(other.latent, other.label))
    moved = pixels_of(tmp_path / "tiny_0_blend_box.png").astype(int) - expected
    assert np.abs(moved).max() <= 1


def test_parts_of_a_photo(tiny: Path, cat: Path, tmp_path: Path, capsys: Capture) -> None:
    build = ["catalog", "build", "-k", "4", "--samples", "12", "--model", str(tiny), "--out", str(tmp_path)]
    assert main([*build, "--no-segment"]) == 0
    reference = cat.with_name("other.png")
    Image.fromarray(np.ascontiguousarray(CAT[:, ::-1])).save(reference)
    asked = (
        "--reference",
        reference,
        "--box",
        HEAD,
        "--preset",
        "fast",
        "--class",
        "lion",
        "--reference-class",
        "lion",
    )
    assert run(tiny, tmp_path, cat, "-p", "0,1,2", *asked) == 0
    pixels = pixels_of(tmp_path / "cat_blend_0-1-2.png")
    x, y, w, h = map(int, HEAD.split(","))
    inside = np.zeros(CAT.shape[:2], bool)
    inside[y : y + h, x : x + w] = True
    assert np.array_equal(pixels[~inside], CAT[~inside])
    assert not np.array_equal(pixels[inside], CAT[inside])
    recipe = json.loads((tmp_path / "cat_blend_0-1-2.json").read_text())
    assert recipe["edit"]["steps"][0]["part"] == "0,1,2"
    assert recipe["references"][0]["photo"]["path"] == str(reference)
    assert recipe["catalog"]["file"].startswith(str(tmp_path))


def test_a_painted_mask_is_where_the_photo_changes(tiny: Path, cat: Path, tmp_path: Path) -> None:
    x, y, w, h = map(int, HEAD.split(","))
    rows = slice(y + h // 4, y + h // 2)
    mask = paint(tmp_path / "band.png", CAT.shape, rows)
    asked = ("--mask", mask, "--box", HEAD, "--preset", "fast", "--class", "lion", "--method", "paste")
    assert run(tiny, tmp_path, cat, *asked) == 0
    changed = np.abs(pixels_of(tmp_path / "cat_blend_band.png").astype(int) - CAT).max(axis=2) > 0
    assert changed[rows, x : x + w].mean() > 0.5
    changed[rows, x : x + w] = False
    assert not changed.any()


def test_refusals(tiny: Path, cat: Path, tmp_path: Path, capsys: Capture) -> None:
    def refused(words: str, *arguments: object) -> None:
        assert run(tiny, tmp_path, *arguments) == 2
        err = capsys.readouterr().err
        assert words in err
        assert "Traceback" not in err

    elsewhere = paint(tmp_path / "corner.png", CAT.shape, slice(1))
    refused("--mask auto|box|FILE or --part")
    refused("not both", "--mask", "box", "-p", "ears")
    refused("2 --strength for 1 --mask", "--mask", "box", "--strength", 1, "--strength", 0.5)
    refused("less than or equal to 1", "--mask", "box", "--strength", 1.5)
    refused("two numbers of pixels", "--mask", "box", "--move", "3")
    refused("--layers must lie in", "--mask", "box", "--layers", "0-99")
    refused("no catalog at", "-p", "ears")
    refused("the mask is", "--mask", elsewhere)  # a sample's is of the generator's resolution
    refused("lies outside the edited square", cat, "--mask", elsewhere, "--box", HEAD)
    refused("no.png", "--mask", tmp_path / "no.png")
    refused("moves all of the reference away", "--mask", "box", "--move", "0,-32")
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize("text", ["1", "1,2,3", "a,b", "nan,0", "inf,1", ""])
def test_a_move_is_two_numbers(text: str) -> None:
    with pytest.raises(PhotograftError, match="--move takes X,Y"):
        parse_move(text)
    assert parse_move(" 1.5,-2") == (1.5, -2)
