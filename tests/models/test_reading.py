"""Files are read with bounds: what is no regular file, too large or of another kind is refused before it is read."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.errors import PhotograftError
from models.reading import check_file, read_text, read_yaml
from models.tensors import open_tensors


def test_only_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path, words in (
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "a device or a pipe"),
        (tmp_path / "link", "a device or a pipe"),
        (tmp_path / "missing", "recipe not found"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        with pytest.raises(PhotograftError, match=words):
            read_text(path, "recipe")


def test_only_as_large_as_its_kind(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1234")
    check_file(tmp_path / "a", "file", 4)
    with pytest.raises(PhotograftError, match="too large"):
        check_file(tmp_path / "a", "file", 3)
    (tmp_path / "a").write_text("[" * 2**18)
    with pytest.raises(PhotograftError, match="too large"):
        read_yaml(tmp_path / "a", "file")


def test_tensors_are_described_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(2, 3).half(), "b": torch.tensor([1, 2])}, path, {"k": "v"})
    file = open_tensors(path)
    assert file.metadata == {"k": "v"}
    assert {name: (t.device.type, tuple(t.shape), t.dtype) for name, t in file.described.items()} == {
        "a": ("meta", (2, 3), torch.float16),
        "b": ("meta", (2,), torch.int64),
    }
    assert {name: t.dtype for name, t in file.read().items()} == {"a": torch.float32, "b": torch.int64}
    assert file.read(single=False)["a"].dtype == torch.float16
    save_file({"a": torch.full((2,), torch.inf)}, path)
    with pytest.raises(PhotograftError, match="'a' hold NaN or infinite"):
        open_tensors(path).read()
