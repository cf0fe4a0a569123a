"""Bad and unusual data sets by kind: each is understood, refused in one line, or said."""

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from data import open_splits
from data.transforms import UnreadablePicture, decode_picture
from models.errors import PhotograftError
from tests.refusals import snapshot

Members = list[tuple[str, bytes]]


def png(level: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (6, 6), (level, 20, 30)).save(buffer, "PNG")
    return buffer.getvalue()


PNG = png()


def tree(root: Path, *entries: str) -> Path:
    """Files below `root`: "cat/a.png" is one, "cat/*3.png" three."""
    for entry in entries:
        stem, _, rest = entry.partition("*")
        number, dot, suffix = rest.partition(".")
        names = [f"{stem}{k}{dot}{suffix}" for k in range(int(number))] if rest else [entry]
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(PNG if path.suffix.lower() in (".png", ".jpg", ".heic") else b"other")
    return root


def tar(path: Path, members: Members) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def sample(key: str, cls: int = 0) -> Members:
    return [(f"{key}.png", PNG), (f"{key}.cls", str(cls).encode())]


def counts(root: Path, **settings: Any) -> tuple[dict[str, tuple[int, int]], str]:
    """Class -> (training, validation pictures), and what was said."""
    said: list[str] = []
    train, val = open_splits(root, **{"val_fraction": 0.0, "say": said.append, **settings})
    assert all("\n" not in line for line in said)
    pairs = zip(train.counts.tolist(), val.counts.tolist(), strict=True)
    return dict(zip(train.class_names, pairs, strict=True)), "\n".join(said)


def refusal(root: Path | str, **settings: Any) -> str:
    """The one line of a refusal; nothing is written."""
    folder = Path(root) if os.path.isdir(root) else Path(root).parent
    before = snapshot(folder) if folder.is_dir() else {}
    with pytest.raises(PhotograftError) as error:
        open_splits(root, say=lambda _: None, **settings)
    text = str(error.value)
    assert not any(character < " " or character == "\x7f" for character in text)
    assert len(text) < 1000
    assert not folder.is_dir() or snapshot(folder) == before
    return text


# --- classes by name ---


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    return tree(tmp_path / "flowers", "001/*1.png", "002/*2.png", "012/*3.png", "20-29/*4.png", "position:1/*5.png")


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (["001"], ["001"]),
        ("012", ["012"]),
        ("012, 001", ["012", "001"]),
        ("20-29", ["20-29"]),
        ("position:0", ["001"]),
        ("position:1-2", ["002", "012"]),
        (["012", "position: 0 - 1"], ["012", "001", "002"]),
        (["position:1"], ["position:1"]),
    ],
)
def test_a_folders_name_is_no_position(numbered: Path, choice: Any, names: list[str]) -> None:
    found, _ = counts(numbered, classes=choice)
    assert sorted(found) == sorted(names) or list(found) == names
    if "position:1" not in names:
        assert list(found) == names


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (1, '"001"'),
        ([12], '"012"'),
        ("1", '"001"'),
        ("0-1", "position:0-1"),
        ("7", "position:7"),
        ("position:5", "positions 0-4"),
        ("position:2-1", "positions 0-4"),
        ("position:99999999999999999999", "unknown class"),
        ([True], "put names in quotes"),
        ([1.5], "put names in quotes"),
        ([None], "put names in quotes"),
        ([["001"]], "put names in quotes"),
        ("²", "unknown class"),
        ("\x1b[31m", "unknown class"),
        ("x" * 9000, "unknown class"),
        ("9" * 9000, "position:"),
    ],
)
def test_what_is_no_name_is_refused(numbered: Path, choice: Any, words: str) -> None:
    assert words in refusal(numbered, classes=choice)


def test_a_name_of_two_classes_is_refused(tmp_path: Path) -> None:
    entries = [{"index": 0, "name": "crane"}, {"index": 1, "name": "crane"}, {"index": 2, "name": "1"}]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": entries}))
    tar(tmp_path / "a.tar", [*sample("a", 0), *sample("b", 1), *sample("c", 2)])
    assert "name of 2 classes" in refusal(tmp_path, classes="crane")
    assert "name of 2 classes" in refusal(tmp_path, classes="1")
    assert list(counts(tmp_path, classes="0")[0]) == ["crane"]


