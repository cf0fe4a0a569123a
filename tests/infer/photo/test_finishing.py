"""Patches as sharp as their photo and no sharper, with its grain and blocks; and what recipes say of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from infer.cli.main import main
from infer.editor.editor import Editor
from infer.editor.recipe_file import read_recipe
from infer.photo import finishing
from infer.photo.box import Box, uncrop
from infer.photo.finishing import (
    Surroundings,
    Texture,
    blocks_of,
    check_finish,
    crispening,
    crispness_of,
    detail_of,
    finished,
    matched,
    noise_of,
    quality_of,
    surroundings,
    textured,
)
from models.errors import PhotograftError
from tests.infer.conftest import CAT, ellipse

ASTRONAUT = data.astronaut()  # [512,512,3], sharp
BOX = Box(100, 40, 256, 256)
FACE = np.asarray(cv2.resize(CAT[20:276, 140:396], (64, 64), interpolation=cv2.INTER_AREA), np.uint8)
WHOLE = np.ones((256, 256), np.float32)


def luma(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)


def soft(sigma: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(ASTRONAUT, (0, 0), sigma), np.uint8)


def detail(patch: np.ndarray) -> float:
    return detail_of(luma(patch), 64, WHOLE)


def test_off_is_resampled_as_ever() -> None:
    assert np.array_equal(finished(FACE, ASTRONAUT, BOX, finish="off"), uncrop(FACE, BOX, ASTRONAUT.shape)[0])


@pytest.mark.parametrize("side", [48, 64])
def test_small_squares_are_as_crisp_as_their_photo(side: int) -> None:
    """They need no network, and more detail, or less, as large ones do."""
    box, weights = Box(100, 40, side, side), np.ones((side, side), np.float32)
    plain = crispness_of(luma(uncrop(FACE, box, ASTRONAUT.shape)[0]), weights)
    for photo in (ASTRONAUT, soft(3.0)):
        wanted = crispness_of(luma(photo[40 : 40 + side, 100 : 100 + side]), weights)
        found = crispness_of(luma(finished(FACE, photo, box, finish="auto")), weights)
        assert abs(found - wanted) < abs(plain - wanted)


def test_a_sharp_photo_gets_more_detail_than_enlarging_gives() -> None:
    patch = finished(FACE, ASTRONAUT, BOX, finish="auto")
    assert patch.shape == (256, 256, 3)
    assert detail(patch) > 1.05 * detail(uncrop(FACE, BOX, ASTRONAUT.shape)[0])


@pytest.mark.parametrize("sigma", [2.0, 4.0, 8.0])
def test_never_sharper_than_the_photo(sigma: float) -> None:
    photo = soft(sigma)
    square = photo[40:296, 100:356]
    own = surroundings(square, square, 256, 64, WHOLE, WHOLE, at=(100, 40))
    patch = finished(FACE, photo, BOX, finish="auto")
    assert detail(patch) <= 1.1 * own.detail + 0.01  # the blur is chosen before the patch is resampled and rounded
    assert detail(patch) < detail(uncrop(FACE, BOX, photo.shape)[0])


def test_detail_is_strengthened_without_halos() -> None:
    """Towards a sharp photo detail grows, no further than asked for, and no pixel leaves the range of those around."""
    large = np.asarray(cv2.resize(FACE, (256, 256), interpolation=cv2.INTER_CUBIC), np.uint8)
    before = detail(large)
    for wanted in (1.05 * before, 1.15 * before):
        stronger = matched(large, wanted, 64, WHOLE)
        assert before < detail(stronger) <= wanted
        window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
        assert (stronger <= cv2.dilate(large, window)).all()
        assert (stronger >= cv2.erode(large, window)).all()
    assert detail(matched(large, 100.0, 64, WHOLE)) > 1.2 * before, "as far as it goes"
    softer = matched(large, 0.7 * before, 64, WHOLE)
    assert 0.6 * before < detail(softer) <= 0.7 * before


def test_no_crisper_than_the_photo() -> None:
    patch = np.asarray(cv2.resize(FACE, (256, 256), interpolation=cv2.INTER_CUBIC), np.uint8)
    before = crispness_of(luma(patch), WHOLE)
    some = Surroundings(detail=1.0, crispness=1.3 * before, noise=0.0, blocks=1.0)
    assert before < crispness_of(luma(crisp(patch, some, WHOLE)), WHOLE) <= 1.3 * before
    sharp = ASTRONAUT[40:296, 100:356]
    before = crispness_of(luma(sharp), WHOLE)
    softer = crisp(sharp, replace(some, crispness=0.8 * before), WHOLE)
    assert 0.7 * before < crispness_of(luma(softer), WHOLE) <= 0.8 * before


def test_softer_photos_make_softer_patches() -> None:
    found = [detail(finished(FACE, soft(sigma), BOX, finish="auto")) for sigma in (0.5, 3.0, 6.0)]
    assert found[0] > found[1] > found[2]


def test_what_counts_for_sharpness_is_where_the_patch_goes() -> None:
    """A sharp half and a soft one: the patch is as its own half."""
    photo = ASTRONAUT.copy()
    photo[:, 228:] = soft(6.0)[:, 228:]
    left, right = WHOLE.copy(), WHOLE.copy()
    left[:, 128:], right[:, :128] = 0, 0
    sharp, smooth = (detail(finished(FACE, photo, BOX, finish="auto", where=where)) for where in (left, right))
    assert smooth < 0.8 * sharp


def test_the_same_twice() -> None:
    noisy = np.clip(ASTRONAUT + np.random.default_rng(0).normal(0, 6, ASTRONAUT.shape), 0, 255).astype(np.uint8)
    first, second = (finished(FACE, noisy, BOX, finish="auto") for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("sigma", [2.0, 5.0])
def test_noise_is_measured(sigma: float) -> None:
    rng = np.random.default_rng(0)
    smooth = np.asarray(cv2.resize(FACE, (256, 256), interpolation=cv2.INTER_CUBIC), np.uint8)
    grain = rng.normal(0, sigma, (256, 256, 1))
    noisy = (np.asarray(cv2.GaussianBlur(smooth, (0, 0), 4)) + grain).clip(0, 255).round().astype(np.uint8)
    assert noise_of(luma(noisy)) == pytest.approx(sigma, rel=0.25)


def fur(sigma: float, amplitude: float) -> np.ndarray:
    """Hairs: smooth noise, in grey."""
    white = cv2.GaussianBlur(np.random.default_rng(1).normal(0, 1, (256, 256)), (0, 0), sigma)
    return np.repeat((128 + amplitude * white / white.std()).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_fur_is_no_noise_where_anything_is_flat() -> None:
    photo = fur(0.7, 20.0)
    photo[:64, :64] = 128  # a sixteenth
    assert noise_of(luma(photo)) < 0.5


def test_the_photos_texture_is_added_evenly() -> None:
    """As strong in faint fur as in strong fur, and an edge of the old head is not in it."""
    own = fur(0.7, 12.0)
    own[:, :128] = fur(0.7, 6.0)[:, :128]
    own[:, 200:] = np.clip(own[:, 200:].astype(int) - 90, 0, 255)  # an edge
    texture = Texture.of(own, WHOLE, 1.0).evened(own)
    faint, strong = texture[20:-20, 20:100].std(), texture[20:-20, 150:185].std()
    assert 0.6 < faint / strong < 1.4
    assert abs(texture[:, 199:202]).mean() < 1.5 * abs(texture[:, 150:185]).mean()
    grey = np.full((256, 256, 3), 128, np.uint8)
    given = textured(grey, texture, 8.0)
    assert luma(given).std() == pytest.approx(8.0 * texture.std(), rel=0.2)
    assert abs(luma(given).mean() - 128) < 0.5
    white = textured(np.full_like(grey, 254), texture, 8.0)
    assert luma(white).std() < 0.6 * luma(given).std(), "less in lights"
    assert textured(grey, texture, 0.0) is grey


def test_a_smooth_photo_gives_no_texture() -> None:
    flat = np.full((256, 256, 3), 90, np.uint8)
    assert not Texture.of(flat, WHOLE, 1.0).evened(flat).any()


def crisp(patch: np.ndarray, around: Surroundings, weights: np.ndarray) -> np.ndarray:
    return finishing._strengthened(patch, crispening(patch, around, weights), finishing._CRISP)


def with_blocks(patch: np.ndarray, blocks: float, *, at: tuple[int, int]) -> np.ndarray:
    quality = quality_of(patch, blocks, at=at)
    return patch if quality is None else finishing._coded(patch, quality, at)


def test_strips_are_seamless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large patch is measured in its middle and done in strips: as if it were done at once."""
    noisy = np.clip(ASTRONAUT + np.random.default_rng(0).normal(0, 6, ASTRONAUT.shape), 0, 255).astype(np.uint8)
    photo = cv2.resize(jpeg(noisy, 40), (900, 900), interpolation=cv2.INTER_CUBIC)
    box = Box(101, 45, 701, 701)
    in_strips = finished(FACE, photo, box, finish="auto")
    monkeypatch.setattr(finishing, "_STRIP", 1 << 20)
    np.testing.assert_allclose(in_strips.astype(int), finished(FACE, photo, box, finish="auto"), atol=1)
    monkeypatch.setattr(finishing, "_MEASURED", 256)
    middle = finished(FACE, photo, box, finish="auto")
    assert middle.shape == in_strips.shape
    assert detail(middle) == pytest.approx(detail(in_strips), rel=0.3)


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def test_blocks_are_measured_and_given_on_the_photos_grid() -> None:
    assert blocks_of(luma(ASTRONAUT), (0, 0)) < 1.06
    coded = jpeg(ASTRONAUT, 20)
    whole, shifted = blocks_of(luma(coded), (0, 0)), blocks_of(luma(coded[3:, 5:]), (5, 3))
    assert whole > 1.15
    assert shifted == pytest.approx(whole, rel=0.02)
    assert blocks_of(luma(coded[3:, 5:]), (0, 0)) < 1.06, "another grid"
    patch = np.asarray(cv2.resize(FACE, (251, 251), interpolation=cv2.INTER_CUBIC), np.uint8)
    given = with_blocks(patch, whole, at=(101, 45))
    assert given.shape == patch.shape
    assert blocks_of(luma(given), (101, 45)) > 1.1
    assert blocks_of(luma(given), (103, 42)) < 1.1, "another grid"
    assert np.array_equal(with_blocks(patch, 1.02, at=(101, 45)), patch)


