"""Commands and the place of an edit: nothing found, several heads, batches that go on, recipes with their square."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from infer.cli.main import main
from infer.editor.recipe_file import read_recipe
from infer.photo import location
from models.perception.locator import Head
from tests.infer.conftest import ellipse
from tests.refusals import refused

Capture = pytest.CaptureFixture[str]
Run = Callable[..., int]
SHAPE = (240, 400)
NEAR, FAR = Head(90, 60, 80, 80, 0.8), Head(240, 80, 50, 50, 0.7)


@pytest.fixture(autouse=True)
def stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads in bright photos, none in dark ones; the animal is the middle of both."""

    class Locator:
        def heads(self, pixels: NDArray[np.uint8], *, least: float = 0.0) -> list[Head]:
            return [NEAR, FAR] if pixels.shape[:2] == SHAPE and pixels.mean() > 100 else []

    monkeypatch.setattr(location, "load_locator", Locator)
    monkeypatch.setattr("infer.editor.session._network", lambda name, device: ellipse)


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    return _photo(tmp_path / "bright.png", 128, 256)


@pytest.fixture
def dark(tmp_path: Path) -> Path:
    return _photo(tmp_path / "dark.png", 0, 40)


def _photo(path: Path, low: int, high: int) -> Path:
    pixels = np.random.default_rng(0).integers(low, high, (*SHAPE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def run(tiny: Path, tmp_path: Path) -> Run:
    def run(command: str, *arguments: object) -> int:
        options = ["--model", tiny, "--preset", "fast", "--out", tmp_path / "out"]
        return main([command, *map(str, [*arguments, *options])])

    return run


def test_nothing_found_is_one_line_and_exit_code_2(run: Run, dark: Path, tmp_path: Path, capsys: Capture) -> None:
    for arguments in (["--to", "lion"], ["--to", "lion", "--box", "auto"], ["--to", "lion", "--which", "1"]):
        refused(run("edit", dark, *arguments), capsys, "say where it is with --box", tmp_path / "out")
    refused(run("project", dark), capsys, "say where it is with --box", tmp_path / "out")
    refused(run("blend", dark, "--mask", "box"), capsys, "say where it is with --box", tmp_path / "out")


def test_a_guess_is_edited_when_asked(run: Run, dark: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run("edit", dark, "--to", "lion", "--anywhere") == 0
    assert "the guess" in capsys.readouterr().err
    said = read_recipe(tmp_path / "out" / "dark_to_lion.json").source
    assert (said.located, said.confidence) == ("animal", None)  # type: ignore[union-attr]


def test_in_a_batch_the_others_go_on(run: Run, dark: Path, bright: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run("edit", dark, bright, "--to", "lion") == 2
    out, err = capsys.readouterr()
    assert [Path(line).name for line in out.splitlines()] == ["bright_to_lion.png"]
    assert "1 of 2 photos failed" in err
    assert err.count("error:") == 1


def test_unfound_photos_are_skipped_when_asked(
    run: Run, dark: Path, bright: Path, tmp_path: Path, capsys: Capture
) -> None:
    for command, extra in (("edit", ["--to", "lion"]), ("project", [])):
        assert run(command, dark, bright, "--skip-unfound", *extra) == 0
        out, err = capsys.readouterr()
        assert out
        assert all("bright" in Path(line).name for line in out.splitlines())
        assert "dark.png: skipped: no head is found" in err
        assert "error" not in err
    missing = tmp_path / "missing.png"
    assert run("edit", dark, missing, "--skip-unfound", "--to", "lion") == 2  # other failures count


@pytest.mark.parametrize(("options", "confidence"), [((), 0.8), (("--which", "2"), 0.7), (("--which", "largest"), 0.8)])
def test_the_head_that_was_asked_for(
    run: Run, bright: Path, tmp_path: Path, capsys: Capture, options: tuple[str, ...], confidence: float
) -> None:
    assert run("edit", bright, "--to", "lion", "--box", "auto", *options) == 0
    err = capsys.readouterr().err
    assert "2 heads are found: 1 at" in err
    assert "(confidence 0.80)" in err
    source = read_recipe(tmp_path / "out" / "bright_to_lion.json").source
    assert source.confidence == confidence  # type: ignore[union-attr]


def test_wrong_heads_are_refused(run: Run, bright: Path, tmp_path: Path, capsys: Capture) -> None:
    for which, words in (("3", "only 2 heads are found"), ("all", "a run of its own"), ("0", "from 1 on, or largest")):
        refused(run("edit", bright, "--to", "lion", "--which", which), capsys, words, tmp_path / "out")
    both = ("--which", "1", "--box", "10,10,50,50")
    refused(run("edit", bright, "--to", "lion", *both), capsys, "not both", tmp_path / "out")


def test_a_recipe_knows_its_square(
    run: Run, bright: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("edit", bright, "--to", "lion", "--which", "2") == 0
    recipe = tmp_path / "out" / "bright_to_lion.json"
    monkeypatch.setattr(location, "load_locator", pytest.fail)
    again = tmp_path / "again"
    assert main(["edit", "--recipe", str(recipe), "--out", str(again)]) == 0
    for path in recipe.parent.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name
    for option in (["--which", "1"], ["--anywhere"], ["--skip-unfound"], ["--box", "auto"]):
        refused(main(["edit", "--recipe", str(recipe), *option]), capsys, "exclude each other")


@pytest.mark.parametrize("roll", ["sideways", "1000", "400"])
def test_bad_rolls_end_in_one_line(run: Run, bright: Path, roll: str, capsys: Capture) -> None:
    assert run("edit", bright, "--to", "lion", "--roll", roll) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "roll" in line


def test_a_roll_is_said_and_kept(run: Run, bright: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run("edit", bright, "--to", "lion", "--roll", "33", "--which", "1") == 0
    assert "turned by 33 degrees" in capsys.readouterr().err
    (recipe,) = (tmp_path / "out").glob("*.json")
    source = read_recipe(recipe).source
    assert getattr(source, "roll", None) == 33
    assert run("edit", "--recipe", recipe, "--roll", "off") == 2
    assert "--roll" in capsys.readouterr().err
