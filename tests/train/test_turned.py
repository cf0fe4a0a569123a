"""`train.py turned`: a table of the heads that are turned away, and a sheet of them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.module import ImageDataModule
from tests.train.trainings import call
from train.perception.turned import most_turned

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of eight pictures, of which 0 and 1 are not their own mirror images; one is named like a comment."""
    root = tmp_path_factory.mktemp("heads")
    random = np.random.default_rng(0)
    for name in ("a", "#b"):
        for split in ("train", "val"):
            (root / split / name).mkdir(parents=True)
        for number in range(8):
            half = np.kron(random.integers(0, 256, (8, 4, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
            other = 255 - half if number < 2 else half
            picture = Image.fromarray(np.concatenate([half, other[:, ::-1]], axis=1))
            picture.save(root / "train" / name / f"{number}.png")
        picture.save(root / "val" / name / "8.png")
    return root


def test_the_most_turned_of_each_class() -> None:
    chosen = most_turned(np.array([0.1, 0.9, 0.2, 0.3, 0.4, 0.8]), np.array([0, 0, 0, 0, 1, 1]), 0.5)
    assert chosen.tolist() == [False, True, False, True, False, True]


def test_a_table_that_a_training_takes(data: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "often.csv"
    assert call(["turned", "--data", str(data), str(out), "--times", "4"]) == 0
    shown = capsys.readouterr().out
    assert "4 of 16 pictures are drawn 4 times as often" in shown
    assert str(out.with_suffix(".png")) in shown
    with out.open() as stream:
        assert sorted(csv.reader(stream)) == [
            [f"{name}/{number}.png", "4"] for name in ("#b", "a") for number in (0, 1)
        ]
    with Image.open(out.with_suffix(".png")) as sheet:
        assert sheet.width > 10 * 128
        assert sheet.height > 5 * 128
    module = ImageDataModule(data, resolution=16, batch_size=4, often=str(out))
    assert "often" in module.stream_identity()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--times", "1"], "--times is 1: give a whole number from 2 to 100"),
        (["--share", "0.01"], "--share 0.01 of each class is no picture"),
        (["--share", "2"], "share"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    data: Path, tmp_path: Path, more: list[str], message: str, capsys: Capture
) -> None:
    assert call(["turned", "--data", str(data), str(tmp_path / "often.csv"), *more]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["often.csv", "often.png"])
def test_files_that_are_there_stay(name: str, data: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / name).write_text("mine")
    assert call(["turned", "--data", str(data), str(tmp_path / "often.csv")]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine"
    assert call(["turned", "--data", str(data), str(tmp_path / "often.csv"), "--overwrite"]) == 0
    assert (tmp_path / name).read_bytes() != b"mine"