def test_unknown_finishes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PhotograftError, match="auto, off, teacher"):
        check_finish("more")  # type: ignore[arg-type]
    monkeypatch.setattr("models.teacher.PACKAGE", "no_such_package_of_ours")
    with pytest.raises(PhotograftError, match="not installed"):
        check_finish("teacher")


# ---------------------------------------------------------------------- edits and recipes


@pytest.fixture
def editor(tiny: Path, cat: Path) -> Editor:
    return Editor.from_pretrained(str(tiny), ellipse).set_photo(cat, Box(120, 30, 160, 160)).project(steps=1)


def test_an_edit_says_how_it_was_finished(editor: Editor, tmp_path: Path) -> None:
    plain, sharp = (editor.edit("lion", method="limited", finish=finish) for finish in ("off", "auto"))
    assert (plain.finish, sharp.finish) == ("off", "auto")
    assert np.array_equal(plain.image, sharp.image)
    assert np.array_equal(plain.mask, sharp.mask), "where it goes does not depend on it"
    assert np.array_equal(plain.patch, uncrop(plain.image, editor.box, editor.shape)[0])
    assert not np.array_equal(plain.patch, sharp.patch)
    outside = np.ones(editor.shape, bool)
    outside[30:190, 120:280] = sharp.mask == 0
    assert np.array_equal(sharp.pixels[outside], CAT[outside])


