"""Settling: edits keep the photo's outline and get their class, and a recipe does it again."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data
from torch import Tensor

from infer.editor.editor import Editor, project_all, settle_all
from infer.editor.points import Sample
from infer.editor.recipe_file import read_recipe
from infer.editor.regions import areas_of, for_generator
from infer.editor.steps import Blend, ChangeClass
from infer.editor.strengths import at_strength
from infer.edits.scbn import Region
from infer.photo.box import Box
from infer.pictures.convert import to_pixels
from infer.projection import settling
from infer.projection.presets import PRESETS
from infer.projection.settling import SettlingTarget, settle, settles
from models.discriminators.projected import ProjectedDiscriminator
from models.errors import PhotograftError, UnsupportedEdit
from models.perception.outline import soft_iou
from models.zoo import Model, load_model
from tests.infer.conftest import ellipse
from tests.infer.projection.helpers import exact
from tests.infer.tiny_model import CLASSES, LATENTS, RESOLUTION

CAT, BOX = data.cat(), Box(120, 30, 160, 160)


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    """With a projected discriminator that reads some outline and class; which, does not matter."""
    plain = load_model(str(tiny))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(5)
        network = ProjectedDiscriminator(len(CLASSES), RESOLUTION, mixed_channels=4, head_channels=4)
        network.calibrate(plain.generator(torch.randn(32, LATENTS), torch.arange(32) % len(CLASSES)))
        network.outline.last.weight.normal_()
    return dataclasses.replace(plain, projected=network.freeze())


@pytest.fixture
def latent() -> Tensor:
    return torch.randn(3, LATENTS, generator=torch.Generator().manual_seed(1))


LABEL = torch.tensor([3, 2, 0])


def wanted() -> SettlingTarget:
    outline = torch.zeros(3, 64, 64)
    outline[:, 16:48, 8:40] = 1
    return SettlingTarget(outline, F.one_hot(LABEL, len(CLASSES)).float())


def moved(model: Model, latent: Tensor, steps: int = 25, **options: float) -> Tensor:
    def show(z: Tensor) -> Tensor:
        return model.generator(z, LABEL)

    return settle(exact(model), latent, wanted(), show, steps=steps, **options)  # type: ignore[arg-type]


def read(model: Model, latent: Tensor) -> tuple[Tensor, Tensor]:
    """Soft IoU with the outline wanted, and cross-entropy of the class, of each picture."""
    assert model.projected is not None
    with torch.no_grad():
        seen = model.projected.project(model.generator(latent, LABEL))
        found = model.projected.outline(seen.stages)
        outline = F.adaptive_avg_pool2d(wanted().outline[:, None], found.shape[-2:])[:, 0]
        return soft_iou(found, outline), F.cross_entropy(model.projected.classify(seen), LABEL, reduction="none")


def test_outlines_and_classes_are_followed(model: Model, latent: Tensor) -> None:
    before = read(model, latent)
    shaped = read(model, moved(model, latent, class_weight=0.0))
    told = read(model, moved(model, latent, shape_weight=0.0, class_weight=5.0))
    assert bool((shaped[0] > before[0] + 0.01).all())
    assert bool((told[1] < before[1]).all())
    assert float(told[1].mean()) < float(shaped[1].mean())


def test_no_more_is_asked_of_a_class_than_enough(model: Model, latent: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    told = read(model, latent)[1]
    monkeypatch.setattr(settling, "ENOUGH", float(told.max()) + 0.01)
    assert torch.allclose(moved(model, latent, shape_weight=0.0), latent, atol=1e-6)
    monkeypatch.setattr(settling, "ENOUGH", float(told.min()) - 0.01)
    assert not torch.allclose(moved(model, latent, shape_weight=0.0), latent, atol=1e-3)


def test_a_mixture_is_told_when_its_shares_are(model: Model, latent: Tensor) -> None:
    assert model.projected is not None
    with torch.no_grad():
        seen = model.projected.project(model.generator(latent, LABEL))
        shares = model.projected.classify(seen).float().softmax(1)
    target = SettlingTarget(wanted().outline, shares)

    def show(z: Tensor) -> Tensor:
        return model.generator(z, LABEL)

    found = settle(exact(model), latent, target, show, steps=5, shape_weight=0.0)
    assert torch.allclose(found, latent, atol=1e-6), "its entropy is no lack"


def test_latents_stay_in_the_prior(model: Model, latent: Tensor) -> None:
    assert torch.equal(moved(model, torch.zeros(3, LATENTS), steps=2), torch.zeros(3, LATENTS))
    found = moved(model, latent, learning_rate=0.5)
    assert bool((found.norm(dim=1) <= latent.norm(dim=1) * 1.0001).all())
    assert not torch.allclose(found, latent, atol=0.1)


def test_pictures_do_not_influence_each_other(model: Model, latent: Tensor) -> None:
    together, asked = moved(model, latent, steps=4), wanted()

    def show(z: Tensor) -> Tensor:
        return model.generator(z, LABEL[1:2])

    alone = settle(exact(model), latent[1:2], SettlingTarget(asked.outline[1:2], asked.classes[1:2]), show, steps=4)
    assert torch.allclose(together[1:2], alone, atol=5e-3)  # rounding grows on the way


def test_photos_without_an_animal_are_left_as_they_are(model: Model, latent: Tensor) -> None:
    asked = wanted()
    asked.outline[1] = 0

    def show(z: Tensor) -> Tensor:
        return model.generator(z, LABEL)

    found = settle(exact(model), latent, asked, show, steps=3)
    assert [bool(torch.equal(a, b)) for a, b in zip(found, latent, strict=True)] == [False, True, False]


def test_what_cannot_be_settled_is_said(tiny: Path, model: Model, latent: Tensor) -> None:
    plain = load_model(str(tiny))
    assert settles(model)
    assert not settles(plain)
    with pytest.raises(UnsupportedEdit, match="reads no outlines"):
        moved(plain, latent)
    with pytest.raises(UnsupportedEdit, match="w\\+"):
        settle(exact(model), latent[:, None], wanted(), lambda z: z, steps=1)
    with pytest.raises(PhotograftError, match="not a number"):
        settle(exact(model), latent, wanted(), lambda z: model.generator(z, LABEL) * torch.nan, steps=1)
    editor = Editor(plain, ellipse).set_photo(CAT, BOX).project("black cat", steps=1)
    assert editor.edit("lion").settle == 0
    with pytest.raises(UnsupportedEdit, match="reads no outlines"):
        editor.edit("lion", settle=2)


def test_edits_are_settled_as_their_preset_says(model: Model) -> None:
    editor = Editor(model, ellipse).set_photo(CAT, BOX).project("black cat", steps=1)
    assert editor.edit("lion").settle == PRESETS["balanced"].settling > 0
    plain, given = editor.edit("lion", settle=0), editor.edit("lion", settle=2)
    assert (plain.settle, given.settle) == (0, 2)
    assert (plain.patch != given.patch).any()
    assert editor.project("black cat", preset="fast").edit("lion").settle == 0


def test_photos_are_projected_and_settle_together(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [CAT, np.ascontiguousarray(CAT[:, ::-1])]
    boxes = [BOX, Box(CAT.shape[1] - BOX.x - BOX.w, BOX.y, BOX.w, BOX.h)]

    def opened() -> list[Editor]:
        return [Editor(model, ellipse).set_photo(photo, box) for photo, box in zip(photos, boxes, strict=True)]

    alone, rows = opened(), list[int]()
    patches = [editor.project("black cat", steps=1).edit("lion", settle=3).patch for editor in alone]

    def counted(networks: Any, latent: Tensor, *arguments: Any, **options: Any) -> Tensor:
        rows.append(len(latent))
        return settle(networks, latent, *arguments, **options)

    monkeypatch.setattr(settling, "settle", counted)
    together = opened()
    project_all(together, "black cat", steps=1, together=True)
    settle_all(together, [[ChangeClass("lion")]] * 2, settle=3)
    assert rows == [2]
    for editor, other, patch in zip(together, alone, patches, strict=True):
        torch.testing.assert_close(editor.samples().latent, other.samples().latent, atol=1e-3, rtol=1e-3)
        made = editor.edit("lion", settle=3).patch
        assert np.abs(made.astype(int) - patch).max() <= 8  # rounding
    assert rows == [2]  # each edit has found its own
    together[0].edit("lion", settle=4)
    assert rows == [2, 1]


def test_classes_wanted_are_shares_of_the_animal(model: Model) -> None:
    editor = Editor(model, ellipse).set_photo(CAT, BOX).project("black cat", steps=1)
    targets = editor.resolve([ChangeClass("lion", "box", 0.25)])
    outline = torch.zeros(160, 160)
    outline[:80] = 1
    regions = [
        step.target(model, area)
        for step, area in zip(targets, for_generator(editor, targets, areas_of(editor, targets)), strict=True)
    ]
    asked = SettlingTarget.of_edit(outline, torch.tensor([0]), regions, len(CLASSES))
    assert torch.allclose(asked.classes, torch.tensor([[0.75, 0, 0, 0.25]]), atol=1e-5)
    assert asked.outline.shape == (1, 160, 160)
    below = torch.zeros(160, 160)
    below[40:] = 1  # half of the animal
    asked = SettlingTarget.of_edit(outline, torch.tensor([0]), [Region(below, 2)], len(CLASSES))
    assert torch.allclose(asked.classes, torch.tensor([[0.5, 0, 0.5, 0]]), atol=1e-5)


def test_what_comes_from_a_reference_is_not_settled_away(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The latent is settled for the class alone, whatever else is done in the pass."""
    editor = Editor(model, ellipse).set_photo(CAT, BOX).project("black cat", steps=1)
    settled: list[torch.Tensor] = []

    def kept(*arguments: Any, **options: Any) -> torch.Tensor:
        settled.append(settle(*arguments, **options))
        return settled[-1]

    monkeypatch.setattr(settling, "settle", kept)
    alone = editor.edit([ChangeClass("lion", "box")], settle=2)
    both = editor.edit([ChangeClass("lion", "box"), Blend(Sample(3), "box")], settle=2)
    assert len(settled) == 1, "one latent serves both"
    assert (alone.settle, both.settle) == (2, 2)
    assert (alone.patch != both.patch).any()
    assert editor.edit([Blend(Sample(3), "box")]).settle == 0


