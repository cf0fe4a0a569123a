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
from data.corrupt import allowed
from data.transforms import UnreadablePicture, decode_picture
from models.errors import PhotograftError
from models.names.wordnet import imagenet as imagenet_table


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
    for name in imagenet_table():
        (root / name).mkdir()
        (root / name / "a.JPEG").write_bytes(picture)
    (root / "n02085620" / "b.JPEG").write_bytes(picture)
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
        "n02085620",
        "position:282",
        "position:150-152",
        "tench",
    ]  # n02085620 is number 151
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


# --- how much may be damaged ---


@pytest.mark.parametrize(
    ("limit", "total", "expected"),
    [(None, 10, float("inf")), (0, 1000, 0), (0.05, 1000, 50), (0.05, 20, 10), (3, 1000, 3), (1, 5, 1)],
)
def test_limits(limit: float | None, total: int, expected: float) -> None:
    assert allowed(limit, total, safe=10) == expected


def test_too_many_unreadable_pictures_end_it_in_one_line(tmp_path: Path) -> None:
    pictures = open_pictures(folder(tmp_path, {"ape": 40}), val_fraction=0.0, max_corrupt=4)
    with pytest.warns(UserWarning, match="unreadable picture"):
        pictures.report(range(4))
    with (
        pytest.warns(UserWarning, match="unreadable picture"),
        pytest.raises(
            PhotograftError, match=r"5 of 40 pictures cannot be read \(ape/000.png, .*\(4\).*max_corrupt"
        ) as e,
    ):
        pictures.report([4])
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("bad", [-1, "many", True, float("nan")])
def test_a_limit_that_is_none(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(PhotograftError, match="max_corrupt is"):
        open_pictures(folder(tmp_path, {"ape": 4}), max_corrupt=bad)


def test_damaged_shards_are_left_out_up_to_the_limit(tmp_path: Path) -> None:
    for number in range(5):
        shard(tmp_path / f"h-train-{number:03d}.tar", [0, 1, 1], start=3 * number)
    cut = tmp_path / "h-train-003.tar"
    cut.write_bytes(cut.read_bytes()[:2100])
    said: list[str] = []
    train, _ = open_splits(tmp_path, max_corrupt=1, say=said.append, val_fraction=0.0)
    assert len(train) == 12
    assert {record.key.partition("/")[0][-5] for record in train.records} == set("0124")
    assert any("damaged shards" in line and "h-train-003.tar" in line for line in said)
    for limit in (None, 0, 0.1):
        with pytest.raises(PhotograftError, match=r"h-train-003\.tar is truncated"):
            open_splits(tmp_path, max_corrupt=limit)
    (tmp_path / "h-train-001.tar").write_bytes(b"no tar" * 500)
    with pytest.raises(PhotograftError, match=r"2 of 5 shards cannot be read .*001\.tar.*\(1\): fetch .*max_corrupt"):
        open_splits(tmp_path, max_corrupt=1)
    assert len(open_splits(tmp_path, max_corrupt=0.4, val_fraction=0.0)[0]) == 9


# --- one class ---


def test_one_class_says_what_else_could_be_meant(tmp_path: Path) -> None:
    root = folder(tmp_path / "imagenet", {"n02123045": 3, "n02124075": 3})
    said: list[str] = []
    train, _ = open_splits(root / "n02123045", say=said.append)
    (line,) = [line for line in said if line.startswith("one class only")]
    assert train.class_names == ["tabby"]
    assert str(root) in line
    assert "give the folder above as root" in line
    for choice in (None, "tabby"):
        said.clear()
        open_splits(root, classes=choice, say=said.append)
        assert not [line for line in said if "one class" in line]
    said.clear()
    open_splits(folder(tmp_path / "pets", {"cat": 3}), say=said.append)
    assert [line for line in said if "nothing to change it into" in line and "pets" in line]


# --- English names ---

SUBSET = {"n02123045": 1, "n02124075": 2, "n02099601": 1, "n03126707": 1, "own": 1}


def test_wordnet_folders_have_english_names(tmp_path: Path) -> None:
    pictures = open_pictures(folder(tmp_path, SUBSET), val_fraction=0.0)
    assert pictures.class_names == ["golden retriever", "tabby", "Egyptian cat", "crane", "own"]
    assert pictures.class_ids == ["n02099601", "n02123045", "n02124075", "n03126707", "own"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (["tabby"], ["tabby"]),
        ("Egyptian cat", ["Egyptian cat"]),
        ("egyptian_cat, n02123045", ["Egyptian cat", "tabby"]),
        ("position:0-1", ["golden retriever", "tabby"]),
        ("imagenet:151-285", ["golden retriever", "tabby", "Egyptian cat"]),
        (["imagenet:281", "own", "imagenet: 200 - 300"], ["tabby", "own", "golden retriever", "Egyptian cat"]),
    ],
)
def test_choosing_on_a_subset_of_imagenet(tmp_path: Path, choice: Any, expected: list[str]) -> None:
    pictures = open_pictures(folder(tmp_path, SUBSET), classes=choice, val_fraction=0.0)
    assert pictures.class_names == expected


