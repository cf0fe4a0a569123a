"""Steps: each does what its function does, all go through one pass, and recipes say them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter

from infer.catalog.catalog import build_catalog
from infer.catalog.part_transfer import PartTransfer, part_modulations, transfer_parts
from infer.cli.main import main
from infer.editor.editor import Editor
from infer.editor.points import Sample, sample_point
from infer.editor.recipe_file import read_recipe
from infer.editor.step_file import StepSaid, read_step
from infer.editor.steps import Blend, ChangeClass, Step, Transfer
from infer.edits.feature_blending import blend_regions, regions_tap
from infer.edits.query_transfer import Query
from infer.edits.scbn import Region, class_modulations
from infer.photo.box import Box
from infer.photo.compositing import composite
from infer.pictures.convert import to_pixels
from infer.projection.options import ProjectionOptions
from models.errors import PhotograftError, UnsupportedEdit
from models.schema import parse_json
from models.zoo import Model, load_model
from tests.infer.conftest import CAT, HEAD, ellipse
from tests.infer.tiny_model import write_tiny_model
from tests.infer.tiny_styles import write_catalog, write_style_model

BOX = Box.parse(HEAD)
SOURCE, OTHER = Sample(3, "lion"), Sample(5, "black cat")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a style generator's file beside it."""
    folder = tmp_path_factory.mktemp("style")
    model = load_model(str(write_style_model(folder)))
    made = build_catalog(model, clusters=3, samples=12)
    path = folder / "style.catalog.safetensors"
    write_catalog(replace(made, names={"eyes": (1,), "rest": (0, 2)}), path)
    return path


@pytest.fixture(scope="module")
def styles(catalog: Path) -> Model:
    return load_model(str(catalog.with_name("style.generator.safetensors")))


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load_model(str(tiny))


def band(shape: tuple[int, ...], left: float, right: float) -> np.ndarray:
    """A mask [H,W] over all rows, from one share of the width to another."""
    mask = np.zeros(shape[:2], np.float32)
    mask[:, round(left * shape[1]) : round(right * shape[1])] = 1
    return mask


# ---------------------------------------------------------------------- the file

STEPS: list[Step] = [
    ChangeClass("lion"),
    ChangeClass("black cat", "box", 0.5, [0, 3]),
    Blend(0, "auto", move=(1.5, -2), strength=0.25, layers=range(2)),
    Blend(1, part="eyes", name="ears"),
    Transfer(2, "0,1"),
    Transfer(2, "eyes", "global", epsilon=3, rho=0.2, lam=0.5, per_layer=True, released=True, shift=True),
]


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_steps_come_back_from_json(step: Step, tmp_path: Path) -> None:
    text = json.dumps(step.to_json())
    assert read_step(parse_json(StepSaid, text, "a step"), tmp_path) == step
    assert set(TypeAdapter(StepSaid).json_schema()["$defs"]) == {"ChangeClassSaid", "BlendSaid", "TransferSaid"}


def test_masks_come_back_as_files_of_the_folder(tmp_path: Path) -> None:
    told = ChangeClass("lion", "x.mask0.png").to_json()
    read = read_step(parse_json(StepSaid, json.dumps(told), "a step"), tmp_path)
    assert read == ChangeClass("lion", tmp_path / "x.mask0.png")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ChangeClass("lion", strength=1.1), "strength must be in 0..1"),
        (lambda: ChangeClass("lion", layers=[True]), "layers"),
        (lambda: ChangeClass("lion", layers="all"), "layers"),
        (lambda: ChangeClass("lion", 5), "a mask is"),
        (lambda: ChangeClass("lion", "auto", invert=True), "cannot be inverted"),
        (lambda: Blend(0), "a region or a part"),
        (lambda: Blend(0, "box", "eyes"), "not both"),
        (lambda: Blend(None, "box"), "a reference is"),
        (lambda: Blend(True, "box"), "a reference is"),
        (lambda: Blend(0, "box", move=(1, float("nan"))), "move"),
        (lambda: Blend(0, "box", move=(1, 2, 3)), "move"),
        (lambda: Blend(0, "box", strength="1"), "strength must be in 0..1"),
        (lambda: Transfer(0, 5), "part"),
        (lambda: Transfer(0, "eyes", "best"), "mode"),
        (lambda: Transfer(0, "eyes", rho=-1), "rho"),
        (lambda: Transfer(0, "eyes", "global", lam=2), "0..1"),
        (lambda: Transfer(0, "eyes", shift=1), "shift"),
        (lambda: Sample(-1), "seed"),
        (lambda: Sample(1, 5), "class"),
        (lambda: Sample(1, truncation=float("inf")), "truncation"),
    ],
)
def test_values_of_steps(make: Any, words: str) -> None:
    with pytest.raises(PhotograftError, match=words):
        make()


