"""Mixtures of classes: what a classifier is not sure of, what a user asks for, what recipes say."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from infer.cli.main import main
from infer.editor.editor import Editor
from infer.editor.recipe_file import read_recipe
from infer.edits.scbn import Region, class_modulations, in_class
from infer.photo.box import Box
from infer.projection.mixture import (
    classes_of,
    heaviest,
    nearest_classes,
    parse_source,
    said_source,
    shares,
    source_label,
    source_title,
)
from infer.projection.model import project_pictures
from infer.projection.options import ProjectionOptions
from infer.projection.settling import SettlingTarget
from models.discriminators.projected import ProjectedDiscriminator
from models.errors import PhotograftError
from models.zoo import Model, load_model
from tests.infer.conftest import ellipse
from tests.infer.projection.helpers import exact, tuned
from tests.infer.tiny_model import CLASSES, LATENTS, RESOLUTION
from tests.infer.tiny_styles import tiny_generator

CAT, BOX = data.cat(), Box(120, 30, 160, 160)
MIX = {"lion": 0.7, "black cat": 0.3}
WEIGHTS = torch.tensor([[0.3, 0.0, 0.0, 0.7]])
SHORT = ProjectionOptions(steps=2)


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load_model(str(tiny))


@pytest.fixture(scope="module")
def unsure(model: Model) -> Model:
    """With a projected discriminator, whose random classifier finds every class likely, and that reads outlines."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(5)
        network = ProjectedDiscriminator(len(CLASSES), RESOLUTION, mixed_channels=4, head_channels=4)
        network.calibrate(model.generator(torch.randn(32, LATENTS), torch.arange(32) % len(CLASSES)))
        network.outline.last.weight.normal_()
    return dataclasses.replace(model, projected=network.freeze())


def test_names_and_weights_are_labels(model: Model) -> None:
    assert source_label(model, "lion").tolist() == [3]
    assert torch.equal(source_label(model, MIX), WEIGHTS)
    assert torch.allclose(source_label(model, {"lion": 7, "black cat": 3}), WEIGHTS), "made to sum to 1"
    assert source_label(model, {"lion": 2.5}).tolist() == [3], "one alone is a class"
    assert torch.equal(classes_of(torch.eye(4)[[2, 0]]), torch.tensor([2, 0]))
    assert classes_of(WEIGHTS) is WEIGHTS
    assert [heaviest(label) for label in (torch.tensor([2]), WEIGHTS)] == [2, 3]
    assert torch.equal(shares(torch.tensor([1]), 4), torch.eye(4)[1:2])
    for label in (torch.tensor([1]), WEIGHTS, source_label(model, {"lion": 1 / 3, "black cat": 2 / 3})):
        said = said_source(model, label)
        assert said is not None
        assert torch.equal(source_label(model, json.loads(json.dumps(said))), label), "to the bit"
    assert list(said_source(model, WEIGHTS) or {}) == ["lion", "black cat"], "the heaviest first"
    assert (source_title(MIX), source_title("lion"), source_title(None)) == ("70% lion, 30% black cat", "lion", None)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({}, "a class is a name, or weights by names"),
        ({"lion": 0.0}, "weight of 'lion' must be a positive number"),
        ({"lion": float("nan")}, "weight of 'lion'"),
        ({"lion": True}, "weight of 'lion'"),
        ({"wolf": 1.0}, "unknown class 'wolf'"),
        ({"lion": 0.5, "LION": 0.5}, "'lion' is named twice"),
        (7, "a class is a name"),
    ],
)
def test_bad_mixtures(model: Model, source: Any, words: str) -> None:
    with pytest.raises(PhotograftError, match=words):
        source_label(model, source)