def test_what_was_chosen_is_said(numbered: Path, tmp_path: Path) -> None:
    _, said = counts(numbered, classes=["012", "002"])
    assert said.splitlines()[-2:] == ["     0         3           0  012", "     1         2           0  002"]
    many = tree(tmp_path / "many", *(f"c{k:03d}/a.png" for k in range(300)))
    _, said = counts(many)
    assert "290 more" in said
    assert len(said.splitlines()) < 20


# --- folders ---

SYSTEM = [".ipynb_checkpoints", "@eaDir", "__MACOSX", "$RECYCLE.BIN", "lost+found", "#recycle", ".AppleDouble", ".git"]


@pytest.mark.parametrize("name", [*SYSTEM, ".cache", "System Volume Information", "@Recycle"])
def test_system_folders_are_no_data(tmp_path: Path, name: str) -> None:
    tree(tmp_path, "cat/*3.png", f"{name}/*2.png", f"cat/{name}/*2.png", "cat/._*2.png")
    found, said = counts(tmp_path)
    assert found == {"cat": (3, 0)}
    assert "hidden or system files and folders: 4" in said


@pytest.mark.parametrize("suffix", [".JPG", ".jpeg", ".jpe", ".jfif", ".TIF", ".webp", ".bmp", ".gif", ".avif", ".pgm"])
def test_suffixes_that_are_read(tmp_path: Path, suffix: str) -> None:
    tree(tmp_path, "cat/a.png")
    (tmp_path / "cat" / f"b{suffix}").write_bytes(PNG)
    assert counts(tmp_path)[0] == {"cat": (2, 0)}


@pytest.mark.parametrize("suffix", [".heic", ".HEIC", ".heif", ".cr2", ".dng", ".jxl", ".psd"])
def test_formats_that_are_not_read_are_said(tmp_path: Path, suffix: str) -> None:
    tree(tmp_path, "cat/*3.png", f"dog/*40{suffix}", f"cat/x{suffix}")
    found, said = counts(tmp_path)
    assert found == {"cat": (3, 0)}
    assert f"not read: convert them: 41 ({suffix.lower()} 41)" in said
    assert "none of their pictures can be read: 1 (dog 1)" in said


def test_everything_else_is_counted(tmp_path: Path) -> None:
    tree(tmp_path, "cat/*3.png", "cat/a.txt", "cat/b.json", "cat/c.json", "cat/film.mp4", "emu/none.txt", "list.csv")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    (tmp_path / "cat" / "endless.png").symlink_to("/dev/zero")
    (tmp_path / "cat" / "gone.png").symlink_to("nowhere")
    found, said = counts(tmp_path)
    assert found == {"cat": (3, 0)}
    for words in ("no pictures: 6 (.json 2", "devices: 2", "lead nowhere: 1", "without pictures: 1, first: emu"):
        assert words in said


def test_links_are_followed_once(tmp_path: Path) -> None:
    tree(tmp_path / "outside", "dog/*3.png", "loose.png")
    root = tree(tmp_path / "data", "cat/*2.png")
    for name, target in {
        "dog": "../outside/dog",  # once
        "egg": "../outside/dog",  # again
        "fox": "cat",
        "up": "../..",
        "cat/loop": "..",
        "cat/self": ".",
        "cat/0link.png": "0.png",
        "cat/new.png": "../../outside/loose.png",
        "cat/newer.png": "../../outside/loose.png",
    }.items():
        (root / name).symlink_to(target)
    found, said = counts(root)
    assert found == {"cat": (3, 0), "dog": (3, 0)}
    assert "folders that are counted already: 5" in said
    assert "pictures that are counted already: 2" in said


LOOSE: dict[str, tuple[list[str], str]] = {
    "thumbnails beside pictures": (["*5.png", "thumbs/*5.png"], "loose pictures beside thumbs/"),
    "many loose ones beside classes": (["*5.png", "cat/*6.png", "dog/*6.png"], "loose pictures beside cat/, dog/"),
    "one class and loose ones": (["a.png", "cat/*60.png"], "loose pictures beside cat/"),
    "classes and shards": (["cat/*2.png", "a.tar"], "tar shards and folders of pictures"),
    "classes and shards in train": (["train/cat/*2.png", "train/cat.tar"], "tar shards and folders of pictures"),
    "nothing but text": (["cat/a.txt"], "no pictures in"),
    "nothing but HEIC": (["cat/*3.heic"], "convert them"),
}