# ---------------------------------------------------------------------- each is what its function does


def test_a_class_is_changed_as_the_function_does(model: Model) -> None:
    editor = Editor(model, ellipse).set_sample(SOURCE)
    masks = [band(editor.shape, 0, 0.5), band(editor.shape, 0.25, 0.75)]
    steps = [ChangeClass("black cat", masks[0], 0.8, [1, 2]), ChangeClass("golden retriever", masks[1], 0.5, [1, 2])]
    found, samples = editor.edit(steps), sample_point(model, SOURCE).samples
    regions = [
        Region(torch.from_numpy(mask), model.class_index(step.to), step.strength)
        for mask, step in zip(masks, steps, strict=True)
    ]
    with torch.no_grad():
        mixed = class_modulations(model.generator, samples.latent, samples.label, regions, layers=[1, 2])
        expected = model.generator.synthesize(samples.latent, mixed)
    np.testing.assert_array_equal(found.pixels, to_pixels(expected))
    assert found.settle == 0


def test_regions_are_blended_as_the_function_does(model: Model) -> None:
    editor = Editor(model).set_sample(SOURCE)
    masks = [band(editor.shape, 0, 0.5), band(editor.shape, 0.25, 0.75)]
    others = [OTHER, Sample(6)]
    how = [{"strength": 0.7, "move": (4, -2.5)}, {"strength": 1.0, "move": (0, 0)}]
    found = editor.edit([Blend(o, m, layers=[1, 2], **h) for o, m, h in zip(others, masks, how, strict=True)])
    with torch.no_grad():
        expected = blend_regions(
            model.generator,
            sample_point(model, SOURCE).stream,
            [sample_point(model, other).stream for other in others],
            [torch.from_numpy(mask) for mask in masks],
            strengths=[0.7, 1.0],
            layers=[1, 2],
            shifts=[(4, -2.5), (0, 0)],
        )
    np.testing.assert_array_equal(found.pixels, to_pixels(expected))


def test_parts_are_transferred_as_the_function_does(styles: Model, catalog: Path) -> None:
    editor = Editor(styles).set_sample(Sample(3)).set_catalog(catalog)
    assert editor.catalog is not None
    found = editor.edit(
        [Transfer(Sample(4), "eyes", epsilon=2, shift=True), Transfer(Sample(5), "rest", "simultaneous", shift=True)]
    )
    asked = [
        PartTransfer("eyes", sample_point(styles, Sample(4)).stream, Query(epsilon=2)),
        PartTransfer("rest", sample_point(styles, Sample(5)).stream, Query("simultaneous")),
    ]
    source = sample_point(styles, Sample(3)).stream
    expected = transfer_parts(styles.generator, editor.catalog.catalog, source, asked, shift=True)
    np.testing.assert_array_equal(found.pixels, to_pixels(expected))


# ---------------------------------------------------------------------- all of them in one pass


def test_steps_go_on_from_what_earlier_ones_made(styles: Model, catalog: Path) -> None:
    """Classes in other layers and after a transfer: the functions one after another, to the bit."""
    editor = Editor(styles, ellipse).set_sample(Sample(3, "lion")).set_catalog(catalog)
    masks = [band(editor.shape, 0, 0.5), band(editor.shape, 0.25, 0.75)]
    steps = [
        Transfer(Sample(6), "eyes", "global", shift=True),
        ChangeClass("pug", masks[0], 0.8, [0, 1]),
        ChangeClass("black cat", masks[1], 0.5, [1, 2]),
    ]
    found, point = editor.edit(steps), sample_point(styles, Sample(3, "lion"))
    g, samples = styles.generator, point.samples
    assert editor.catalog is not None
    asked = [PartTransfer("eyes", sample_point(styles, Sample(6)).stream, Query("global"))]
    with torch.no_grad():
        made = part_modulations(editor.catalog.catalog, point.stream, asked, shift=True)
        for step, mask in zip(steps[1:], masks, strict=True):
            region = [Region(torch.from_numpy(mask), styles.class_index(step.to), step.strength)]
            made = class_modulations(
                g, samples.latent, samples.label, region, origin=samples.origin, base=made, layers=step.layers
            )
        expected = to_pixels(g.synthesize(samples.latent, made))
    np.testing.assert_array_equal(found.pixels, expected)
    assert (editor.edit(steps[1:]).pixels != expected).any(), "the transfer is in it"