def test_imagenet_numbers_of_folders_with_id_and_name(tmp_path: Path) -> None:
    folder(tmp_path, {"n02124075-egypt": 1, "n02123045_tabby": 1})
    assert open_pictures(tmp_path, classes="imagenet:281").class_names == ["n02123045_tabby"]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("imagenet:990-1000", "classes 0-999"),
        ("imagenet:9-3", "a range counts upwards"),
        ("imagenet:0-3", "finds none of the 5 classes.*n01440764 to n01491361"),
    ],
)
def test_imagenet_ranges_that_find_nothing(tmp_path: Path, choice: str, message: str) -> None:
    with pytest.raises(PhotograftError, match=message):
        open_pictures(folder(tmp_path, SUBSET), classes=choice)


def test_the_table_is_imagenets() -> None:
    categories = pytest.importorskip("torchvision.models._meta")._IMAGENET_CATEGORIES
    assert list(imagenet_table()) == sorted(imagenet_table())
    assert list(imagenet_table().values()) == list(categories)


def test_names_from_a_file(tmp_path: Path) -> None:
    table, said = tmp_path / "names.csv", []
    table.write_text('# folder,name\n\nn02123045,My cat\nown, "one, two" \ngone,nothing\n', encoding="utf-8-sig")
    root = folder(tmp_path / "data", SUBSET)
    train, _ = open_splits(root, names=str(table), classes=["My cat", "one, two", "tench"][:2], say=said.append)
    assert train.class_names == ["My cat", "one, two"]
    assert [line for line in said if "names 2 of 5 classes; it names 1 that are not there, first: gone" in line]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no line: write FOLDER,NAME for every class"),
        (b"n02123045", "line 1 is 'n02123045': expected FOLDER,NAME"),
        (b"own,\n", "line 1 is 'own,': expected"),
        (b"own,a,b\n", "quotes around what holds a comma"),
        (b'own,"a\n', "line 1 .*expected"),
        (b"own,a\nown,b\n", "line 2: folder own is named twice"),
        (b"own,a\nn02123045,a\n", "line 2: 'a' is the name of line 1's folder"),
        (b"own,tabby\n", "'tabby' would be the name of n02123045 and own"),
        (b"other,a\n", "names other and others, none of which is a class here"),
        (b"own,\xff\n", "no text in UTF-8"),
        (None, "cannot be read: No such file"),
    ],
)
def test_files_of_names_that_cannot_be_used(tmp_path: Path, content: bytes | None, message: str) -> None:
    table = tmp_path / "names.csv"
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(PhotograftError, match=message) as error:
        open_pictures(folder(tmp_path / "data", SUBSET), names=str(table))
    assert "\n" not in str(error.value)
