# ruff: noqa: F811 (fixtures of another folder)
"""What commands write: never over an input, all or nothing."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
from PIL import Image

from infer.cli.main import main
from infer.editor.results import identity
from models.checkpoints.conversion import write_networks
from models.errors import PhotograftError
from models.files import load_network, save_network
from models.writing import write_files, written_beside
from models.zoo import load_model
from tests.infer.conftest import CAT, HEAD, cat, edit, tiny  # noqa: F401
from tests.infer.tiny_model import write_tiny_model
from tests.models.test_foreign_generators import rosinality_state
from tests.refusals import refused, snapshot

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


# ---------------------------------------------------------------------- inputs are never replaced


def _same(path: Path, tmp_path: Path) -> Path:
    return path


def _symlink(path: Path, tmp_path: Path) -> Path:
    link = tmp_path / "link.png"
    link.symlink_to(path)
    return link


def _hard_link(path: Path, tmp_path: Path) -> Path:
    os.link(path, tmp_path / "hard.png")
    return tmp_path / "hard.png"


def _dotted(path: Path, tmp_path: Path) -> Path:
    (path.parent / "sub").mkdir()
    return path.parent / "sub" / ".." / path.name


def _linked_folder(path: Path, tmp_path: Path) -> Path:
    (tmp_path / "folder").symlink_to(path.parent)
    return tmp_path / "folder" / path.name


SPELLINGS = {"same": _same, "symlink": _symlink, "hard link": _hard_link, "dots": _dotted, "folder": _linked_folder}
Spelt = Callable[[Path, Path], Path]


@pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("what", ["photo", "mask"])
def test_an_input_in_the_folder_is_kept(edit: Edit, cat: Path, tmp_path: Path, what: str, spelt: Spelt) -> None:
    victim = tmp_path / "out" / "cat_to_lion.png"
    victim.parent.mkdir()
    mask = np.zeros(CAT.shape[:2], np.uint8)
    mask[60:130, 150:230] = 255
    Image.fromarray(CAT[::-1] if what == "photo" else mask).save(victim)
    before = victim.read_bytes()
    given = spelt(victim, tmp_path)
    extra = [given] if what == "photo" else []
    assert edit(cat, *extra, "--to", "lion", mask="box" if what == "photo" else str(given)) == 0
    assert victim.read_bytes() == before
    assert of("cat_to_lion_2") <= names(tmp_path / "out")
    assert not (tmp_path / "out" / "cat_to_lion.json").exists(), "a set has one name"


def test_the_recipe_that_is_read_is_kept(edit: Edit, cat: Path, tmp_path: Path) -> None:
    assert edit(cat, "--to", "lion") == 0
    before = snapshot(tmp_path / "out")
    recipe = tmp_path / "out" / "cat_to_lion.json"
    assert main(["edit", "--recipe", str(recipe), "--strength", "0.5", "--out", str(tmp_path / "out")]) == 0
    after = snapshot(tmp_path / "out")
    assert before.items() <= after.items()
    assert {path.name for path in set(after) - set(before)} == of("cat_to_lion_2")


def test_the_model_that_is_read_is_kept(cat: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    model = write_tiny_model(out, "cat_to_lion.png")
    os.rename(model, out / "cat_to_lion.json.generator.safetensors")
    for path in out.glob("cat_to_lion.png.*"):
        os.rename(path, out / path.name.replace(".png.", ".json."))
    link = out / "cat_to_lion.json"
    os.link(out / "cat_to_lion.json.generator.safetensors", link)
    command = ["edit", str(cat), "--to", "lion", "--box", HEAD, "--mask", "box", "--steps", "1", "--out", str(out)]
    assert main([*command, "--model", str(out / "cat_to_lion.json.generator.safetensors")]) == 0
    assert link.samefile(out / "cat_to_lion.json.generator.safetensors")
    assert of("cat_to_lion_2") <= names(out)


def test_another_photos_results_are_kept_and_ones_own_replaced(edit: Edit, tmp_path: Path) -> None:
    one, other = photo(tmp_path / "a" / "cat.png"), photo(tmp_path / "b" / "cat.png", turned=True)
    for _ in range(2):
        assert edit(one, "--to", "lion") == 0
        assert edit(other, "--to", "lion") == 0
        assert names(tmp_path / "out") == of("cat_to_lion", "cat_to_lion_2")
    recipe = json.loads((tmp_path / "out" / "cat_to_lion_2.json").read_text())
    assert recipe["source"]["photo"]["path"] == str(other)
    assert recipe["files"]["result"] == "cat_to_lion_2.png"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"photo": 3}', b"[" * 50_000, b"1" * 9_000, b"\xff"], ids=len)
def test_a_file_of_the_users_is_kept(edit: Edit, cat: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out" / "cat_to_lion.json"
    mine.write_bytes(content)
    assert edit(cat, "--to", "lion") == 0
    assert mine.read_bytes() == content
    assert of("cat_to_lion_2") <= names(tmp_path / "out")


def test_identity_is_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    assert identity(tmp_path / "sub" / "new.png") == identity(tmp_path / "link" / ".." / "sub" / "new.png")
    assert identity("nul\0") != identity(tmp_path)


def test_a_fixed_name_that_is_read_is_refused(tiny: Path, tmp_path: Path, capsys: Capture) -> None:
    os.link(tiny, tmp_path / "tiny_samples_0.png")
    code = main(["sample", "--columns", "1", "--model", str(tiny), "--out", str(tmp_path)])
    refused(code, capsys, "tiny_samples_0.png is read by this command")
    assert names(tmp_path) == {"tiny_samples_0.png"}


# ---------------------------------------------------------------------- all or nothing


def _full(after: int) -> Callable[[BinaryIO], None]:
    def write(stream: BinaryIO) -> None:
        stream.write(b"x" * after)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return write


def command_of(name: str, tiny: Path, cat: Path, out: Path) -> list[str]:
    options = ["--model", str(tiny), "--out", str(out)]
    region = ["--box", HEAD]
    return {
        "edit": ["edit", str(cat), "--to", "lion", "--mask", "box", "--steps", "1", *region, *options],
        "project": ["project", str(cat), "--steps", "1", *region, *options],
        "blend": ["blend", "--mask", "box", *options],
        "blend photo": ["blend", str(cat), "--mask", "box", "--preset", "fast", *region, *options],
        "demo": ["demo", "--steps", "1", "--to", "lion", "--to", "black cat", *options],
        "sample": ["sample", "--columns", "1", *options],
        "catalog": ["catalog", "build", "-k", "3", "--samples", "4", "--no-segment", *options],
    }[name]


COMMANDS = ("edit", "project", "blend", "blend photo", "demo", "sample", "catalog")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_leaves_what_was_there(
    tiny: Path,
    cat: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(
        "infer.editor.session.create_segmenter", lambda name: lambda pixels: np.ones(pixels.shape[:2], "f4")
    )
    monkeypatch.setattr("infer.editor.session._network", lambda name: lambda pixels: np.ones(pixels.shape[:2], "f4"))
    assert main(command_of(name, tiny, cat, out)) == 0
    capsys.readouterr()
    for path in out.iterdir():
        if path.suffix != ".json":  # those say whose the set is
            path.write_bytes(b"earlier")
    before = snapshot(out)
    written: list[int] = []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) == len(before):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    refused(main(command_of(name, tiny, cat, out)), capsys, "No space left on device")
    assert len(written) == len(before), "all files of the set, and nothing after the one that failed"
    assert snapshot(out) == before


@pytest.mark.parametrize("name", ["edit", "project", "blend"])
@pytest.mark.parametrize("end", [".png", ".panel.png", ".json"])
def test_a_folder_of_a_files_name(
    tiny: Path,
    cat: Path,
    tmp_path: Path,
    capsys: Capture,
    name: str,
    end: str,
) -> None:
    out = tmp_path / "out"
    stem = {"edit": "cat_to_lion", "project": "cat.projection", "blend": "tiny_0_blend_box"}[name]
    if name == "project" and end == ".panel.png":
        pytest.skip("a projection has none")
    (out / f"{stem}{end}").mkdir(parents=True)
    refused(main(command_of(name, tiny, cat, out)), capsys, "a folder has this name")
    assert names(out) == {f"{stem}{end}"}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_read_only_folder(tiny: Path, cat: Path, tmp_path: Path, capsys: Capture, name: str) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    refused(main(command_of(name, tiny, cat, tmp_path / "out")), capsys, "cannot be written to", tmp_path / "out")


def test_networks_are_written_all_or_none(tmp_path: Path) -> None:
    model = load_model(str(write_tiny_model(tmp_path)))
    (tmp_path / "tiny.encoder.safetensors.part").write_text("a user's")
    before = snapshot(tmp_path)
    with pytest.raises(PhotograftError, match="No space left"):
        write_files({tmp_path / "tiny.generator.safetensors": lambda s: s.write(b"new"), tmp_path / "b": _full(9)})
    assert snapshot(tmp_path) == before
    save_network(tmp_path / "tiny.encoder.safetensors", model.encoder, "encoder")
    assert (tmp_path / "tiny.encoder.safetensors.part").read_text() == "a user's"
    assert load_network(tmp_path / "tiny.encoder.safetensors", "encoder")[1].kind == "encoder"
    assert names(tmp_path) == {path.name for path in before}


@pytest.mark.parametrize("failing", ["nothing written", "error", "interrupt"])
def test_a_file_written_beside(tmp_path: Path, failing: str) -> None:
    path = tmp_path / "last.ckpt"
    path.write_text("earlier")

    def attempt() -> None:
        with written_beside(path) as beside:
            if failing != "nothing written":
                beside.write_text("half")
            if failing == "error":
                raise OSError(errno.ENOSPC, "No space left on device")
            if failing == "interrupt":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt if failing == "interrupt" else PhotograftError):
        attempt()
    assert snapshot(tmp_path) == {path: b"earlier"}


@pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
def test_a_file_is_not_converted_onto_itself(tmp_path: Path, capsys: Capture, spelt: Spelt) -> None:
    file = tmp_path / "in" / "x.safetensors"
    file.parent.mkdir()
    torch.save({"g_running": rosinality_state(0)}, file)
    (file.parent / "x.safetensors.part").write_text("a user's")
    given = spelt(file, tmp_path)
    if given.suffix != ".safetensors":
        given = given.rename(given.with_suffix(".safetensors"))
    before = snapshot(tmp_path)
    refused(main(["convert", str(file), str(given)]), capsys, "is the file to convert: choose another name")
    assert snapshot(tmp_path) == before
    assert main(["convert", str(file), str(tmp_path / "y.safetensors")]) == 0
    assert snapshot(tmp_path).items() >= before.items()


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_networks_of_a_file_are_converted_all_or_none(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    model = load_model(str(tiny))
    networks = {"generator": model.generator, "discriminator": model.discriminator, "encoder": model.encoder}
    (tmp_path / "y.generator.safetensors").write_text("earlier")
    before = snapshot(tmp_path)
    calls: list[int] = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PhotograftError, match="No space left"):
        write_networks(networks, dict.fromkeys(networks, "x"), tiny, tmp_path / "y.safetensors")
    assert snapshot(tmp_path) == before


def test_a_file_without_a_recipe_is_not_replaced(edit: Edit, cat: Path, tmp_path: Path) -> None:
    own = tmp_path / "out" / "cat_to_lion.png"
    own.parent.mkdir()
    own.write_bytes(b"a picture of somebody's")
    for _ in range(2):  # the second time its own result is replaced
        assert edit(cat, "--to", "lion") == 0
    assert own.read_bytes() == b"a picture of somebody's"
    assert (own.parent / "cat_to_lion_2.json").exists()
    assert not (own.parent / "cat_to_lion_3.json").exists()
