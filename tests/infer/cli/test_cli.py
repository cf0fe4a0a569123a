"""The commands as a user runs them: what they write, and one clear line with exit code 2 for everything bad."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from skimage import data

from infer.cli import photos as cli_photos
from infer.cli.edit import edit_groups
from infer.cli.main import main
from infer.cli.options import PresetName, SegmenterName
from infer.cli.project import DEMO_CLASSES
from infer.editor.editor import Editor, project_all
from infer.editor.points import Sample
from infer.editor.recipe import Recipe
from infer.editor.recipe_file import read_recipe
from infer.editor.steps import Blend, ChangeClass
from infer.edits.layers import parse_layers
from infer.projection.presets import PRESETS
from models import zoo
from models.errors import PhotograftError
from models.perception.segmentation import SEGMENTERS
from models.zoo import load_model
from tests.infer.conftest import HEAD, ellipse
from tests.infer.tiny_model import CLASSES, LAYERS, RESOLUTION, write_tiny_model
from tests.refusals import refused

CAT = data.cat()
COMMANDS = ("edit", "project", "demo", "models", "classes", "sample", "inspect", "convert", "bench")

Edit = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


# ---------------------------------------------------------------------- bad photos


def _text(path: Path) -> None:
    path.write_text("this is not a photo " * 50)


def _truncated(path: Path) -> None:
    Image.fromarray(CAT).save(path)
    path.write_bytes(path.read_bytes()[:4000])


def _gif(path: Path) -> None:
    frames = [Image.fromarray(np.roll(CAT[::3, ::3], 20 * i, axis=1)) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


BAD_PHOTOS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("x.jpg", lambda path: None, "no such file"),
    "folder": ("x", Path.mkdir, "no photos are found there"),
    "empty": ("x.jpg", Path.touch, "the file is empty"),
    "truncated": ("x.jpg", _truncated, "damaged"),
    "text": ("x.jpg", _text, "not a picture"),
    "one pixel": ("x.png", lambda path: Image.new("RGB", (1, 1)).save(path), "1x1 is too small"),
    "huge": ("x.png", lambda path: Image.new("1", (12000, 9000)).save(path, compress_level=1), "12000x9000"),
    "animation": ("x.gif", _gif, "3 frames"),
}


@pytest.mark.parametrize("name", BAD_PHOTOS)
def test_bad_photos(edit: Edit, tmp_path: Path, capsys: Capture, name: str) -> None:
    file, make, words = BAD_PHOTOS[name]
    make(tmp_path / file)
    refused(edit(tmp_path / file, "--to", "lion"), capsys, words, tmp_path / "out")


def test_one_bad_photo_does_not_stop_the_others(edit: Edit, cat: Path, tmp_path: Path, capsys: Capture) -> None:
    bad = tmp_path / "bad.jpg"
    _text(bad)
    turned = tmp_path / "turned.jpg"
    content = Image.Exif()
    content[0x0112] = 6
    Image.fromarray(CAT).save(turned, exif=content)
    code = edit(cat, bad, turned, tmp_path / "missing.jpg", "--to", "lion")
    out, err = capsys.readouterr()
    assert code == 2
    assert [Path(line).name for line in out.splitlines()] == [
        "cat_to_lion.png",
        "turned_to_lion.jpg",
        "contact_sheet.png",
    ]
    assert all(Path(line).is_file() for line in out.splitlines())
    assert err.count("error:") == 2
    assert "2 of 4 photos failed" in err
    assert size_of(tmp_path / "out" / "turned_to_lion.jpg") == (300, 451)


def test_failing_projection_does_not_cost_the_others(
    edit: Edit, cat: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = cat.with_name("other.png")
    Image.fromarray(CAT[:, ::-1]).save(other)

    def fails_for_other(editors: list[Editor], source: str | None = None, **options: object) -> None:
        if any(editor.photo and editor.photo.path == other for editor in editors):
            raise PhotograftError("the loss of projection is not a number")
        project_all(editors, source, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(cli_photos, "project_all", fails_for_other)
    assert edit(other, cat, "--to", "lion") == 2
    out, err = capsys.readouterr()
    assert [Path(line).name for line in out.splitlines()] == ["cat_to_lion.png"]
    assert f"error: {other}: the loss of projection is not a number" in err


def test_one_failing_edit_does_not_cost_the_others(
    edit: Edit, cat: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = cat.with_name("other.png")
    Image.fromarray(CAT[:, ::-1]).save(other)
    whole = Editor.edit

    def fails_once(self: Editor, to: list[ChangeClass], **options: object) -> object:
        assert self.photo is not None
        if self.photo.path == other and to[0].to == "lion":
            raise PhotograftError("the mask selects nothing")
        return whole(self, to, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Editor, "edit", fails_once)
    assert edit(cat, other, "--to", "lion", "--to", "black cat") == 2
    out, err = capsys.readouterr()
    names = ["cat_to_lion.png", "cat_to_black-cat.png", "other_to_black-cat.png"]
    assert [Path(line).name for line in out.splitlines()] == names, "no sheet of one photo"
    assert f"error: {other}: the mask selects nothing" in err
    assert "1 of 2 photos failed" in err


def test_a_bug_with_one_photo_is_raised_after_the_others(
    edit: Edit, cat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = cat.with_name("other.png")
    Image.fromarray(CAT).save(other)
    resolve = Editor.resolve

    def breaks_for_other(self: Editor, targets: list[ChangeClass]) -> tuple[ChangeClass, ...]:
        assert self.photo is not None
        assert self.photo.path != other, "a bug of ours"
        return resolve(self, targets)

    monkeypatch.setattr(Editor, "resolve", breaks_for_other)
    with pytest.raises(AssertionError, match="a bug of ours"):
        edit(other, cat, "--to", "lion")
    assert (tmp_path / "out" / "cat_to_lion.png").is_file()


# ---------------------------------------------------------------------- bad options


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "loin"], "unknown class 'loin': did you mean lion?"),
        (["--to", "cat"], "class 'cat' could be any of: black cat, brown tabby cat"),
        (["--to", "lion", "--from", "wolf"], "unknown class 'wolf'"),
        ([], "--to CLASS"),
        (["--to", "lion", "--box", "1,2,3"], "write x,y,width,height"),
        (["--to", "lion", "--box", "0,0,4,4"], "smaller than 16 pixels"),
        (["--to", "lion", "--box", "900,900,50,50"], "centre outside the photo"),
        (["--to", "lion", "--layers", "0-9"], "--layers must lie in 0-5"),
        (["--to", "lion", "--layers", "3-1"], "--layers must lie in 0-5"),
        (["--to", "lion", "--layers", "early"], "--layers takes"),
        (["--to", "lion", "--layers", ""], "--layers takes"),
        (["--to", "lion", "--strength", "1.5"], "strength must be in 0..1"),
        (["--to", "lion", "--strength", "nan"], "strength must be in 0..1"),
        (
            ["--to", "lion", "--strength", "much"],
            "--strength takes a number in 0..1, or several",
        ),
        (["--to", "lion", "--strength", "0,x"], "--strength takes a number in 0..1"),
        (["--to", "lion", "--strength", "0,1.5"], "strength must be in 0..1, not 1.5"),
        (["--to", "lion", "--strength", "0,1", "--strength", "0.5"], "a list of strengths is a sweep"),
        (["--to", "lion", "--strength", "0,1", "--sweep", "3"], "give it once, without --sweep"),
        (["--to", "lion", "--strength", ",".join(["0.5"] * 65)], "a sweep has 2 to 64 strengths, not 65"),
        (["--to", "lion", "--sweep", "1"], "Invalid value for '--sweep'"),
        (["--to", "lion", "--strength", "1", "--strength", "0.5"], "2 --strength for 1 --to"),
        (["--to", "lion", "--mask", "auto"], "2 --mask for 1 --to"),
        (["--to", "lion", "--to", "black cat", "--together"], "black cat would hide lion"),
        (["--to", "lion", "--steps", "many"], "Invalid value for '--steps'"),
        (["--to", "lion", "--steps", "-1"], "Invalid value for '--steps'"),
        (["--to", "lion", "--preset", "slow"], "Invalid value for '--preset'"),
        (["--to", "lion", "--seed", "-1"], "Invalid value for '--seed'"),
        (["--to", "lion", "--method", "glue"], "Invalid value for '--method'"),
        (["--to", "lion", "--segmenter", "eye"], "unknown segmenter 'eye': use one of deeplab"),
        (["--to", "lion", "--segmenter", "tensorflow:"], "unknown segmenter 'tensorflow:': use one of deeplab"),
        (["--to", "lion", "--tp", "x"], "No such option: --tp"),
        (["--to"], "requires an argument"),
        (["--to", "lion", "--model", "nothing"], "unknown model 'nothing'"),
        (["--to", "lion", "--recipe", "missing.json"], "recipe not found: missing.json"),
    ],
)
def test_bad_options(edit: Edit, cat: Path, tmp_path: Path, capsys: Capture, arguments: list[str], words: str) -> None:
    refused(edit(cat, *arguments, box=None if "--box" in arguments else HEAD), capsys, words, tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["edit"], "no photo was given"),
        (["project"], "no photo was given"),
        (["inspect"], "Missing argument 'FILE'"),
        (["convert", "x.npz"], "Missing argument 'OUT'"),
        (["convert", "x.npz", "y.bin"], "name a .safetensors file"),
        (["inspect", "x.npz"], "not found: x.npz"),
        (["inspect", "x.safetensors"], "not found: x.safetensors"),
        (["nothing"], "No such command 'nothing'"),
        (["--nothing"], "No such option: --nothing"),
        (["sample", "--columns", "0"], "Invalid value for '--columns'"),
    ],
)
def test_bad_commands(capsys: Capture, arguments: list[str], words: str) -> None:
    refused(main(arguments), capsys, words)


MASKS: dict[str, tuple[np.ndarray, str]] = {
    "size": (np.full((20, 30), 255, np.uint8), "the mask is 30x20 but the photo is 451x300"),
    "empty": (np.zeros(CAT.shape[:2], np.uint8), "the mask is empty"),
    "outside": (np.pad(np.full((20, 20), 255, np.uint8), ((280, 0), (431, 0))), "lies outside the edited square"),
}


@pytest.mark.parametrize("name", MASKS)
def test_bad_masks_are_told_before_projecting(
    edit: Edit, cat: Path, tmp_path: Path, capsys: Capture, name: str
) -> None:
    mask, words = MASKS[name]
    Image.fromarray(mask).save(tmp_path / "mask.png")
    code = edit(cat, "--to", "lion", mask=str(tmp_path / "mask.png"), steps=10_000)
    refused(code, capsys, words, tmp_path / "out")


def test_bad_weights(cat: Path, tmp_path: Path, capsys: Capture) -> None:
    file = write_tiny_model(tmp_path)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    weights = load_file(file)
    weights["to_rgb.bias"][0] = float("nan")
    save_file(weights, file, metadata)
    command = ["edit", str(cat), "--to", "lion", "--model", str(file), "--out", str(tmp_path / "out")]
    refused(main(command), capsys, "NaN or infinite values", tmp_path / "out")
    file.write_bytes(file.read_bytes()[:5000])
    refused(main(command), capsys, "damaged", tmp_path / "out")


def test_model_without_weights_or_discriminator(
    tiny: Path, cat: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(zoo.ZOO, zoo.DEFAULT, zoo.ZooEntry(tmp_path / "none", "", ""))
    for command in (["edit", str(cat), "--to", "lion"], ["demo"], ["classes"], ["sample"], ["project", str(cat)]):
        refused(main(command), capsys, "are missing")
    alone = tmp_path / "alone.generator.safetensors"
    alone.write_bytes(tiny.read_bytes())
    for command in (["edit", str(cat), "--to", "lion"], ["project", str(cat)], ["demo"]):
        out = ["--model", str(alone), "--out", str(tmp_path / "out")]
        refused(main([*command, *out]), capsys, "has no discriminator")
    assert main(["models"]) == 0
    assert "missing" in capsys.readouterr().out


def test_interrupt(edit: Edit, cat: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_photos, "project_all", interrupted)
    assert edit(cat, "--to", "lion") == 130
    assert "Traceback" not in capsys.readouterr().err


# ---------------------------------------------------------------------- recipes


@pytest.fixture
def recipe(edit: Edit, cat: Path, tmp_path: Path, capsys: Capture) -> Path:
    """Of cat.png as a lion, in the upper layers, with strength 0.8."""
    assert edit(cat, "--to", "lion", "--strength", 0.8, "--layers", "2-5", "--method", "mixed") == 0
    capsys.readouterr()
    return tmp_path / "out" / "cat_to_lion.json"


def rerun(recipe: Path, out: Path, *arguments: object) -> int:
    return main(["edit", "--recipe", str(recipe), "--out", str(out), *map(str, arguments)])


def test_recipe_replays_exactly(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_photos, "project_all", pytest.fail)
    assert rerun(recipe, tmp_path / "again") == 0
    assert {path.name for path in recipe.parent.iterdir()} == {path.name for path in (tmp_path / "again").iterdir()}
    for path in recipe.parent.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_settling_is_the_recipe_s_unless_given(edit: Edit, cat: Path, tmp_path: Path, capsys: Capture) -> None:
    assert edit(cat, "--to", "lion") == 0
    recipe = tmp_path / "out" / "cat_to_lion.json"
    assert json.loads(recipe.read_text())["edit"]["settle"] == 0  # this model reads no outlines
    assert edit(cat, "--to", "lion", "--settle", 3) == 2
    assert "reads no outlines" in capsys.readouterr().err
    assert rerun(recipe, tmp_path / "again", "--settle", 3) == 2
    assert "reads no outlines" in capsys.readouterr().err
    assert edit(cat, "--to", "lion", "--settle", -1) == 2


def test_recipe_of_several_regions_with_painted_masks_replays(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = tmp_path / "photo.jpg"
    Image.fromarray(CAT).save(photo)
    monkeypatch.setattr("infer.editor.session.create_segmenter", lambda name, device: ellipse)
    monkeypatch.setattr("infer.editor.session._network", lambda name, device: ellipse)
    mask = Image.fromarray(np.pad(np.full((40, 40), 200, np.uint8), ((60, 200), (150, 261))))
    mask.save(tmp_path / "mask.png")
    to = ["--to", "lion", "--to", "black cat", "--mask", "auto", "--mask", tmp_path / "mask.png", "--together"]
    options = ["--model", tiny, "--box", HEAD, "--steps", 1, "--lossless", "--out", tmp_path / "out"]
    assert main(["edit", *map(str, [photo, *to, *options])]) == 0
    (tmp_path / "mask.png").unlink()  # the recipe has its own
    assert rerun(tmp_path / "out" / "photo_to_lion_black-cat.json", tmp_path / "again") == 0
    assert len(list((tmp_path / "again").iterdir())) == 4
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_recipe_with_other_options(recipe: Path, cat: Path, tmp_path: Path) -> None:
    moved = cat.rename(tmp_path / "moved.png")
    more = ["--to", "black cat", "--to", "golden retriever", "--layers", "all", "--method", "paste"]
    assert rerun(recipe, tmp_path / "again", moved, *more) == 0
    first = read_recipe(recipe)
    for name in ("black cat", "golden retriever"):
        other = read_recipe(tmp_path / "again" / f"moved_to_{name.replace(' ', '-')}.json")
        assert (other.source.latent, other.source.box) == (first.source.latent, first.source.box)
        assert other.source.class_name == first.source.class_name
        assert other.steps == (ChangeClass(name, "box", 0.8),), "what is not given is the recipe's"
        assert other.method == "paste"
    assert rerun(recipe, tmp_path / "weaker", moved, "--strength", 0.2) == 0
    assert read_recipe(tmp_path / "weaker" / "moved_to_lion.json").steps == (
        ChangeClass("lion", "box", 0.2, range(2, 6)),
    )


def test_recipe_of_another_photo_model_or_kind(recipe: Path, cat: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "again"
    refused(rerun(recipe, out, "--steps", 3), capsys, "--steps and --recipe exclude each other", out)
    refused(rerun(recipe, out, cat, "other.png"), capsys, "a recipe belongs to one photo", out)
    other = tmp_path / "other.png"
    Image.fromarray(CAT[::-1]).save(other)
    refused(rerun(recipe, out, other), capsys, "is not the photo of the recipe", out)
    stranger = write_tiny_model(tmp_path, "stranger", seed=2)
    refused(rerun(recipe, out, "--model", stranger), capsys, "made with other weights", out)
    cat.unlink()
    refused(rerun(recipe, out), capsys, "no such file", out)


def _changed(recipe: Path, change: Callable[[dict], object]) -> str:
    content = json.loads(recipe.read_text())
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.clear(), "is not a recipe"),
        (lambda c: c.update(photograft_recipe=99), "of version 99"),
        (lambda c: c["source"].pop("projection"), "is damaged: source.projection is missing"),
        (lambda c: c["source"].update(box="everywhere"), "is damaged"),
        (lambda c: c["source"].update(box=7), "is damaged"),
        (lambda c: c["source"]["projection"].update(z="abc"), "is damaged"),
        (lambda c: c["source"]["projection"].update(z=[1.0, 2.0]), "must be finite and [1,8]"),
        (lambda c: c["source"]["projection"].update(z=[float("nan")] * 8), "must be a finite number"),
        (lambda c: c["source"]["projection"].update(source="wolf"), "unknown class 'wolf'"),
        (lambda c: c["edit"]["steps"][0].update(strength=7), "strength is 7: must be less"),
        (lambda c: c["edit"]["steps"][0].update(region="gone.png"), "no such file"),
        (lambda c: c["edit"].update(method="glue"), "method is 'glue': must be 'graft'"),
        (lambda c: c["edit"]["steps"][0].update(layers=[77]), "no modulated layer 77"),
        (lambda c: c["edit"].update(segmenter="function"), "a segmenter of its own"),
        (lambda c: c["edit"].update(segmenter="tensorflow:https://localhost:1/x/1"), "a segmenter of its own"),
    ],
)
def test_damaged_recipes(
    recipe: Path, tmp_path: Path, capsys: Capture, change: Callable[[dict], object], words: str
) -> None:
    recipe.write_text(_changed(recipe, change))
    refused(rerun(recipe, tmp_path / "again"), capsys, words, tmp_path / "again")


def test_a_recipe_with_a_graph_of_this_computer(recipe: Path, tmp_path: Path) -> None:
    """It is used again; an address would have to be given, for a recipe fetches nothing."""
    recipe.write_text(_changed(recipe, lambda c: c["edit"].update(segmenter=f"tensorflow:{__file__}")))
    assert rerun(recipe, tmp_path / "again") == 0


@pytest.mark.parametrize("content", [b"", b"garbage", b"[1, 2]", b"\xff\xfe\x00", b"[" * 100_000])
def test_garbage_is_no_recipe(tmp_path: Path, capsys: Capture, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    refused(rerun(tmp_path / "x.json", tmp_path / "again"), capsys, "is not a recipe", tmp_path / "again")


# ---------------------------------------------------------------------- the other commands


def test_several_targets_make_several_edits(edit: Edit, cat: Path, capsys: Capture) -> None:
    assert edit(cat, "--to", "lion", "--to", "Black-Cat", "--strength", 1, "--strength", 0.5) == 0
    assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == [
        "cat_to_lion.png",
        "cat_to_black-cat.png",
    ]


def test_together_is_one_edit() -> None:
    assert edit_groups(["a", "b"], ["x.png", "box"], [0.5], True) == [
        [ChangeClass("a", Path("x.png"), 0.5), ChangeClass("b", "box", 0.5)]
    ]
    assert edit_groups(["a", "b"], [], [], False) == [[ChangeClass("a")], [ChangeClass("b")]]
    steps = [ChangeClass("c", "box", 0.5), ChangeClass("d", "auto", 0.25)]
    known = Recipe("m", "w", Sample(), steps=tuple(steps))
    assert edit_groups([], [], [], False, known) == [steps]
    assert edit_groups([], ["auto"], [], False, known) == [
        [ChangeClass("c", "auto", 0.5), ChangeClass("d", "auto", 0.25)]
    ]
    one = replace(known, steps=tuple(steps[:1]))
    assert edit_groups(["a"], [], [], False, one) == [[ChangeClass("a", "box", 0.5)]]
    part = Blend(0, part="ears")
    mixed = replace(known, steps=(part, steps[0]))
    assert edit_groups([], [], [0.1], False, mixed) == [[part, ChangeClass("c", "box", 0.1)]]
    assert edit_groups(["a", "b"], [], [], False, mixed) == [[ChangeClass(n, "box", 0.5), part] for n in "ab"]
    with pytest.raises(PhotograftError, match="--mask is for --to: give that too"):
        edit_groups([], ["box"], [], False, replace(known, steps=(part,)))


def test_layers(tiny: Path) -> None:
    model = load_model(str(tiny))
    assert len(model.generator.modulated_layers) == LAYERS
    texts = {"0-2": [0, 1, 2], "3": [3], "0, 4-5": [0, 4, 5], "2,1,2": [1, 2], "all": None, None: None}
    for text, expected in texts.items():
        assert parse_layers(text, LAYERS) == expected


def test_project_writes_a_recipe_to_edit_from(tiny: Path, cat: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    options = ["--box", HEAD, "--steps", "3", "--restarts", "1", "--model", str(tiny), "--out", str(out)]
    assert main(["project", str(cat), *options]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in paths] == ["cat.projection.png", "cat.projection.json"]
    assert set(paths) == set(out.iterdir())
    found = read_recipe(paths[1])
    assert (str(found.source.box), found.steps, found.source.settings["restarts"]) == (HEAD, (), 1)
    refused(rerun(paths[1], tmp_path / "edits"), capsys, "--to CLASS", tmp_path / "edits")
    assert rerun(paths[1], tmp_path / "edits", "--to", "lion", "--mask", "box") == 0
    assert read_recipe(tmp_path / "edits" / "cat_to_lion.json").source.latent == found.source.latent


def test_project_skips_bad_photos(tiny: Path, cat: Path, tmp_path: Path, capsys: Capture) -> None:
    options = ["--box", HEAD, "--steps", "0", "--model", str(tiny), "--out", str(tmp_path / "out")]
    assert main(["project", "missing.jpg", str(cat), *options]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err.count("error:") == 1


def test_fast_recipe_replays(edit: Edit, cat: Path, tmp_path: Path, capsys: Capture) -> None:
    assert edit(cat, "--to", "lion", "--preset", "fast", steps=None) == 0
    recipe = tmp_path / "out" / "cat_to_lion.json"
    found = read_recipe(recipe).source
    assert (found.settings["preset"], found.settings["steps"], found.iterations, found.loss) == ("fast", 0, 0, None)
    assert rerun(recipe, tmp_path / "again") == 0
    for path in recipe.parent.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name
    capsys.readouterr()
    refused(rerun(recipe, tmp_path / "third", "--preset", "best"), capsys, "--preset and --recipe", tmp_path / "third")


def test_steps_override_the_preset(edit: Edit, cat: Path, tmp_path: Path) -> None:
    assert edit(cat, "--to", "lion", "--preset", "best", steps=1) == 0
    found = read_recipe(tmp_path / "out" / "cat_to_lion.json").source
    assert (found.settings["preset"], found.settings["steps"], found.iterations) == ("best", 1, 1)
    assert found.settings["restarts"] > 0


def test_classes(tiny: Path, capsys: Capture) -> None:
    assert main(["classes", "--model", str(tiny)]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in [*CLASSES, "big cat", "dog"])


def test_models(capsys: Capture) -> None:
    assert main(["models"]) == 0
    assert zoo.DEFAULT in capsys.readouterr().out


def test_sample(tiny: Path, tmp_path: Path, capsys: Capture) -> None:
    options = ["--columns", "3", "--seed", "4", "--model", str(tiny), "--out", str(tmp_path)]
    assert main(["sample", *options]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == tmp_path / "tiny_samples_4.png"
    width, height = size_of(path)
    assert height == len(CLASSES) * (RESOLUTION + 4) - 4
    assert width > 3 * RESOLUTION
    first = path.read_bytes()
    assert main(["sample", *options]) == 0
    assert path.read_bytes() == first
    assert main(["sample", "-c", "lion", *options]) == 0
    assert size_of(path)[1] == RESOLUTION
    capsys.readouterr()
    refused(main(["sample", "-c", "wolf", *options]), capsys, "unknown class 'wolf'")


def test_inspect(tiny: Path, golden: Path, capsys: Capture) -> None:
    assert main(["inspect", str(tiny)]) == 0
    out = capsys.readouterr().out
    assert "generator of family sngan" in out
    assert "black cat, brown tabby cat" in out
    assert "5: blocks.2.norm2, 32 px" in out
    assert main(["inspect", str(golden / "collage" / "gen_resnet64.snapshot.npz")]) == 0
    assert "generator (sngan)" in capsys.readouterr().out


def test_convert_and_use(golden: Path, tmp_path: Path, capsys: Capture) -> None:
    snapshot, out = golden / "collage" / "gen_resnet64.snapshot.npz", tmp_path / "new" / "resnet64.safetensors"
    assert main(["convert", str(snapshot), str(out)]) == 0
    assert Path(capsys.readouterr().out.strip()) == out
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert main(["sample", "--columns", "2", "--model", str(out), "--out", str(tmp_path)]) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()


def test_sample_of_an_unconditional_model(golden: Path, tmp_path: Path, capsys: Capture) -> None:
    snapshot, file = golden / "collage" / "gen_resnet64_uncond.snapshot.npz", tmp_path / "plain.safetensors"
    assert main(["convert", str(snapshot), str(file)]) == 0
    assert main(["sample", "--columns", "2", "--model", str(file), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "plain_samples_0.png").is_file()
    capsys.readouterr()
    refused(main(["classes", "--model", str(file)]), capsys, "unconditional")


def test_demo(tiny: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infer.editor.session._network", lambda name, device: ellipse)
    assert main(["demo", "--steps", "1", "--model", str(tiny), "--out", str(tmp_path / "out")]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    names = [f"cat_to_{name.replace(' ', '-')}.png" for name in DEMO_CLASSES]
    assert [path.name for path in paths] == [*names, "demo.png"]
    assert all(path.is_absolute() and path.is_file() for path in paths)
    width, height = size_of(paths[-1])
    assert width > 5 * 256
    assert 3 * 256 < height < 3 * 256 + 50


def test_help_of_every_command(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f" {command} " in out for command in COMMANDS)
    for command in COMMANDS:
        assert main([command, "--help"]) == 0
        assert f"{command}" in capsys.readouterr().out
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert "Usage" in out + err
    assert "error:" not in err


def test_names_of_the_options() -> None:
    assert get_args(SegmenterName) == SEGMENTERS
    assert get_args(PresetName) == tuple(PRESETS)


# ---------------------------------------------------------------------- as another process, from another folder


def run(root: Path, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "infer.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def test_process_from_another_folder(root: Path, tiny: Path, cat: Path) -> None:
    """Relative photos and folders; exit code and streams as a shell sees them."""
    options = ["--box", HEAD, "--mask", "box", "--steps", 1, "--model", tiny]
    result = run(root, cat.parent, "edit", cat.name, "missing.jpg", "--to", "lion", *options)
    assert result.returncode == 2
    assert result.stdout.splitlines() == ["out/cat_to_lion.png"]
    assert (cat.parent / "out" / "cat_to_lion.png").is_file()
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.stderr


def test_process_with_a_bad_option(root: Path, tmp_path: Path) -> None:
    result = run(root, tmp_path, "edit", "--steps", "x")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
