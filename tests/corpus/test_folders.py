"""Data that can be misread: nested wrappers, mirrored classes, repeated names, many unreadable pictures."""

import json
import re
import tarfile
import warnings
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data.module import ImageDataModule
from data.splits import open_splits
from data.transforms import prepare_picture
from models.errors import PhotograftError
from tests.train.tiny import add, write_folders


def told(root: Path, **options: Any) -> tuple[list[str], list[int], str]:
    """Names and counts of the classes, and all that was said."""
    lines: list[str] = []
    train, _ = open_splits(root, val_fraction=0.0, say=lines.append, **options)
    return train.class_names, train.counts.tolist(), "\n".join(lines)


def test_splits_below_several_wrappers_are_found(tmp_path: Path) -> None:
    write_folders(tmp_path / "ILSVRC/Data/CLS-LOC/train", 3)
    write_folders(tmp_path / "ILSVRC/Data/CLS-LOC/val", 1)
    names, counts, said = told(tmp_path)
    assert (names, counts) == (["ape", "bee", "monkey"], [3, 3, 3])
    assert "validation pictures: 3" in said


def test_flat_validation_below_several_wrappers_is_refused(tmp_path: Path) -> None:
    write_folders(tmp_path / "a/b/train", 2)
    (tmp_path / "a/b/val").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "a/b/val/0.png")
    with pytest.raises(PhotograftError, match="without class folders"):
        told(tmp_path)


@pytest.mark.parametrize(
    ("folders", "line"),
    [
        (("x/y/z",), "x is taken for one class: if ape/, bee/, monkey/ are the classes, give .*x/y/z as root"),
        (("pics", "masks"), "masks/, pics/ are taken for the classes: if ape/, bee/, monkey/, which"),
        (("train", "dev"), "dev/, train/ are taken for the classes: if ape/, bee/, monkey/, which"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_classes_one_level_too_high_are_said(tmp_path: Path, folders: tuple[str, ...], line: str) -> None:
    for folder in folders:
        write_folders(tmp_path / folder, 1)
    _, _, said = told(tmp_path)
    assert re.search(line, said)


def test_unreadable_pictures_are_looked_past_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cat").mkdir()
    for number in range(60):
        (tmp_path / f"cat/{number:02d}.jpg").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    Image.new("RGB", (8, 8), (7, 8, 9)).save(tmp_path / "cat/zz.png")
    train, _ = open_splits(tmp_path, val_fraction=0.0, say=lambda _: None)
    calls: list[int] = []

    def counted(data: bytes, **options: Any) -> Any:
        calls.append(len(data))
        return prepare_picture(data, **options)

    monkeypatch.setattr("data.pictures.prepare_picture", counted)
    for index in range(len(train)):
        pixels, _, label, _ = train.prepare(index, resolution=8, crop="center")
        assert pixels[0, 0].tolist() == [7, 8, 9]
        assert label == 0
    assert len(calls) < 3 * len(train)


def test_the_replacement_of_a_picture_is_the_same_in_any_order(tmp_path: Path) -> None:
    for folder, colour in (("a", 10), ("b", None), ("c", 30)):
        (tmp_path / folder).mkdir()
        for number in range(4):
            path = tmp_path / folder / f"{number}.png"
            if colour is None or number < 2:
                path.write_bytes(b"")
            else:
                Image.new("RGB", (8, 8), (colour + number, 0, 0)).save(path)

    def seen(order: list[int]) -> dict[int, int]:
        train, _ = open_splits(tmp_path, val_fraction=0.0, say=lambda _: None)
        return {i: int(train.prepare(i, resolution=8, crop="center")[0][0, 0, 0]) for i in order}

    assert seen(list(range(12))) == seen(list(range(11, -1, -1)))


def test_a_name_twice_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            archive.writestr("0.png", b"x")
        archive.writestr("dataset.json", json.dumps({"labels": [["0.png", 0]]}))
    with pytest.raises(PhotograftError, match=r"0\.png twice"):
        told(tmp_path / "d.zip", labels="dataset.json")


def test_a_field_twice_in_json_is_refused(tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "png")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "0.png", buffer.getvalue())
        add(tar, "0.json", b'{"label": 1, "label": 2}')
    with pytest.raises(PhotograftError, match="'label' is there twice"):
        told(tmp_path, labels="json")


@pytest.mark.parametrize(
    "option",
    [
        {"resolution": 10**6},
        {"resolution": 32.5},
        {"batch_size": 10**9},
        {"batch_size": True},
        {"num_workers": 10**6},
        {"seed": 2**70},
        {"seed": -1},
        {"val_batch_size": 10**9},
        {"images_per_epoch": float("nan")},
    ],
    ids=str,
)
def test_numbers_have_bounds(tmp_path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(PhotograftError, match=f"{next(iter(option))} is .*: give a whole number"):
        ImageDataModule(tmp_path, **{"resolution": 8, "batch_size": 2, **option})


@pytest.mark.parametrize("classes", [{"ape": 1}, 1.5, {"ape"}], ids=str)
def test_a_choice_is_a_name_or_a_list(tmp_path: Path, classes: Any) -> None:
    write_folders(tmp_path / "data", 1)
    with pytest.raises(PhotograftError, match="give a name or a list of names"):
        told(tmp_path / "data", classes=classes)
