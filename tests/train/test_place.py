"""A run's folder: no training writes into another's unasked."""

import csv
import os
from pathlib import Path

import pytest
import yaml

from models.errors import PhotograftError
from tests.train.tiny import read
from tests.train.trainings import Train
from train.place import choose_place

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """As elsewhere, without an encoder: here it is the folders that count."""
    return Train(tmp_path, encoder=False)


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))


def seen(folder: Path) -> int:
    return int(read(folder / "last.ckpt")["state_dict"]["images_seen"])


def test_the_same_command_again_leaves_the_first_run_alone(train: Train, capsys: Capture) -> None:
    assert train(steps=6) == 0
    before = {path: path.read_bytes() for path in (train.base).rglob("*") if path.is_file()}
    capsys.readouterr()
    assert train(steps=2) == 0
    line = f"new run in {train.base / 'v002'}, beside the one in {train.base}"
    assert line in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before
    assert (seen(train.base), seen(train.base / "v002")) == (24, 8)
    assert train(steps=2) == 0
    assert (train.base / "v003" / "last.ckpt").is_file()


@pytest.mark.parametrize("word", ["last", "auto"])
def test_last_goes_on_in_the_newest_run(train: Train, capsys: Capture, word: str) -> None:
    train(steps=2)
    train(steps=3)
    capsys.readouterr()
    assert train("--ckpt_path", word, steps=5) == 0
    assert f"going on in {train.base / 'v002'} from {train.base / 'v002' / 'last.ckpt'} (12 pictures)" in (
        capsys.readouterr().err
    )
    assert (seen(train.base), seen(train.base / "v002")) == (8, 20)
    assert [float(row["images"]) for row in rows(train.base / "v002") if row["images"]] == [4, 8, 12, 16, 20]
    assert sorted(path.name for path in train.base.glob("v*")) == ["v002"]


def test_a_file_goes_on_in_its_folder(train: Train) -> None:
    train(steps=2)
    train(steps=2)
    assert train("--ckpt_path", str(train.base / "last.ckpt"), steps=3) == 0
    assert (seen(train.base), seen(train.base / "v002")) == (12, 8)


def test_an_earlier_checkpoint_begins_a_run_of_its_own(train: Train) -> None:
    train(steps=2)
    (train.base / "images_000000008.ckpt").write_bytes((train.base / "last.ckpt").read_bytes())
    train("--ckpt_path", "last", steps=4)
    assert train("--ckpt_path", str(train.base / "images_000000008.ckpt"), steps=3) == 0
    assert (seen(train.base), seen(train.base / "v002")) == (16, 12)


def test_overwrite_takes_the_earlier_run_away(train: Train) -> None:
    train(steps=6)
    (train.base / "images_000000004.ckpt").write_bytes(b"of the earlier run")
    users = [train.base / name for name in ("notes.txt", "mine.ckpt", "images/cat.png")]
    grid = train.base / "images" / "samples_000000004.png"
    grid.parent.mkdir()
    for path in (*users, grid):
        path.write_text("something")
    assert train("--overwrite", steps=2) == 0
    assert seen(train.base) == 8
    assert [float(row["images"]) for row in rows(train.base) if row["images"]] == [4, 8]
    assert not (train.base / "images_000000004.ckpt").exists()
    assert all(path.exists() for path in users)
    assert not grid.exists()
    assert not yaml.safe_load((train.base / "config.yaml").read_text())["overwrite"]  # nor when it is used again


def test_a_folder_that_holds_no_run_keeps_what_it_has(train: Train) -> None:
    (train.base / "images").mkdir(parents=True)
    (train.base / "images" / "samples_000000004.png").write_text("a user's")
    assert train(steps=1) == 0
    assert train("--overwrite", "--trainer.default_root_dir", str(train.folder), steps=1) == 0
    assert (train.base / "images" / "samples_000000004.png").read_text() == "a user's"
    assert (train.folder / "data").is_dir()


def test_a_training_that_does_not_begin_takes_nothing_away(train: Train, capsys: Capture) -> None:
    train(steps=2)
    before = (train.base / "last.ckpt").read_bytes()
    assert train("--overwrite", "--model.init_args.generator.config.latent_dim=-1", steps=2) == 2
    assert (train.base / "last.ckpt").read_bytes() == before
    assert not list(train.base.glob("v*"))


def test_its_config_begins_it_anew(train: Train) -> None:
    train(steps=2)
    train("--ckpt_path", "last", steps=3)
    kept = yaml.safe_load((train.base / "config.yaml").read_text())
    assert kept["ckpt_path"] is None
    assert kept["trainer"]["default_root_dir"] == str(train.base)
    assert train(config=train.base / "config.yaml") == 0
    assert seen(train.base / "v002") == 12


def test_nothing_to_go_on_from(train: Train, capsys: Capture) -> None:
    assert train("--ckpt_path", "last") == 2
    assert "holds no last.ckpt to go on from: name a file, or leave --ckpt_path out" in capsys.readouterr().err
    assert train("--ckpt_path", "auto", steps=1) == 0
    assert seen(train.base) == 4


def test_what_has_ended_is_not_trained_on(train: Train) -> None:
    decay = "--model.init_args.optimizer.decay=[4, 8]"
    assert train(decay, steps=100) == 0
    assert seen(train.base) == 8
    assert train(decay, "--ckpt_path", "last", steps=100) == 0
    assert seen(train.base) == 8


def test_numbers_and_names(tmp_path: Path) -> None:
    base = tmp_path / "run"
    for name in ("", "v002", "v010", "v3", "version"):
        (base / name).mkdir(parents=True, exist_ok=True)
        (base / name / "last.ckpt").touch()
    assert choose_place(base).folder == base / "v011"
    assert choose_place(base / "v002").folder == base / "v011"  # a numbered folder stands for its run
    os.utime(base / "v002" / "last.ckpt", (2e9, 2e9))
    assert choose_place(base, "last").folder == base / "v002"
    assert choose_place(tmp_path / "other").folder == tmp_path / "other"
    with pytest.raises(PhotograftError, match=r"holds no last\.ckpt"):
        choose_place(tmp_path / "other", "last")