def test_recipes_settle_again(model: Model, tmp_path: Path) -> None:
    editor = Editor(model, ellipse).set_photo(CAT, BOX).project("black cat", steps=1)
    edit = editor.edit("lion", settle=3)
    path = next(path for path in editor.save(tmp_path)[0].parent.iterdir() if path.suffix == ".json")
    recipe = read_recipe(path)
    assert recipe.settle == 3
    again = Editor(model, ellipse).restore(recipe, editor.photo)
    assert (again.edit(recipe.steps, settle=recipe.settle).pixels == edit.pixels).all()


def test_all_strengths_share_one_settling(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = Editor(model, ellipse).set_photo(CAT, BOX).project("black cat", steps=1)
    calls: list[tuple[torch.Tensor, torch.Tensor]] = []

    def counted(networks: Any, latent: torch.Tensor, wanted: SettlingTarget, *rest: Any, **options: Any) -> Any:
        calls.append((wanted.classes, settle(networks, latent, wanted, *rest, **options)))
        return calls[-1][1]

    monkeypatch.setattr(settling, "settle", counted)
    edits = [editor.edit("lion", mask="box", strength=s, settle=2) for s in (0.0, 0.3, 0.6, 1.0)]
    assert len(calls) == 1
    assert calls[0][0][0].tolist() == pytest.approx([0, 0, 0, 1], abs=1e-5), "for strength 1"
    assert [edit.settle for edit in edits] == [2] * 4
    with torch.no_grad():
        whole = to_pixels(model.generator(calls[0][1], LABEL[:1]))
    assert np.abs(edits[-1].image.astype(int) - whole).max() <= 1
    editor.edit("lion", mask="box", settle=3)
    editor.edit("golden retriever", mask="box", strength=0.5, settle=2)
    mask = np.zeros(CAT.shape[:2], np.float32)
    mask[60:120, 150:220] = 1
    editor.edit("lion", mask=mask, settle=2)
    editor.edit("lion", mask=mask, settle=2, layers=[4, 5])
    assert len(calls) == 5, "updates, class, region and layers matter"
    editor.edit("lion", mask="box", strength=0.3, settle=2, scale="mix")
    assert calls[-1][0][0].tolist() == pytest.approx([0.7, 0, 0, 0.3], abs=1e-5), "as recipes of before"
    editor.project("golden retriever", steps=1).edit("lion", mask="box", settle=2)
    assert len(calls) == 7, "another projection"


def test_strengths_in_relation_to_each_other_settle_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = Editor(model, ellipse).set_photo(CAT, BOX).project("black cat", steps=1)
    wanted: list[torch.Tensor] = []

    def counted(networks: Any, latent: torch.Tensor, target: SettlingTarget, *rest: Any, **options: Any) -> Any:
        wanted.append(target.classes)
        return latent

    monkeypatch.setattr(settling, "settle", counted)
    left = np.zeros(CAT.shape[:2], np.float32)
    left[:, :200] = 1
    steps = [ChangeClass("lion", left, 0.9), ChangeClass("golden retriever", 1 - left, 0.3)]
    for factor in (1.0, 0.7, 0.1, 0.0):
        editor.edit(at_strength(steps, factor), settle=2)
    assert len(wanted) == 1
    assert float(wanted[0][0, 3]) > float(wanted[0][0, 2]) > 0, "the weaker one stays weaker"


def test_a_recipe_of_before_settles_for_its_own_mix(model: Model, tmp_path: Path) -> None:
    editor = Editor(model, ellipse).set_photo(CAT, BOX).project("black cat", steps=1)
    before = editor.edit("lion", mask="box", strength=0.2, settle=2, scale="mix")
    (picture,) = editor.save(tmp_path)
    path = picture.with_suffix(".json")
    content = json.loads(path.read_text())
    assert content["edit"].pop("scale") == "mix"
    path.write_text(json.dumps(content))
    recipe = read_recipe(path)
    again = Editor(model, ellipse).restore(recipe, editor.photo)
    redone = again.edit(recipe.steps, method=recipe.method, settle=recipe.settle, scale=recipe.scale)
    np.testing.assert_array_equal(redone.pixels, before.pixels)
    assert (editor.edit("lion", mask="box", strength=0.2, settle=2).pixels != before.pixels).any()
