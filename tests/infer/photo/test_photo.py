"""Photos in and out: every legal mode gives the right pixels, every bad input one clear line, nothing half-written."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, JpegImagePlugin
from skimage import data

from infer.photo.box import Box, crop_square, uncrop
from infer.photo.metadata import Metadata
from infer.photo.painted_mask import read_mask
from infer.photo.photo import Photo
from infer.photo.read import read_photo
from infer.photo.write import write_photo
from models.errors import PhotograftError
from models.writing import write_file

CAT = data.cat()  # [300,451,3] uint8


@pytest.fixture
def cat_png(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    Image.fromarray(CAT).save(path)
    return path


def _refused(path: Path, words: str) -> None:
    with pytest.raises(PhotograftError, match=words) as caught:
        read_photo(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_bad_inputs_are_refused_with_one_clear_line(tmp_path: Path) -> None:
    _refused(tmp_path / "missing.jpg", "no such file")
    _refused(tmp_path, "folder")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    _refused(empty, "empty")
    text = tmp_path / "text.jpg"
    text.write_text("this is not a photo " * 50)
    _refused(text, "not a picture")
    tiny = tmp_path / "tiny.png"
    Image.new("RGB", (1, 1)).save(tiny)
    _refused(tiny, "too small")
    floats = tmp_path / "float.tif"
    Image.fromarray(np.zeros((32, 32), np.float32)).save(floats)
    _refused(floats, "float32 values, here from 0 to 0, of which no range is known")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".gif", ".bmp"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(CAT).save(path)
    content = path.read_bytes()
    for share in (0.5, 0.02):
        path.write_bytes(content[: int(len(content) * share)])
        _refused(path, "damaged|cannot be read|not a picture")


@pytest.mark.parametrize(("size", "words"), [((12000, 9000), "12000x9000 is too large"), ((20000, 20000), "too large")])
def test_too_large_is_refused_before_decoding(tmp_path: Path, size: tuple[int, int], words: str) -> None:
    path = tmp_path / "large.png"
    Image.new("1", size).save(path, compress_level=1)
    _refused(path, words)
    Image.fromarray(CAT).save(path)
    with pytest.raises(PhotograftError, match=r"limit is 0\.1 megapixels"):
        read_photo(path, max_megapixels=0.1)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_animations_and_pages_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"moving{suffix}"
    frames = [Image.fromarray(np.roll(CAT, 20 * i, axis=1)) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    _refused(path, "3 frames")


def test_camera_mpo_is_a_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "camera.jpg"
    image = Image.fromarray(CAT)
    image.save(path, "MPO", save_all=True, append_images=[image.resize((90, 60))])
    photo = read_photo(path)
    assert photo.format == "JPEG"
    assert photo.pixels.shape == CAT.shape


def test_rgb_is_read_exactly(cat_png: Path) -> None:
    photo = read_photo(cat_png)
    assert np.array_equal(photo.pixels, CAT)
    assert (photo.format, photo.alpha, photo.deep, photo.suffix) == ("PNG", None, None, ".png")
    assert (photo.metadata, photo.remarks) == (Metadata(), ())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_removed(tmp_path: Path, orientation: int) -> None:
    undo = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270}  # fmt: skip
    stored = Image.fromarray(CAT)
    if orientation > 1:
        stored = stored.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Camera maker"
    path = tmp_path / "turned.png"
    stored.save(path, exif=exif)
    photo = read_photo(path)
    assert np.array_equal(photo.pixels, CAT)
    write_photo(photo, photo.pixels, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as written:
        assert written.getexif().get(0x010F) == "Camera maker"
        assert written.getexif().get(0x0112) is None


def test_cmyk_is_converted(tmp_path: Path) -> None:
    path = tmp_path / "print.jpg"
    Image.fromarray(CAT).convert("CMYK").save(path, quality=98)
    photo = read_photo(path)
    assert np.abs(photo.pixels.astype(int) - CAT).mean() < 2
    assert photo.metadata.icc_profile is None


def test_grey_profile_is_not_attached_to_rgb(tmp_path: Path) -> None:
    rgb_profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / "cmyk.jpg"
    Image.fromarray(CAT).convert("CMYK").save(path, icc_profile=rgb_profile)  # a profile that cannot belong
    assert read_photo(path).metadata.icc_profile is None
    path = tmp_path / "rgb.jpg"
    Image.fromarray(CAT).save(path, icc_profile=rgb_profile)
    assert read_photo(path).metadata.icc_profile == rgb_profile
    Image.fromarray(CAT).save(path, icc_profile=b"broken")
    assert read_photo(path).metadata.icc_profile is None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey16_is_scaled(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"deep{suffix}"
    grey = CAT[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    assert np.array_equal(read_photo(path).pixels, np.repeat(grey[..., None], 3, axis=2))


def test_one_bit_and_grey(tmp_path: Path) -> None:
    path = tmp_path / "bits.png"
    bits = CAT[..., 1] > 128
    Image.fromarray(bits).save(path)
    assert np.array_equal(read_photo(path).pixels[..., 2], bits * np.uint8(255))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_kept(tmp_path: Path, mode: str) -> None:
    path, out = tmp_path / "layer.png", tmp_path / "out.png"
    image = Image.fromarray(CAT)
    alpha = np.zeros(CAT.shape[:2], np.uint8)
    alpha[50:200, 60:300] = 255
    if mode == "P":
        image = image.quantize(32)
        colour = 7
        alpha = np.where(np.asarray(image) == colour, 0, 255).astype(np.uint8)
        image.save(path, transparency=colour)
    else:
        image = image.convert("L") if mode == "LA" else image
        image.putalpha(Image.fromarray(alpha))
        image.save(path)
    photo = read_photo(path)
    assert photo.alpha is not None
    assert np.array_equal(photo.alpha, alpha)
    write_photo(photo, photo.pixels, out)
    again = read_photo(out)
    assert again.alpha is not None
    assert np.array_equal(again.alpha, alpha)
    assert np.array_equal(again.pixels, photo.pixels)
    with pytest.raises(PhotograftError, match="transparency"):
        write_photo(photo, photo.pixels, tmp_path / "out.jpg")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
def test_lossless_round_trip_keeps_metadata(tmp_path: Path, suffix: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x013B] = "An artist"
    exif.get_ifd(0x8769)[0x9003] = "2026:11:23 10:00:00"
    source, out = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    options = {".webp": {"lossless": True}, ".bmp": {}}.get(suffix, {})
    if suffix != ".bmp":
        options |= {"exif": exif.tobytes(), "icc_profile": profile}
    Image.fromarray(CAT).save(source, **options)
    photo = read_photo(source)
    edited = photo.pixels.copy()
    edited[100:120, 100:120] = 0
    write_photo(photo, edited, out)
    again = read_photo(out)
    assert np.array_equal(again.pixels, edited)
    assert again.metadata.icc_profile == photo.metadata.icc_profile
    if suffix != ".bmp":
        with Image.open(out) as written:
            assert written.getexif()[0x013B] == "An artist"
            assert written.getexif().get_ifd(0x8769)[0x9003] == "2026:11:23 10:00:00"


@pytest.mark.parametrize(("quality", "subsampling"), [(60, 2), (92, 0), (100, 0)])
def test_jpeg_keeps_tables_and_stays_close(tmp_path: Path, quality: int, subsampling: int) -> None:
    source, out = tmp_path / "in.jpg", tmp_path / "out.jpg"
    Image.fromarray(CAT).save(source, quality=quality, subsampling=subsampling)
    photo = read_photo(source)
    write_photo(photo, photo.pixels, out)
    with Image.open(out) as written:
        assert JpegImagePlugin.get_sampling(written) == subsampling
        assert np.abs(np.asarray(written).astype(int) - photo.pixels).mean() < 0.15


def test_nothing_is_half_written(tmp_path: Path, cat_png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = read_photo(cat_png)
    with pytest.raises(PhotograftError, match="cannot be written"):
        write_photo(photo, photo.pixels, cat_png / "out.png")  # the "folder" is a file
    with pytest.raises(PhotograftError, match="original"):
        write_photo(photo, photo.pixels, cat_png)
    with pytest.raises(PhotograftError, match=r"cannot write \.gif"):
        write_photo(photo, photo.pixels, tmp_path / "out.gif")
    out = tmp_path / "folder" / "out.png"
    write_photo(photo, photo.pixels, out)
    before = out.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for function in ("fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, function, full)
            with pytest.raises(PhotograftError, match="No space left"):
                write_photo(photo, np.zeros_like(photo.pixels), out)
        assert [p.name for p in out.parent.iterdir()] == ["out.png"]
        assert out.read_bytes() == before
    wide = np.zeros((16, 20000, 3), np.uint8)
    with pytest.raises(PhotograftError, match="cannot be written as WEBP"):
        write_photo(Photo(None, wide, "PNG"), wide, out.with_suffix(".webp"))
    with pytest.raises(RuntimeError):  # a bug in a writer must not leave a file either
        write_file(out.with_suffix(".txt"), lambda stream: (_ for _ in ()).throw(RuntimeError()).__next__())
    assert [p.name for p in out.parent.iterdir()] == ["out.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_read_only_folder(tmp_path: Path, cat_png: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    photo = read_photo(cat_png)
    with pytest.raises(PhotograftError, match="cannot be written"):
        write_photo(photo, photo.pixels, folder / "out.png")


def test_box() -> None:
    assert Box.parse(" 10, -20,30,40") == Box(10, -20, 30, 40)
    assert Box(10, 20, 30, 40).square() == Box(5, 20, 40, 40)
    for text in ("", "1,2,3", "a,b,c,d", "1,2,3,4,5", "1.5,2,3,4", "1,2,0,4", "nan,1,2,3"):
        with pytest.raises(PhotograftError, match="box"):
            Box.parse(text)
    for box in (Box(0, 0, 4, 40), Box(500, 0, 40, 40), Box(0, -100, 40, 40), Box(-1000, -1000, 2100, 2100)):
        with pytest.raises(PhotograftError, match="box"):
            box.validate(300, 451)


@pytest.mark.parametrize("box", [Box(60, 40, 200, 200), Box(-60, -30, 180, 140), Box(300, 180, 222, 202)])
def test_crop_and_uncrop_are_aligned(box: Box) -> None:
    crop = crop_square(CAT, box, 128)
    assert crop.shape == (128, 128, 3)
    patch, in_photo, in_patch = uncrop(crop, box, CAT.shape)
    assert patch.shape == (box.square().h, box.square().w, 3)
    shown, original = patch[in_patch].astype(float), CAT[in_photo].astype(float)
    assert shown.shape == original.shape
    error = np.abs(shown - original).mean()
    assert error < 6
    assert error < np.abs(np.roll(shown, 1, axis=1) - original)[:, 1:].mean()  # no shift does better
    same, _, _ = uncrop(crop_square(CAT, box, box.square().w), box, CAT.shape)
    assert np.array_equal(same[in_patch], CAT[in_photo])


def test_uncrop_keeps_dtype_and_range() -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[20:40, 20:40] = 1
    big, _, _ = uncrop(mask, Box(0, 0, 300, 300), CAT.shape)
    assert big.dtype == np.float32
    assert (big.min(), big.max()) == (0, 1)


def test_mask(tmp_path: Path) -> None:
    path, shape = tmp_path / "mask.png", CAT.shape[:2]
    wanted = np.zeros(shape, np.uint8)
    wanted[:90, 100:200] = 255  # touches the border
    red = np.zeros((*shape, 3), np.uint8)
    red[..., 0] = wanted
    black_on_clear = Image.new("RGBA", shape[::-1], (0, 0, 0, 0))
    black_on_clear.putalpha(Image.fromarray(wanted))
    white = Image.new("RGBA", shape[::-1], "white")
    white.putalpha(Image.fromarray(wanted))
    images = {
        "L": Image.fromarray(wanted), "1": Image.fromarray(wanted > 0), "0/1": Image.fromarray(wanted // 255),
        "16": Image.fromarray(wanted.astype(np.uint16) * 257), "P": Image.fromarray(wanted).convert("P"),
        "red": Image.fromarray(red), "black, alpha": black_on_clear, "white, alpha": white,
        "opaque": Image.fromarray(np.repeat(wanted[..., None], 3, 2)).convert("RGBA"),
    }  # fmt: skip
    for name, image in images.items():
        image.save(path)
        assert np.array_equal(read_mask(path, shape), (wanted > 0).astype(np.float32)), name
    Image.fromarray(wanted // 2).save(path)
    assert read_mask(path, shape).max() == pytest.approx(127 / 255)
    Image.new("L", shape[::-1], 255).save(path)
    assert read_mask(path, shape).min() == 1


def test_bad_masks(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.new("L", (451, 300)).save(path)
    with pytest.raises(PhotograftError, match="empty"):
        read_mask(path, (300, 451))
    Image.new("L", (300, 451), 255).save(path)
    with pytest.raises(PhotograftError, match="300x451 but the photo is 451x300"):
        read_mask(path, (300, 451))
    Image.new("RGBA", (451, 300)).save(path)
    with pytest.raises(PhotograftError, match="empty"):
        read_mask(path, (300, 451))
