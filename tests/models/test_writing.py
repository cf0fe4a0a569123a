"""Sets of files: all or none, whatever fails, and earlier files stay."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from models.errors import PhotograftError
from models.writing import write_files


def text(content: str) -> Callable[[BinaryIO], Any]:
    return lambda stream: stream.write(content.encode())


def test_all_files_are_written_and_folders_made(tmp_path: Path) -> None:
    write_files({tmp_path / "a" / "one": text("1"), tmp_path / "b" / "two": text("2")})
    assert (tmp_path / "a" / "one").read_text() == "1"
    assert (tmp_path / "b" / "two").read_text() == "2"
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["one", "two"]


def test_the_writers_error_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("earlier")

    def broken(stream: BinaryIO) -> None:
        stream.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_files({tmp_path / "one": text("1"), tmp_path / "two": broken})
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"one": "earlier"}


def test_a_folder_of_the_second_name_keeps_the_first_file(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("earlier")
    (tmp_path / "two").mkdir()
    with pytest.raises(PhotograftError, match="two: cannot be written, a folder"):
        write_files({tmp_path / "one": text("1"), tmp_path / "two": text("2")})
    assert (tmp_path / "one").read_text() == "earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_failing_rename_puts_earlier_files_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int, links: bool
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"earlier {name}")
    calls, replace = 0, os.replace

    def failing(source: Path, to: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(28, "No space left on device")
        replace(source, to)

    def no_link(source: Path, to: Path, **options: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "replace", failing)
    if not links:
        monkeypatch.setattr(os, "link", no_link)
    with pytest.raises(PhotograftError, match="No space left"):
        write_files({tmp_path / name: text(name) for name in ("one", "two", "three")})
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"one": "earlier one", "two": "earlier two"}
