"""The Python interface: five lines edit a photo, nothing outside the mask changes, everything can be repeated."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data

from infer.editor.editor import Editor, project_all
from infer.editor.recipe_file import read_recipe
from infer.editor.steps import ChangeClass
from infer.photo.box import Box, uncrop
from infer.photo.masks import automatic, cut, painted, to_paste
from infer.photo.read import read_photo
from infer.photo.registration import Registration
from infer.projection.options import ProjectionOptions
from models.errors import PhotograftError, UnsupportedEdit
from models.perception.segmentation import create_segmenter
from models.prepared import Networks
from models.zoo import Model, load_model
from tests.infer.conftest import ellipse
from tests.infer.tiny_model import CLASSES, LATENTS, RESOLUTION

CAT = data.cat()
BOX = Box(120, 30, 160, 160)


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load_model(str(tiny))


@pytest.fixture
def editor(model: Model) -> Editor:
    """With the cat's head projected as a black cat."""
    return Editor(model, ellipse).set_photo(CAT, BOX).project("black cat", steps=2)


def half(left: bool) -> np.ndarray:
    mask = np.zeros(CAT.shape[:2], np.float32)
    mask[60:160, slice(140, 200) if left else slice(200, 260)] = 1
    return mask


def test_five_lines(tiny: Path, cat: Path, tmp_path: Path) -> None:
    """With the real locator and segmenter."""
    editor = Editor.from_pretrained(str(tiny))
    editor.set_photo(cat)
    editor.project(steps=1)
    editor.edit("lion")
    (written,) = editor.save(tmp_path / "out")
    assert sorted(path.name for path in written.parent.iterdir()) == [
        "cat_to_lion.json",
        "cat_to_lion.panel.png",
        "cat_to_lion.png",
    ]
    assert editor.located == "head"
    changed = (read_photo(written).pixels != CAT).any(axis=2)
    assert changed.any()
    outside = np.ones_like(changed)
    outside[uncrop(np.zeros((4, 4)), editor.box, CAT.shape)[1]] = False
    assert not changed[outside].any()


def test_pixels_outside_the_mask_are_the_photos(editor: Editor) -> None:
    before = CAT.copy()
    result = editor.edit("lion", mask=half(left=True))
    untouched = half(left=True) == 0
    np.testing.assert_array_equal(result.pixels[untouched], CAT[untouched])
    assert (result.pixels != CAT).any()
    np.testing.assert_array_equal(before, CAT)


