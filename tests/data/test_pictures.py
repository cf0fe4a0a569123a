"""Class folders and tar shards that are made up here; choosing classes; splits; broken data."""

import io
import json
import os
import pickle
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data import open_pictures, open_splits
from data.transforms import UnreadablePicture, decode_picture
from models.errors import PhotograftError


def encode(seed: int = 0, kind: str = "PNG", size: tuple[int, int] = (6, 5), mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def folder(root: Path, counts: dict[str, int], extension: str = "png") -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f"{number:03d}.{extension}").write_bytes(encode(number))
    return root


def shard(path: Path, classes: list[Any], *, names: bool = False, start: int = 0) -> Path:
    with tarfile.open(path, "w") as tar:
        for number, cls in enumerate(classes, start):
            members = {"png": encode(number), "cls": str(cls).encode()}
            if cls is None:
                del members["cls"]
            if names:
                members["json"] = json.dumps({"class": f"kind {cls}"}).encode()
            for extension, data in members.items():
                info = tarfile.TarInfo(f"s{number:04d}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1000 synset folders as ImageNet has them, one picture each, two for the Chihuahua."""
    root = tmp_path_factory.mktemp("imagenet")
    picture = encode()
    for number in range(1000):
        synset = root / f"n{2_000_000 + number * 7:08d}"
        synset.mkdir()
        (synset / "a.JPEG").write_bytes(picture)
    (root / f"n{2_000_000 + 151 * 7:08d}" / "b.JPEG").write_bytes(picture)
    return root


# --- folders ---


def test_folder(tmp_path: Path) -> None:
    pictures = open_pictures(folder(tmp_path, {"wild": 2, "cat": 4, "dog": 3}), val_fraction=0.0)
    assert pictures.class_names == ["cat", "dog", "wild"]
    assert pictures.counts.tolist() == [4, 3, 2]
    assert (pictures.groups, pictures.group_names) == ([0, 0, 0], ["all"])
    image, label = pictures[5]
    assert image.dtype == np.uint8
    assert (image.shape, label) == ((5, 6, 3), 1)
    assert (image == np.asarray(Image.open(io.BytesIO(encode(1))))).all()


def test_folder_with_nested_and_foreign_files(tmp_path: Path) -> None:
    folder(tmp_path / "cat", {"images": 3})
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / ".cache").mkdir()
    pictures = open_pictures(tmp_path, val_fraction=0.0)
    assert (pictures.class_names, len(pictures)) == (["cat"], 3)


def test_pictures_without_class_folders_are_one_class(tmp_path: Path) -> None:
    pictures = open_pictures(folder(tmp_path, {"faces": 3}) / "faces", val_fraction=0.0)
    assert (pictures.class_names, len(pictures)) == (["faces"], 3)


@pytest.mark.parametrize("val_name", ["val", "test"])
def test_split_by_folders(tmp_path: Path, val_name: str) -> None:
    folder(tmp_path / "train", {"cat": 4, "dog": 3})
    folder(tmp_path / val_name, {"dog": 2, "emu": 1})
    train, val = open_splits(tmp_path)
    assert (len(train), len(val)) == (7, 2)
    assert val.class_names == train.class_names == ["cat", "dog"]
    assert val.labels.tolist() == [1, 1]


def test_split_by_val_root(tmp_path: Path) -> None:
    folder(tmp_path / "a", {"cat": 4})
    folder(tmp_path / "b", {"cat": 2})
    assert [len(part) for part in open_splits(tmp_path / "a", val_root=tmp_path / "b")] == [4, 2]
    with pytest.raises(PhotograftError, match="no such folder of validation"):
        open_splits(tmp_path / "a", val_root=tmp_path / "c")


def test_split_by_hash_is_fixed_and_stable(tmp_path: Path) -> None:
    folder(tmp_path, {"cat": 200, "dog": 200, "emu": 1})
    train, val = open_splits(tmp_path, val_fraction=0.1)
    assert 20 < len(val) < 65
    assert train.counts[2] == 1  # never a class without training pictures
    keys = [{record.key for record in part.records} for part in (train, val)]
    assert not keys[0] & keys[1]
    assert {record.key for record in open_pictures(tmp_path, split="val", val_fraction=0.1).records} == keys[1]
    (tmp_path / "cat" / "000.png").unlink()
    again = {record.key for record in open_pictures(tmp_path, split="val", val_fraction=0.1).records}
    assert again == keys[1] - {"cat/000.png"}


# --- shards ---


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    shard(tmp_path / "h-train-000.tar", [0, 2, 2])
    shard(tmp_path / "h-train-001.tar", [1, 2], start=3)
    shard(tmp_path / "h-val-000.tar", [2, 0], start=5)
    kinds = [("lion", "big cat"), ("tabby", "cat"), ("poodle", "dog"), ("none", "dog")]
    entries = [{"index": k, "name": name, "species": group} for k, (name, group) in enumerate(kinds)]
    (tmp_path / "classes.json").write_text(json.dumps({"size": 6, "classes": entries}))
    return tmp_path


