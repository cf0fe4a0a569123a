"""What is said before long projections, and --max-seconds on the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infer.cli.forecast import about, said
from infer.cli.main import main
from infer.editor.recipe_file import read_recipe
from tests.infer.conftest import HEAD

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.2, "3 s"), (31, "30 s"), (89, "90 s"), (100, "2 min"), (600, "10 min"), (7000, "1.9 h")]
)
def test_about(seconds: float, text: str) -> None:
    assert about(seconds) == text


def test_lines() -> None:
    assert said(31, 1, "best") == "best takes about 30 s here; --max-seconds N ends it earlier"
    assert (
        said(31, 20, "best")
        == "best takes about 30 s for each photo here (20 photos: 10 min); --max-seconds N ends each earlier"
    )
    assert said(2, 9, "balanced") is None
    assert said(2, 12, "balanced") is not None, "many short ones are long"
    assert said(2, 12, "balanced", at_once=2) is None
    assert said(300, 20, "best", max_seconds=15) == "best takes about 15 s for each photo here (20 photos: 5 min)"
    assert said(300, 1, "best", max_seconds=15) is None
    assert said(30, 1, "best", max_seconds=600) == "best takes about 30 s here; --max-seconds N ends it earlier"


@pytest.fixture
def project(tiny: Path, cat: Path, tmp_path: Path) -> Callable[..., int]:
    def run(*options: str, photos: int = 1) -> int:
        copies = [cat]
        for i in range(1, photos):
            copies.append(cat.with_name(f"cat{i}.png"))
            copies[-1].write_bytes(cat.read_bytes())
        where = ["--box", HEAD, "--from", "lion", "--model", str(tiny), "--out", str(tmp_path / "out"), "--no-cache"]
        return main(["project", *map(str, copies), *where, *options])

    return run


def test_a_long_projection_is_told_of_once_and_first(
    project: Callable[..., int], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infer.cli.forecast.LONG", 1e-4)
    assert project("--steps", "6", photos=2) == 0
    lines = capsys.readouterr().err.splitlines()
    (found,) = [i for i, line in enumerate(lines) if "takes about" in line]
    assert lines[found].startswith("this projection takes about ")
    assert lines[found].endswith(" for each photo here (2 photos: 0 s); --max-seconds N ends each earlier")
    assert found < next(i for i, line in enumerate(lines) if "projected as" in line)


def test_short_ones_are_not(project: Callable[..., int], capsys: Capture) -> None:
    assert project("--steps", "6") == 0
    assert "takes about" not in capsys.readouterr().err


def test_max_seconds_ends_a_projection(project: Callable[..., int], capsys: Capture, tmp_path: Path) -> None:
    assert project("--steps", "9000", "--max-seconds", "0.2") == 0
    assert "stopped after 0.2 s: " in capsys.readouterr().err
    found = read_recipe(tmp_path / "out" / "cat.projection.json").source
    assert 0 < found.iterations < 9000
    assert found.settings["max_seconds"] == 0.2


@pytest.mark.parametrize("seconds", ["0", "-3", "soon"])
def test_max_seconds_is_checked(project: Callable[..., int], capsys: Capture, seconds: str) -> None:
    assert project("--max-seconds", seconds) == 2
    assert "--max-seconds" in capsys.readouterr().err