def test_same_seed_same_bytes(model: Model, editor: Editor, tmp_path: Path) -> None:
    editor.edit("lion")
    editor.save(tmp_path / "a")
    again = Editor(model, ellipse).set_photo(CAT, BOX).project("black cat", steps=2)
    again.edit("lion")
    again.save(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_strength_zero_is_the_reconstruction_of_the_photo(editor: Editor) -> None:
    nothing = editor.edit("lion", mask="box", strength=0.0, scale="mix", finish="off")
    np.testing.assert_array_equal(nothing.patch, uncrop(editor.reconstruction(), BOX, CAT.shape)[0])
    own_class = editor.edit("black cat", mask="box", finish="off")
    np.testing.assert_allclose(own_class.patch.astype(int), nothing.patch.astype(int), atol=1)
    assert (
        np.abs(editor.edit("lion", mask="box", finish="off").patch.astype(int) - nothing.patch.astype(int)).max() > 10
    )


def test_whole_box_is_the_generators_own_class(editor: Editor, model: Model) -> None:
    edited = editor.edit("lion", mask="box", finish="off")
    assert editor.projection is not None
    with torch.no_grad():
        expected = model.generator(editor.projection.latent, torch.tensor([CLASSES.index("lion")]))
    pixels = ((expected[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    np.testing.assert_allclose(edited.patch.astype(int), uncrop(pixels, BOX, CAT.shape)[0].astype(int), atol=2)


def test_several_regions(editor: Editor) -> None:
    both = editor.edit([ChangeClass("lion", half(True)), ChangeClass("golden retriever", half(False))], method="paste")
    lion = editor.edit("lion", mask=half(True), method="paste")
    dog = editor.edit("golden retriever", mask=half(False), method="paste")
    assert [step.to for step in both.steps] == ["lion", "golden retriever"]
    np.testing.assert_array_equal(both.mask, np.maximum(lion.mask, dog.mask))
    left, right = np.s_[80:140, 145:165], np.s_[80:140, 235:255]  # far from the line between them
    to_lion = np.abs(both.pixels[left].astype(int) - lion.pixels[left].astype(int)).mean()
    to_dog = np.abs(both.pixels[left].astype(int) - editor.edits[1].pixels[right].astype(int)).mean()
    assert to_lion < to_dog


def test_later_targets_lie_over_earlier_ones(editor: Editor) -> None:
    covered = editor.edit([ChangeClass("golden retriever", "box"), ChangeClass("lion", "box")])
    np.testing.assert_array_equal(covered.patch, editor.edit("lion", mask="box").patch)


def test_a_subset_of_layers_is_another_edit(editor: Editor) -> None:
    everything = editor.edit("lion", mask="box")
    late = editor.edit("lion", mask="box", layers=[4, 5])
    assert late.steps[0].layers == (4, 5)
    assert (late.patch != everything.patch).any()
    assert (late.patch != uncrop(editor.reconstruction(), BOX, CAT.shape)[0]).any()
    np.testing.assert_array_equal(editor.edit("lion", mask="box", layers=range(6)).patch, everything.patch)


def test_composite_again_by_another_method(editor: Editor) -> None:
    blended = editor.edit("lion", mask="box").pixels
    pasted = editor.composite("paste")
    assert (pasted != blended).any()
    assert editor.edits[-1].method == "paste"
    np.testing.assert_array_equal(editor.edits[-1].pixels, pasted)
    np.testing.assert_array_equal(editor.composite(), blended)


def test_save_writes_photo_panel_mask_and_recipe_that_replays(editor: Editor, model: Model, tmp_path: Path) -> None:
    soft = half(True) * np.linspace(0.2, 1, CAT.shape[1], dtype=np.float32)
    original = editor.edit(
        [ChangeClass("lion", soft, 0.7, [0, 3]), ChangeClass("golden retriever", "auto", 0.5, [0, 3])]
    )
    editor.save(tmp_path)
    stem = "photo_to_lion_golden-retriever"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{stem}.png", f"{stem}.panel.png", f"{stem}.json", f"{stem}.mask0.png"}
    recipe = read_recipe(tmp_path / f"{stem}.json")
    first, second = recipe.steps
    assert (first.layers, first.strength, second.region) == ((0, 3), 0.7, "auto")
    assert recipe.segmenter == "function"
    replayed = Editor(model, ellipse).restore(recipe, editor.photo)
    result = replayed.edit(recipe.steps, method=recipe.method)
    np.testing.assert_array_equal(result.pixels, original.pixels)
    np.testing.assert_array_equal(result.mask, original.mask)


def test_projecting_together_is_projecting_one_by_one(model: Model) -> None:
    crops = [BOX, Box(40, 40, 200, 200)]
    together = [Editor(model).set_photo(CAT, box) for box in crops]
    project_all(together, steps=3)
    for box, editor in zip(crops, together, strict=True):
        alone = Editor(model).set_photo(CAT, box).project(steps=3)
        assert alone.label == editor.label
        assert alone.projection is not None
        assert editor.projection is not None
        torch.testing.assert_close(alone.projection.latent, editor.projection.latent, rtol=1e-3, atol=1e-4)
        assert editor.settings["steps"] == 3


@pytest.mark.parametrize(
    ("said", "dtype", "exact"),
    [
        ({"dtype": "bfloat16"}, torch.bfloat16, False),
        ({"dtype": "float32"}, torch.float32, False),
        ({"dtype": "torch.bfloat16"}, torch.float32, True),
        ({}, torch.float32, True),
    ],
    ids=str,
)
def test_settling_is_in_the_form_of_the_projection(
    model: Model, said: dict[str, str], dtype: torch.dtype, exact: bool
) -> None:
    """Recipes of the versions before, which name no form or did not settle in it, settle exactly."""
    editor = Editor(Networks.of(model, "cpu", dtype=torch.bfloat16)).set_photo(CAT, BOX)
    editor.set_projection(torch.zeros(1, LATENTS), 0)
    editor.settings = dict(said)
    networks, generator = editor.for_settling()
    assert (networks.dtype, next(generator.parameters()).dtype, generator is editor.generator) == (dtype, dtype, exact)


def test_settings_say_what_was_done(model: Model) -> None:
    said: list[str] = []
    editor = Editor(model, ellipse, say=said.append).set_photo(CAT, BOX).project("lion", preset="fast")
    assert editor.settings["preset"] == "fast"
    assert (editor.settings["steps"], editor.settings["space"], editor.settings["source_given"]) == (0, "z", True)
    assert said == ["projected as 'lion', not refined"]
    editor.project(steps=1, options=ProjectionOptions(restarts=2, seed=5))
    assert {"preset": "balanced", "steps": 1, "restarts": 2, "seed": 5}.items() <= editor.settings.items()
    assert editor.edit("lion").pixels.shape == CAT.shape


def test_a_new_photo_forgets_the_old_one(editor: Editor) -> None:
    editor.edit("lion")
    with pytest.raises(PhotograftError, match="no such file"):
        editor.set_photo("missing.jpg")
    assert editor.edits, "a photo that cannot be read must not cost the current one"
    editor.set_photo(CAT[:, ::-1], BOX)
    assert (editor.projection, editor.label, editor.edits) == (None, None, [])
    with pytest.raises(PhotograftError, match="call project"):
        editor.edit("lion")


def test_grabcut_seeks_in_the_box(model: Model) -> None:
    small, box = CAT[::3, ::3].copy(), Box(40, 10, 54, 54)
    editor = Editor(model, "grabcut").set_photo(small, box).project("lion", steps=0)
    assert editor.edit("black cat").mask.shape == (54, 54)
    expected = create_segmenter("grabcut", box=(box.x, box.y, box.w, box.h))(small)
    np.testing.assert_array_equal(editor.photo_mask(), expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda e: e.edit("wolf"), "unknown class 'wolf'"),
        (lambda e: e.edit("cat"), "could be any of: black cat, brown tabby cat"),
        (lambda e: e.edit("lion", strength=1.1), "strength must be in 0..1"),
        (lambda e: e.edit("lion", strength=float("nan")), "strength must be in 0..1"),
        (lambda e: e.edit("lion", layers=[6]), "no modulated layer 6"),
        (lambda e: e.edit([]), "no region was given"),
        (lambda e: e.edit("lion", method="glue"), "method is 'glue'"),
        (lambda e: e.edit("lion", mask=np.ones((10, 10))), "make them the same size"),
        (lambda e: e.edit("lion", mask=np.zeros(CAT.shape[:2])), "mask is empty"),
        (lambda e: e.edit("lion", mask=np.full(CAT.shape[:2], np.nan)), "must lie in 0..1"),
        (lambda e: e.edit("lion", mask=np.full(CAT.shape[:2], 255, np.uint8)), "divide a uint8 mask by 255"),
        (lambda e: e.edit("lion", mask="nowhere.png"), "no such file"),
        (lambda e: e.set_photo(CAT[:8]), "at least 16 px"),
        (lambda e: e.set_photo(CAT, Box(0, 0, 4, 4)), "smaller than"),
        (lambda e: e.set_projection(torch.zeros(1, 5), 0), r"\[1,8\]"),
        (lambda e: e.set_projection(torch.full((1, LATENTS), torch.nan), 0), "finite"),
        (lambda e: e.set_projection(torch.zeros(1, LATENTS), 9), "does not exist"),
        (lambda e: e.save("/nowhere"), "nothing was edited"),
        (lambda e: e.composite(), "nothing was edited"),
        (lambda e: e.project("wolf"), "unknown class"),
    ],
)
def test_bad_arguments_say_what_is_wrong(editor: Editor, call, words: str) -> None:
    with pytest.raises(PhotograftError, match=words):
        call(editor)


def test_calls_in_the_wrong_order(model: Model) -> None:
    editor = Editor(model)
    for call in (editor.project, editor.reconstruction, editor.photo_mask, lambda: editor.edit("lion")):
        with pytest.raises(PhotograftError, match="call set_photo first"):
            call()


def test_a_class_cannot_be_changed_where_there_are_none(model: Model) -> None:
    editor = Editor(Model("plain", model.generator), ellipse).set_photo(CAT, BOX)
    with pytest.raises(UnsupportedEdit, match="unconditional"):
        editor.set_projection(torch.zeros(1, LATENTS), 0).edit("lion")


def test_target_is_the_crop(editor: Editor) -> None:
    target = editor.target()
    assert target.shape == (1, 3, RESOLUTION, RESOLUTION)
    mean = CAT[BOX.y : BOX.y + BOX.h, BOX.x : BOX.x + BOX.w].mean()
    assert abs(float(target.mean()) * 127.5 + 127.5 - mean) < 1


def test_painted_masks_reach_what_a_png_can_hold() -> None:
    soft = np.linspace(0, 1, 64 * 48).reshape(48, 64)
    mask = painted(soft, (48, 64, 3))
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(painted(mask, (48, 64, 3)), mask)
    np.testing.assert_array_equal(painted(soft > 0.5, (48, 64)), (soft > 0.5).astype(np.float32))


def test_a_mask_that_goes_on_outside_fades_at_the_squares_border() -> None:
    box = Box(10, 10, 40, 40)
    inside = np.zeros((60, 80), np.float32)
    inside[10:30, 10:50] = 1  # touches three sides of the square
    np.testing.assert_array_equal(to_paste(inside, box), cut(inside, box))
    faded = to_paste(np.ones((60, 80), np.float32), box)
    assert faded[20, 20] == 1
    assert max(faded[0].max(), faded[-1].max(), faded[:, 0].max(), faded[:, -1].max()) < 0.1


def test_automatic_mask_of_a_close_up_is_the_edited_animal_alone() -> None:
    """Where the photo's animal fills the crop, the generator's background is not pasted; elsewhere both animals are."""
    box, shape, patch = Box(0, 0, 100, 100), (100, 100, 3), np.zeros((100, 100, 3), np.uint8)
    edited = np.zeros((100, 100), np.float32)
    edited[40:60, 20:90] = 1
    small = np.zeros((100, 100), np.float32)
    small[10:30, 10:30] = 1
    close_up = automatic(np.ones((100, 100), np.float32), patch, box, shape, lambda pixels: edited)
    assert close_up[50, 50] == pytest.approx(1)
    assert close_up[10, 10] == 0
    both = automatic(small, patch, box, shape, lambda pixels: edited)
    assert both[20, 20] == pytest.approx(1)
    assert both[50, 50] == pytest.approx(1)
    nothing = np.zeros((100, 100), np.float32)
    unseen = automatic(np.ones((100, 100), np.float32), patch, box, shape, lambda pixels: nothing)
    assert unseen[10, 10] == pytest.approx(1)


@pytest.mark.parametrize("side", [497, 600, 1400])
@pytest.mark.parametrize(("mask", "strength"), [("auto", 1.0), ("auto", 0.7), ("soft", 0.7)])
def test_close_ups_of_any_size(model: Model, tmp_path: Path, side: int, mask: str, strength: float) -> None:
    """A head that fills a large photo: the edit is that of the small photo, enlarged."""
    soft = np.full((side, side + 100), 0.6, np.float32)
    soft[side // 4 : side // 2, side // 4 : side // 2] = 0.9
    editor = Editor(model, ellipse).set_photo(cv2.resize(CAT, (side + 100, side)), Box(-20, -20, side + 60, side + 60))
    edit = editor.project("black cat", steps=0).edit("lion", mask="auto" if mask == "auto" else soft, strength=strength)
    assert edit.patch.shape == (side + 60, side + 60, 3)
    assert edit.mask.shape == (side + 60, side + 60)
    assert editor.photo is not None
    unmasked = edit.mask[20 : side + 20, 20:] == 0
    np.testing.assert_array_equal(edit.pixels[:, : side + 40][unmasked], editor.photo.pixels[:, : side + 40][unmasked])
    assert (edit.pixels != editor.photo.pixels).any()
    assert len(editor.save(tmp_path)) == 1


def test_segmenters_are_shown_large_photos_small(model: Model) -> None:
    shown: list[tuple[int, ...]] = []

    def segmenter(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        shown.append(pixels.shape)
        return ellipse(pixels)

    editor = Editor(model, segmenter).set_photo(cv2.resize(CAT, (3000, 2000)), Box(100, 100, 1800, 1800))
    editor.project("black cat", steps=0).edit("lion")
    assert shown == [(1024, 1536, 3), (1024, 1024, 3)]
    whole = editor.photo_mask()
    assert whole.shape == (2000, 3000)
    assert np.abs(whole - ellipse(np.zeros((2000, 3000, 3), np.uint8))).mean() < 0.01


def test_what_an_edit_does_not_change_stays_the_photos(tiny: Path) -> None:
    editor = Editor.from_pretrained(str(tiny)).set_photo(CAT, box=Box(40, 30, 80, 80)).project("lion", preset="fast")
    assert editor.projection is not None  # taken to line up
    still = Registration(np.zeros((32, 32, 2), np.float32), np.ones((32, 32), np.float32))
    editor._registration = (editor.projection, still)
    samples = editor.samples()
    image = editor.model.generator(samples.latent, samples.label).detach()
    area = np.zeros((16, 16), np.float32)
    area[4:12, 4:12] = 1
    same, mask = editor.paste(image, area, change=True, method="paste")
    assert np.array_equal(same, CAT)
    assert mask.shape == (80, 80)
    brighter, _ = editor.paste((image + 0.2).clamp(-1, 1), area, change=True, method="paste")
    change = brighter.astype(int) - CAT
    assert change.min() >= 0
    assert change[50:90, 60:100].mean() > 5  # in the area, and nowhere else
    outside = np.ones(CAT.shape[:2], bool)
    outside[45:95, 55:105] = False
    assert not change[outside].any()
