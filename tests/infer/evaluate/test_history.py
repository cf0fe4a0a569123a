"""A training's history: one point per export, in the order of pictures seen."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from infer.cli.main import main
from infer.evaluate import history
from infer.evaluate.history import Point, history_rows, measure_history
from tests.infer.tiny_model import write_tiny_model


def everything(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A segmenter: all is animal."""
    return np.ones(pixels.shape[:2], np.float32)


@pytest.fixture
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(history, "create_segmenter", lambda **_: everything)
    return [
        str(write_tiny_model(tmp_path, name, seed=seed, images_seen=images))
        for name, seed, images in (("late", 1, 9000), ("early", 2, 64))
    ]


def test_points_are_in_order_and_whole(exports: list[str], pictures: Path) -> None:
    points = measure_history(exports, pictures, samples=48, photos=12, masks=2)
    assert [(p.name, p.images) for p in points] == [("early", 64), ("late", 9000)]
    assert points[0].frechet != points[1].frechet
    for p in points:
        assert p.frechet > 0
        assert 0 <= p.error <= 1
        assert p.overlap == 1.0
    assert len(history_rows(points)) == 3


def test_what_is_done_is_not_done_again(
    exports: list[str], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"samples": 48, "photos": 12, "masks": 2, "folder": tmp_path / "kept"}
    (first,) = measure_history(exports[:1], pictures, **options)  # type: ignore[arg-type]
    both = measure_history(exports, pictures, **options)  # type: ignore[arg-type]
    monkeypatch.setattr(history, "Translator", None)
    assert measure_history(exports, pictures, **options) == both  # type: ignore[arg-type]
    assert both[1] == first
    with pytest.raises(TypeError):
        measure_history(exports, pictures, **options | {"seed": 2})  # type: ignore[arg-type]
    more = shutil.copytree(pictures, tmp_path / "more")
    picture = next(path for path in sorted((more / "train").rglob("*")) if path.is_file())
    shutil.copy(picture, picture.with_name(f"another{picture.suffix}"))
    with pytest.raises(TypeError):  # compared with other pictures
        measure_history(exports, more, **options)  # type: ignore[arg-type]


def test_command(
    exports: list[str],
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the fewest samples that it takes, which are fewer still where they are judged."""
    out, asked = tmp_path / "out", []

    def fewer(*arguments: object, samples: int, **options: object) -> list[Point]:
        asked.append(samples)
        return measure_history(*arguments, samples=48, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(history, "measure_history", fewer)
    command = ["evaluate", "history", *exports, "--data", str(pictures), "--out", str(out)]
    assert main([*command, "--samples", "600", "--photos", "6", "--masks", "1", "--name", "tiny"]) == 0
    assert asked == [600]
    assert main([*command, "--samples", "599"]) == 2
    assert (out / "tiny_history.png").stat().st_size
    assert (out / "tiny_history.csv").read_text().count("\n") == 3
    assert main(["evaluate", "history", "nothing", "--data", str(pictures), "--out", str(out)]) == 2
    assert "nothing" in capsys.readouterr().err