@pytest.mark.parametrize("pattern", ["", "h-train-{000..001}.tar", "h-train-*.tar", "h-train-00{0,1}.tar"])
def test_shards(shards: Path, pattern: str) -> None:
    train, val = open_splits(shards / pattern)
    assert train.class_names == ["lion", "tabby", "poodle"]  # the class without pictures is left out
    assert train.group_names == ["big cat", "cat", "dog"]
    assert train.groups == [0, 1, 2]
    assert train.labels.tolist() == [0, 2, 2, 1, 2]
    assert val.labels.tolist() == [2, 0]
    for part, start in ((train, 0), (val, 5)):
        for number in range(len(part)):
            expected = np.asarray(Image.open(io.BytesIO(encode(start + number))))
            assert (part[number][0] == expected).all()


def test_one_shard_with_names_in_json(tmp_path: Path) -> None:
    pictures = open_pictures(shard(tmp_path / "all.tar", [7, 3, 7], names=True), val_fraction=0.0)
    assert pictures.class_names == ["kind 3", "kind 7"]
    assert pictures.labels.tolist() == [1, 0, 1]
    assert (pickle.loads(pickle.dumps(pictures))[2][0] == pictures[2][0]).all()


def test_shards_without_names(tmp_path: Path) -> None:
    shard(tmp_path / "all.tar", [7, 3])
    assert open_pictures(tmp_path, val_fraction=0.0).class_names == ["3", "7"]


@pytest.mark.parametrize(("classes", "message"), [([0, None], "s0001 has no s0001.cls"), (["x"], "holds 'x'")])
def test_sample_without_class(tmp_path: Path, classes: list[Any], message: str) -> None:
    with pytest.raises(PhotograftError, match=message):
        open_pictures(shard(tmp_path / "a.tar", classes))


def test_broken_shards(tmp_path: Path, shards: Path) -> None:
    bad = tmp_path / "bad.tar"
    bad.write_bytes(b"not a tar" * 200)
    with pytest.raises(PhotograftError, match=r"bad\.tar is truncated or not"):
        open_pictures(bad)
    data = (shards / "h-train-000.tar").read_bytes()
    bad.write_bytes(data[:700])
    with pytest.raises(PhotograftError, match=r"bad\.tar is truncated or not"):
        open_pictures(bad)
    with pytest.raises(PhotograftError, match=r"missing shard .*h-train-002\.tar"):
        open_pictures(shards / "h-train-{000..002}.tar")
    (shards / "classes.json").write_text('{"classes": [{"name": "lion"}]}')
    with pytest.raises(PhotograftError, match=r"classes\.json cannot be used"):
        open_pictures(shards)


# --- choosing classes ---


def test_imagenet_range_and_names(imagenet: Path) -> None:
    pictures = open_pictures(imagenet, classes="position:151-293", val_fraction=0.0)
    assert pictures.num_classes == 143
    assert (pictures.class_names[0], pictures.class_names[-1]) == ("Chihuahua", "cheetah")
    assert pictures.counts[0] == 2


def test_imagenet_mixed_choice_keeps_the_order(imagenet: Path) -> None:
    choice: list[str | int] = [
        "tiger cat",
        "n02001057",
        "position:282",
        "position:150-152",
        "tench",
    ]  # n02001057 is number 151
    pictures = open_pictures(imagenet, classes=choice, val_fraction=0.0)
    assert pictures.class_names == ["tiger cat", "Chihuahua", "sea lion", "Japanese spaniel", "tench"]
    assert pictures.labels.tolist().count(1) == 2


def test_folders_named_synset_and_breed(tmp_path: Path) -> None:
    folder(tmp_path, {"n02085620-Chihuahua": 1, "n02085782-Japanese_spaniel": 1, "n02085936-Maltese_dog": 1})
    for choice in ("n02085782", "japanese spaniel", "n02085782-Japanese_spaniel", "position:1"):
        assert open_pictures(tmp_path, classes=choice).class_names == ["n02085782-Japanese_spaniel"]


def test_choice_by_group_and_commas(shards: Path) -> None:
    assert open_pictures(shards, classes="cat").class_names == ["tabby"]  # a group
    assert open_pictures(shards, classes="Poodle, big cat").class_names == ["poodle", "lion"]


