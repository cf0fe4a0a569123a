"""Edits of photos with style generators: collage of classes, blending, transfer, files that go on from there."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from infer.catalog.part_transfer import stream_of
from infer.cli.main import main
from infer.editor.editor import Editor
from infer.editor.recipe_file import read_recipe
from infer.edits.feature_blending import blend_regions
from infer.edits.scbn import Region, class_modulations, in_class, spatial_mix
from infer.photo.box import Box, uncrop
from infer.projection.options import ProjectionOptions
from models.errors import PhotograftError, UnsupportedEdit
from models.samples import Samples
from models.zoo import Model, load_model
from tests.infer.conftest import CAT, HEAD, ellipse
from tests.infer.tiny_styles import LATENTS, NUM_WS, RESOLUTION, W_DIM, tiny_generator, write_style_model

WHOLE = torch.ones(RESOLUTION, RESOLUTION)
LEFT = torch.cat([WHOLE[:, :8], torch.zeros(RESOLUTION, 8)], dim=1)


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_style_model(tmp_path_factory.mktemp("style"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unconditional, without an encoder."""
    return write_style_model(tmp_path_factory.mktemp("plain"), 0, encoder=False)


@pytest.fixture(scope="module")
def model(conditional: Path) -> Model:
    return load_model(str(conditional))


@pytest.mark.parametrize("family", ["stylegan2", "stylegan"])
def test_collage_over_everything_is_the_other_class(family: str) -> None:
    g = tiny_generator(family)
    z, y = torch.randn(2, LATENTS), torch.tensor([0, 1])
    ws = g.mapping(z, y) + 0.2 * torch.randn(2, NUM_WS, W_DIM)  # as after a search
    other = g(g.mapping(z, torch.tensor([2, 2])))
    mixed = class_modulations(g, ws, y, [Region(WHOLE, 2)], origin=z)
    assert torch.allclose(g.synthesize(ws, mixed), other, atol=1e-4)
    nothing = class_modulations(g, ws, y, [Region(WHOLE, 2, strength=0.0)], origin=z)
    assert torch.allclose(g.synthesize(ws, nothing), g(ws), atol=1e-4)
    half = g.synthesize(ws, class_modulations(g, ws, y, [Region(LEFT, 2)], origin=z))
    near, far = (half - other).abs(), (half - g(ws)).abs()
    assert near[..., 1:3].mean() < far[..., 1:3].mean()
    assert near[..., -3:-1].mean() > far[..., -3:-1].mean()


def test_any_latents_can_be_mixed() -> None:
    g = tiny_generator(num_classes=0)
    a, b = torch.randn(2, 1, NUM_WS, W_DIM)
    ones = [torch.stack([torch.zeros(1, s, s), torch.ones(1, s, s)], dim=1) for s in _sizes(g)]
    assert torch.allclose(g.synthesize(a, spatial_mix([g.styles(a), g.styles(b)], ones)), g(b), atol=1e-4)


def _sizes(g: Any) -> list[int]:
    return [layer.resolution for layer in g.modulated_layers]


def test_the_same_picture_in_another_class() -> None:
    g = tiny_generator()
    z, y, target = torch.randn(3, LATENTS), torch.tensor([0, 1, 2]), torch.tensor([2, 2, 0])
    ws = torch.randn(3, NUM_WS, W_DIM)
    assert torch.allclose(in_class(g, ws, y, target, z), g.mapping(z, target))
    moved = ws + torch.stack([g.class_step(int(a), int(b)) for a, b in zip(y, target, strict=True)])[:, None]
    assert torch.allclose(in_class(g, ws, y, target), moved, atol=1e-5)
    z[1] = torch.nan
    some = in_class(g, ws, y, target, z)
    assert torch.allclose(some[1], moved[1], atol=1e-5)
    assert torch.allclose(some[::2], g.mapping(z[::2], target[::2]), atol=1e-5)
    assert in_class(g, z, y, target) is z
    with pytest.raises(PhotograftError, match="class of these latents is not known"):
        in_class(g, ws, None, target)


def test_blending_takes_samples_and_photos_alike() -> None:
    g = tiny_generator()
    photo = stream_of(g, Samples(torch.randn(1, NUM_WS, W_DIM), torch.tensor([0])))
    sample = stream_of(g, Samples(torch.randn(1, LATENTS), torch.tensor([1])))
    assert sample.latent.shape == photo.latent.shape
    before = g.synthesize(photo.latent, photo.modulations)
    for references in ([sample, photo], [photo, sample]):
        same = blend_regions(g, photo, references, [0 * WHOLE, 0 * WHOLE], layers=(0, 1, 2))
        assert torch.allclose(same, before, atol=1e-5)
    blended = blend_regions(g, photo, [sample], [LEFT], layers=(0, 1, 2))
    change = (blended - before).abs().mean(dim=(0, 1, 2))
    assert change[1:4].mean() > 3 * change[-4:-1].mean()


