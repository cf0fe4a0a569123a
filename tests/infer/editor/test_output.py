"""Files that an edit leaves: pixels outside the mask, metadata and format are the photo's; all files or none."""

import errno
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage import data

from infer.editor import output
from infer.photo.box import Box
from infer.photo.read import read_photo
from infer.pictures.sheet import sheet, tile

CAT = data.cat()  # [300,451,3]
BOX = (120, 30, 160, 160)  # of tests/infer/conftest.py
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION, ARTIST = 0x0112, 0x013B

Edit = Callable[..., int]


def outside() -> np.ndarray:
    mask = np.ones(CAT.shape[:2], bool)
    x, y, w, h = BOX
    mask[y : y + h, x : x + w] = False
    return mask


def written(tmp_path: Path, stem: str = "photo_to_lion") -> Path:
    (path,) = [path for path in (tmp_path / "out").iterdir() if path.stem == stem and path.suffix != ".json"]
    return path


def exif(**tags: object) -> Image.Exif:
    content = Image.Exif()
    content[ARTIST] = "somebody"
    for tag, value in tags.items():
        content[int(tag[1:], 16)] = value
    return content


def test_png_with_profile_alpha_and_exif(edit: Edit, tmp_path: Path) -> None:
    alpha = np.tile(np.linspace(0, 255, CAT.shape[1]).astype(np.uint8), (CAT.shape[0], 1))
    photo = tmp_path / "photo.png"
    Image.fromarray(np.dstack([CAT, alpha])).save(photo, icc_profile=ICC, exif=exif())
    assert edit(photo, "--to", "lion") == 0
    result = Image.open(written(tmp_path))
    assert (result.format, result.mode, result.size) == ("PNG", "RGBA", (451, 300))
    assert result.info["icc_profile"] == ICC
    assert result.getexif()[ARTIST] == "somebody"
    pixels = np.asarray(result)
    np.testing.assert_array_equal(pixels[..., 3], alpha)
    np.testing.assert_array_equal(pixels[outside()][:, :3], CAT[outside()])
    assert (pixels[..., :3] != CAT).any()


@pytest.mark.parametrize("orientation", [3, 6])
def test_rotated_jpeg_written_losslessly(edit: Edit, tmp_path: Path, orientation: int) -> None:
    photo = tmp_path / "photo.jpg"
    turned = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    Image.fromarray(CAT).transpose(turned).save(photo, exif=exif(x0112=orientation), icc_profile=ICC)
    upright = read_photo(photo).pixels
    assert upright.shape == CAT.shape
    assert edit(photo, "--to", "lion", "--lossless") == 0
    result = Image.open(written(tmp_path))
    assert result.format == "PNG"
    assert ORIENTATION not in result.getexif()
    assert result.getexif()[ARTIST] == "somebody"
    assert result.info["icc_profile"] == ICC
    pixels = np.asarray(result)
    np.testing.assert_array_equal(pixels[outside()], upright[outside()])
    assert (pixels != upright).any()


