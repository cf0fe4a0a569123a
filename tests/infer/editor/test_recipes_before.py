"""Recipes of the version before: all kinds of them do again what they did, whichever command is given them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infer.cli.main import main
from infer.editor.recipe_file import read_recipe

BEFORE = Path(__file__).parents[2] / "golden" / "recipes"
RECIPES = [
    "edit/photo_to_golden-retriever",
    "edit/photo_to_lion_black-cat",
    "blend/photo_blend_left_right",
    "blend_part/photo_blend_0",
    "blend_sample/tiny_3_blend_sample",
    "transfer/photo_0_1",
    "transfer_photo/photo_1",
    "transfer_sample/style_3_2",
]


def absolute(content: Any, folder: Path) -> Any:
    """A recipe whose paths, which are relative to the folder, are absolute ones."""
    if isinstance(content, list):
        return [absolute(value, folder) for value in content]
    if not isinstance(content, dict):
        return content
    there = {
        key: str(folder / value)
        for key, value in content.items()
        if key in ("path", "file", "mask") and isinstance(value, str) and (folder / value).is_file()
    }
    return {key: absolute(value, folder) for key, value in content.items()} | there


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipes, with what they need."""
    folder = tmp_path_factory.mktemp("before") / "recipes"
    shutil.copytree(BEFORE, folder)
    for path in folder.rglob("*.json"):
        content = absolute(json.loads(path.read_text()), folder)
        content["model"]["name"] = str(folder / content["model"]["name"])
        path.write_text(json.dumps(content))
    return folder


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def same(first: Path, second: Path) -> None:
    """Equal, but for what another processor rounds otherwise."""
    difference = np.abs(pixels_of(first) - pixels_of(second)).max(axis=2)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.01


@pytest.mark.parametrize("name", RECIPES)
def test_old_recipes_do_the_same_again(folder: Path, tmp_path: Path, name: str) -> None:
    recipe = folder / f"{name}.json"
    stem = recipe.stem
    assert main(["edit", "--recipe", str(recipe), "--out", str(tmp_path)]) == 0
    written = tmp_path / f"{stem}.png"
    same(written, recipe.with_suffix(".png"))
    again = json.loads((tmp_path / f"{stem}.json").read_text())
    assert again["photograft_recipe"] == 2
    assert main(["edit", "--recipe", str(tmp_path / f"{stem}.json"), "--out", str(tmp_path / "again")]) == 0
    for path in tmp_path.glob("*.*"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("command", ["blend", "transfer"])
def test_every_command_goes_on_from_a_recipe(folder: Path, tmp_path: Path, command: str) -> None:
    (name,) = [name for name in RECIPES if name.startswith(f"{command}_sample/")]
    recipe = folder / f"{name}.json"
    assert main([command, "--recipe", str(recipe), "--out", str(tmp_path)]) == 0
    same(tmp_path / f"{recipe.stem}.png", recipe.with_suffix(".png"))


def test_an_inverted_mask_stays_inverted(folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "blend_sample" / "tiny_3_blend_sample.json").read_text())
    content["mask_invert"] = True
    content["regions"].append(content["regions"][0] | {"mask": "box", "strength": 0.0})
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(content))
    found = read_recipe(recipe)
    assert [step.invert for step in found.steps] == [True, False], "the whole square is not painted"
    assert main(["edit", "--recipe", str(recipe), "--out", str(tmp_path)]) == 0
    (mask,) = tmp_path.glob("*.mask0.png")
    with Image.open(mask) as written, Image.open(folder / "sample.png") as painted:
        np.testing.assert_array_equal(np.asarray(written) > 0, np.asarray(painted) == 0)


def test_an_old_projection_is_edited(folder: Path, tmp_path: Path) -> None:
    recipe = folder / "project" / "photo.projection.json"
    found = read_recipe(recipe)
    assert (found.steps, found.settle) == ((), None)
    command = ["edit", "--recipe", str(recipe), "--to", "lion", "--mask", "box", "--out", str(tmp_path)]
    assert main(command) == 0
    assert read_recipe(tmp_path / "photo_to_lion.json").source == found.source


def test_a_catalog_that_has_changed_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.json"
    content = json.loads((folder / "transfer_sample" / "style_3_2.json").read_text())
    content["catalog"]["sha256"] = "0" * 64
    recipe.write_text(json.dumps(content))
    assert main(["edit", "--recipe", str(recipe), "--out", str(tmp_path / "out")]) == 2
    assert "is not the catalog of the recipe any more" in capsys.readouterr().err


def test_clusters_are_those_of_the_recipe(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((folder / "transfer_sample" / "style_3_2.json").read_text())
    content["parts"][0]["part"] = "nose"  # which the catalog does not name, or names otherwise by now
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(content))
    assert main(["edit", "--recipe", str(recipe), "--out", str(tmp_path)]) == 0
    same(tmp_path / "style_3_nose.png", folder / "transfer_sample" / "style_3_2.png")
    content["parts"][0]["clusters"] = [10**4]
    recipe.write_text(json.dumps(content))
    assert main(["edit", "--recipe", str(recipe), "--out", str(tmp_path / "out")]) == 2
    assert "no cluster 10000 in the recipe" in capsys.readouterr().err


def test_what_the_version_before_did_not_keep_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((folder / "transfer_photo" / "photo_1.json").read_text())
    content["parts"][0]["reference"]["projection"]["settings"]["tuning"] = 3
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(content))
    assert main(["edit", "--recipe", str(recipe), "--out", str(tmp_path / "out")]) == 0
    assert "other.png changed in the generator" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seed", "1"], "--seed and --recipe exclude each other"),
        (["--catalog", "x.safetensors"], "--catalog and --recipe exclude each other"),
        (["--reference-seed", "1"], "--reference-seed is for"),
        (["photo.png"], "give no photo with it"),
    ],
)
@pytest.mark.parametrize("command", ["blend", "transfer"])
def test_what_a_recipe_has_said_already(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, arguments: list[str], words: str
) -> None:
    (name,) = [name for name in RECIPES if name.startswith(f"{command}_sample/")]
    asked = [str(folder / part) if part == "photo.png" else part for part in arguments]
    assert main([command, *asked, "--recipe", str(folder / f"{name}.json"), "--out", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_projection_has_nothing_to_do_again(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(folder / "project" / "photo.projection.json")
    assert main(["blend", "--recipe", recipe, "--out", str(tmp_path)]) == 2
    assert "the recipe has no steps" in capsys.readouterr().err
    half = tmp_path / "half.png"
    mask = np.zeros((180, 200), np.uint8)
    mask[40:100, 40:100] = 255
    Image.fromarray(mask).save(half)
    command = ["blend", "--recipe", recipe, "--mask", str(half), "--reference-seed", "3", "--out", str(tmp_path)]
    assert main(command) == 0
    found = read_recipe(tmp_path / "photo_blend_half.json")
    assert (found.source, found.settle, found.method) == (read_recipe(Path(recipe)).source, 0, "graft")