def test_mixtures_on_the_command_line(model: Model) -> None:
    assert parse_source(model, "golden-retriever") == "golden retriever"
    assert parse_source(model, "lion:7,black-cat:3") == MIX
    assert parse_source(model, "lion, black cat") == {"black cat": 0.5, "lion": 0.5}
    odd = dataclasses.replace(model, class_names=["a:b,c", *CLASSES[1:]])
    assert parse_source(odd, "a:b,c") == "a:b,c", "a name that looks like one"
    for text, words in (
        ("lion:x,black cat:1", "a mixture is CLASS:WEIGHT"),
        ("lion:-1", "positive number"),
        ("lion:1,lion:2", "named twice"),
        ("lion,", "unknown class"),
    ):
        with pytest.raises(PhotograftError, match=words):
            parse_source(model, text)


def test_what_a_classifier_is_sure_of_is_one_class() -> None:
    logits = torch.tensor([[9.0, 0, 0, 0], [1.0, 2, 0, -9], [0.0, 0, 0, 0]])
    found = nearest_classes(logits, 2, 1.0, 0.9)
    assert found[0].tolist() == [1, 0, 0, 0]
    assert found[1].tolist() == pytest.approx([0.269, 0.731, 0, 0], abs=1e-3)
    assert (found > 0).sum(1).tolist() == [1, 2, 2]
    assert torch.allclose(found.sum(1), torch.ones(3))
    assert torch.allclose((found * 1000).round() / 1000, found), "readable in a recipe"
    flatter = nearest_classes(logits, 3, 2.0, 0.9)
    assert float(flatter[1].max()) < float(found[1].max())
    assert nearest_classes(logits, 99, 1.0, 0.9).shape == (3, 4)


def test_a_photo_between_classes_is_projected_as_a_mixture(unsure: Model) -> None:
    networks = exact(unsure)
    x = torch.rand(2, 3, RESOLUTION, RESOLUTION) * 2 - 1
    for preset in ("fast", "balanced"):
        options = SHORT if preset == "balanced" else ProjectionOptions()
        together = project_pictures(networks, x, preset=preset, options=options)
        for i, found in enumerate(together):
            assert found.label is not None
            assert found.label.shape == (1, len(CLASSES))
            assert float(found.label.sum()) == pytest.approx(1)
            (alone,) = project_pictures(networks, x[i : i + 1], preset=preset, options=options)
            assert torch.equal(alone.latent, found.latent)
            assert torch.equal(alone.label, found.label)  # type: ignore[arg-type]


def test_a_mixture_beside_others_changes_nothing_for_them(model: Model) -> None:
    x = torch.rand(2, 3, RESOLUTION, RESOLUTION) * 2 - 1
    one, two = project_pictures(exact(model), x, ["lion", MIX], options=SHORT)
    (alone,) = project_pictures(exact(model), x[:1], "lion", options=SHORT)
    assert one.label is not None
    assert two.label is not None
    assert one.label.tolist() == [3]
    assert torch.equal(two.label, WEIGHTS)
    assert torch.equal(one.latent, alone.latent)


def test_regions_lie_over_a_mixture(model: Model) -> None:
    z, mask = torch.randn(1, LATENTS), torch.zeros(32, 32)
    mask[:, :16] = 1
    mixed = class_modulations(model.generator, z, WEIGHTS, [Region(mask, 2)])
    base = model.generator.modulations(z, WEIGHTS)
    lion, cat = (model.generator.modulations(z, torch.tensor([k])) for k in (3, 0))
    for m, b, one, other in zip(mixed, base, lion, cat, strict=True):
        assert torch.allclose(m.scale[..., -1], b.scale[..., None].expand_as(m.scale[..., -1]), atol=1e-5)
        assert torch.allclose(b.scale, 0.7 * one.scale + 0.3 * other.scale, atol=1e-5)


def test_settling_wants_what_of_the_mixture_is_left() -> None:
    outline, mask = torch.ones(8, 8), torch.zeros(8, 8)
    mask[:4] = 1
    wanted = SettlingTarget.of_edit(outline, WEIGHTS, [Region(mask, 2, 0.5)], 4)
    assert wanted.classes[0].tolist() == pytest.approx([0.225, 0, 0.25, 0.525])