def test_blends_in_other_layers_are_taken_one_after_another(model: Model) -> None:
    """The second, in all of the last layer, covers whatever the first did."""
    editor = Editor(model).set_sample(SOURCE)
    last = len(model.generator.feature_layers) - 1
    covered = editor.edit([Blend(OTHER, "box", layers=[0]), Blend(Sample(6), "box", layers=[last])])
    alone = editor.edit([Blend(Sample(6), "box", layers=[last])])
    np.testing.assert_array_equal(covered.pixels, alone.pixels)
    assert (editor.edit([Blend(OTHER, "box", layers=[0])]).pixels != alone.pixels).any()
    masks = [band(editor.shape, 0, 0.5), band(editor.shape, 0.25, 0.75)]
    both = editor.edit([Blend(OTHER, masks[0], layers=[0]), Blend(Sample(6), masks[1], layers=[last])])
    g, source = model.generator, sample_point(model, SOURCE)
    taps = [
        regions_tap(g, [sample_point(model, other).stream], [torch.from_numpy(mask)], layers=[layer])
        for other, mask, layer in zip((OTHER, Sample(6)), masks, (0, last), strict=True)
    ]
    with torch.no_grad():
        latent, modulations = source.samples.latent, source.stream.modulations
        expected = g.synthesize(latent, modulations, lambda layer, h: taps[1](layer, taps[0](layer, h)))
    np.testing.assert_array_equal(both.pixels, to_pixels(expected))