@pytest.mark.parametrize("encoder", [True, False])
def test_from_a_photo_to_files_and_on(model: Model, encoder: bool, tmp_path: Path) -> None:
    if not encoder:
        model = dataclasses.replace(model, encoder=None)
    editor = Editor(model, ellipse).set_photo(CAT, _box())
    editor.project("lion", steps=4, options=ProjectionOptions(tuning=3))
    assert editor.projection is not None
    assert editor.projection.latent.shape == (1, NUM_WS, W_DIM)
    assert editor.projection.origin is not None
    assert bool(editor.projection.origin.isfinite().all()) == encoder
    assert {"space": "w+", "tuning": 3}.items() <= editor.settings.items()
    delta = editor.delta
    assert delta is not None
    assert delta.whole
    assert delta.factors
    assert editor.generator is not model.generator
    own = editor.generator(editor.projection.latent)[0].permute(1, 2, 0).detach().numpy() * 127.5 + 127.5
    np.testing.assert_array_equal(editor.reconstruction(), own.round().clip(0, 255).astype(np.uint8))
    assert (editor.reconstruction() != Editor.reconstruction(_without_delta(editor))).any()
    nothing = editor.edit("pug", mask="box", strength=0.0, scale="mix", finish="off")
    np.testing.assert_allclose(nothing.patch.astype(int), _enlarged(editor.reconstruction()).astype(int), atol=1)
    editor.edits.clear()
    edit = editor.edit("pug", mask="box")
    (photo,) = editor.save(tmp_path)
    assert (tmp_path / "photo_to_pug.delta.safetensors").is_file()
    recipe = read_recipe(photo.with_suffix(".json"))
    assert json.loads(photo.with_suffix(".json").read_text())["files"]["delta"] == "photo_to_pug.delta.safetensors"
    again = Editor(model, ellipse).restore(recipe, editor.photo)
    np.testing.assert_array_equal(again.reconstruction(), editor.reconstruction())
    np.testing.assert_array_equal(again.edit("pug", mask="box").pixels, edit.pixels)
    (tmp_path / "photo_to_pug.delta.safetensors").unlink()
    with pytest.raises(PhotograftError, match=r"delta\.safetensors is missing"):
        Editor(model, ellipse).restore(recipe, editor.photo)


def _box() -> Any:
    return Box.parse(HEAD)


def _enlarged(pixels: Any) -> Any:
    return uncrop(pixels, _box(), CAT.shape)[0]


def _without_delta(editor: Editor) -> Editor:
    assert editor.projection is not None
    bare = Editor(editor.model, ellipse).set_photo(CAT, _box())
    return bare.set_projection(editor.projection.latent, editor.label)


def test_fast_is_the_encoders_answer_in_w(model: Model) -> None:
    editor = Editor(model, ellipse).set_photo(CAT, _box()).project("lion", preset="fast")
    assert editor.projection is not None
    assert model.encoder is not None
    z = model.encoder.encode(editor.target())
    assert torch.allclose(editor.projection.latent, model.generator.mapping(z, torch.tensor([1])), atol=1e-4)  # type: ignore[operator]
    assert editor.delta is None
    edited = editor.edit("pug", mask="box", method="paste")
    whole = model.generator(z, torch.tensor([2])).detach()
    expected = (whole[0].permute(1, 2, 0).numpy() * 127.5 + 127.5).clip(0, 255)
    assert abs(edited.patch.mean() - expected.mean()) < 5


def test_unconditional_models_edit_what_needs_no_class(plain: Path) -> None:
    editor = Editor(load_model(str(plain)), ellipse).set_photo(CAT, _box()).project(steps=3)
    assert editor.label is None
    assert editor.class_name is None
    assert editor.samples().label is None
    image = editor.generator(editor.samples().latent).detach()
    changed, _ = editor.paste((image + 0.3).clamp(-1, 1), np.ones((8, 8), np.float32), change=True, method="paste")
    assert (changed != CAT).any()
    with pytest.raises(UnsupportedEdit, match="unconditional: changing a class needs classes"):
        editor.edit("lion")
    with pytest.raises(PhotograftError, match="unconditional"):
        editor.project("lion", steps=1)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((torch.zeros(1, NUM_WS, W_DIM + 1), 0), {}, r"\[1,6\] or \[1,6,8\]"),
        ((torch.full((1, NUM_WS, W_DIM), torch.inf), 0), {}, "finite"),
        ((torch.zeros(1, LATENTS), None), {}, "has 3 classes: give that of the latent"),
        ((torch.zeros(1, LATENTS), 0), {"origin": torch.zeros(1, 5)}, "origin"),
    ],
)
def test_bad_latents_are_refused(model: Model, arguments: Any, options: Any, words: str) -> None:
    with pytest.raises(PhotograftError, match=words):
        Editor(model, ellipse).set_photo(CAT, _box()).set_projection(*arguments, **options)