@pytest.mark.parametrize("case", LOOSE)
def test_ambiguous_folders_are_refused(tmp_path: Path, case: str) -> None:
    files, words = LOOSE[case]
    text = refusal(tree(tmp_path / "data", *files))
    assert words in text or "none of their pictures" in text


def test_a_few_loose_pictures_are_said(tmp_path: Path) -> None:
    found, said = counts(tree(tmp_path, "cat/*30.png", "dog/*30.png", "cover.png", "cat/thumbs/*2.png"))
    assert found == {"cat": (32, 0), "dog": (30, 0)}
    assert "loose pictures beside the class folders: 1" in said
    assert "class cat: pictures in thumbs/ count too" in said


# --- splits ---

SPLITS: dict[str, tuple[list[str], dict[str, tuple[int, int]], str]] = {
    "a class called train": (
        ["bus/*3.png", "car/*2.png", "train/*4.png"],
        {"bus": (3, 0), "car": (2, 0), "train": (4, 0)},
        "is taken for a class",
    ),
    "a class called train, pictures one deeper": (
        ["bus/i/*3.png", "train/i/*4.png"],
        {"bus": (3, 0), "train": (4, 0)},
        "is taken for a class",
    ),
    "a class called test": (["cat/*3.png", "test/*4.png"], {"cat": (3, 0), "test": (4, 0)}, "is taken for a class"),
    "train, val and test": (
        ["train/cat/*3.png", "train/dog/*3.png", "val/dog/*2.png", "test/cat/*4.png"],
        {"cat": (3, 0), "dog": (3, 2)},
        "beside the splits in use: 4 (test 4)",
    ),
    "train alone": (["train/cat/*3.png", "train/dog/*2.png"], {"cat": (3, 0), "dog": (2, 0)}, "no folder of them"),
    "capital letters": (["Training/cat/*3.png", "Validation/cat/*2.png"], {"cat": (3, 2)}, "Validation"),
    "flat, one class": (["train/*3.png", "val/*2.png"], {"data": (3, 2)}, "val"),
    "one class, flat val": (["train/cat/*3.png", "val/*2.png"], {"cat": (3, 2)}, "val"),
    "below images": (
        ["images/train/cat/*3.png", "images/val/cat/*1.png", "notes/a.xml"],
        {"cat": (3, 1)},
        "images/val",
    ),
    "folder in a folder": (["data/cat/*3.png", "data/dog/*2.png"], {"cat": (3, 0), "dog": (2, 0)}, "data/data"),
    "prefixed": (
        ["seg_train/seg_train/sea/*3.png", "seg_test/seg_test/sea/*2.png", "seg_pred/seg_pred/*5.png"],
        {"sea": (3, 2)},
        "beside the splits in use: 5 (seg_pred 5)",
    ),
    "inside the classes": (
        ["cat/train/*3.png", "cat/val/*2.png", "dog/train/*1.png", "dog/masks/*9.png"],
        {"cat": (3, 2), "dog": (1, 0)},
        "beside the splits in use: 9 (masks 9)",
    ),
    "val beside its classes": (
        ["cat/*3.png", "dog/*2.png", "val/cat/*1.png", "val/emu/*1.png"],
        {"cat": (3, 1), "dog": (2, 0)},
        "without training pictures: 1 (emu 1)",
    ),
    "one class in parts": (["cat/front/*3.png", "cat/side/*2.png"], {"cat": (5, 0)}, "is taken for one class"),
}


@pytest.mark.parametrize("case", SPLITS)
def test_splits_where_they_lie_as_splits_do(tmp_path: Path, case: str) -> None:
    files, expected, words = SPLITS[case]
    found, said = counts(tree(tmp_path / "data", *files))
    assert found == expected
    assert words in said


REFUSED_SPLITS: dict[str, tuple[list[str], str]] = {
    "flat val": (["train/cat/*3.png", "train/dog/*3.png", "val/*9.png"], "9 validation pictures without class folders"),
    "flat test": (["train/cat/*3.png", "train/dog/*3.png", "test/*9.png"], "sort them into"),
    "val of other classes": (["train/cat/*3.png", "val/0001/*2.png"], "no validation picture"),
    "val of HEIC": (["train/cat/*3.png", "val/cat/*2.heic"], "no validation picture"),
    "train beside others": (["train/cat/*3.png", "train/dog/*3.png", "extra/*9.png"], "splits or classes?"),
    "train and test among classes": (["bus/*3.png", "train/*3.png", "test/*2.png"], "splits or classes?"),
    "no train": (["val/cat/*3.png", "test/cat/*3.png"], "without train"),
    "two trains": (["train/cat/*3.png", "training/cat/*3.png"], "which is the training set?"),
    "some classes divided": (["cat/train/*3.png", "cat/val/*1.png", "dog/*4.png"], "sort all classes"),
}


