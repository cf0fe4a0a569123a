"""Bad and extreme photos: each is understood, with what it holds, or refused by one line in bounded time and memory."""

import contextlib
import os
import socket
import struct
import sys
import time
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from infer import photo_read
from infer.photo_metadata import Metadata
from infer.photo_read import read_photo
from infer.photo_write import photo_writer, unkept, write_photo, written_as
from models.errors import PhotograftError
from tests.corpus.picture_files import (
    ALPHA,
    CAT,
    DEEP,
    ICC,
    XMP,
    chunk,
    exif,
    jpeg,
    png,
    png_samples,
    saved,
    tiff,
    tiff_lzw,
    with_segment,
    written,
)

GREY = DEEP[..., :1]
KIB = 1024


def one_line(error: PhotograftError, words: str) -> None:
    text = str(error)
    assert words in text
    assert "\n" not in text
    assert len(text) < 500


# ---------------------------------------------------------------------- no photos


def box(brand: bytes, size: int = 24) -> bytes:
    return struct.pack(">I4s4sI4s4s", size, b"ftyp", brand, 0, brand, b"isom") + bytes(200)


OTHERS = {
    "mp4": (box(b"isom"), "a film"),
    "quicktime": (box(b"qt  "), "a film"),
    "old quicktime": (struct.pack(">I4s", 8, b"moov") + bytes(99), "a film"),
    "matroska": (b"\x1aE\xdf\xa3" + bytes(99), "a film"),
    "avi": (b"RIFF\0\0\0\0AVI " + bytes(99), "a film"),
    "wav": (b"RIFF\0\0\0\0WAVE" + bytes(99), "a sound"),
    "raw CR3": (box(b"crx "), "raw photo (CR3)"),
    "raw CR2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "raw photo (CR2)"),
    "raw RAF": (b"FUJIFILMCCD-RAW 0201", "raw photo (RAF)"),
    "raw DNG": (tiff(CAT, photometric="rgb", extratags=[(50706, 1, 4, b"\1\4\0\0", True)]), "raw photo"),
    "raw NEF, its preview": (tiff(CAT, photometric="rgb", subfiletype=1), "raw photo"),
    "psd": (b"8BPS\0\1" + bytes(99), "Photoshop"),
    "pdf": (b"%PDF-1.7\n", "PDF"),
    "zip": (b"PK\3\4" + bytes(99), "ZIP"),
    "gzip": (b"\x1f\x8b\x08" + bytes(99), "gzip"),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "web page": (b"\n<!DOCTYPE html><html>", "web page"),
    "json": (b'{"a": 1}', "JSON"),
    "text": (b"this is not a photo", "text"),
    "zeros": (bytes(5000), "zero"),
    "empty": (b"", "empty"),
    "jpeg xl": (b"\xff\x0a" + bytes(99), "JPEG XL"),
    "exr": (b"v/1\x01" + bytes(99), "OpenEXR"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_are_named(tmp_path: Path, kind: str) -> None:
    content, words = OTHERS[kind]
    with pytest.raises(PhotograftError) as caught:
        read_photo(written(tmp_path, "photo.jpg", content))
    one_line(caught.value, words)


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to("pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    for name, words in (("pipe.jpg", "a pipe"), ("link.jpg", "a pipe"), ("loop.jpg", "cannot be read")):
        with pytest.raises(PhotograftError, match=words):
            read_photo(tmp_path / name)
    for device in ("/dev/zero", "/dev/null", "/dev/stdin"):
        if not Path(device).is_file():
            with pytest.raises(PhotograftError, match=r"not a file|no such file|cannot be read"):
                read_photo(device)
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(tmp_path):  # a socket's path is short
        one.bind("s.jpg")
        with pytest.raises(PhotograftError, match="a socket"):
            read_photo("s.jpg")
    for name in ("a\0b.jpg", "x" * 300 + ".jpg"):
        with pytest.raises(PhotograftError, match=r"no such file|cannot be read"):
            read_photo(name)


@pytest.mark.parametrize("head", [box(b"isom"), jpeg(), png(CAT)])
def test_a_file_of_gigabytes_is_not_read(tmp_path: Path, head: bytes) -> None:
    path = written(tmp_path, "film.jpg", head)
    os.truncate(path, 3 << 30)  # sparse
    tracemalloc.start()
    with pytest.raises(PhotograftError, match=r"a film|3221 MB are too large for a picture of 100 megapixels"):
        read_photo(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


# ---------------------------------------------------------------------- values that cannot be shown

NOT_SHOWN = {
    "float32 0..1": tiff(CAT[..., 0] / np.float32(255)),
    "float32 RGB": tiff(CAT / np.float32(255), photometric="rgb"),
    "float64 0..255": tiff(CAT[..., 0].astype(np.float64)),
    "float16": tiff(CAT[..., 0].astype(np.float16)),
    "float NaN": tiff(np.full((32, 32), np.nan, np.float32)),
    "int16": tiff(CAT[..., 0].astype(np.int16) - 100),
    "int8": tiff((CAT[..., 0] // 2).astype(np.int8)),
    "int32": tiff(CAT[..., 0].astype(np.int32) * 1000),
    "uint32": tiff(CAT[..., 0].astype(np.uint32) * 1000),
    "uint32 RGB": tiff(CAT.astype(np.uint32), photometric="rgb"),
    "16-bit planes that only LZW readers read": tiff_lzw(DEEP)[:200],
    "cut": png(DEEP)[:3000],
    "cut TIFF": tiff(DEEP, photometric="rgb")[:3000],
    "bad IDAT": png(CAT).replace(b"IDAT", b"IDAT\xff\xff", 1),
    "no IDAT": png(CAT)[:33] + chunk(b"IEND", b""),
    "says 60000x1666": png(CAT).replace(struct.pack(">II", 128, 96), struct.pack(">II", 60000, 1666)),
    "two pages": tiff(np.stack([CAT, CAT]), photometric="rgb"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", NOT_SHOWN)
def test_values_without_a_range_and_damage_are_refused(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    suffix = ".png" if NOT_SHOWN[kind].startswith(b"\x89") else ".tif"
    with pytest.raises(PhotograftError) as caught:
        read_photo(written(tmp_path, f"photo{suffix}", NOT_SHOWN[kind]))
    one_line(caught.value, "photo")
    assert capfd.readouterr() == ("", "")


def inflating(keyword: bytes, size: int = 100 << 20) -> bytes:
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    return keyword + b"".join(packer.compress(block) for _ in range(size >> 20)) + packer.flush()


def test_chunks_that_inflate_are_not_inflated(tmp_path: Path) -> None:
    text, profile = chunk(b"zTXt", inflating(b"Comment\0\0")), chunk(b"iCCP", inflating(b"p\0\0"))
    xmp = chunk(b"iTXt", inflating(b"XML:com.adobe.xmp\0\1\0\0\0"))
    path = written(tmp_path, "bombs.png", png(CAT, before=profile + text + xmp, after=text))
    tracemalloc.start()
    photo = read_photo(path)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
    np.testing.assert_array_equal(photo.pixels, CAT)
    assert photo.metadata.icc_profile is None
    assert photo.metadata.xmp == b""


def test_a_jpeg_of_endless_passes_is_refused(tmp_path: Path) -> None:
    content = jpeg(progressive=True)
    at = content.rindex(b"\xff\xda")
    path = written(tmp_path, "passes.jpg", content[:at] + content[at:-2] * 50_000 + content[-2:])
    with pytest.raises(PhotograftError, match="passes"):
        read_photo(path)
    film = written(tmp_path, "film.jpg", jpeg() + b"\xff\xda" * 50_000)  # behind the picture
    np.testing.assert_array_equal(read_photo(film).pixels, read_photo(written(tmp_path, "a.jpg", jpeg())).pixels)


def test_a_png_of_endless_chunks_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "chunks.png", png(CAT, before=chunk(b"teSt", b"") * 250_000))
    with pytest.raises(PhotograftError, match="200,000 chunks"):
        read_photo(path)


# ---------------------------------------------------------------------- 16 bits

GREY_ALPHA, RGBA = np.dstack([GREY, ALPHA]), np.dstack([DEEP, ALPHA])
DEEP_FILES = {
    "PNG grey": ("png", png(GREY), GREY),
    "PNG grey + alpha": ("png", png(GREY_ALPHA), GREY_ALPHA),
    "PNG RGB": ("png", png(DEEP), DEEP),
    "PNG RGBA": ("png", png(RGBA), RGBA),
    "TIFF grey": ("tif", tiff(DEEP[..., 0]), GREY),
    "TIFF grey, white is 0": ("tif", tiff(65535 - DEEP[..., 0], photometric="miniswhite"), GREY),
    "TIFF grey + alpha": (
        "tif",
        tiff(GREY_ALPHA, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]),
        GREY_ALPHA,
    ),
    "TIFF RGB": ("tif", tiff(DEEP, photometric="rgb"), DEEP),
    "TIFF RGBA": ("tif", tiff(RGBA, photometric="rgb", extrasamples=["unassalpha"]), RGBA),
    "TIFF planes": ("tif", tiff(DEEP.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate"), DEEP),
    "TIFF deflated": ("tif", tiff(DEEP, photometric="rgb", compression="zlib", predictor=True), DEEP),
    "TIFF LZW": ("tif", tiff_lzw(DEEP), DEEP),
    "TIFF tiles": ("tif", tiff(DEEP, photometric="rgb", tile=(32, 32)), DEEP),
    "TIFF big endian": ("tif", tiff(DEEP, photometric="rgb", byteorder=">"), DEEP),
    "BigTIFF": ("tif", tiff(DEEP, photometric="rgb", bigtiff=True), DEEP),
}


def independently(path: Path) -> np.ndarray:
    """16-bit samples of a file that we wrote, by a reader that had no part in writing it."""
    if path.suffix == ".png":
        return png_samples(path.read_bytes())
    return tifffile.imread(path)


@pytest.mark.parametrize("out_suffix", ["png", "tif"])
@pytest.mark.parametrize("kind", DEEP_FILES)
def test_16_bits_come_back_exactly_outside_the_edit(tmp_path: Path, kind: str, out_suffix: str) -> None:
    suffix, content, samples = DEEP_FILES[kind]
    photo = read_photo(written(tmp_path, f"photo.{suffix}", content))
    assert photo.deep is not None
    np.testing.assert_array_equal(photo.deep, samples)
    colours = samples[..., :3] if samples.shape[2] > 2 else np.repeat(samples[..., :1], 3, axis=2)
    np.testing.assert_array_equal(photo.pixels, np.round(colours / 257).astype(np.uint8))
    edited = photo.pixels.copy()
    edited[20:50, 30:60] = edited[20:50, 30:60] // 2 + 60
    out = tmp_path / f"out.{out_suffix}"
    write_photo(photo, edited, out)
    result = independently(out)
    assert result.dtype.itemsize == 2
    outside = np.ones(CAT.shape[:2], bool)
    outside[20:50, 30:60] = False
    np.testing.assert_array_equal(result[outside][:, :3], colours[outside])
    inside = colours.astype(int) + 257 * (edited.astype(int) - photo.pixels)
    np.testing.assert_array_equal(result[..., :3], np.clip(inside, 0, 65535))
    if samples.shape[2] in (2, 4):
        np.testing.assert_array_equal(result[..., 3], samples[..., -1])
    np.testing.assert_array_equal(read_photo(out).pixels, edited)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turned_16_bits(tmp_path: Path, orientation: int) -> None:
    content = png(DEEP, before=chunk(b"eXIf", exif(x0112=orientation).removeprefix(b"Exif\0\0")))
    shallow = png(CAT, before=chunk(b"eXIf", exif(x0112=orientation).removeprefix(b"Exif\0\0")))
    photo = read_photo(written(tmp_path, "photo.png", content))
    assert photo.deep is not None
    upright = read_photo(written(tmp_path, "shallow.png", shallow)).pixels
    assert photo.deep.shape == upright.shape
    assert np.abs(photo.deep // 257 - upright.astype(int)).max() <= 1


def test_what_looks_like_fewer_bits_is_said(tmp_path: Path) -> None:
    assert "end at" in " ".join(read_photo(written(tmp_path, "12.png", png(DEEP // 16))).remarks)
    assert read_photo(written(tmp_path, "16.png", png(DEEP))).remarks == ()


# ---------------------------------------------------------------------- what the file says

TEXTS = (
    (b"tEXt", b"Title\0a cat"),
    (b"zTXt", b"Long\0\0" + zlib.compress(b"long " * 50)),
    (b"iTXt", b"A\0\0\0de\0\0B"),
)
COLOUR = ((b"gAMA", struct.pack(">I", 45455)), (b"cHRM", struct.pack(">8I", *range(30000, 38000, 1000))))


def reread(photo_path: Path, out: Path) -> tuple[Metadata, bytes]:
    photo = read_photo(photo_path)
    edited = photo.pixels.copy()
    edited[:20, :20] = 255 - edited[:20, :20]
    write_photo(photo, edited, out)
    return read_photo(out).metadata, out.read_bytes()


@pytest.mark.parametrize("samples", [CAT, DEEP], ids=["8 bits", "16 bits"])
def test_png_keeps_texts_xmp_resolution_and_colour(tmp_path: Path, samples: np.ndarray) -> None:
    chunks = [
        *COLOUR, (b"pHYs", struct.pack(">IIB", 11811, 11811, 1)), *TEXTS[:1],
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP % 1),
        (b"eXIf", exif(x013B="somebody").removeprefix(b"Exif\0\0")),
    ]  # fmt: skip
    before, after = (b"".join(chunk(*one) for one in some) for some in (chunks, TEXTS[1:]))
    kept, content = reread(written(tmp_path, "photo.png", png(samples, before=before, after=after)), tmp_path / "o.png")
    for one in chunks + list(TEXTS[1:]):
        assert content.count(chunk(*one)) == 1 or one[0] == b"eXIf", one
    with Image.open(BytesIO(content)) as image:
        image.load()
        assert image.getexif()[0x013B] == "somebody"
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert (image.info["Title"], image.info["Long"]) == ("a cat", "long " * 50)
    assert kept.xmp == XMP % 1


def test_jpeg_keeps_xmp_iptc_comment_resolution_and_passes(tmp_path: Path) -> None:
    iptc = b"\x1c\x02\x78\x00\x05a cat"
    resource = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
    content = jpeg(progressive=True, dpi=(240, 240), comment=b"one", xmp=XMP % 6, icc_profile=ICC,
                   exif=exif(x0112=6, x013B="somebody"))  # fmt: skip
    content = with_segment(with_segment(content, 0xED, resource), 0xFE, b"another")
    kept, out = reread(written(tmp_path, "photo.jpg", content), tmp_path / "out.jpg")
    with Image.open(BytesIO(out)) as image:
        assert image.info["progressive"]
        assert image.info["dpi"] == (240, 240)
        assert image.info["photoshop"][0x0404] == iptc
        assert image.size == (96, 128)
        assert image.getexif().get(0x0112, 1) == 1  # Pillow finds it in the XMP
    assert kept == Metadata(ICC, kept.exif, XMP % 1, iptc, (b"another", b"one"), (240.0, 240.0))
    assert unkept(read_photo(tmp_path / "photo.jpg"), ".jpg") == ()
    assert unkept(read_photo(tmp_path / "photo.jpg"), ".png") == (".png does not hold IPTC",)
    kept, out = reread(tmp_path / "photo.jpg", tmp_path / "out.png")
    assert (kept.xmp, kept.icc_profile) == (XMP % 1, ICC)
    assert kept.dpi == pytest.approx((240, 240), abs=0.02)
    with Image.open(BytesIO(out)) as image:
        image.load()
        assert image.info["Comment"] in ("another", "one")


@pytest.mark.parametrize("samples", [CAT, DEEP], ids=["8 bits", "16 bits"])
def test_tiff_keeps_xmp_iptc_profile_exif_and_resolution(tmp_path: Path, samples: np.ndarray) -> None:
    iptc = b"\x1c\x02\x78\x00\x05a cat"
    tags = [(700, 1, len(XMP % 1), XMP % 1, True), (33723, 7, len(iptc), iptc, True), (315, 2, 9, "somebody", True)]
    content = tiff(samples, photometric="rgb", extratags=tags, iccprofile=ICC, resolution=(300, 150), resolutionunit=2)
    kept, out = reread(written(tmp_path, "photo.tif", content), tmp_path / "out.tif")
    assert (kept.xmp, kept.iptc, kept.icc_profile, kept.dpi) == (XMP % 1, iptc, ICC, (300.0, 150.0))
    with Image.open(BytesIO(out)) as image:
        assert image.getexif()[315] == "somebody"


def test_tiff_keeps_nested_exif_and_compresses(tmp_path: Path) -> None:
    nested = Image.Exif()
    nested.get_ifd(0x8769)[0x9003] = "2026:11:23 10:00:00"
    nested.get_ifd(0x8825)[1] = "N"
    path = written(tmp_path, "photo.tif", saved(Image.fromarray(CAT), "TIFF", exif=nested.tobytes()))
    _, content = reread(path, tmp_path / "out.tif")
    with Image.open(BytesIO(content)) as image:
        assert image.getexif().get_ifd(0x8769)[0x9003] == "2026:11:23 10:00:00"
        assert image.getexif().get_ifd(0x8825)[1] == "N"
    assert len(content) < CAT.size


def test_webp_keeps_xmp(tmp_path: Path) -> None:
    content = saved(Image.fromarray(CAT), "WEBP", lossless=True, xmp=XMP % 1, exif=exif(x013B="somebody"))
    kept, _ = reread(written(tmp_path, "photo.webp", content), tmp_path / "out.webp")
    assert kept.xmp == XMP % 1


COMPANIONS: dict[str, tuple[bytes, str]] = {
    "gain map": (jpeg(xmp=(XMP % 1).replace(b"rdf:about", b'hdrgm:Version="1.0" rdf:about')), "gain map"),
    "motion photo": (jpeg(xmp=(XMP % 1).replace(b"rdf:about", b'GCamera:MotionPhoto="1" rdf:about')), "film"),
    "Samsung's film": (jpeg() + b"MotionPhoto_Data" + bytes(20), "film"),
    "extended XMP": (jpeg(xmp=(XMP % 1).replace(b"rdf:about", b'xmpNote:HasExtendedXMP="A" rdf:about')), "extended"),
    "previews (MPO)": (
        saved(Image.fromarray(CAT), "MPO", save_all=True, append_images=[Image.fromarray(CAT[:40, :40])]),
        "further pictures",
    ),
    "interlaced": (png(CAT), "interlaced"),
    "CMYK": (saved(Image.fromarray(CAT).convert("CMYK"), "JPEG"), "CMYK"),
    "another profile": (saved(Image.fromarray(CAT).convert("CMYK"), "JPEG", icc_profile=ICC), "colour profile"),
    "broken profile": (jpeg(icc_profile=b"broken"), "colour profile"),
    "16-bit CMYK": (tiff(np.dstack([DEEP, ALPHA]), photometric="separated"), "16 bits per channel become 8"),
    "16-bit PPM": (b"P6 128 96 65535\n" + DEEP.astype(">u2").tobytes(), "16 bits per channel become 8"),
}


@pytest.mark.parametrize("kind", COMPANIONS)
def test_what_cannot_be_kept_is_said(tmp_path: Path, kind: str) -> None:
    content, words = COMPANIONS[kind]
    if kind == "interlaced":  # Pillow writes none: seven passes by hand, of which the header alone is read here
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
        rows = b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in CAT[y::dy, x::dx])
        head = struct.pack(">IIBBBBB", 128, 96, 8, 2, 0, 0, 1)
        content = (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        )
    photo = read_photo(written(tmp_path, "photo", content))
    assert any(words in remark for remark in photo.remarks), photo.remarks
    kept, out = reread(tmp_path / "photo", tmp_path / f"out{photo.suffix}")
    for untrue in (b"hdrgm:Version", b'MotionPhoto="1"', b"HasExtendedXMP", b"MotionPhoto_Data"):
        assert untrue not in out + kept.xmp


FORMATS = {"AVIF": ".png", "GIF": ".png", "PPM": ".png", "JPEG2000": ".png", "BMP": ".bmp", "TIFF": ".tif"}


@pytest.mark.parametrize("file_format", FORMATS)
def test_formats_that_are_not_written_become_png_and_say_so(tmp_path: Path, file_format: str) -> None:
    photo = read_photo(written(tmp_path, "photo", saved(Image.fromarray(CAT), file_format)))
    assert (photo.format, photo.suffix) == (file_format, FORMATS[file_format])
    said = " ".join(unkept(photo, photo.suffix))
    assert (f"{file_format} is not written: the result is .png" in said) == (photo.suffix == ".png")


def test_another_format_can_be_asked_for(tmp_path: Path) -> None:
    deep = read_photo(written(tmp_path, "photo.png", png(RGBA, before=chunk(*TEXTS[0]))))
    webp = written_as(deep, "webp")
    assert webp.suffix == ".webp"
    assert unkept(webp, ".webp") == (".webp does not hold its 16 bits (8 are left), PNG's texts",)
    for name, words in (("jpg", "transparency"), ("gif", "not written")):
        with pytest.raises(PhotograftError, match=words):
            written_as(deep, name)
    large = read_photo(
        written(tmp_path, "a.png", png(CAT, before=chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b" " * 70000)))
    )
    stream = BytesIO()
    photo_writer(large, large.pixels, "x.jpg")(stream)
    assert "XMP" in unkept(large, ".jpg")[0]


# ---------------------------------------------------------------------- HEIC


def heic(orientation: int = 1, **options: object) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    image = Image.fromarray(CAT)
    tags = exif(x0112=orientation, x013B="somebody")
    return saved(image, "HEIF", quality=90, exif=tags, xmp=XMP % orientation, icc_profile=ICC, **options)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_is_turned_once_and_keeps_what_it_says(tmp_path: Path, orientation: int) -> None:
    path = written(tmp_path, "IMG_1.jpg", heic(orientation))  # phones rename them too
    photo = read_photo(path)
    assert (photo.format, photo.suffix) == ("HEIF", ".heic")
    same = read_photo(written(tmp_path, "j.jpg", jpeg(exif=exif(x0112=orientation)))).pixels
    assert np.abs(photo.pixels.astype(int) - same).mean() < 5
    out = tmp_path / "out.heic"
    kept, _ = reread(path, out)
    assert (kept.icc_profile, b"a cat" in kept.xmp) == (ICC, True)
    assert b"Orientation" not in kept.xmp.replace(b'Orientation="1"', b"")
    after = read_photo(out)
    assert after.pixels.shape == photo.pixels.shape
    assert np.abs(after.pixels.astype(int) - photo.pixels)[30:, 30:].mean() < 1.5
    with Image.open(out) as image:
        assert image.getexif()[0x013B] == "somebody"
    kept, _ = reread(path, tmp_path / "out.png")
    assert (kept.icc_profile, b"a cat" in kept.xmp) == (ICC, True)


def test_heic_says_what_is_left_out(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    burst = heic(save_all=True, append_images=[Image.fromarray(CAT[:64, :64])])
    assert "2 pictures" in " ".join(read_photo(written(tmp_path, "burst.heic", burst)).remarks)
    stream = BytesIO()
    pillow_heif.encode("RGB;16", (128, 96), DEEP.tobytes(), stream)
    assert "10 bits" in " ".join(read_photo(written(tmp_path, "hdr.heic", stream.getvalue())).remarks)
    with pytest.raises(PhotograftError, match=r"damaged|cannot be read|not a picture"):
        read_photo(written(tmp_path, "cut.heic", heic()[:2000]))


def test_without_the_extra_one_line_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "IMG_1.HEIC", struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1") + bytes(400))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PhotograftError, match=r"photograft\[heic\]") as caught:
        read_photo(path)
    one_line(caught.value, "IMG_1.HEIC")
    photo = read_photo(written(tmp_path, "photo.png", png(CAT)))
    with pytest.raises(PhotograftError, match=r"photograft\[heic\]"):
        written_as(photo, "heic")


@pytest.mark.parametrize(("extra", "has_alpha"), [("unspecified", False), ("unassalpha", True)])
def test_a_further_channel_of_a_deep_tiff_is_opacity_only_where_it_says_so(
    tmp_path: Path, extra: str, has_alpha: bool
) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (20, 24, 4)).astype(np.uint16)
    path = tmp_path / "photo.tif"
    tifffile.imwrite(path, values, photometric="rgb", extrasamples=[extra])
    photo = read_photo(path)
    assert photo.deep is not None
    assert (photo.deep[..., :3] == values[..., :3]).all()
    assert (photo.alpha is not None) == has_alpha


def test_colours_times_opacity_are_read_and_written_straight(tmp_path: Path) -> None:
    opacity = np.full((20, 24, 1), 40000, np.uint16)
    straight = np.random.default_rng(0).integers(0, 65536, (20, 24, 3)).astype(np.uint16)
    stored = (straight * (opacity / 65535)).round().astype(np.uint16)
    path = tmp_path / "photo.tif"
    tifffile.imwrite(path, np.dstack([stored, opacity]), photometric="rgb", extrasamples=["assocalpha"])
    photo = read_photo(path)
    assert any("times their opacity" in remark for remark in photo.remarks)
    write_photo(photo, photo.pixels, tmp_path / "result.tif")
    result = tifffile.imread(tmp_path / "result.tif")
    assert np.abs(result[..., :3].astype(int) - straight).max() <= 1
    assert (result[..., 3:] == opacity).all()
    with tifffile.TiffFile(tmp_path / "result.tif") as file:
        assert file.pages[0].tags["ExtraSamples"].value == (2,)  # type: ignore[union-attr]


def test_what_is_left_out_of_a_jpeg_and_a_png_is_said(tmp_path: Path) -> None:
    credentials = b"JP\0\1\0\0\0\1\0\0\0\x58jumb\0\0\0\x18jumdc2pa" + b"x" * 60
    content = with_segment(with_segment(jpeg(), 0xEB, credentials), 0xE5, b"maker's own")
    remarks = " ".join(read_photo(written(tmp_path, "photo.jpg", content)).remarks)
    assert "content credentials (C2PA)" in remarks
    assert "APP5" in remarks
    assert "APP11" not in remarks
    content = png(CAT, before=chunk(b"oFFs", bytes(9)))
    assert "oFFs" in " ".join(read_photo(written(tmp_path, "photo.png", content)).remarks)


def test_a_tiff_without_resolution_gets_none(tmp_path: Path) -> None:
    Image.fromarray(CAT).save(tmp_path / "photo.tif")
    assert read_photo(tmp_path / "photo.tif").metadata.dpi is None


def test_fill_bytes_of_a_jpeg_cost_no_time() -> None:
    start = time.process_time()
    assert photo_read._JPEG_MARKER.search(b"\xff" * 400_000 + b"\x00") is None
    assert time.process_time() - start < 5
    found = photo_read._JPEG_MARKER.search(b"\x01\xff\xff\xff\xda\x00")
    assert found is not None
    assert found.end() == 5
