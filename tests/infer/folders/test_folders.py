"""Many photos in one run: the tree, what lies beside photos, failures, and a run that is killed and gone on with."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from PIL import Image

from infer.cli.main import main
from infer.editor.editor import Editor, project_all
from infer.editor.steps import ChangeClass
from infer.folders import plan, sheets, work
from infer.folders.items import Item, find_photos
from infer.folders.library import edit_folder
from infer.folders.options import FolderOptions, Work
from infer.folders.summary import Follower, Line
from infer.photo.box import Box
from infer.photo.place import Place
from infer.projection.options import ProjectionOptions
from models.errors import PhotograftError
from tests.infer.folders.conftest import HEAD, SMALL

Run = Callable[..., int]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A tree of five photos, of which two have one name; in it something that is no photo."""
    folder = tmp_path / "photos"
    for number, name in enumerate(["a.png", "b.jpg", "deep/a.png", "deep/er/c.png", "d.png"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(SMALL, 3 * number, axis=1)).save(path)
    (folder / "notes.txt").write_text("no photo")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def command(tiny: Path, out: Path, *arguments: object) -> list[str]:
    fixed = ["edit", "--model", str(tiny), "--out", str(out), "--steps", "2", "--device", "cpu"]
    return [*fixed, *map(str, arguments)]


@pytest.fixture
def run(tiny: Path, tmp_path: Path) -> Run:
    def go(*arguments: object, out: Path = tmp_path / "out", box: bool = True) -> int:
        return main(command(tiny, out, *(["--box", HEAD, "--mask", "box"] if box else []), *arguments))

    return go


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "summary.jsonl").read_text().splitlines()]