@pytest.mark.parametrize("case", REFUSED_SPLITS)
def test_splits_that_cannot_be_used_are_refused(tmp_path: Path, case: str) -> None:
    files, words = REFUSED_SPLITS[case]
    assert words in refusal(tree(tmp_path / "data", *files))


def test_val_root_inside_the_root_is_no_class(tmp_path: Path) -> None:
    tree(tmp_path, "cat/*3.png", "dog/*2.png", "held/cat/*2.png")
    assert counts(tmp_path, val_root=tmp_path / "held")[0] == {"cat": (3, 2), "dog": (2, 0)}
    assert "root itself" in refusal(tmp_path, val_root=tmp_path / "cat" / "..")


# --- shards ---


def special(name: str, kind: bytes, link: str = "", size: int = 0) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info.tobuf(tarfile.GNU_FORMAT)


def negative_size() -> bytes:
    block = bytearray(special("a.png", tarfile.REGTYPE))
    block[124:136] = b"\xff" * 9 + b"\xff\xfc\x00"
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


END = bytes(1024)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"junk" * 400, "not an uncompressed tar"),
        (b"\x1f\x8b\x08" + bytes(600), "it is gzip"),
        (special("a.png", tarfile.REGTYPE, size=2**42) + END, "is said to have"),
        (negative_size() + END, "is said to have"),
        (special("x", b"x", size=2**40) + END, "truncated or not"),
        (special("././@LongLink", b"L") * 3000 + END, "truncated or not"),
        (special("a.txt", tarfile.REGTYPE) + END + special("b.txt", tarfile.REGTYPE), "holds several tars"),
        (special("a.txt", tarfile.REGTYPE) + b"\xff" * 512 + END, "damaged at byte 512"),
        (END, "no pictures"),
    ],
)
def test_damaged_tars(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    assert words in refusal(tmp_path / "a.tar")


@pytest.mark.parametrize("size", [100, 512, 700, 1100, 1500])
def test_truncated_tars(tmp_path: Path, size: int) -> None:
    path = tar(tmp_path / "a.tar", [*sample("a"), *sample("b")])
    path.write_bytes(path.read_bytes()[:size])
    assert "fetch it" in refusal(path)


def test_endless_shards_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "zero.tar").symlink_to("/dev/zero")
    (tmp_path / "gone.tar").symlink_to("nowhere")
    for name in ("pipe.tar", "zero.tar"):
        with pytest.raises(PhotograftError, match="no ordinary file"):
            open_splits(tmp_path / name)
    with pytest.raises(PhotograftError, match="leads nowhere"):
        open_splits(tmp_path / "gone.tar")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("x-{0..999999999}.tar", "at most 100,000"),
        ("x-{0..99999}{0..99999}.tar", "10,000,000,000 shards"),
        ("x-{0.." + "9" * 6000 + "}.tar", "at most"),
        ("x-{9..0}.tar", "count upwards"),
        ("x-{a,b}.tar", "missing shard"),
        ("x-*.tar", "no such data folder"),
        ("x.tar.gz", "no such data folder"),
        ("a\0b.tar", "no such data folder"),
        ("x" * 6000 + ".tar", "no such data folder"),
    ],
)
def test_patterns_of_shards(tmp_path: Path, pattern: str, words: str) -> None:
    assert words in refusal(f"{tmp_path}/{pattern}")


@pytest.mark.parametrize(
    "text", ["9" * 9000, "-1", "1.5", "", "²", "nan", "True", "1e3", "99999999", "\x1b[31m", "0x1"]
)
def test_class_numbers_in_shards(tmp_path: Path, text: str) -> None:
    assert "expected a class index" in refusal(tar(tmp_path / "a.tar", [("a.png", PNG), ("a.cls", text.encode())]))


