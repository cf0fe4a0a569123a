# ruff: noqa: F811 (fixtures of another folder)
"""Names of files, of classes and in files: one component of a path each, and no steering of a terminal."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from infer.catalog.catalog import Catalog, Settings
from infer.cli.main import main
from models.errors import PhotograftError
from models.terminal import visible
from models.writing import file_name, write_file
from models.zoo import Model, load_model
from tests.infer.conftest import CAT, HEAD, cat, edit, tiny  # noqa: F401
from tests.infer.tiny_model import write_tiny_model
from tests.infer.tiny_styles import write_catalog
from tests.refusals import refused, snapshot

Capture = pytest.CaptureFixture[str]
Edit = Callable[..., int]
ROOT = Path(__file__).parents[2]


def photo(path: Path, turned: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(CAT[:, ::-1] if turned else CAT).save(path, "PNG")
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


SET = (".png", ".panel.png", ".json")


def of(*stems: str) -> set[str]:
    return {stem + end for stem in stems for end in SET}


# ---------------------------------------------------------------------- names


HOSTILE = {
    "separator": "a/b",
    "parent": "../../x",
    "root": "/etc/x",
    "backslash": "..\\x",
    "dots": "..",
    "dot": ".",
    "hidden": ".bashrc",
    "empty": "",
    "control": "a\x1b[31mb\x07",
    "newline": "a\nb",
    "nul": "a\0b",
    "bidi": "a\u202egnp.exe",
    "not UTF-8": "a\udcff\udcfe",
    "lone surrogate": "a\ud800",
    "stream": "a:b",
    "wildcards": 'a*?"<>|',
    "device": "CON",
    "device with ending": "nul.tar",
    "CJK": "写" * 80,
    "emoji": "🐱" * 90,
    "ASCII": "x" * 4000,
    "spaces": "   ",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("where", ["stem", "word"])
def test_any_text_makes_one_file_name(tmp_path: Path, text: str, where: str) -> None:
    name = file_name(text, "to", "lion") if where == "stem" else file_name("cat", text)
    path = tmp_path / f"{name}_2.generator.safetensors"
    write_file(path, lambda stream: stream.write(b"x"))
    assert list(tmp_path.iterdir()) == [path], "one file, in this folder"
    assert visible(name) == name
    assert not name.startswith(".")
    assert name.split(".")[0].upper() not in ("CON", "NUL")
    assert name.endswith("_to_lion") if where == "stem" else name.startswith("cat_")


def test_ordinary_names_stay() -> None:
    assert file_name("IMG 2024 (1), café", "to", "black cat") == "IMG 2024 (1), café_to_black-cat"
    assert file_name("cat", "0,3", "हिन्दी") == "cat_0-3_हिन्दी"


def test_long_names_are_told_apart() -> None:
    one, other = (file_name("写" * 100 + end, "to", "lion") for end in "ab")
    assert one != other
    assert one == file_name("写" * 100 + "a", "to", "lion")
    both = file_name("x" * 300, "y" * 300)
    assert both.startswith("x" * 50)
    assert "_" + "y" * 100 in both


@pytest.mark.parametrize(
    "stem", ["写" * 80, "x" * 240, "a\u202eb", "a\x1b[2Jb", "a\nb", "a[/red]b", ".hidden", "$x$_{"], ids=ascii
)
@pytest.mark.parametrize("command", ["edit", "project"])
def test_photos_of_any_name(
    tiny: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    stem: str,
    command: str,
) -> None:
    file = photo(tmp_path / f"{stem}.png")
    other = photo(tmp_path / f"{stem}.PNG", turned=True)
    extra = ["--to", "lion", "--mask", "box"] if command == "edit" else []
    options = ["--box", HEAD, "--steps", "1", "--model", str(tiny), "--out", str(tmp_path / "out"), *extra]
    assert main([command, str(file), str(other), *options]) == 0
    out, err = capfd.readouterr()
    assert "\x1b[2J" not in out + err
    assert "\u202e" not in out + err
    paths = [Path(line) for line in out.splitlines()]
    assert all(path.is_file() for path in paths), "printed paths can be used"
    assert all(("lion" in path.name) == (command == "edit") for path in paths if "contact" not in path.name)
    recipes = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")]
    assert {recipe["source"]["photo"]["path"] for recipe in recipes} == {str(file), str(other)}
    for recipe in recipes:
        assert all((tmp_path / "out" / name).is_file() for name in recipe["files"].values())


def test_a_name_that_is_not_utf8(tiny: Path, tmp_path: Path, capfd: Capture) -> None:
    file = photo(Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.png")))
    options = ["--to", "lion", "--model", str(tiny), "--out", str(tmp_path / "out")]
    assert main(["edit", str(file), "--mask", "box", "--box", HEAD, "--steps", "1", *options]) == 0
    (recipe,) = (tmp_path / "out").glob("*.json")
    recipe.read_bytes().decode("utf-8")
    assert main(["edit", "--recipe", str(recipe), *options, "--out", str(tmp_path / "again")]) == 0
    assert names(tmp_path / "again") == names(tmp_path / "out")
    assert main(["edit", "--recipe", str(recipe), *options, "--out", str(tmp_path / "again")]) == 0
    assert names(tmp_path / "again") == names(tmp_path / "out"), "the same photo's result is replaced"
    capfd.readouterr()
    refused(main(["edit", str(file) + "x", *options]), capfd, "a\\xff.pngx: no such file")


# ---------------------------------------------------------------------- names in files


def catalog_with(part: str, model: Model, folder: Path) -> Path:
    layer = model.generator.modulated_layers[0]
    maps = torch.full((2, 4, 4), 0.5)
    contributions = {one.name: torch.full((2, one.channels), 0.5) for one in model.generator.modulated_layers}
    features = 8
    settings = Settings(model.name, model.fingerprint, layer.name, 2, 4, 1.0, 0, "bilinear")
    made = Catalog(
        settings, torch.eye(2, features), torch.zeros(features), torch.ones(features), contributions, maps, {part: (0,)}
    )
    path = folder / "tiny.catalog.safetensors"
    write_catalog(made, path)
    return path


@pytest.mark.parametrize("part", ["a/b", "../../x", "/etc/x", "a\x1b[2Jb", "x" * 300, "..", "写" * 90], ids=ascii)
def test_a_catalogs_part_makes_no_path(tiny: Path, tmp_path: Path, capsys: Capture, part: str) -> None:
    model = load_model(str(tiny))
    catalog = catalog_with(part, model, tmp_path / "in")
    out = tmp_path / "a" / "out"
    before = snapshot(tmp_path)
    command = ["transfer", "--part", part, "--catalog", str(catalog), "--model", str(tiny), "--out", str(out)]
    assert main(command) == 0, capsys.readouterr().err
    new = [path for path in snapshot(tmp_path) if path not in before and path.is_file()]
    assert len(new) == 3
    assert {path.parent for path in new} == {out}
    assert "\x1b" not in capsys.readouterr().out


# ---------------------------------------------------------------------- classes and the terminal


def model_of(*class_names: str) -> Model:
    return Model("x", torch.nn.Identity(), class_names=list(class_names))  # type: ignore[arg-type]


ANIMALS = ("black cat", "lion", "golden-retriever", "cheetah")


@pytest.mark.parametrize(
    "text", ["-1", "-0", "+1", "1.0", "1e0", "٣", "²", "4", "9" * 5000, "007", "", "-", "_1", "0x1"]
)
def test_what_looks_like_a_number_is_no_class(text: str) -> None:
    with pytest.raises(PhotograftError, match="unknown class"):
        model_of(*ANIMALS).class_index(text)


@pytest.mark.parametrize(
    ("text", "label"), [("1", 1), (" 3 ", 3), ("LION", 1), ("black-cat", 0), ("Golden retriever", 2), ("retriever", 2)]
)
def test_classes_by_name_and_number(text: str, label: int) -> None:
    assert model_of(*ANIMALS).class_index(text) == label


def test_classes_that_are_numbers() -> None:
    numbered = model_of("001", "002", "003")
    assert numbered.class_index("002") == 1
    assert numbered.class_index("3") == 2, "no position 3: only the name"
    with pytest.raises(PhotograftError, match="could be any of: 001, 002"):
        numbered.class_index("1")
    with pytest.raises(PhotograftError, match="unknown class"):
        model_of("0", "1", "2").class_index("-1")
    assert model_of("2", "1", "0").class_index("2") == 0
    assert model_of("a b", "a-b").class_index("a-b") == 1
    with pytest.raises(PhotograftError, match="could be any of"):
        model_of("a b", "a-b").class_index("A B")


def test_edit_refuses_a_negative_class(edit: Edit, cat: Path, tmp_path: Path, capsys: Capture) -> None:
    refused(edit(cat, "--to=-1"), capsys, "unknown class '-1'", tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x7f\x9b", "\\x7f\\x9b"),
        ("a\u202eb\u2066", "a\\u202eb\\u2066"),
        ("\udcff", "\\xff"),
        ("\ud800", "\\ud800"),
        ("\u2028", "\\u2028"),
        ("é写🐱 👨\u200d👩", "é写🐱 👨\u200d👩"),
    ],
    ids=ascii,
)
def test_terminal_text_is_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_class_names_in_files_do_not_steer_the_terminal(tmp_path: Path, capsys: Capture) -> None:
    from tests.infer import tiny_model

    classes = ["a\x1b[2J", "[bold]b[/x]", "c\u202e", "d\nerror: e"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_model, "CLASSES", classes)
        file = write_tiny_model(tmp_path)
    for command in (["classes", "--model", str(file)], ["inspect", str(file)]):
        assert main(command) == 0
        out = capsys.readouterr().out
        assert not set("\x1b\u202e") & set(out)
        assert "\nerror:" not in out
        assert "[bold]b[/x]" in out
    assert main(["sample", "--columns", "1", "--model", str(file), "--out", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    refused(main(["sample", "-c", "z\x1b", "--model", str(file)]), capsys, "unknown class")
