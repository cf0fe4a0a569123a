"""Kept projections: the same to the bit as those that are made, and nothing else is ever taken for one."""

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import infer.projection.cache as module
from infer.cli.main import main
from infer.editor.editor import Editor
from infer.editor.output import write_edits
from infer.editor.results import ResultFolder
from infer.photo.box import Box
from infer.projection import settling
from infer.projection.cache import ProjectionCache, asked_of
from infer.projection.model import project_pictures
from infer.projection.options import UNSET, ProjectionOptions
from infer.projection.search import Projection
from models.errors import PhotograftError
from models.prepared import Networks
from models.zoo import load_model
from tests.infer.conftest import CAT, ellipse
from tests.infer.tiny_styles import write_style_model

SHORT = ProjectionOptions(steps=2)


@pytest.fixture
def networks(tiny: Path) -> Networks:
    return Networks.of(load_model(str(tiny)), "cpu")


@pytest.fixture
def target() -> Tensor:
    return torch.rand(1, 3, 32, 32) * 2 - 1


@pytest.fixture
def cache(cache_folder: Path) -> ProjectionCache:
    return ProjectionCache(cache_folder)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The pictures that are projected, and not taken from a cache."""
    pictures = []

    def counted(networks: Networks, target: Tensor, *args: object, **options: object) -> list[Projection]:
        pictures.append(target)
        return project_pictures(networks, target, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "project_pictures", counted)
    return pictures


def numbers(found: Projection) -> dict[str, object]:
    """All of a projection, NaN and all."""
    tensors = {name: t for name, t in vars(found).items() if isinstance(t, Tensor)}
    for i, delta in enumerate(found.deltas):
        tensors |= {f"{i} {name}": t for name, t in delta.tensors().items()}
    return {name: (t.dtype, t.shape, t.numpy().tobytes()) for name, t in tensors.items()}


@pytest.mark.parametrize(
    "options",
    [
        SHORT,
        ProjectionOptions(steps=0),
        ProjectionOptions(steps=2, restarts=2, seed=3),
        ProjectionOptions(steps=2, tuning=2),
        ProjectionOptions(steps=3, patience=1),
    ],
    ids=str,
)
def test_what_is_kept_is_what_was_made(
    networks: Networks, target: Tensor, cache: ProjectionCache, made: list[Tensor], options: ProjectionOptions
) -> None:
    (alone,) = project_pictures(networks, target, options=options)
    found = [cache.project(networks, target, options=options)[0] for _ in range(2)]
    assert len(made) == 1
    assert numbers(found[0]) == numbers(found[1]) == numbers(alone)
    assert len(found[1].deltas) == len(alone.deltas)


@pytest.mark.parametrize("source", [None, "lion", {"lion": 0.25, "black cat": 0.75}])
def test_classes_and_mixtures_come_back(
    networks: Networks, target: Tensor, cache: ProjectionCache, source: object, made: list[Tensor]
) -> None:
    for _ in range(2):
        (found,) = cache.project(networks, target, source, options=SHORT)  # type: ignore[arg-type]
    (alone,) = project_pictures(networks, target, source, options=SHORT)  # type: ignore[arg-type]
    assert numbers(found) == numbers(alone)
    assert len(made) == 1


@pytest.mark.parametrize("preset", ["fast", "balanced", "best"])
def test_style_generators_edit_to_the_same_bytes(tmp_path: Path, preset: str, made: list[Tensor]) -> None:
    model = load_model(str(write_style_model(tmp_path)))
    caches = [None, ProjectionCache(tmp_path / "kept"), ProjectionCache(tmp_path / "kept")]
    written = []
    for number, cache in enumerate(caches):
        editor = Editor(model, ellipse, device="cpu", cache=cache).set_photo(CAT, Box(120, 30, 160, 160))
        editor.project(preset=preset, options=ProjectionOptions(steps=2, restarts=1, tuning=preset == "best" and 2))
        editor.edit(model.class_names[1])
        files = write_edits(editor, ResultFolder(tmp_path / f"out{number}"))
        folder = files[0].parent
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert written[0] == written[1] == written[2]
    assert len(written[0]) >= 3
    assert len(made) == 1


def test_another_question_has_another_answer(networks: Networks, target: Tensor) -> None:
    def asked(
        networks: Networks = networks,
        target: Tensor = target,
        source: str | None = None,
        preset: str = "balanced",
        options: ProjectionOptions = SHORT,
    ) -> str:
        return asked_of(networks, target, source, preset, options)

    other = load_model(networks.model.name)
    with torch.no_grad():
        next(other.encoder.parameters()).add_(0.1)  # type: ignore[union-attr]
    nearly = target.clone()
    nearly[0, 0, 0, 0] = torch.nextafter(nearly[0, 0, 0, 0], torch.tensor(2.0))
    different = [
        asked(target=nearly),
        asked(networks=Networks.of(other, "cpu")),
        asked(networks=Networks.of(replace(networks.model, encoder=None), "cpu")),
        asked(networks=replace(networks, dtype=torch.bfloat16)),
        asked(networks=replace(networks, channels_last=not networks.channels_last)),
        asked(source="lion"),
        asked(source="black cat"),
        asked(preset="fast"),
        asked(options=UNSET),
        asked(options=replace(SHORT, seed=1)),
        asked(options=replace(SHORT, pixel_weight=0.3)),
    ]
    assert len({asked(), *different}) == 1 + len(different)
    assert asked(target=target.clone(), source="LION") == asked(source="lion")


def test_other_programs_and_processors_ask_anew(
    networks: Networks, target: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {asked_of(networks, target, None, "balanced", UNSET)}
    for where, name, value in (
        (module, "_code", lambda rooms: "other"),
        (torch, "__version__", "9.9"),
        (torch, "get_num_threads", lambda: 77),
        (torch.backends.cpu, "get_cpu_capability", lambda: "none"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, value)
            asked.add(asked_of(networks, target, None, "balanced", UNSET))
    assert len(asked) == 5


def test_unknown_classes_and_presets_are_errors_as_without(
    networks: Networks, target: Tensor, cache: ProjectionCache
) -> None:
    with pytest.raises(PhotograftError, match="griffin"):
        cache.project(networks, target, "griffin")
    with pytest.raises(PhotograftError, match="unknown preset"):
        cache.project(networks, target, preset="better")
    assert not cache.files()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def _with(**changes: Tensor | None) -> Callable[[Path], None]:
    """A file that tells the right names and digest of other tensors."""

    def write(path: Path) -> None:
        asked = json.loads(json.dumps(read_metadata_of(path)))
        tensors = {name: t for name, t in (load_file(path) | changes).items() if t is not None}
        save_file(tensors, path, asked | {"digest": module._digest(tensors)})

    return write


def read_metadata_of(path: Path) -> dict[str, str]:
    content = path.read_bytes()
    header: dict[str, dict[str, str]] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header["__metadata__"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x80\x04cposix\nsystem\n."),
        _cut,
        _flip,
        _with(latent=torch.zeros(1, 9)),
        _with(latent=torch.full((1, 8), torch.nan)),
        _with(latent=torch.zeros(1, 8, dtype=torch.float64)),
        _with(latent=None),
        _with(label=torch.tensor([99])),
        _with(label=None),
        _with(iterations=torch.tensor([1.0])),
        _with(feature_curve=None),
        _with(pixel_curve=torch.zeros(7, 1)),
        _with(origin=torch.zeros(1, 3)),
        lambda path: save_file(load_file(path), path, {"asked": "another", "digest": "", "deltas": "0"}),
        lambda path: save_file(load_file(path), path),
    ],
)
def test_a_damaged_or_hostile_file_is_none_and_is_replaced(
    networks: Networks,
    target: Tensor,
    cache: ProjectionCache,
    made: list[Tensor],
    damage: Callable[[Path], object],
) -> None:
    (first,) = cache.project(networks, target, options=SHORT)
    ((path, _),) = cache.files()
    whole = path.read_bytes()
    damage(path)
    (again,) = cache.project(networks, target, options=SHORT)
    assert len(made) == 2
    assert numbers(again) == numbers(first)
    assert len(path.read_bytes()) == len(whole)
    cache.project(networks, target, options=SHORT)
    assert len(made) == 2


def test_pictures_that_are_projected_together_are_kept_together(
    networks: Networks, target: Tensor, cache: ProjectionCache, made: list[Tensor]
) -> None:
    pictures = torch.cat([target, -target, target / 2])
    first, again = (cache.project(networks, pictures, options=SHORT) for _ in range(2))
    assert len(made) == 1
    assert [numbers(one) for one in first] == [numbers(one) for one in again]
    assert len({one.latent for one in first}) == 3
    (alone,) = cache.project(networks, target, options=SHORT)  # which rounds in another way
    assert len(made) == 2
    torch.testing.assert_close(alone.latent, first[0].latent, atol=0.05, rtol=0.05)
    cache.project(networks, pictures[[1, 0, 2]], options=SHORT)
    assert len(made) == 3


def test_a_delta_of_another_generator_is_none(networks: Networks, target: Tensor, cache: ProjectionCache) -> None:
    options = ProjectionOptions(steps=2, tuning=2)
    cache.project(networks, target, options=options)
    ((path, _),) = cache.files()
    name = next(name for name in load_file(path) if name.startswith("delta ") and name.endswith(":left"))
    _with(**{name: torch.zeros(3, 2, dtype=torch.float16)})(path)
    assert cache.find(asked_of(networks, target, None, "balanced", options), networks.model.generator) is None


def test_what_was_used_last_stays(networks: Networks, cache: ProjectionCache, made: list[Tensor]) -> None:
    pictures = [torch.full((1, 3, 32, 32), value) for value in (-0.5, 0.0, 0.5)]
    for at, picture in enumerate(pictures[:2]):
        cache.project(networks, picture, options=SHORT)
        for path, _ in cache.files()[at:]:
            os.utime(path, (at, at))
    size = cache.files()[0][1].st_size
    small = ProjectionCache(cache.folder, limit=2 * size + size // 2)
    small.project(networks, pictures[0], options=SHORT)  # used again: the other one is the oldest now
    small.project(networks, pictures[2], options=SHORT)
    assert len(small.files()) == 2
    before = len(made)
    small.project(networks, pictures[0], options=SHORT)
    small.project(networks, pictures[2], options=SHORT)
    assert len(made) == before
    small.project(networks, pictures[1], options=SHORT)
    assert len(made) == before + 1
    assert len(ProjectionCache(cache.folder, limit=0).files()) == 2
    ProjectionCache(cache.folder, limit=0).project(networks, pictures[0] + 0.1, options=SHORT)
    assert not cache.files()


def test_half_files_of_killed_processes_go(networks: Networks, target: Tensor, cache: ProjectionCache) -> None:
    cache.folder.mkdir()
    half = cache.folder / ".photograft-0.tmp"
    half.write_bytes(b"half")
    os.utime(half, (time.time() - 3600,) * 2)
    cache.project(networks, target, options=SHORT)
    assert not half.exists()


def test_many_at_once_share_a_folder(networks: Networks, target: Tensor, cache: ProjectionCache) -> None:
    (found,) = project_pictures(networks, target, options=SHORT)
    small = ProjectionCache(cache.folder, limit=4096)

    def keep(number: int) -> bool:
        small.keep(f"picture {number % 5}", found)
        kept = small.find(f"picture {number % 5}", networks.model.generator)
        return kept is None or numbers(kept) == numbers(found)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(keep, range(80)))
    assert not list(cache.folder.glob("*.tmp"))
    assert sum(stat.st_size for _, stat in small.files()) <= small.limit


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid"), reason="no such folders")
def test_a_folder_that_cannot_be_written_is_said(networks: Networks, target: Tensor, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said: list[str] = []
    (found,) = ProjectionCache(tmp_path / "file" / "kept").project(networks, target, options=SHORT, say=said.append)
    assert found.latent.shape == (1, 8)
    assert len(said) == 1
    assert said[0].startswith("the projection is not kept: ")


def test_the_environment_names_folder_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOGRAFT_CACHE", str(tmp_path / "there"))
    monkeypatch.setenv("PHOTOGRAFT_CACHE_MB", "3")
    assert ProjectionCache.default() == ProjectionCache(tmp_path / "there", 3 * 2**20)
    monkeypatch.setenv("PHOTOGRAFT_CACHE_MB", "much")
    with pytest.raises(PhotograftError, match=r"PHOTOGRAFT_CACHE_MB is 'much'"):
        ProjectionCache.default()
    monkeypatch.delenv("PHOTOGRAFT_CACHE_MB")
    monkeypatch.delenv("PHOTOGRAFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ProjectionCache.default().limit == 512 * 2**20
    assert "photograft" in str(ProjectionCache.default().folder)


# ---------------------------------------------------------------------- settled latents


def test_what_settled_is_kept(networks: Networks, cache: ProjectionCache) -> None:
    made = []

    def settle() -> Tensor:
        made.append(torch.randn(1, 8))
        return made[-1]

    asked = {"steps": [0, 1.0, None], "updates": 20}
    first = cache.settle(networks, [asked], settle)
    assert cache.settle(networks, [dict(asked)], settle).equal(first)
    assert len(made) == 1
    assert not cache.settle(networks, [asked | {"updates": 21}], settle).equal(first)
    for (path, _), content in zip(cache.files(), (b"", b"x"), strict=True):
        path.write_bytes(content)
    cache.settle(networks, [asked], settle)
    assert len(made) == 3
    for path, _ in cache.files():
        if path.stat().st_size > 9:
            _with(latent=torch.full((1, 8), torch.nan), other=torch.zeros(1))(path)
    cache.settle(networks, [asked], settle)
    assert len(made) == 4


# ---------------------------------------------------------------------- editors and commands


def test_settled_edits_have_the_same_bytes(cache: ProjectionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    networks, photo, box = Networks.of(load_model(), "cpu"), CAT[::2, ::2], Box(60, 15, 80, 80)
    count, settle = [], settling.settle

    def counted(*args: object, **options: object) -> Tensor:
        count.append(1)
        return settle(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(settling, "settle", counted)
    made = []
    for kept in (None, cache, cache):
        editor = Editor(networks, ellipse, cache=kept).set_photo(photo, box).project(preset="fast")
        made.append([editor.edit("lion", settle=2, strength=s).pixels.tobytes() for s in (1.0, 0.5)])
        assert len(count) == min(len(made), 2)
    assert made[0] == made[1] == made[2]
    editor.edit("pug", settle=2)
    editor.edit("lion", settle=3)
    assert len(count) == 4


def test_an_editor_projects_once(tiny: Path, cache: ProjectionCache, made: list[Tensor]) -> None:
    edits = []
    for kept in (None, cache, cache):
        said: list[str] = []
        editor = Editor.from_pretrained(str(tiny), ellipse, said.append, device="cpu", cache=kept)
        editor.set_photo(CAT, Box(120, 30, 160, 160)).project(options=SHORT)
        edits.append((editor.edit("lion").pixels.tobytes(), editor.settings, editor.source, editor.said()))
    assert edits[0] == edits[1] == edits[2]
    assert len(made) == 1
    assert "the projection is taken from the cache" in said
    other = Editor(editor.networks, ellipse, cache=cache).set_photo(CAT, Box(120, 30, 160, 160))
    assert editor.refer(other.project(options=SHORT)).samples.latent.equal(editor.samples().latent)


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_commands_write_the_same_bytes(
    edit: Callable[..., int], cat: Path, tmp_path: Path, cache_folder: Path, made: list[Tensor]
) -> None:
    arguments = (cat, "--to", "lion", "--to", "golden retriever")
    assert edit(*arguments, "--no-cache") == 0
    assert not cache_folder.exists()
    alone = written(tmp_path / "out")
    for number in (1, 1):
        assert edit(*arguments) == 0
        assert written(tmp_path / "out") == alone
        assert len(made) == number
    assert edit(cat, "--to", "black cat") == 0
    assert len(made) == 1
    assert edit(cat, "--to", "black cat", "--seed", 2) == 0
    assert len(made) == 2


@pytest.mark.parametrize("command", ["project", "blend"])
def test_other_commands_too(
    command: str, tiny: Path, cat: Path, tmp_path: Path, made: list[Tensor], cache_folder: Path
) -> None:
    arguments = [command, str(cat), "--model", str(tiny), "--out", str(tmp_path / "out"), "--box", "120,30,160,160"]
    arguments += ["--preset", "fast"] + (["--mask", "box"] if command == "blend" else [])
    assert main([*arguments, "--no-cache"]) == 0
    alone = written(tmp_path / "out")
    assert not cache_folder.exists()
    for _ in range(2):
        assert main(arguments) == 0
        assert written(tmp_path / "out") == alone
    assert len(made) == 1


def test_the_cache_is_looked_at_and_emptied(
    edit: Callable[..., int], cat: Path, cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "info"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(cache_folder),
        "0 projections and settled latents, 0.0 of at most 512 MB",
        str(cache_folder / "models"),
        "0 fetched models, 0.0 MB",
    ]
    assert edit(cat, "--to", "lion") == 0
    capsys.readouterr()
    assert main(["cache", "info"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("1 projections and settled latents, 0.0 of")
    (cache_folder / "mine.txt").touch()
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"1 files removed from {cache_folder}"
    assert [path.name for path in cache_folder.iterdir()] == ["mine.txt"]