@pytest.mark.parametrize(
    "text",
    [
        '{"classes": [{"index": 1e999, "name": "a"}]}',
        '{"classes": [{"index": -Infinity, "name": "a"}]}',
        '{"classes": [{"index": "0", "name": "a"}]}',
        '{"classes": [{"index": true, "name": "a"}]}',
        '{"classes": [{"index": 1000000000000, "name": "a"}]}',
        '{"classes": [{"index": 0, "name": 3}]}',
        '{"classes": [{"index": 0, "name": null}]}',
        '{"classes": [{"index": 0, "name": ["a"]}]}',
        '{"classes": [{"index": 0, "name": "a", "species": 3}]}',
        '{"classes": [{"index": 0, "name": "a"}, {"index": 0, "name": "b"}]}',
        '{"classes": {"0": "a"}}',
        '{"classes": [7]}',
        "[]",
        "",
        "[" * 100_000,
        '{"classes": [{"index": ' + "9" * 6000 + "}]}",
    ],
)
def test_classes_json(tmp_path: Path, text: str) -> None:
    tar(tmp_path / "a.tar", sample("a"))
    (tmp_path / "classes.json").write_text(text)
    assert "classes.json cannot be used" in refusal(tmp_path)


def test_which_member_is_the_picture(tmp_path: Path) -> None:
    mask, photo = png(0), png(200)
    members = [
        ("0.png", mask),
        ("0.jpg", photo),
        ("0.cls", b"1"),
        ("0.seg.png", mask),
        ("1.jpg", photo),
        ("1.cls", b"0"),
    ]
    path = tar(tmp_path / "a.tar", members)
    assert "has 2 pictures (.png, .jpg)" in refusal(path)
    train, _ = open_splits(path, picture="jpg", val_fraction=0.0)
    assert [train[k][0][0, 0, 0] for k in range(2)] == [200, 200]
    _, said = counts(path, picture="jpg")
    assert "other pictures of samples: 2 (.png 1, .seg.png 1)" in said
    assert counts(path, picture="png, jpg")[0] == {"0": (1, 0), "1": (1, 0)}
    assert "no pictures" in refusal(path, picture="webp")


def test_samples_that_are_dropped_are_counted(tmp_path: Path) -> None:
    members = [*sample("./a"), ("b.cls", b"1"), ("c.heic", PNG), ("c.cls", b"1"), ("._a.png", PNG), ("../d.PNG", PNG)]
    path = tar(tmp_path / "a.tar", [*members, ("../d.CLS", b"1")])
    found, said = counts(path)
    assert found == {"0": (1, 0), "1": (1, 0)}
    assert "samples without a picture that can be read: 2 (.heic 1)" in said
    assert "hidden or system members of shards: 1" in said
    assert "'a.png' twice" in refusal(tar(tmp_path / "b.tar", [*sample("a"), *sample("a", 1)]))


def test_links_in_tars_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    links = [
        ("b.png", tarfile.LNKTYPE, "a.png"),
        ("x/c.png", tarfile.SYMTYPE, "../a.png"),
        ("d.png", b"2", "/etc/motd"),
    ]
    with tarfile.open(path, "w") as file:
        for name, content in sample("a"):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for name, kind, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            file.addfile(info)
            info = tarfile.TarInfo(name.replace("png", "cls"))
            info.size = 1
            file.addfile(info, io.BytesIO(b"1"))
    found, said = counts(path)
    assert found == {"0": (1, 0), "1": (2, 0)}
    assert "links in shards that lead nowhere: 1" in said


def test_labels_in_json_are_read_when_named(tmp_path: Path) -> None:
    def shard(*values: Any) -> Path:
        fields = [{"label": value, "caption": f"c{k}"} for k, value in enumerate(values)]
        members = [m for k, f in enumerate(fields) for m in ((f"{k}.png", PNG), (f"{k}.json", json.dumps(f).encode()))]
        return tar(tmp_path / "a.tar", members)

    assert "labels: json:FIELD" in refusal(shard(3, 1))
    assert counts(shard(3, 1, 3), labels="json")[0] == {"1": (1, 0), "3": (2, 0)}
    assert counts(shard("lion", "cat"), labels="json:label")[0] == {"cat": (1, 0), "lion": (1, 0)}
    assert counts(shard(3, 1), labels="json:caption")[0] == {"c0": (1, 0), "c1": (1, 0)}
    for value in ([1], None, True, 1.5, -3, "", {"a": 1}, 10**9, float("inf"), float("nan")):
        assert "expected a class's number or name" in refusal(shard(value), labels="json")
    assert "use one kind" in refusal(shard(3, "cat"), labels="json")
    assert "it has label, caption" in refusal(shard(3), labels="json:class")
    for labels in ("csv", "cls:x", "dataset.json"):
        assert "give cls, json" in refusal(shard(3), labels=labels)