def test_unknown_class_names_the_nearest(shards: Path) -> None:
    with pytest.raises(PhotograftError, match=r"unknown class 'tabi' .*'tabby'") as error:
        open_pictures(shards, classes=["lion", "tabi"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("choice", ["position:4", "position:2-9", "position:3-1", "position:100"])
def test_position_out_of_range(shards: Path, choice: str) -> None:
    with pytest.raises(PhotograftError, match="classes at positions 0-3"):
        open_pictures(shards, classes=choice)


def test_empty_choices(shards: Path) -> None:
    with pytest.raises(PhotograftError, match="no class chosen"):
        open_pictures(shards, classes=[])
    with pytest.raises(PhotograftError, match="no training pictures of 'none'"):
        open_pictures(shards, classes="none")


def test_min_images(shards: Path) -> None:
    assert open_pictures(shards, min_images=2).class_names == ["poodle"]
    with pytest.raises(PhotograftError, match="lower min_images"):
        open_pictures(shards, min_images=4)


# --- bad places and pictures ---


def test_missing_and_empty_places(tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match="no such data folder"):
        open_pictures(tmp_path / "nowhere")
    with pytest.raises(PhotograftError, match="no such data folder"):
        open_pictures(tmp_path / "x-train-*.tar")
    with pytest.raises(PhotograftError, match="no pictures in"):
        open_pictures(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(PhotograftError, match="no pictures in"):
        open_pictures(tmp_path)
    with pytest.raises(PhotograftError, match="val_fraction is 1"):
        open_pictures(tmp_path, val_fraction=1.0)


@pytest.mark.parametrize("junk", [b"", b"junk", encode()[:40], encode(kind="JPEG", size=(90, 90))[:900]])
def test_corrupt_picture_is_reported_once_and_replaced(tmp_path: Path, junk: bytes) -> None:
    pictures = open_pictures(folder(tmp_path, {"ape": 1, "cat": 3}), val_fraction=0.0)
    (tmp_path / "cat" / "001.png").write_bytes(junk)
    with pytest.warns(UserWarning, match=r"unreadable picture cat/001\.png"):
        image, label = pictures[2]
    assert label == 1
    assert (image == pictures[3][0]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (pictures[2][0] == image).all()
    assert pictures.corrupt == ["cat/001.png"]


def test_class_without_readable_pictures_takes_another(tmp_path: Path) -> None:
    pictures = open_pictures(folder(tmp_path, {"ape": 1, "cat": 1}), val_fraction=0.0)
    (tmp_path / "cat" / "000.png").unlink()
    with pytest.warns(UserWarning, match="unreadable"):
        assert pictures[1][1] == 0
    (tmp_path / "ape" / "000.png").write_bytes(b"")
    with pytest.raises(PhotograftError, match="none of the 2 pictures can be read"):
        pictures[0]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1"])
def test_modes_become_rgb(mode: str) -> None:
    image = decode_picture(encode(mode=mode))
    assert (image.mode, image.size) == ("RGB", (6, 5))


def test_16_bit_is_scaled_down() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16)).save(buffer, "PNG")
    assert np.asarray(decode_picture(buffer.getvalue()))[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk_exif_alpha_and_animation() -> None:
    assert decode_picture(encode(kind="JPEG", mode="CMYK")).mode == "RGB"
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(buffer, "JPEG", exif=exif)
    assert decode_picture(buffer.getvalue()).size == (4, 8)
    buffer = io.BytesIO()
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(buffer, "PNG")
    assert decode_picture(buffer.getvalue()).getpixel((0, 0)) == (255, 255, 255)
    buffer = io.BytesIO()
    frames = [Image.new("P", (3, 3), k) for k in range(2)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert decode_picture(buffer.getvalue()).size == (3, 3)


def test_oversized_picture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UnreadablePicture, match="exceeds limit"):
        decode_picture(encode())


def test_many_unreadable_pictures_are_counted(tmp_path: Path) -> None:
    pictures = open_pictures(folder(tmp_path, {"ape": 40}), val_fraction=0.0)
    for number in range(1, 40):
        (tmp_path / "ape" / f"{number:03d}.png").write_bytes(b"junk")
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        for _ in range(2):
            pictures.report(range(1, 40))
            pictures.report_total()
    messages = [str(w.message) for w in record]
    assert "no picture in a format that is read" in messages[0]
    assert len(messages) == 10 + 2 + 1  # the first ten, the 16th and the 32nd, and all
    assert messages[-1].startswith("39 of 40 pictures are unreadable")
    assert len(pictures.corrupt) == 39


def test_pictures_that_became_special_or_giant_are_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = open_pictures(folder(tmp_path, {"ape": 3}), val_fraction=0.0)
    (tmp_path / "ape" / "001.png").unlink()
    os.mkfifo(tmp_path / "ape" / "001.png")
    with pytest.warns(UserWarning, match="no ordinary file"):
        assert (pictures[1][0] == pictures[2][0]).all()
    monkeypatch.setattr("data.records.MAX_PICTURE", 10)
    with pytest.raises(PhotograftError, match=r"none of the 3 pictures .* more than the 10"):
        pictures[0]


def test_listing_keeps_the_order_of_a_walk(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.png", "b/x/1.png", "b/a/1.png", "B/1.png", "a b/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encode())
    records = open_pictures(tmp_path, val_fraction=0.0).records
    assert [record.key for record in records] == [
        "B/1.png",
        "a b/1.png",
        "b/10.png",
        "b/2.png",
        "b/a/1.png",
        "b/x/1.png",
    ]