def results(out: Path) -> dict[str, bytes]:
    """All files but the summary, which has times."""
    files = [path for path in out.rglob("*") if path.is_file() and path.name != "summary.jsonl"]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def test_a_tree_is_edited_to_a_tree(run: Run, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(photos, "--to", "lion", "--to", "black cat") == 0
    found = results(out)
    for name in ("a_to_lion.png", "deep/a_to_lion.json", "deep/er/c_to_black-cat.panel.png", "b_to_lion.jpg"):
        assert name in found
    assert "contact_sheet_001.png" in found
    assert len(found) == 5 * 2 * 3 + 1
    assert [line["photo"] for line in lines(out)] == ["a.png", "b.jpg", "d.png", "deep/a.png", "deep/er/c.png"]
    line = lines(out)[0]
    assert line["state"] == "done"
    assert line["box"] == HEAD
    assert line["to"] == ["lion", "black cat"]
    assert set(line["seconds"]) == {"read", "project", "edit", "write"}  # type: ignore[call-overload]
    assert len(line["files"]) == 6  # type: ignore[arg-type]
    assert "5 photos edited, 0 before, 0 skipped, 0 failed" in capsys.readouterr().out


@pytest.mark.usefixtures("one_thread")
def test_results_are_those_of_single_commands(run: Run, photos: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    assert run(photos, "--to", "lion", "--devices", 1, "--batch", 1) == 0
    for photo in ("a.png", "deep/er/c.png"):
        assert run(photos / photo, "--to", "lion", "--no-cache", out=alone / Path(photo).parent) == 0
    found = results(tmp_path / "out")
    for name, content in results(alone).items():
        assert found[name] == content


def test_patterns_names_and_the_folder_of_results(photos: Path, tmp_path: Path) -> None:
    def names(*given: str, out: Path = tmp_path / "out") -> list[str]:
        return [item.name.as_posix() for item in find_photos(given, out)]

    assert names(f"{photos}/**/*.png") == ["a.png", "d.png", "deep/a.png", "deep/er/c.png"]
    assert names(f"{photos}/*/a.png") == ["deep/a.png"]
    assert names(f"{photos}/*.png", str(photos / "b.jpg")) == ["a.png", "d.png", "b.jpg"]
    assert names(str(photos), out=photos / "deep") == ["a.png", "b.jpg", "d.png"]
    assert names(f"{photos}/**/*.png", out=photos / "deep") == ["a.png", "d.png"]
    with pytest.raises(PhotograftError, match="would have results of one name"):
        names(str(photos / "a.png"), str(photos / "deep" / "a.png"))
    with pytest.raises(PhotograftError, match="no photos are found"):
        names(f"{photos}/*.tif")


def test_failures_are_collected(run: Run, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "b.jpg").write_bytes(b"\xff\xd8\xff no jpeg")
    Image.fromarray(SMALL[:20, :20]).save(photos / "z.png")
    assert run(photos, "--to", "lion") == 2
    said = capsys.readouterr()
    assert "4 photos edited, 0 before, 0 skipped, 2 failed" in said.out
    assert len([line for line in said.err.splitlines() if line.startswith("error:")]) == 2
    states = {line["photo"]: line["state"] for line in lines(tmp_path / "out")}
    assert [name for name, state in states.items() if state == "failed"] == ["b.jpg", "z.png"]
    assert not any("b_to" in name for name in results(tmp_path / "out"))


def test_photos_without_a_head_are_skipped_if_asked(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(folder / "grey.png")
    assert run(folder, "--to", "lion", "--skip-unfound", box=False) == 0
    assert run(folder, "--to", "lion", box=False) == 2
    assert [line["state"] for line in lines(tmp_path / "out")] == ["skipped", "failed"]


def test_boxes_targets_and_masks_go_to_their_photos(run: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.jsonl").write_text(
        '{"photo": "d.png", "box": "50,20,75,75"}\n\n{"photo": "b", "box": [45, 25, 60, 60]}\n'
    )
    (tmp_path / "targets.csv").write_text(
        "photo,to,strength\nd.png,black cat,0.5\nb.jpg,lion,\nb.jpg,golden retriever,\n"
    )
    masks = tmp_path / "masks"
    mask = np.zeros(SMALL.shape[:2], np.uint8)
    mask[30:60, 75:110] = 255
    for name in ("d.png", "b.png", "deep/a.png"):
        (masks / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(masks / name)
    lists = ["--boxes", tmp_path / "boxes.jsonl", "--targets", tmp_path / "targets.csv", "--mask-dir", masks]
    assert run(photos, *lists, "--box", HEAD, box=False) == 2
    found = {str(line["photo"]): line for line in lines(tmp_path / "out")}
    assert found["d.png"]["box"] == "50,20,75,75"
    assert found["b.jpg"]["box"] == "45,25,60,60"
    assert found["b.jpg"]["to"] == ["lion", "golden retriever"]
    recipe = json.loads((tmp_path / "out" / "d_to_black-cat.json").read_text())
    assert recipe["edit"]["steps"][0]["strength"] == 0.5
    assert recipe["edit"]["steps"][0]["region"] == "d_to_black-cat.mask0.png"
    edited = np.asarray(Image.open(tmp_path / "out" / "d_to_black-cat.png"))
    changed = (edited != np.asarray(Image.open(photos / "d.png"))).any(axis=2)
    assert changed.any()
    assert not changed[mask == 0].any()
    assert "no target" in str(found["deep/a.png"]["error"])
    assert run(photos, *lists, "--to", "lion", "--box", HEAD, out=tmp_path / "all", box=False) == 2
    found = {str(line["photo"]): line for line in lines(tmp_path / "all")}
    assert found["deep/a.png"]["to"] == ["lion"]
    assert "no mask of its stem" in str(found["a.png"]["error"]) or found["a.png"]["state"] == "done"
    assert "no mask of its stem" in str(found["deep/er/c.png"]["error"])


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--boxes", '{"photo": "e.png", "box": "1,2,3,4"}', "line 1: no photo is called 'e.png'"),
        ("--boxes", '{"photo": "a", "box": "1,2,30,40"}', "2 photos are called 'a'"),
        ("--boxes", '{"photo": "d"}', "line 1: write"),
        ("--boxes", "[]", "line 1"),
        ("--boxes", '{"photo": "d", "box": "x"}', "not four whole numbers"),
        ("--targets", "name,to\nd,lion", "its columns must be"),
        ("--targets", "photo,to\ne,lion", "no photo is called 'e'"),
        ("--targets", "photo,to,strength\nd,lion,2", "line 2: strength"),
        ("--targets", "photo,to,strength\nd,lion,much", "give a number"),
        ("--targets", "photo,to\nd,griffin", "griffin"),
    ],
)
def test_bad_lists_are_one_line(
    run: Run, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, content: str, said: str
) -> None:
    (tmp_path / "list").write_text(content)
    assert run(photos, option, tmp_path / "list", *(["--to", "lion"] if option == "--boxes" else [])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "out" / "summary.jsonl").exists()


def test_a_dry_run_does_nothing(run: Run, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(photos, "--to", "lion", "--dry-run", "--limit", 2) == 0
    assert capsys.readouterr().out.splitlines() == ["a.png: to lion", "b.jpg: to lion"]
    assert not (tmp_path / "out").exists()


def test_resuming_does_only_what_is_missing(
    run: Run, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def again(*arguments: object) -> str:
        assert run(photos, "--to", "lion", "--batch", 1, *arguments, "--resume") == 0
        return capsys.readouterr().out.partition(",")[0] + capsys.readouterr().out

    assert run(photos, "--to", "lion", "--limit", 2, "--batch", 1) == 0
    capsys.readouterr()
    assert again() == "3 photos edited"
    whole = results(out)
    assert again() == "0 photos edited"
    (out / "d_to_lion.png").write_bytes(b"changed")
    assert again() == "1 photos edited"
    Image.fromarray(SMALL[::-1]).save(photos / "a.png")
    assert again() == "1 photos edited"
    Image.fromarray(SMALL).save(photos / "a.png")
    assert again() == "1 photos edited"
    assert results(out) == whole
    assert again("--seed", 5) == "5 photos edited"
    assert again("--seed", 5, "--finish", "off") == "5 photos edited"
    assert again() == "5 photos edited"
    assert results(out) == whole


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(run: Run, photos: Path, tiny: Path, tmp_path: Path, root: Path) -> None:
    for number in range(2):
        Image.fromarray(np.roll(SMALL, 5 * number, axis=0)).save(photos / "deep" / f"more{number}.png")
    assert run(photos, "--to", "lion", "--no-cache", "--devices", 1, "--batch", 2, out=tmp_path / "whole") == 0
    out = tmp_path / "out"
    many = ("--resume", "--no-cache", "--devices", 1, "--batch", 2)
    arguments = command(tiny, out, "--box", HEAD, "--mask", "box", photos, "--to", "lion", *many)
    part, killed = out / "summary.part0.jsonl", 0

    def told() -> int:
        return part.read_bytes().count(b"\n") if part.exists() else 0

    for _ in range(20):
        process = subprocess.Popen([sys.executable, str(root / "infer.py"), *arguments], stderr=subprocess.DEVNULL)
        known = told()
        while process.poll() is None:
            if told() > known:
                time.sleep(0.013 * (killed + 1))
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        if process.wait() == 0:
            break
        killed += 1
        with part.open("ab") as stream:
            stream.write(b'{"photo": "a.png", "key": "')  # as a kill in the middle of a line leaves it
    assert killed >= 2
    assert results(out) == results(tmp_path / "whole")


def test_every_fifty_photos_have_a_sheet(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "SHEET", 2)
    (photos / "b.jpg").write_bytes(b"no photo")
    assert run(photos, "--to", "lion") == 2
    heights = []
    for number in (1, 2, 3):
        with Image.open(tmp_path / "out" / f"contact_sheet_00{number}.png") as picture:
            heights.append(picture.height)
    assert heights[0] == heights[2] < heights[1]


def test_sheets_show_their_own_run(run: Run, photos: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "out" / "contact_sheet_001.png"
    arguments = (photos, "--batch", 1, "--limit", 2, "--resume", "--to")
    shown = []
    for name in ("lion", "black cat", "lion"):
        assert run(*arguments, name) == 0
        shown.append(sheet.read_bytes())
    assert shown[0] == shown[2] != shown[1]


def test_half_a_line_is_none(tmp_path: Path) -> None:
    follow = Follower(tmp_path)
    Line("a.png").write(tmp_path, 0)
    with (tmp_path / "summary.part0.jsonl").open("ab") as stream:
        stream.write(b'{"photo": "b.p')
    assert [line.photo for line in follow()] == ["a.png"]
    Line("c.png").write(tmp_path, 0)
    assert [line.photo for line in follow()] == ["c.png"]


def test_what_fails_together_is_tried_alone(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sizes: list[int] = []

    def project(editors: Sequence[Editor], *arguments: object, **options: object) -> None:
        sizes.append(len(editors))
        if len(editors) > 1:
            raise RuntimeError("out of memory")
        project_all(editors, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(work, "project_all", project)
    assert run(photos, "--to", "lion", "--batch", 5, "--devices", 1) == 0
    assert sizes == [5, 1, 1, 1, 1, 1]
    assert len(results(tmp_path / "out")) == 5 * 3 + 1


@pytest.mark.parametrize("option", [["--sweep", "3"], ["--recipe", "x.json"]])
def test_recipes_and_sweeps_are_of_single_photos(run: Run, photos: Path, option: list[str]) -> None:
    assert run(photos, "--to", "lion", *option) == 2


def item(name: str) -> Item:
    return Item(Path(name), PurePosixPath(name))


def test_photos_are_worked_on_in_groups_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"big.png": 90, "c.png": 30, "d.png": 30, "e.png": 30}
    monkeypatch.setattr(plan, "_pixels", lambda path: sizes.get(path.name, 1))
    items = [item(name) for name in ("a.png", "b.png", "x/a.png", "A.jpg", "big.png", "c.png", "d.png", "e.png")]

    def groups(batch: int, done: Collection[str] = ()) -> list[list[str]]:
        units = plan.units_of(items, {PurePosixPath(name) for name in done}, batch=batch, pixels=80)
        return [[item.name.as_posix() for item in unit.items] for unit in units]

    first = [["a.png", "A.jpg", "b.png"], ["x/a.png"], ["big.png"], ["c.png", "d.png"], ["e.png"]]
    assert groups(3) == [first[0], first[1], first[2], first[3], first[4]]
    assert groups(1) == [["a.png", "A.jpg"], ["b.png"], ["x/a.png"], ["big.png"], ["c.png"], ["d.png"], ["e.png"]]
    # What is finished changes no group: rounding is that of a run that was never stopped.
    assert groups(3, ["a.png", "e.png"]) == first[:4]
    units = plan.units_of(items, {PurePosixPath("a.png")}, batch=3, pixels=80)
    assert units[0].wanted == (False, True, True)


@pytest.mark.parametrize(
    ("threads", "memory", "photos", "devices"),
    [(4, 64, 100, 4), (4, 64, 20, 2), (4, 3, 100, 1), (4, 7, 100, 3), (1, 64, 100, 1), (8, 64, 3, 1), (4, 0, 100, 1)],
)
def test_processes_are_as_many_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, threads: int, memory: int, photos: int, devices: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr("infer.folders.options.free_memory", lambda: memory * 2**30)
    chosen = Work().chosen("cpu", photos)
    assert (chosen.devices, chosen.batch) == (devices, 4)
    assert Work(devices=7, batch=2).chosen("cpu", photos) == Work(devices=7, batch=2)
    with pytest.raises(PhotograftError, match="devices is 0"):
        Work(devices=0)


def test_from_python(tiny: Path, photos: Path, tmp_path: Path) -> None:
    told: list[Line] = []
    options = FolderOptions(Place(Box.parse(HEAD)), projection=ProjectionOptions(steps=2))
    report = edit_folder(
        photos,
        [ChangeClass("lion", "box"), [ChangeClass("lion", "box"), ChangeClass("black cat", "box", 0.5)]],
        tmp_path / "out",
        model=str(tiny),
        device="cpu",
        options=options,
        work=Work(batch=3),
        told=told.append,
    )
    assert (report.done, report.failed) == (5, 0)
    assert [line.photo for line in told] == ["a.png", "b.jpg", "d.png", "deep/a.png", "deep/er/c.png"]
    assert len(results(tmp_path / "out")) == 5 * 2 * 3 + 1
    again = edit_folder(
        f"{photos}/*.png", "lion", tmp_path / "out", model=str(tiny), device="cpu", limit=1, options=options
    )
    assert again.done == 1
    with pytest.raises(PhotograftError, match="griffin"):
        edit_folder(photos, "griffin", tmp_path / "out", model=str(tiny), device="cpu")