def test_three_kinds_in_one_pass(styles: Model, catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each changes what it says: a class on the left, features on the right, a part by its channels."""
    editor = Editor(styles, ellipse).set_sample(Sample(3, "lion")).set_catalog(catalog)
    plain = editor.pixels.astype(int)
    left, right = band(editor.shape, 0, 0.3), band(editor.shape, 0.7, 1)
    change, blend = (
        ChangeClass("pug", left),
        Blend(Sample(8), right, layers=range(len(styles.generator.feature_layers))),
    )
    transfer = Transfer(Sample(6), "eyes", "global", shift=True)
    alone = [editor.edit([step]).pixels.astype(int) for step in (change, blend, transfer)]
    passes = []
    synthesize = editor.generator.synthesize

    def counted(latent: Any, modulations: Any, tap: Any = None) -> Any:
        passes.append(len(latent))
        return synthesize(latent, modulations, tap)

    reference = editor.refer(blend.reference)
    _ = reference.stream
    monkeypatch.setattr(editor.generator, "synthesize", counted)
    monkeypatch.setattr(editor, "_photo_mask", np.ones(editor.shape, np.float32))
    both = editor.edit([change, blend]).pixels.astype(int)
    assert len(passes) == 2, "one of the reference, which ends early, and one of the picture"
    monkeypatch.undo()

    def moved(first: np.ndarray, second: np.ndarray, columns: slice) -> float:
        return float(np.abs(first - second)[:, columns].mean())

    side = plain.shape[1]
    far_left, far_right = slice(0, side // 5), slice(-(side // 5), None)
    assert moved(both, alone[0], far_left) < 0.3 * moved(alone[0], plain, far_left)
    assert moved(both, alone[1], far_right) < 0.3 * moved(alone[1], plain, far_right)
    every = editor.edit([change, blend, transfer]).pixels.astype(int)
    assert moved(every, both, slice(None)) > 0.3 * moved(alone[2], plain, slice(None)), "the third is there too"
    # a transfer that is global and whole makes the source's modulations the reference's: only the blend is left of it
    assert moved(every, alone[1], far_right) < moved(every, plain, far_right)
    np.testing.assert_array_equal(every, editor.edit([blend, change, transfer]).pixels, "blends do not wait")
    assert (every != editor.edit([transfer, blend, change]).pixels).any(), "later ones lie over earlier ones"


def test_three_kinds_on_a_photo_and_their_recipe(catalog: Path, tmp_path: Path) -> None:
    model = load_model(str(catalog.with_name("style.generator.safetensors")))
    editor = Editor(model, ellipse).set_photo(CAT, BOX).set_catalog(catalog).project("lion", steps=2)
    left, right = band(CAT.shape, 0.3, 0.4), band(CAT.shape, 0.5, 0.6)
    reference = tmp_path / "other.png"
    Image.fromarray(np.ascontiguousarray(CAT[:, ::-1])).save(reference)
    steps = [
        ChangeClass("pug", left),
        Blend(str(reference), right, strength=0.8),
        Transfer(Sample(6), "eyes", "global"),
    ]
    edit = editor.edit(steps)
    added, pasted = edit.pastes
    assert (added.change, pasted.change) == (True, False)
    at = (BOX.x, BOX.y)
    moved = composite(CAT, added.patch, added.mask, at, method="paste")  # changes of brightness are meant
    np.testing.assert_array_equal(edit.pixels, composite(moved, pasted.patch, pasted.mask, at, method="graft"))
    changed = (edit.pixels != CAT).any(axis=2)
    inside = np.zeros(CAT.shape[:2], bool)
    inside[BOX.y : BOX.y + BOX.h, BOX.x : BOX.x + BOX.w] = True
    assert not changed[~inside].any()
    assert changed[inside & (left > 0)].mean() > 0.5
    assert changed[inside & (right > 0)].mean() > 0.5
    assert edit.method == "graft"
    (written,) = editor.save(tmp_path / "out")
    assert written.name == "photo_to_pug_blend_region_eyes.png"
    recipe = read_recipe(written.with_suffix(".json"))
    assert recipe.files["delta1" if "delta1" in recipe.files else "delta0"].endswith(".delta.safetensors")
    again = Editor(model, ellipse).restore(recipe, editor.photo)
    result = again.edit(recipe.steps, method=recipe.method, settle=recipe.settle)
    np.testing.assert_array_equal(result.pixels, edit.pixels)
    np.testing.assert_array_equal(again.composite("poisson"), editor.composite("poisson"))
    again.save(tmp_path / "again")
    assert (tmp_path / "again" / written.name).is_file()


def test_recipes_are_combined_by_the_commands(tiny: Path, tmp_path: Path) -> None:
    """A blend, then a class over it by its recipe: both in one pass, and the blend as it was."""
    model = ["--model", str(tiny)]
    half = np.zeros((32, 32), np.uint8)
    half[:, :8] = 255
    Image.fromarray(half).save(tmp_path / "left.png")
    Image.fromarray(np.ascontiguousarray(half[:, ::-1])).save(tmp_path / "right.png")
    blend = ["blend", "--seed", "3", "--class", "lion", "--mask", str(tmp_path / "left.png"), "--reference-seed", "5"]
    assert main([*blend, *model, "--out", str(tmp_path / "one")]) == 0
    first = tmp_path / "one" / "tiny_3_blend_left.json"
    over = ["edit", "--recipe", str(first), "--to", "black cat", "--mask", str(tmp_path / "right.png")]
    assert main([*over, "--out", str(tmp_path / "two")]) == 0
    recipe = read_recipe(tmp_path / "two" / "tiny_3_to_black-cat_blend_left.json")
    assert [step.kind for step in recipe.steps] == ["class", "blend"]
    editor = Editor(load_model(str(tiny))).set_sample(Sample(3, "lion"))
    steps = [
        ChangeClass("black cat", tmp_path / "right.png"),
        Blend(Sample(5), tmp_path / "left.png"),
    ]
    with Image.open(tmp_path / "two" / "tiny_3_to_black-cat_blend_left.png") as result:
        np.testing.assert_array_equal(np.asarray(result), editor.edit(steps).pixels)
    more = ["blend", "--recipe", str(tmp_path / "two" / "tiny_3_to_black-cat_blend_left.json"), "--mask", "box"]
    assert main([*more, "--reference-seed", "7", "--out", str(tmp_path / "three")]) == 0
    steps = [steps[0], Blend(Sample(7), "box")]
    with Image.open(tmp_path / "three" / "tiny_3_to_black-cat_blend_box.png") as result:
        np.testing.assert_array_equal(np.asarray(result), editor.edit(steps).pixels)


# ---------------------------------------------------------------------- commands and Python


def test_blend_in_python_gives_the_command_s_bytes(tiny: Path, cat: Path, tmp_path: Path) -> None:
    reference = cat.with_name("other.png")
    Image.fromarray(np.ascontiguousarray(CAT[:, ::-1])).save(reference)
    mask = tmp_path / "band.png"
    Image.fromarray((band(CAT.shape, 0.3, 0.5) * 255).astype(np.uint8)).save(mask)
    asked = ["--mask", mask, "--box", HEAD, "--preset", "fast", "--reference", reference, "--strength", "0.7"]
    command = ["blend", cat, *asked, "--move", "2,1", "--model", tiny, "--out", tmp_path / "command"]
    assert main([*map(str, command)]) == 0
    editor = Editor.from_pretrained(str(tiny))
    editor.set_photo(cat, BOX)
    editor.project(preset="fast")
    editor.blend(reference, region=mask, strength=0.7, move=(2, 1))
    editor.save(tmp_path / "python")
    same_files(tmp_path / "command", tmp_path / "python")


def test_transfer_in_python_gives_the_command_s_bytes(catalog: Path, cat: Path, tmp_path: Path) -> None:
    file = catalog.with_name("style.generator.safetensors")
    asked = ["--part", "eyes", "--box", HEAD, "--preset", "fast", "--reference-seed", "4", "--reference-class", "pug"]
    command = ["transfer", cat, *asked, "--mode", "global", "--shift", "--model", file, "--out", tmp_path / "command"]
    assert main([*map(str, command)]) == 0
    editor = Editor.from_pretrained(str(file)).set_photo(cat, BOX).set_catalog(catalog).project(preset="fast")
    editor.transfer(Sample(4, "pug"), "eyes", mode="global", shift=True)
    editor.save(tmp_path / "python")
    same_files(tmp_path / "command", tmp_path / "python")


def same_files(first: Path, second: Path) -> None:
    assert {path.name for path in first.iterdir()} == {path.name for path in second.iterdir()}
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_a_reference_is_projected_once_and_as_the_picture_was(tiny: Path, cat: Path, tmp_path: Path) -> None:
    said: list[str] = []
    editor = Editor(load_model(str(tiny)), ellipse, said.append).set_photo(CAT, BOX)
    editor.project("lion", steps=1, options=ProjectionOptions(seed=4))
    said.clear()
    first, second = (editor.edit([Blend(cat, band(CAT.shape, at, at + 0.1))]) for at in (0.3, 0.4))
    assert sum("projected" in text for text in said) == 1
    points = [edit.steps[0].reference for edit in (first, second)]
    assert points[0] is points[1]
    known = points[0].said
    assert (known.settings["steps"], known.settings["seed"], known.photo) == (1, 4, cat)
    other = Editor(editor.model, ellipse).set_photo(CAT[:, ::-1].copy(), BOX).project("lion", preset="fast")
    edit = editor.blend(other, region=band(CAT.shape, 0.3, 0.4))
    assert edit.steps[0].reference.said.settings["preset"] == "fast", "an editor is taken as it is"


def test_names_in_recipes_make_no_paths(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    blend = ["blend", "--mask", "box", "--model", str(tiny), "--out", str(tmp_path / "first")]
    assert main(blend) == 0
    (recipe,) = (tmp_path / "first").glob("*.json")
    content = json.loads(recipe.read_text())
    content["edit"]["steps"][0]["name"] = "../../x/y"
    recipe.write_text(json.dumps(content))
    before = set(tmp_path.rglob("*"))
    assert main(["edit", "--recipe", str(recipe), "--out", str(out)]) == 0
    assert {path.parent for path in set(tmp_path.rglob("*")) - before if path.is_file()} == {out}


def test_photos_of_references_are_never_replaced(tiny: Path, tmp_path: Path) -> None:
    """Nor is the mask; the result gets another name."""
    editor = Editor(load_model(str(tiny)), ellipse).set_photo(CAT, BOX).project("lion", preset="fast")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("photo_blend_box.png", "photo_blend_box.panel.png"):
        Image.fromarray(np.ascontiguousarray(CAT[:, ::-1])).save(out / name)
    before = [(out / name).read_bytes() for name in ("photo_blend_box.png", "photo_blend_box.panel.png")]
    other = Editor(editor.model, ellipse).set_photo(out / "photo_blend_box.panel.png", BOX).project(preset="fast")
    for reference in (out / "photo_blend_box.png", other):
        editor.edits.clear()
        editor.blend(reference, region="box")
        (written,) = editor.save(out)
        assert written.name == "photo_blend_box_2.png"
    assert before == [(out / name).read_bytes() for name in ("photo_blend_box.png", "photo_blend_box.panel.png")]


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda e: e.edit([ChangeClass("lion"), "lion"]), "a class or a list of steps"),
        (lambda e: e.edit([]), "no region was given"),
        (lambda e: e.edit(5), "a class or a list of steps"),
        (lambda e: e.blend(Sample(1), part="eyes"), "call set_catalog first"),
        (lambda e: e.transfer(Sample(1), "eyes"), "call set_catalog first"),
        (lambda e: e.blend(Sample(1, "wolf"), region="box"), "unknown class 'wolf'"),
        (lambda e: e.blend(0, region="box"), "there is no reference 0"),
        (lambda e: e.blend("missing.jpg", region="box"), "no such file"),
        (lambda e: e.blend(Sample(1), region="box", layers=[99]), "no feature layer 99"),
        (lambda e: e.blend(Sample(1), region="box", move=(32, 0)), "moves all of the reference away"),
        (lambda e: e.blend(Sample(1), region=np.zeros(CAT.shape[:2])), "mask is empty"),
        (lambda e: e.blend(Editor(e.model), region="box"), "call set_photo first"),
        (lambda e: e.blend(Sample(1), region="box", method="glue"), "method is 'glue'"),
        (lambda e: e.edit([Blend(Sample(1), "box")], settle=3), "only changes of classes are settled"),
        (lambda e: e.edit([ChangeClass("lion")], layers=[1]), "stand in the steps"),
        (lambda e: e.set_catalog("missing.safetensors"), "no catalog at"),
    ],
)
def test_steps_that_cannot_be_done_change_nothing(model: Model, call: Any, words: str) -> None:
    editor = Editor(model, ellipse).set_photo(CAT, BOX).project("black cat", preset="fast")
    with pytest.raises(PhotograftError, match=words):
        call(editor)
    assert editor.edits == []


def test_pictures_on_another_device_are_no_references(model: Model) -> None:
    editor, other = (Editor(model).set_sample(Sample(seed)) for seed in (0, 1))
    other.networks.exact.to("meta")
    with pytest.raises(PhotograftError, match="on another device"):
        editor.blend(other, region="box")


def test_another_model_s_pictures_are_no_references(model: Model, tmp_path: Path) -> None:
    other = Editor(load_model(str(write_tiny_model(tmp_path, "other", seed=2)))).set_sample(Sample(1))
    with pytest.raises(PhotograftError, match="another model's"):
        Editor(model).set_sample(SOURCE).blend(other, region="box")


def test_a_sample_is_no_photo(model: Model) -> None:
    editor = Editor(model, ellipse).set_sample(SOURCE)
    assert editor.pixels.shape == (32, 32, 3)
    for call in (
        lambda: editor.project(),
        lambda: editor.write_as("png"),
        lambda: editor.set_projection(torch.zeros(1, 8), 0),
    ):
        with pytest.raises(PhotograftError, match="call set_photo first"):
            call()
    automatic = editor.edit("black cat")
    assert (automatic.pixels != editor.pixels).any()
    with pytest.raises(PhotograftError, match="unknown class"):
        editor.set_sample(Sample(1, "wolf"))
    assert editor.edits == [automatic], "what there was is kept"
    unconditional = Editor(replace(model, class_names=[]))
    with pytest.raises(UnsupportedEdit, match="unconditional"):
        unconditional.set_sample(Sample(1)).edit("lion")