def test_jpeg_stays_a_jpeg_that_differs_little_outside(edit: Edit, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    Image.fromarray(CAT).save(photo, quality=90, icc_profile=ICC)
    assert edit(photo, "--to", "lion") == 0
    result = Image.open(written(tmp_path))
    assert (result.format, result.size, result.info["icc_profile"]) == ("JPEG", (451, 300), ICC)
    difference = np.abs(np.asarray(result).astype(int) - read_photo(photo).pixels)
    assert difference[outside()].mean() < 1


def save_cmyk(path: Path) -> None:
    Image.fromarray(CAT).convert("CMYK").save(path)


def save_grey16(path: Path) -> None:
    Image.fromarray(CAT.mean(axis=2).astype(np.uint16) * 257).save(path)


def save_palette(path: Path) -> None:
    transparent = Image.fromarray(CAT).quantize(64)
    transparent.save(path, transparency=5)


@pytest.mark.parametrize(
    ("suffix", "save"), [(".jpg", save_cmyk), (".png", save_grey16), (".png", save_palette), (".webp", None)]
)
def test_unusual_photos_work(edit: Edit, tmp_path: Path, suffix: str, save: Callable[[Path], None] | None) -> None:
    photo = tmp_path / f"photo{suffix}"
    if save is None:
        Image.fromarray(CAT).save(photo, lossless=True)
    else:
        save(photo)
    before = read_photo(photo)
    assert edit(photo, "--to", "lion", "--lossless") == 0
    after = read_photo(written(tmp_path))
    np.testing.assert_array_equal(after.pixels[outside()], before.pixels[outside()])
    assert (after.pixels != before.pixels).any()
    if save is save_palette:
        assert before.alpha is not None
        np.testing.assert_array_equal(after.alpha, before.alpha)


def test_painted_mask_bounds_the_change(edit: Edit, cat: Path, tmp_path: Path) -> None:
    mask = np.zeros(CAT.shape[:2], np.uint8)
    mask[60:130, 150:230] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert edit(cat, "--to", "lion", "--from", "black cat", mask=str(tmp_path / "mask.png")) == 0
    changed = (np.asarray(Image.open(written(tmp_path, "cat_to_lion"))) != CAT).any(axis=2)
    assert changed.any()
    assert not changed[mask == 0].any()


@pytest.mark.parametrize("where", ["border", "full"])
def test_masks_that_reach_the_border(edit: Edit, cat: Path, tmp_path: Path, where: str) -> None:
    mask = np.full(CAT.shape[:2], 255, np.uint8)
    if where == "border":
        mask[120:] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert edit(cat, "--to", "lion", box="120,-20,200,200", mask=str(tmp_path / "mask.png")) == 0
    changed = (np.asarray(Image.open(written(tmp_path, "cat_to_lion"))) != CAT).any(axis=2)
    assert changed[:20].any(), "the square reaches over the photo's upper border: nothing fades there"
    assert not changed[mask == 0].any()
    assert not changed[:, :120].any()
    assert not changed[180:].any()


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_full_disk_leaves_nothing(
    edit: Edit,
    cat: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failing: int,
) -> None:
    replace, calls = os.replace, []

    def full(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert edit(cat, "--to", "lion", "--no-cache") == 2
    assert len(calls) == failing
    assert list((tmp_path / "out").iterdir()) == []
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "No space left on device" in errors[0]


def test_failing_write_leaves_nothing(
    edit: Edit, cat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, mode: str = "r", **options: object) -> BytesIO:
        if mode == "xb":
            path.touch()
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(path, mode, **options)  # type: ignore[return-value]

    opened = Path.open
    monkeypatch.setattr(Path, "open", full)
    assert edit(cat, "--to", "lion") == 2
    assert list((tmp_path / "out").iterdir()) == []
    assert "Read-only file system" in capsys.readouterr().err


def test_unusable_folder_is_told_before_the_work(
    edit: Edit, cat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "write_edits", pytest.fail)
    (tmp_path / "out").write_text("a file, not a folder")
    assert edit(cat, "--to", "lion", steps=10_000) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "cannot be written to" in err


def test_photos_of_one_name_do_not_replace_each_other(edit: Edit, cat: Path, tmp_path: Path) -> None:
    other = tmp_path / "more" / "cat.png"
    other.parent.mkdir()
    Image.fromarray(CAT[:, ::-1]).save(other)
    assert edit(cat, other, "--to", "lion") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    expected = [f"{stem}{end}" for stem in ("cat_to_lion", "cat_to_lion_2") for end in (".png", ".panel.png", ".json")]
    assert names == {*expected, "contact_sheet.png"}


def test_input_photos_are_never_replaced(edit: Edit, cat: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    victim = tmp_path / "out" / "cat_to_lion.png"
    Image.fromarray(CAT[::-1]).save(victim)
    before = victim.read_bytes()
    assert edit(cat, victim, "--to", "lion") == 0
    assert victim.read_bytes() == before
    assert (tmp_path / "out" / "cat_to_lion_2.png").exists()


def test_contact_sheet_does_not_replace_a_photo(edit: Edit, cat: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    photo = tmp_path / "out" / "contact_sheet.png"
    Image.fromarray(CAT[::-1]).save(photo)
    before = photo.read_bytes()
    assert edit(cat, photo, "--to", "lion") == 0
    assert photo.read_bytes() == before
    assert (tmp_path / "out" / "contact_sheet_2.png").is_file()


def test_frame_is_seen_where_the_square_reaches_over_the_photo() -> None:
    drawn = (output.framed(CAT, Box(-50, -20, 600, 600)) != CAT).any(axis=2)
    assert all(edge.mean() > 0.9 for edge in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]))
    assert not drawn[10:-10, 10:-10].any()


def test_sheet_has_titles_once_and_a_name_per_row() -> None:
    plain = sheet([[CAT, CAT[..., 0] / 255.0]] * 2, size=64)
    assert plain.shape == (2 * 68 - 4, 2 * 68 - 4, 3)
    titled = sheet([[CAT, CAT]] * 2, ["photo", "a title that is much too long for its column"], ["x", "y"], size=64)
    assert titled.shape[0] > plain.shape[0]
    assert titled.shape[1] > plain.shape[1]
    left = titled.shape[1] - plain.shape[1]
    np.testing.assert_array_equal(titled[-64:, left : left + 64], tile(CAT, 64))
    assert (titled[:22, :left] == 255).all(), "titles stay over their columns"
