"""Painted masks of every sort: each is understood as a person would, said, or refused by one line."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infer.cli.main import main
from infer.editor.editor import Editor
from infer.editor.recipe_file import read_recipe
from infer.editor.steps import ChangeClass
from infer.photo.box import Box
from infer.photo.painted_mask import read_mask
from infer.photo.read import read_photo
from models.errors import PhotograftError
from models.zoo import load_model
from tests.corpus.picture_files import CAT, DEEP, chunk, exif, png, saved, tiff, written
from tests.infer.tiny_model import write_tiny_model

SHAPE = (96, 128)
AREA = np.zeros(SHAPE, bool)
AREA[20:60, 30:80] = True
SOFT = np.zeros(SHAPE, np.float32)
SOFT[20:60, 30:80] = np.linspace(0, 1, 50, dtype=np.float32)
PART = np.zeros(SHAPE, bool)  # a second label
PART[70:80, 10:20] = True
VOC = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]], np.uint8)
GREYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
OTHER = np.array([[128, 64, 128], [244, 35, 232], [70, 70, 70]], np.uint8)  # no black in it


def grey(values: np.ndarray, dtype: type = np.uint8) -> bytes:
    return png(np.asarray(values, dtype)[..., None])


def palette(index: np.ndarray, colours: np.ndarray, **options: object) -> bytes:
    image = Image.fromarray(index.astype(np.uint8), "P")
    image.putpalette(colours.tobytes())
    return saved(image, "PNG", **options)


def coloured(index: np.ndarray, colours: np.ndarray) -> bytes:
    return png(colours[index.astype(int)])


def layer(colour: np.ndarray, alpha: np.ndarray) -> bytes:
    return png(np.dstack([np.broadcast_to(colour, (*SHAPE, 3)), alpha]).astype(np.uint8))


LABELS = np.where(AREA, 8, 0) + np.where(PART, 3, 0)
BOTH = AREA | PART
SHADES = np.round(SOFT * 255)
FAINT = np.where(AREA, 80, 0)
PLAIN: dict[str, tuple[bytes, np.ndarray, str]] = {  # content, mask, words that are said ("" for none)
    "white": (grey(AREA * 255), AREA, ""),
    "0 and 1": (grey(AREA), AREA, ""),
    "one bit": (saved(Image.fromarray(AREA), "PNG"), AREA, ""),
    "shades": (grey(SHADES), SHADES / 255, ""),
    "16 bits": (grey(AREA * 65535, np.uint16), AREA, ""),
    "16 bits, shades": (grey(SHADES * 257, np.uint16), SHADES / 255, ""),
    "16 bits, 0 and 255": (grey(AREA * 255, np.uint16), AREA, ""),
    "16 bits, 0..255": (grey(SHADES, np.uint16), SHADES / 255, "255 is taken for white"),
    "16 bits, RGB": (png(np.repeat((AREA * 65535).astype(np.uint16)[..., None], 3, 2)), AREA, ""),
    "16 bits, white is 0": (tiff((~AREA * 65535).astype(np.uint16), photometric="miniswhite"), AREA, ""),
    "floats 0..1": (tiff(SOFT), SOFT, ""),
    "doubles 0..1": (tiff(SOFT.astype(np.float64)), SOFT, ""),
    "floats 0 and 255": (tiff((AREA * 255).astype(np.float32)), AREA, ""),
    "int32 0 and 1": (tiff(AREA.astype(np.int32)), AREA, ""),
    "red": (coloured(AREA, np.array([[0, 0, 0], [255, 0, 0]], np.uint8)), AREA, ""),
    "palette, black and white": (palette(AREA, np.array([[0, 0, 0], [255, 255, 255]], np.uint8)), AREA, ""),
    "palette, white first": (palette(~AREA, np.array([[255, 255, 255], [0, 0, 0]], np.uint8)), AREA, ""),
    "JPEG": (saved(Image.fromarray((AREA * 255).astype(np.uint8)), "JPEG", quality=95), AREA, ""),
    "opaque": (layer(np.repeat((AREA * 255)[..., None], 3, 2), np.full(SHAPE, 255)), AREA, ""),
    "full": (grey(np.full(SHAPE, 255)), np.ones(SHAPE), ""),
    "labels 0 and 8": (grey(np.where(AREA, 8, 0)), AREA, "labels"),
    "labels 0, 3, 8": (grey(LABELS), BOTH, "0, 3, 8"),
    "labels and void": (grey(np.where(PART, 255, LABELS)), BOTH, "labels"),
    "labels, 16 bits": (grey(LABELS, np.uint16), BOTH, "labels"),
    "labels, int32": (tiff((LABELS * 1000).astype(np.int32)), BOTH, "labels"),
    "labels, floats": (tiff(LABELS.astype(np.float32)), BOTH, "labels"),
    "labels, TIFF": (tiff(LABELS.astype(np.uint8)), BOTH, "labels"),
    "palette of VOC": (palette(np.where(AREA, 1, 0) + PART * 2, VOC), BOTH, "all but black"),
    "palette, labels as greys": (palette(LABELS, GREYS), BOTH, "labels"),
    "palette without black": (palette(np.where(AREA, 1, 0) + PART * 2, OTHER), BOTH, "128,64,128"),
    "colours of VOC": (coloured(np.where(AREA, 1, 0) + PART * 2, VOC), BOTH, "3 colours"),
    "one dark colour": (coloured(AREA, VOC), AREA, "2 colours"),
    "red, in shades": (png(np.dstack([SHADES, SHADES * 0, SHADES * 0]).astype(np.uint8)), SHADES / 255, "one colour"),
    "black paint on transparency": (layer(np.zeros(3), AREA * 255), AREA, "opacity"),
    "white paint on transparency": (layer(np.full(3, 255), SHADES), SHADES / 255, "opacity"),
    "black and white, transparent": (layer(np.dstack([AREA * 255] * 3), PART * -255 + 255), AREA, "times"),
    "16 bits and opacity": (
        png(np.dstack([np.full(SHAPE, 65535), AREA * 65535]).astype(np.uint16)), AREA, "opacity"
    ),
    "faint": (grey(FAINT), FAINT / 255, "31%"),
    "faint shades": (grey(np.round(SOFT * 40)), np.round(SOFT * 40) / 255, "16%"),
}  # fmt: skip


@pytest.mark.parametrize("kind", PLAIN)
def test_masks_are_understood_and_what_is_not_plain_is_said(tmp_path: Path, kind: str) -> None:
    content, wanted, words = PLAIN[kind]
    said: list[str] = []
    mask = read_mask(written(tmp_path, "mask", content), SHAPE, say=said.append)
    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask, wanted, atol=1e-6 if kind != "JPEG" else 0.6)
    if kind == "JPEG":
        assert (mask != wanted).mean() < 0.05  # along the edge alone
    assert len(said) == bool(words), said
    assert words in "".join(said)
    if not (wanted == 1).all():
        inverted = read_mask(tmp_path / "mask", SHAPE, invert=True)
        np.testing.assert_allclose(inverted, 1 - mask, atol=1e-6)


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (grey(np.zeros(SHAPE)), "is empty"),
    "empty, transparent": (layer(np.full(3, 255), np.zeros(SHAPE)), "is empty"),
    "empty, 16 bits": (grey(np.zeros(SHAPE), np.uint16), "is empty"),
    "empty, floats": (tiff(np.zeros(SHAPE, np.float32)), "is empty"),
    "another size": (grey(AREA[:90] * 255), "is 128x90 but the photo is 128x96"),
    "lying": (grey(AREA.T * 255), "before it is turned upright"),
    "the photo itself": (png(CAT), "many colours"),
    "the photo, 16 bits": (png(DEEP), "many colours"),
    "the photo with paint on it": (png(np.where(AREA[..., None], np.uint8([255, 0, 0]), CAT)), "many colours"),
    "the photo with a hole": (png(np.dstack([CAT, np.where(AREA, 0, 255).astype(np.uint8)])), "many colours"),
    "red on white": (coloured(AREA, np.array([[255, 255, 255], [255, 0, 0]], np.uint8)), "no black"),
    "labels without 0": (grey(np.where(AREA, 8, 1)), "no 0"),
    "palette without black or first": (palette(np.where(AREA, 1, 2), OTHER), "none of them black or the first"),
    "floats 0..255": (tiff(SOFT * 255), "no range is known"),
    "NaN": (tiff(np.where(AREA, np.nan, 0).astype(np.float32)), "not finite"),
    "infinite": (tiff(np.where(AREA, np.inf, 0).astype(np.float32)), "not finite"),
    "negative": (tiff(np.where(AREA, -1, 0).astype(np.int16)), "below 0"),
    "int32 of many values": (tiff(np.arange(96 * 128, dtype=np.int32).reshape(SHAPE)), "no range is known"),
    "cut": (grey(AREA * 255)[:-30], "damaged"),
    "text": (b"white on black", "not a picture"),
    "film": (b"\0\0\0\x18ftypisom" + bytes(99), "film"),
    "two pages": (tiff(np.stack([AREA, AREA]).astype(np.uint8)), "2 frames"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_masks_that_mean_nothing_are_refused(tmp_path: Path, kind: str) -> None:
    content, words = REFUSED[kind]
    with pytest.raises(PhotograftError, match=re.escape(words)) as caught:
        read_mask(written(tmp_path, "mask", content), SHAPE)
    assert "\n" not in str(caught.value)
    assert "mask" in str(caught.value)


def test_a_full_mask_cannot_be_inverted(tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match="inverted it is empty"):
        read_mask(written(tmp_path, "mask", grey(np.full(SHAPE, 255))), SHAPE, invert=True)


def test_a_mask_is_turned_as_the_photo_or_left(tmp_path: Path) -> None:
    tag = chunk(b"eXIf", exif(x0112=6).removeprefix(b"Exif\0\0"))
    said: list[str] = []
    lying = written(tmp_path, "lying.png", png((AREA * 255).astype(np.uint8)[..., None], before=tag))
    np.testing.assert_array_equal(read_mask(lying, SHAPE[::-1], say=said.append), np.rot90(AREA, -1))
    np.testing.assert_array_equal(read_mask(lying, SHAPE, say=said.append), AREA)
    assert "turned as its EXIF says" in said[0]
    assert "EXIF turn is left out" in said[1]


# ---------------------------------------------------------------------- through the command


@pytest.fixture(scope="module")
def edit(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., int]:
    model = write_tiny_model(tmp_path_factory.mktemp("model"))

    def run(command: str, *arguments: object) -> int:
        options = ["--model", str(model), "--box", "20,10,80,80"]
        return main([command, *map(str, arguments), *options])

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return written(tmp_path, "cat.png", png(DEEP))


def changed(photo: Path, result: Path) -> np.ndarray:
    before, after = read_photo(photo).deep, read_photo(result).deep
    assert before is not None
    assert after is not None
    return (before != after).any(axis=2)


def test_an_inverted_mask_is_replayed(
    edit: Callable[..., int], photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask, out = written(tmp_path, "mask.png", grey(np.where(AREA, 8, 0))), tmp_path / "out"
    how = ["--to", "lion", "--from", "black cat", "--method", "paste"]
    assert edit("edit", photo, *how, "--mask", mask, "--mask-invert", "--steps", 1, "--out", out) == 0
    err = capsys.readouterr().err
    assert err.count("labels") == 1
    where = changed(photo, out / "cat_to_lion.png")
    assert where.any()
    assert not where[AREA].any()
    recipe = read_recipe(out / "cat_to_lion.json")
    assert recipe.steps[0].invert is False
    assert main(["edit", str(photo), "--recipe", str(out / "cat_to_lion.json"), "--out", str(tmp_path / "again")]) == 0
    same = (tmp_path / "again" / "cat_to_lion.png").read_bytes()
    assert same == (out / "cat_to_lion.png").read_bytes()
    assert edit("edit", photo, "--to", "lion", "--mask", "box", "--mask-invert", "--out", out) == 2
    assert "--mask-invert needs a painted mask" in capsys.readouterr().err


def test_a_faint_mask_of_a_recipe_is_no_label(tmp_path: Path) -> None:
    faint = np.where(AREA, np.float32(8 / 255), np.float32(0))
    editor = Editor(load_model(str(write_tiny_model(tmp_path))), lambda pixels: np.ones(pixels.shape[:2], np.float32))
    editor.set_photo(CAT, Box(20, 10, 80, 80)).project("lion", preset="fast").edit([ChangeClass("lion", faint)])
    editor.save(tmp_path / "out")
    (path,) = (tmp_path / "out").glob("*.mask0.png")
    np.testing.assert_array_equal(read_mask(path, SHAPE), faint)


def test_arrays_are_inverted_too(tmp_path: Path) -> None:
    model = load_model(str(write_tiny_model(tmp_path)))
    target = ChangeClass("lion", AREA, invert=True)
    (resolved,) = Editor(model).set_photo(CAT, Box(20, 10, 80, 80)).resolve([target])
    np.testing.assert_array_equal(resolved.region, 1 - AREA.astype(np.float32))
    assert resolved.invert is False
    with pytest.raises(PhotograftError, match="cannot be inverted"):
        ChangeClass("lion", "auto", invert=True)


def test_blend_inverts_and_refuses(
    edit: Callable[..., int], photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask, out = written(tmp_path, "mask.png", grey(AREA * 255)), tmp_path / "out"
    arguments = ["--mask", mask, "--mask-invert", "--preset", "fast", "--method", "paste", "--out", out]
    assert edit("blend", photo, *arguments, "--format", "tif") == 0
    (result,) = out.glob("*.tif")
    where = changed(photo, result)
    assert where.any()
    assert not where[22:58, 32:78].any()
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    assert edit("blend", photo, "--mask", mask, "--reference", pipe, "--out", tmp_path / "none") == 2
    assert "is a pipe" in capsys.readouterr().err
    assert edit("blend", photo, "--mask", pipe, "--out", tmp_path / "none") == 2
    assert "is a pipe" in capsys.readouterr().err


def test_formats_contradict_or_are_refused_before_the_work(
    edit: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clear = written(tmp_path, "clear.png", png(np.dstack([CAT, np.where(AREA, 0, 255).astype(np.uint8)])))
    for options, words in (
        (["--format", "jpg"], "cannot hold this photo's transparency"),
        (["--format", "webp", "--lossless"], "not both"),
    ):
        assert edit("edit", clear, "--to", "lion", "--mask", "box", "--out", tmp_path / "out", *options) == 2
        assert words in capsys.readouterr().err
    assert list((tmp_path / "out").glob("*")) == []