def test_dataset_json_of_stylegan(tmp_path: Path) -> None:
    tree(tmp_path, "00000/*3.png", "00001/*2.png")

    def write(labels: Any) -> Path:
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
        return tmp_path

    write([["00000/0.png", 4], ["00000/1.png", 2], ["00001/0.png", 4], ["00001/gone.png", 4]])
    found, said = counts(tmp_path, labels="dataset.json")
    assert found == {"2": (1, 0), "4": (2, 0)}
    assert "does not list: 2" in said
    assert "not there: 1" in said
    assert "give labels: dataset.json" in counts(tmp_path)[1]
    for labels in (None, [], {}, [["a.png"]], [["a.png", "3"]], [[3, "a.png"]], [["a.png", 1.5]], [["a.png", [0, 1]]]):
        assert "dataset.json" in refusal(write(labels), labels="dataset.json")
    assert "twice" in refusal(write([["00000/0.png", 1], ["00000/0.png", 2]]), labels="dataset.json")
    assert "cannot be read" in refusal(tmp_path, labels="other.json")


def zipped(path: Path, labels: Any, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("00000/a.png", PNG)
        archive.writestr("00000/b.png", png(7))
        archive.writestr("notes.txt", b"x")
        if labels is not None:
            archive.writestr("dataset.json", labels if isinstance(labels, str) else json.dumps({"labels": labels}))
    return path


def test_zips_of_stylegan(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", [["00000/a.png", 1], ["00000/b.png", 0], ["c.png", 0]])
    found, said = counts(path, labels="dataset.json")
    assert found == {"0": (1, 0), "1": (1, 0)}
    assert "not there: 1" in said
    assert "no pictures: 1 (.txt 1)" in said
    assert open_splits(path, labels="dataset.json", val_fraction=0.0)[0][1][0][0, 0, 0] == 7
    assert "labels: dataset.json" in refusal(path)
    whole = path.read_bytes()
    for size in (0, 10, 200, len(whole) - 30):
        path.write_bytes(whole[:size])
        assert "cannot be read as a zip" in refusal(path, labels="dataset.json")
    path.write_bytes(whole.replace(b"PK\x03\x04", b"PK\x03\x05"))
    assert "cannot be read as a zip" in refusal(path, labels="dataset.json")
    assert "is not there" in refusal(zipped(path, None), labels="dataset.json")
    assert "has no labels" in refusal(zipped(path, "[]"), labels="dataset.json")
    assert "nested" in refusal(zipped(path, "[" * 100_000), labels="dataset.json")
    packed = zipped(path, [["00000/a.png", 1]], zipfile.ZIP_DEFLATED)
    assert "is compressed or encrypted" in refusal(packed, labels="dataset.json")


def test_splits_of_shards(tmp_path: Path) -> None:
    for name in ("train-0.tar", "val-0.tar", "test-0.tar", "extra.tar"):
        tar(tmp_path / "a" / name, sample("a"))
    found, said = counts(tmp_path / "a")
    assert found == {"0": (1, 1)}
    assert "no split in use: 2, first: extra.tar" in said
    assert counts(tmp_path / "a" / "*.tar")[0] == {"0": (1, 1)}
    assert counts(tmp_path / "a" / "val-*.tar")[0] == {"0": (1, 0)}  # as asked
    assert "both" in refusal(tmp_path / "a", val_root=tmp_path / "a" / "train-{0,0}.tar")
    assert "none for training" in refusal(tar(tmp_path / "b" / "val-0.tar", sample("a")).parent)
    tar(tmp_path / "c" / "x-train.tar", sample("a"))
    tar(tmp_path / "c" / "x-val.tar", sample("a", 7))
    assert "validation set has no picture" in refusal(tmp_path / "c")


# --- values ---


def encoded(levels: Any, suffix: str = ".tiff") -> bytes:
    return bytes(cv2.imencode(suffix, np.asarray(levels))[1].tobytes())


def float_tiff(levels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(levels, np.float32)).save(buffer, "TIFF")
    return buffer.getvalue()


def int_tiff(levels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(levels, np.int32)).save(buffer, "TIFF")
    return buffer.getvalue()


RAMP = np.arange(256).reshape(16, 16)
GREY = (RAMP * 257).astype(np.uint16)
COLOUR = np.stack([GREY] * 3, -1)

UNDERSTOOD: dict[str, tuple[Callable[[], bytes], tuple[float, float] | None]] = {
    "floats from 0 to 1": (lambda: float_tiff(RAMP / 255), None),
    "floats from 0 to 255, stated": (lambda: float_tiff(RAMP), (0, 255)),
    "floats from -1 to 1, stated": (lambda: float_tiff(RAMP / 127.5 - 1), (-1, 1)),
    "16-bit PNG": (lambda: encoded(GREY, ".png"), None),
    "16-bit TIFF": (lambda: encoded(GREY), None),
    "16-bit colours": (lambda: encoded(COLOUR, ".png"), None),
    "12 of 16 bits, stated": (lambda: encoded((RAMP * 16).astype(np.uint16), ".png"), (0, 4080)),
    "12 of 16 bits in colours, stated": (lambda: encoded((COLOUR // 257 * 16).astype(np.uint16), ".png"), (0, 4080)),
    "32-bit integers, stated": (lambda: int_tiff(RAMP * 1000), (0, 255_000)),
    "PGM with its greatest value": (lambda: b"P5 16 16 255\n" + RAMP.astype(np.uint8).tobytes(), None),
    "16-bit PGM": (lambda: b"P5 16 16 65535\n" + GREY.astype(">u2").tobytes(), None),
}


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_values_are_scaled_by_type_and_stated_range(case: str) -> None:
    make, value_range = UNDERSTOOD[case]
    assert (np.asarray(decode_picture(make(), value_range=value_range))[..., 1] == RAMP).all()


AMBIGUOUS: dict[str, tuple[Callable[[], bytes], str]] = {
    "floats up to 255": (lambda: float_tiff(RAMP), "values from 0 to 255, not 0 to 1"),
    "floats up to 1.2": (lambda: float_tiff(RAMP / 200), "not 0 to 1"),
    "floats from -1": (lambda: float_tiff(RAMP / 127.5 - 1), "values from -1 to 1"),
    "not a number": (lambda: float_tiff(np.full((4, 4), np.nan)), "not finite"),
    "infinite": (lambda: float_tiff(np.full((4, 4), np.inf)), "not finite"),
    "32-bit integers": (lambda: int_tiff(RAMP), "32-bit or signed integers"),
    "12 of 16 bits": (lambda: encoded((RAMP * 16).astype(np.uint16), ".png"), "16-bit values that end at 4080"),
    "8 of 16 bits": (lambda: encoded(RAMP.astype(np.uint16), ".png"), "16-bit values that end at 255"),
    "12 of 16 bits in colours": (lambda: encoded((COLOUR // 257 * 16).astype(np.uint16), ".png"), "end at 4080"),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_values_of_an_unknown_range_are_refused(tmp_path: Path, case: str) -> None:
    make, words = AMBIGUOUS[case]
    tree(tmp_path, "cat/a.png").joinpath("cat", "b.png").write_bytes(make())
    train, _ = open_splits(tmp_path, val_fraction=0.0, say=lambda _: None)
    with pytest.raises(PhotograftError, match=r"^cat/b\.png: ") as error:
        train[1]
    assert words in str(error.value)


@pytest.mark.parametrize("value_range", [(0,), (0, 0), (0, float("nan")), (0, 1, 2), ("0", "1"), (0, float("inf"))])
def test_a_range_is_two_numbers(tmp_path: Path, value_range: Any) -> None:
    assert "value_range is" in refusal(tree(tmp_path / "data", "cat/a.png"), value_range=value_range)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.7z", "a.parquet", "a.png", "a"])
def test_files_that_are_no_data(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PNG)
    assert "no folder and no .tar shard: unpack it" in refusal(tmp_path / name)
    assert "it is for tar shards" in refusal(tmp_path / name, picture="png")


def test_no_picture_starts_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.EpsImagePlugin.EpsImageFile._open", lambda *_: pytest.fail("it was tried as EPS"))
    with pytest.raises(UnreadablePicture):
        decode_picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
