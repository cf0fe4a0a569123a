# ruff: noqa: F811 (fixtures of another folder)
"""Signals end a command in order, and processes do not take each other's names."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from PIL import Image

from infer.cli import photos as cli_photos
from infer.editor.editor import Editor
from infer.editor.results import ResultFolder
from tests.infer.conftest import CAT, HEAD, cat, edit, tiny  # noqa: F401
from tests.refusals import snapshot

Capture = pytest.CaptureFixture[str]
Edit = Callable[..., int]
ROOT = Path(__file__).parents[2]


def photo(path: Path, turned: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(CAT[:, ::-1] if turned else CAT).save(path, "PNG")
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


SET = (".png", ".panel.png", ".json")


def of(*stems: str) -> set[str]:
    return {stem + end for stem in stems for end in SET}


# ---------------------------------------------------------------------- signals and other processes


def start(*arguments: object, **options: object) -> "subprocess.Popen[str]":
    command = [sys.executable, str(ROOT / "infer.py"), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would this
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=ROOT, **options)  # type: ignore[call-overload]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_keep_what_is_done(tiny: Path, tmp_path: Path, number: int, code: int) -> None:
    first_photo = photo(tmp_path / "0.png")
    photos = [first_photo, *(shutil.copy(first_photo, tmp_path / f"{i}.png") for i in range(1, 40))]
    options = ["--box", HEAD, "--steps", 60, "--model", tiny, "--out", tmp_path / "out"]
    process = start("project", *photos, *options)
    assert process.stdout is not None
    first = process.stdout.readline().strip()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert [line for line in err.splitlines() if line.startswith("error:")] == [err.splitlines()[-1]]
    listed = {Path(line).name for line in [first, *out.splitlines()]}
    assert listed <= names(tmp_path / "out")
    assert len(names(tmp_path / "out")) % 2 == 0, "whole sets"
    assert not [name for name in names(tmp_path / "out") if name.endswith(".tmp")]


def test_a_signal_in_a_batch(
    edit: Edit,
    cat: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other, whole, calls = photo(tmp_path / "other.png", turned=True), cli_photos.project_all, []

    def ended(*arguments: object, **options: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        whole(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(cli_photos, "project_all", ended)
    handler = signal.getsignal(signal.SIGTERM)
    assert edit(cat, other, "--to", "lion") == 143
    assert signal.getsignal(signal.SIGTERM) == handler
    out, err = capsys.readouterr()
    assert [Path(line).name for line in out.splitlines()] == ["cat_to_lion.png"]
    assert err.splitlines()[-1] == "error: terminated"
    assert err.count("error:") == 1
    assert names(tmp_path / "out") == of("cat_to_lion")


@pytest.mark.parametrize("moment", ["second edit", "last file"])
def test_what_is_done_of_a_photo_is_kept_and_listed(
    edit: Edit, cat: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    make, replace = Editor.edit, os.replace

    def second(editor: Editor, *arguments: Any, **options: Any) -> Any:
        if editor.edits:
            signal.raise_signal(signal.SIGTERM)
        return make(editor, *arguments, **options)

    def last(source: Path, to: Path) -> None:
        replace(source, to)
        if to.suffix == ".json":
            signal.raise_signal(signal.SIGTERM)

    if moment == "second edit":
        monkeypatch.setattr(Editor, "edit", second)
    else:
        monkeypatch.setattr(os, "replace", last)
    assert edit(cat, "--to", "lion", "--to", "black cat") == 143
    assert names(tmp_path / "out") == of(f"{cat.stem}_to_lion")
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / f"{cat.stem}_to_lion.png")]


def test_a_signal_while_a_set_is_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("earlier")

    def ended(stream: BinaryIO) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ResultFolder(tmp_path).replace({"a": lambda stream: stream.write(b"new"), "b": ended})
    assert snapshot(tmp_path) == {tmp_path / "a": b"earlier"}


@pytest.mark.slow
def test_two_processes_in_one_folder(tiny: Path, tmp_path: Path) -> None:
    photos = [photo(tmp_path / side / "cat.png", turned=side == "b") for side in "ab"]
    options = ["--to", "lion", "--mask", "box", "--box", HEAD, "--steps", 2, "--model", tiny, "--out", tmp_path / "out"]
    processes = [start("edit", file, *options) for file in photos]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert names(tmp_path / "out") == of("cat_to_lion", "cat_to_lion_2")
    for file, (out, _) in zip(photos, outputs, strict=True):
        recipe = json.loads(Path(out.strip()).with_suffix(".json").read_text())
        assert recipe["source"]["photo"]["path"] == str(file)
        assert recipe["files"]["result"] == Path(out.strip()).name


def test_what_another_process_writes_meanwhile_is_kept(tmp_path: Path) -> None:
    def make(text: bytes) -> Callable[[str], dict[str, Callable[[BinaryIO], object]]]:
        return lambda name: {f"{name}.png": lambda stream: stream.write(text)}

    (tmp_path / "contact_sheet.png").write_bytes(b"of an earlier run")
    time.sleep(0.05)  # a file system's clock is coarse
    mine, others = ResultFolder(tmp_path), ResultFolder(tmp_path)
    time.sleep(0.05)
    assert others.write("contact_sheet", make(b"other")) == [tmp_path / "contact_sheet.png"]
    assert mine.write("contact_sheet", make(b"mine")) == [tmp_path / "contact_sheet_2.png"]
    assert (tmp_path / "contact_sheet.png").read_bytes() == b"other"


@pytest.mark.slow
def test_a_reader_that_goes_away(tiny: Path) -> None:
    process = start("classes", "--model", tiny)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141
