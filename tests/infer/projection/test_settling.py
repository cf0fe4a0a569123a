"""Settling: edits keep the photo's outline and get their class, and a recipe does it again."""

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from skimage import data
from torch import Tensor

from infer.editor.editor import Editor
from infer.editor.recipe_file import read_recipe
from infer.editor.regions import areas_of, for_generator
from infer.editor.steps import ChangeClass
from infer.edits.scbn import Region
from infer.photo.box import Box
from infer.projection.presets import PRESETS
from infer.projection.settling import SettlingTarget, settle, settles
from models.discriminators.projected import ProjectedDiscriminator
from models.errors import PhotograftError, UnsupportedEdit
from models.perception.outline import soft_iou
from models.zoo import Model, load_model
from tests.infer.conftest import ellipse
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

    return settle(model, latent, wanted(), show, steps=steps, **options)  # type: ignore[arg-type]


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


def test_latents_stay_in_the_prior(model: Model, latent: Tensor) -> None:
    assert torch.equal(moved(model, torch.zeros(3, LATENTS), steps=2), torch.zeros(3, LATENTS))
    found = moved(model, latent, learning_rate=0.5)
    assert bool((found.norm(dim=1) <= latent.norm(dim=1) * 1.0001).all())
    assert not torch.allclose(found, latent, atol=0.1)


def test_pictures_do_not_influence_each_other(model: Model, latent: Tensor) -> None:
    together, asked = moved(model, latent, steps=4), wanted()

    def show(z: Tensor) -> Tensor:
        return model.generator(z, LABEL[1:2])

    alone = settle(model, latent[1:2], SettlingTarget(asked.outline[1:2], asked.classes[1:2]), show, steps=4)
    assert torch.allclose(together[1:2], alone, atol=5e-3)  # rounding grows on the way


def test_photos_without_an_animal_are_left_as_they_are(model: Model, latent: Tensor) -> None:
    asked = wanted()
    asked.outline[1] = 0

    def show(z: Tensor) -> Tensor:
        return model.generator(z, LABEL)

    found = settle(model, latent, asked, show, steps=3)
    assert [bool(torch.equal(a, b)) for a, b in zip(found, latent, strict=True)] == [False, True, False]


def test_what_cannot_be_settled_is_said(tiny: Path, model: Model, latent: Tensor) -> None:
    plain = load_model(str(tiny))
    assert settles(model)
    assert not settles(plain)
    with pytest.raises(UnsupportedEdit, match="reads no outlines"):
        moved(plain, latent)
    with pytest.raises(UnsupportedEdit, match="w\\+"):
        settle(model, latent[:, None], wanted(), lambda z: z, steps=1)
    with pytest.raises(PhotograftError, match="not a number"):
        settle(model, latent, wanted(), lambda z: model.generator(z, LABEL) * torch.nan, steps=1)
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


def test_classes_wanted_are_shares_of_the_animal(model: Model) -> None:
    editor = Editor(model, ellipse).set_photo(CAT, BOX).project("black cat", steps=1)
    targets = editor.resolve([ChangeClass("lion", "box", 0.25)])
    outline = torch.zeros(160, 160)
    outline[:80] = 1
    regions = [
        step.target(model, area)
        for step, area in zip(targets, for_generator(editor, targets, areas_of(editor, targets)), strict=True)
    ]
    asked = SettlingTarget.of_edit(outline, 0, regions, len(CLASSES))
    assert torch.allclose(asked.classes, torch.tensor([[0.75, 0, 0, 0.25]]), atol=1e-5)
    assert asked.outline.shape == (1, 160, 160)
    below = torch.zeros(160, 160)
    below[40:] = 1  # half of the animal
    asked = SettlingTarget.of_edit(outline, 0, [Region(below, 2)], len(CLASSES))
    assert torch.allclose(asked.classes, torch.tensor([[0.5, 0, 0.5, 0]]), atol=1e-5)


def test_recipes_settle_again(model: Model, tmp_path: Path) -> None:
    editor = Editor(model, ellipse).set_photo(CAT, BOX).project("black cat", steps=1)
    edit = editor.edit("lion", settle=3)
    path = next(path for path in editor.save(tmp_path)[0].parent.iterdir() if path.suffix == ".json")
    recipe = read_recipe(path)
    assert recipe.settle == 3
    again = Editor(model, ellipse).restore(recipe, editor.photo)
    assert (again.edit(recipe.steps, settle=recipe.settle).pixels == edit.pixels).all()