def test_w_of_a_mixture_moves_by_the_steps_of_its_classes() -> None:
    g = tiny_generator(num_classes=3)
    ws = g.mapping(torch.randn(1, g.latent_dim), torch.tensor([0])).detach()
    moved = in_class(g, ws, torch.tensor([[0.25, 0.75, 0.0]]), torch.tensor([2]))
    steps = [g.class_step(k, 2) for k in (0, 1)]
    assert torch.allclose(moved - ws, (0.25 * steps[0] + 0.75 * steps[1]).expand_as(ws), atol=1e-5)


def test_tuning_takes_a_mixture(model: Model) -> None:
    assert model.discriminator is not None
    x, z = torch.rand(1, 3, RESOLUTION, RESOLUTION) * 2 - 1, torch.randn(1, LATENTS)
    delta, loss = tuned(model.generator, model.discriminator, x, z, WEIGHTS, steps=2)
    assert delta
    assert loss == loss


def test_recipes_keep_mixtures(unsure: Model, tmp_path: Path) -> None:
    said: list[str] = []
    editor = Editor(unsure, ellipse, say=said.append).set_photo(CAT, BOX).project(MIX, options=SHORT)
    assert said[-1].startswith("projected as 70% lion, 30% black cat, loss")
    assert (editor.label, editor.class_name, editor.source) == (3, "70% lion, 30% black cat", MIX)
    edit = editor.edit("golden retriever", settle=2)
    (picture,) = editor.save(tmp_path)
    content = json.loads(picture.with_suffix(".json").read_text())
    assert content["source"]["projection"]["source"] == MIX
    recipe = read_recipe(picture.with_suffix(".json"))
    again = Editor(unsure, ellipse).restore(recipe, editor.photo)
    np.testing.assert_array_equal(again.reconstruction(), editor.reconstruction())
    redone = again.edit(recipe.steps, method=recipe.method, settle=recipe.settle, scale=recipe.scale)
    np.testing.assert_array_equal(redone.pixels, edit.pixels)
    again.save(tmp_path / "again")
    for path in (tmp_path / "again").iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
    reference = editor.point()
    assert reference.title == "70% lion, 30% black cat"
    for wrong in ({"lion": 0}, {"lion": 2.0, "black cat": 0.1}, {}, {"lion": "1"}):
        content["source"]["projection"]["source"] = wrong
        (tmp_path / "wrong.json").write_text(json.dumps(content))
        with pytest.raises(PhotograftError, match="damaged"):
            read_recipe(tmp_path / "wrong.json")


@pytest.mark.parametrize(
    "label", [torch.ones(1, 4), torch.tensor([[2.0, -1, 0, 0]]), torch.ones(4) / 4, WEIGHTS.long()]
)
def test_bad_weights_of_a_projection(model: Model, label: Tensor) -> None:
    editor = Editor(model, ellipse).set_photo(CAT, BOX)
    with pytest.raises(PhotograftError, match="weights of classes must be"):
        editor.set_projection(torch.zeros(1, LATENTS), label)
    editor.set_projection(torch.zeros(1, LATENTS), WEIGHTS)
    assert editor.source == MIX


def test_from_takes_a_mixture(
    edit: Callable[..., int], cat: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edit(cat, "--to", "golden retriever", "--from", "lion:0.7,black-cat:0.3") == 0
    recipe = read_recipe(tmp_path / "out" / "cat_to_golden-retriever.json")
    assert recipe.source.class_name == MIX
    command = ["project", str(cat), "--model", str(tiny), "--box", "120,30,160,160", "--steps", "1"]
    assert main([*command, "--from", "lion,black cat", "--out", str(tmp_path / "p")]) == 0
    found = read_recipe(tmp_path / "p" / "cat.projection.json")
    assert found.source.class_name == {"black cat": 0.5, "lion": 0.5}
    assert edit(cat, "--to", "lion", "--from", "lion:x") == 2
    assert "a mixture is CLASS:WEIGHT" in capsys.readouterr().err
