"""What a photo becomes depends on the photo, the model and the options: not on which others it comes with, nor on where
it stands among them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from infer.cli.main import main
from infer.editor.editor import Editor, project_all
from infer.photo.box import Box
from infer.projection.model import project_pictures
from infer.projection.options import ProjectionOptions
from infer.projection.search import Projection
from models.prepared import Networks
from models.zoo import Model, load_model
from tests.infer.conftest import CAT
from tests.infer.tiny_model import write_tiny_model
from tests.infer.tiny_styles import write_style_model

# by what could mix pictures: E alone, trials of classes, updates, starts that are dropped, stops, tuning
WAYS: dict[str, dict[str, Any]] = {
    "fast": {"preset": "fast"},
    "fast, class given": {"preset": "fast", "source": "lion"},
    "no updates": {"steps": 0},
    "balanced": {"steps": 4},
    "class given": {"steps": 4, "source": "lion"},
    "float32": {"steps": 3, "dtype": torch.float32},
    "restarts": {"steps": 12, "restarts": 3, "source": "lion"},
    "random start": {"steps": 3, "init": "random"},
    "patience": {"steps": 12, "patience": 1, "source": "lion"},
    "keep last": {"steps": 3, "keep": "last"},
    "tuning": {"steps": 2, "tuning": 2, "source": "lion"},
    "best": {"preset": "best", "steps": 11, "tuning": 1, "source": "lion"},
}
SPACES = {"sngan": ("z",), "zeta": ("z", "zeta"), "style": ("z", "w", "w+")}
KINDS = [(kind, space) for kind, spaces in SPACES.items() for space in spaces]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("models")
    files = {
        "sngan": write_tiny_model(folder),
        "zeta": write_tiny_model(folder, "zeta", auxiliary=True),
        "style": write_style_model(folder),
    }
    return {kind: load_model(str(file)) for kind, file in files.items()}


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tensors(found: Projection) -> list[torch.Tensor]:
    names = ("latent", "label", "loss", "feature_curve", "pixel_curve", "iterations", "zeta", "origin")
    parts = [getattr(found, name) for name in names]
    return [t for t in parts if t is not None] + [t for delta in found.deltas for t in delta.tensors().values()]


def assert_same(one: Projection, other: Projection) -> None:
    for a, b in zip(tensors(one), tensors(other), strict=True):
        assert torch.equal(a.nan_to_num(-1), b.nan_to_num(-1))


def assert_independent(model: Model, others: int, options: dict[str, Any]) -> None:
    """One picture alone, as the first of some, and as the last of them in another order."""
    r, options = model.generator.resolution, dict(options)
    networks = Networks.of(model, "cpu", dtype=options.pop("dtype", torch.bfloat16))
    given = {name: options.pop(name) for name in ("source", "preset") if name in options}
    given["options"] = ProjectionOptions(**options)
    pictures = torch.rand(1 + others, 3, r, r, generator=torch.Generator().manual_seed(0)) * 2 - 1
    (alone,) = project_pictures(networks, pictures[:1], **given)
    assert_same(project_pictures(networks, pictures, **given)[0], alone)
    assert_same(project_pictures(networks, pictures.flip(0), **given)[others], alone)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("kind", "space"), KINDS)
def test_alone_or_among_others(models: dict[str, Model], kind: str, space: str, way: str) -> None:
    with threads(1):
        assert_independent(models[kind], 2, {"space": space, **WAYS[way]})


@pytest.mark.parametrize("kind", SPACES)
def test_with_more_threads(models: dict[str, Model], kind: str) -> None:
    with threads(2):
        assert_independent(models[kind], 1, {"steps": 1, "source": "lion"})


@pytest.mark.parametrize("kind", SPACES)
def test_among_many(models: dict[str, Model], kind: str) -> None:
    with threads(1):
        assert_independent(models[kind], 8, {"steps": 2})


def test_the_same_photo_twice_is_the_same_twice(models: dict[str, Model]) -> None:
    """Starts are of the seed alone, not of the place among the photos."""
    editors = [Editor(models["sngan"]).set_photo(CAT, Box(120, 30, 160, 160)) for _ in range(3)]
    project_all(editors, steps=11, options=ProjectionOptions(restarts=3))
    first = editors[0].projection
    assert first is not None
    for editor in editors[1:]:
        assert editor.projection is not None
        assert_same(editor.projection, first)


@pytest.mark.parametrize("model", ["tiny", "style"])
@pytest.mark.parametrize("options", [(), ("--preset", "fast"), ("--restarts", "2")], ids=str)
@pytest.mark.parametrize("among", ["before", "after", "between", "with a bad one"])
def test_command_writes_the_same_bytes(
    models: dict[str, Model], among: str, options: tuple[str, ...], model: str, tmp_path: Path
) -> None:
    assert models
    cat, other, bad = (tmp_path / f"{name}.png" for name in ("cat", "other", "bad"))
    Image.fromarray(CAT).save(cat)
    Image.fromarray(np.ascontiguousarray(CAT[:, ::-1])).save(other)
    bad.write_bytes(b"no picture")
    third = tmp_path / "third.png"
    Image.fromarray(255 - CAT).save(third)
    file = (write_tiny_model if model == "tiny" else write_style_model)(tmp_path)
    steps = () if "fast" in options else ("--steps", "3")
    order = {
        "before": [cat, other],
        "after": [other, third, cat],
        "between": [other, cat, third],
        "with a bad one": [bad, other, cat],
    }[among]
    for folder, photos in (("alone", [cat]), ("among", order)):
        command = ["project", *map(str, photos), "--model", str(file), "--box", "120,30,160,160", *steps, *options]
        assert main([*command, "--out", str(tmp_path / folder)]) == (2 if bad in photos else 0)
    written = sorted((tmp_path / "alone").iterdir())
    assert len(written) >= 2
    for path in written:
        assert path.read_bytes() == (tmp_path / "among" / path.name).read_bytes(), path.name