# ---------------------------------------------------------------------- commands


def run(command: str, file: Path, out: Path, *arguments: object) -> int:
    return main([command, "--model", str(file), "--out", str(out), *map(str, arguments)])


def test_edit_and_project_commands(
    conditional: Path, cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    where = ("--box", HEAD, "--steps", 2, "--from", "lion")
    asked = (cat, "--to", "pug", "--mask", "box", *where)
    assert run("edit", conditional, out, *asked, "--space", "z") == 0
    projection = json.loads((out / "cat_to_pug.json").read_text())["source"]["projection"]
    assert (projection["settings"]["space"], len(projection["z"])) == ("z", LATENTS)
    assert not (out / "cat_to_pug.delta.safetensors").exists()
    assert run("edit", conditional, out, *asked, "--space", "w", "--no-noise") == 0
    projection = json.loads((out / "cat_to_pug.json").read_text())["source"]["projection"]
    assert projection["settings"]["noise"] is False
    assert projection["w+"] == [projection["w+"][0]] * NUM_WS
    assert not (out / "cat_to_pug.delta.safetensors").exists()
    monkeypatch.setattr("infer.projection.model.TUNING", 3)
    assert run("project", conditional, out, cat, *where, "--tune") == 0
    start = json.loads((out / "cat.projection.json").read_text())
    assert start["source"]["projection"]["settings"]["tuning"] == 3
    assert start["files"]["delta"] == "cat.projection.delta.safetensors"
    assert (out / start["files"]["delta"]).is_file()
    monkeypatch.setattr("infer.projection.model.project", pytest.fail)
    monkeypatch.setattr("infer.projection.model.tune", pytest.fail)
    again = ("--recipe", out / "cat.projection.json", "--to", "pug", "--mask", "box")
    assert run("edit", conditional, tmp_path / "again", *again) == 0
    assert (tmp_path / "again" / "cat_to_pug.delta.safetensors").is_file()
    capsys.readouterr()
    for option in (("--space", "w"), ("--no-noise",), ("--tune",)):
        assert run("edit", conditional, out, *again, *option) == 2
        assert "exclude each other" in capsys.readouterr().err
    (out / start["files"]["delta"]).unlink()
    assert run("edit", conditional, out, *again) == 2
    assert "is missing" in capsys.readouterr().err


def test_transfer_and_blend_between_photos_without_classes(
    plain: Path, cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    build = ["catalog", "build", "-k", "3", "--samples", "8", "--no-segment", "--model", str(plain), "--out", str(out)]
    assert main(build) == 0
    capsys.readouterr()
    other = cat.with_name("other.png")
    Image.fromarray(np.ascontiguousarray(CAT[:, ::-1])).save(other)
    asked = ("-p", "0,1,2", "--box", HEAD, "--mode", "global", "--shift")
    assert run("transfer", plain, out, cat, *asked, "--reference", other) == 0
    with Image.open(out / "cat_0-1-2.png") as result:
        pixels = np.asarray(result)
    assert (pixels != CAT).any()
    recipe = json.loads((out / "cat_0-1-2.json").read_text())
    assert recipe["source"]["projection"]["source"] is None
    assert recipe["source"]["projection"]["settings"]["space"] == "w+"
    assert recipe["files"]["delta"] == "cat_0-1-2.delta.safetensors"
    assert (out / recipe["files"]["delta"]).is_file()
    assert capsys.readouterr().out.split() == [str(path) for path in _files(out, recipe, "cat_0-1-2.json")]
    assert run("transfer", plain, out, cat, *asked, "--preset", "fast", "--space", "w") == 0
    capsys.readouterr()
    where = ("--mask", "box", "--box", HEAD, "--reference", other, "--method", "paste")
    assert run("blend", plain, out, cat, *where, "--layers", "all") == 0
    recipe = json.loads((out / "cat_blend_box.json").read_text())
    assert capsys.readouterr().out.split() == [str(path) for path in _files(out, recipe, "cat_blend_box.json")]
    with Image.open(out / "cat_blend_box.png") as result:
        assert (np.asarray(result) != CAT).any()


def _files(folder: Path, recipe: Any, name: str) -> list[Path]:
    """What was written, in the order in which it is told; all of it is there."""
    files = recipe["files"]
    masks = [step["region"] for step in recipe["edit"]["steps"] if str(step.get("region")).endswith(".png")]
    own = (files["result"], files["panel"], *masks, files["delta"], files["delta0"], name)
    paths = [folder / file for file in own]
    assert all(path.is_file() for path in paths)
    return paths


def test_edit_without_classes_is_refused(plain: Path, cat: Path, tmp_path: Path, capsys: Any) -> None:
    assert run("edit", plain, tmp_path / "out", cat, "--to", "pug", "--box", HEAD) == 2
    assert "unconditional" in capsys.readouterr().err