def test_blends_are_finished_too(editor: Editor) -> None:
    assert editor.blend(editor, region=np.ones(editor.shape, np.float32)).finish == "auto"
    assert editor.blend(editor, region="box", finish="off").finish == "off"


def test_recipes_keep_it(edit: Callable[..., int], cat: Path, tmp_path: Path) -> None:
    assert edit(cat, "--to", "lion", "--finish", "auto") == 0
    recipe, result = tmp_path / "out" / "cat_to_lion.json", tmp_path / "out" / "cat_to_lion.png"
    assert read_recipe(recipe).finish == "auto"
    assert main(["edit", "--recipe", str(recipe), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "cat_to_lion.png").read_bytes() == result.read_bytes()
    assert main(["edit", "--recipe", str(recipe), "--finish", "off", "--out", str(tmp_path / "off")]) == 0
    assert (tmp_path / "off" / "cat_to_lion.png").read_bytes() != result.read_bytes()


def test_a_recipe_from_before_does_without(edit: Callable[..., int], cat: Path, tmp_path: Path) -> None:
    assert edit(cat, "--to", "lion", "--finish", "off") == 0
    recipe, result = tmp_path / "out" / "cat_to_lion.json", tmp_path / "out" / "cat_to_lion.png"
    content = json.loads(recipe.read_text())
    del content["edit"]["finish"]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(content))
    assert main(["edit", "--recipe", str(old), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "cat_to_lion.png").read_bytes() == result.read_bytes()


def test_a_missing_teacher_is_said_before_any_work(
    edit: Callable[..., int],
    cat: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("models.teacher.PACKAGE", "no_such_package_of_ours")
    assert edit(cat, "--to", "lion", "--finish", "teacher") == 2
    assert "photograft[sharp]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
