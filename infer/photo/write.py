"""Writing photos: in the source's format or another, with the metadata and the 16 bits that the format holds."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, TiffTags
from PIL.ExifTags import IFD

from infer.photo.choices import FormatName
from infer.photo.deep import with_change
from infer.photo.metadata import Metadata
from infer.photo.photo import SUFFIX_OF_FORMAT, Photo, Pixels
from infer.photo.read import need_heif
from models.errors import PhotograftError
from models.writing import Writer, write_file

_FORMAT_OF_SUFFIX = {suffix: name for name, suffix in SUFFIX_OF_FORMAT.items()}
_FORMAT_OF_SUFFIX |= {".jpeg": "JPEG", ".tiff": "TIFF", ".heif": "HEIF"}
_NO_ALPHA, _DEEP = ("JPEG", "BMP"), ("PNG", "TIFF")
_SEGMENT = 65_533  # bytes that a JPEG segment holds
_XMP_SEGMENT = 65_502
_STRIP = 1 << 20  # bytes of a TIFF's strip before compression
_LEVEL = 2  # of compression: five times as fast as 6, files a third larger
# Slower presets take five times as long and come no nearer to the photo.
_HEIF_QUALITY: dict[str, Any] = {"quality": 95, "chroma": 444, "enc_params": {"preset": "ultrafast"}}


def written_as(photo: Photo, name: str | None) -> Photo:
    """The photo, to be written in a format of `FormatName`; None: its own.

    Raises:
        PhotograftError: there is no such format, or it cannot hold the photo.
    """
    if name is None:
        return photo
    if name not in get_args(FormatName):
        raise PhotograftError(f"format {name!r} is not written: use {', '.join(get_args(FormatName))}")
    output = replace(photo, output=_FORMAT_OF_SUFFIX[f".{name}"])
    _check(output, output.suffix, "--format")
    return output


def unkept(photo: Photo, suffix: str) -> tuple[str, ...]:
    """What a file with this suffix does not hold of a photo, in words."""
    file_format, metadata = _FORMAT_OF_SUFFIX[suffix], photo.metadata
    lost = {
        "its 16 bits (8 are left)": photo.deep is not None and file_format not in _DEEP,
        "EXIF": bool(metadata.exif) and not _holds_exif(metadata, file_format),
        "XMP": bool(metadata.xmp) and not _holds_xmp(metadata, file_format),
        "IPTC": bool(metadata.iptc) and not _holds_iptc(metadata, file_format),
        "comments": not all(_holds_comment(comment, file_format) for comment in metadata.comments),
        "PNG's texts": bool(metadata.png_texts) and file_format != "PNG",
        "PNG's colour chunks": bool(metadata.png_colour) and file_format != "PNG" and photo.format == "PNG",
        "its resolution (dpi)": metadata.dpi is not None and file_format in ("WEBP", "HEIF") and not metadata.exif,
        "the colour profile": bool(metadata.icc_profile) and file_format == "BMP",
    }
    names = [name for name, is_lost in lost.items() if is_lost]
    own = SUFFIX_OF_FORMAT.get(photo.format)
    remarks = [f"{suffix} does not hold {', '.join(names)}"] if names else []
    if own is None and photo.output is None and photo.path is not None:
        remarks.append(f"{photo.format} is not written: the result is {suffix}")
    return tuple(remarks)


def write_photo(photo: Photo, pixels: Pixels, path: str | Path) -> None:
    """Write `pixels` (uint8 RGB [H,W,3], the photo's size) with the photo's metadata, whole or not at all.

    The suffix chooses the format (none: the photo's own). PNG, TIFF, BMP and WebP are written losslessly: outside an
    edit's mask they hold exactly the photo's pixels; PNG and TIFF also in 16 bits, if the photo has them. JPEG and HEIC
    are lossy by nature; a JPEG's own tables and subsampling are used again, which changes untouched areas least. Write
    a ".png" where exactness counts.
    """
    path = Path(path)
    if photo.path is not None and path.exists() and photo.path.exists() and path.samefile(photo.path):
        raise PhotograftError(f"{path}: would overwrite the original photo: choose another output")
    write_file(path, photo_writer(photo, pixels, path))


def photo_writer(photo: Photo, pixels: Pixels, path: str | Path) -> Writer:
    """What `write_photo` writes, for sets of files.

    Raises:
        PhotograftError: a suffix that is not written, or a format that cannot hold the photo.
    """
    if pixels.shape != photo.pixels.shape or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8 {photo.pixels.shape}, not {pixels.dtype} {pixels.shape}")
    suffix = Path(path).suffix.lower() or photo.suffix
    _check(photo, suffix, path)
    file_format = _FORMAT_OF_SUFFIX[suffix]

    def write(stream: BinaryIO) -> None:
        try:
            _encode(photo, pixels, file_format, stream)
        except (OSError, ValueError, SystemError, RuntimeError, cv2.error, struct.error) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the file system, not of the format
                raise
            raise PhotograftError(f"{path}: cannot be written as {file_format} ({error}): write a .png") from error

    return write


def _check(photo: Photo, suffix: str, name: str | Path) -> None:
    file_format = _FORMAT_OF_SUFFIX.get(suffix)
    if file_format is None:
        raise PhotograftError(f"{name}: cannot write {suffix} files: use {', '.join(sorted(_FORMAT_OF_SUFFIX))}")
    if photo.alpha is not None and bool(photo.alpha.min() < 255) and file_format in _NO_ALPHA:
        raise PhotograftError(f"{name}: {file_format} cannot hold this photo's transparency: write a .png")
    if file_format == "HEIF":
        need_heif(name)


def _encode(photo: Photo, pixels: Pixels, file_format: str, stream: BinaryIO) -> None:
    metadata = photo.metadata
    if file_format in _DEEP:
        samples: NDArray[Any] = pixels[..., :1] if photo.grey else pixels
        if photo.deep is not None:
            samples = with_change(photo.deep, photo.pixels, pixels)
        elif photo.alpha is not None:
            samples = np.dstack([samples, photo.alpha])
        (_write_png if file_format == "PNG" else _write_tiff)(samples, metadata, stream)
        return
    grey = photo.grey and file_format in ("JPEG", "BMP")  # the others have no grey
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
    if photo.alpha is not None and file_format not in _NO_ALPHA:
        image.putalpha(Image.fromarray(photo.alpha))
    options: dict[str, Any] = {}
    if metadata.icc_profile:
        options["icc_profile"] = metadata.icc_profile
    if metadata.exif and _holds_exif(metadata, file_format):
        options["exif"] = metadata.exif
    if metadata.xmp and _holds_xmp(metadata, file_format):
        options["xmp"] = metadata.xmp
    if metadata.dpi is not None and file_format in ("JPEG", "BMP"):
        options["dpi"] = metadata.dpi
    if file_format == "JPEG":
        options |= _jpeg_options(photo)
    elif file_format == "WEBP":
        options |= {"lossless": True, "exact": True}
    elif file_format == "HEIF":
        options |= _HEIF_QUALITY
    image.save(stream, format=file_format, **options)


def _holds_exif(metadata: Metadata, file_format: str) -> bool:
    return file_format != "BMP" and not (file_format == "JPEG" and len(metadata.exif) > _SEGMENT)


def _holds_xmp(metadata: Metadata, file_format: str) -> bool:
    return file_format != "BMP" and not (file_format == "JPEG" and len(metadata.xmp) > _XMP_SEGMENT)


def _holds_iptc(metadata: Metadata, file_format: str) -> bool:
    return file_format == "TIFF" or (file_format == "JPEG" and len(_iptc_resource(metadata.iptc)) <= _SEGMENT)


def _holds_comment(comment: bytes, file_format: str) -> bool:
    return file_format == "PNG" or (file_format == "JPEG" and len(comment) <= _SEGMENT)


# ---------------------------------------------------------------------- JPEG


def _jpeg_options(photo: Photo) -> dict[str, Any]:
    options: dict[str, Any] = {"quality": 95, "subsampling": 0}
    if photo.jpeg is not None:
        options = {"subsampling": max(photo.jpeg.sampling, 0), "qtables": photo.jpeg.tables}
        if not photo.jpeg.tables:
            options = {"quality": 95, "subsampling": 0}
        options["progressive"] = photo.jpeg.progressive
    metadata, extra = photo.metadata, b""
    if metadata.iptc and _holds_iptc(metadata, "JPEG"):
        extra += _segment(0xED, _iptc_resource(metadata.iptc))
    for comment in metadata.comments:
        extra += _segment(0xFE, comment) if _holds_comment(comment, "JPEG") else b""
    return options | {"extra": extra}


def _iptc_resource(iptc: bytes) -> bytes:
    size = len(iptc)
    return b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", size) + iptc + b"\0" * (size % 2)


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


# ---------------------------------------------------------------------- PNG


def _write_png(samples: NDArray[Any], metadata: Metadata, stream: BinaryIO) -> None:
    """Samples [H,W,C] of 8 or 16 bits, grey or RGB, with alpha or without, and all metadata."""
    channels = samples.shape[2]
    if samples.dtype == np.uint16:  # OpenCV has no grey with alpha
        order = {1: [0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
        done, buffer = cv2.imencode(".png", np.ascontiguousarray(samples[..., order]))
        if not done:
            raise ValueError("the encoder fails")
        encoded = memoryview(buffer.tobytes())
    else:
        packed = BytesIO()
        Image.fromarray(np.ascontiguousarray(samples[..., 0] if channels == 1 else samples)).save(packed, "PNG")
        encoded = packed.getbuffer()
    header = 33  # signature and IHDR, after which every chunk of ours may stand
    stream.write(encoded[:header])
    for kind, content in _png_chunks(metadata):
        stream.write(struct.pack(">I", len(content)) + kind + content)
        stream.write(struct.pack(">I", zlib.crc32(kind + content)))
    stream.write(encoded[header:])


def _png_chunks(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    if metadata.icc_profile:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc_profile)
    for kind, content in metadata.png_colour:
        if not (metadata.icc_profile and kind == b"sRGB"):
            yield kind, content
    if metadata.dpi is not None:
        x, y = (round(value / 0.0254) for value in metadata.dpi)  # per metre
        yield b"pHYs", struct.pack(">IIB", x, y, 1)
    if metadata.exif:
        yield b"eXIf", metadata.exif.removeprefix(b"Exif\0\0")
    if metadata.xmp:
        yield b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp
    for comment in metadata.comments:
        yield _png_text(b"Comment", comment)
    yield from metadata.png_texts


def _png_text(keyword: bytes, text: bytes) -> tuple[bytes, bytes]:
    """A text whose bytes are UTF-8, or Latin-1 as of old."""
    text = text.replace(b"\0", b"")
    try:
        text.decode()
    except UnicodeDecodeError:
        return b"tEXt", keyword + b"\0" + text
    return b"iTXt", keyword + b"\0\0\0\0\0" + text


# ---------------------------------------------------------------------- TIFF


def _write_tiff(samples: NDArray[Any], metadata: Metadata, stream: BinaryIO) -> None:
    """Samples [H,W,C] of 8 or 16 bits, grey or RGB, with alpha or without, deflated; Pillow writes the tags, EXIF's
    folders among them.

    (Its own writers hold either compression or EXIF, and no 16-bit colours.)
    """
    height, width, channels = samples.shape
    bits = 8 * samples.itemsize
    rows = max(1, _STRIP // (width * channels * samples.itemsize))
    strips = [_deflated(samples[top : top + rows]) for top in range(0, height, rows)]
    tags: Any = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    if metadata.exif:
        exif = Image.Exif()
        exif.load(metadata.exif)
        for tag in exif:
            tags[tag] = _folder(exif, tag) if tag in TiffTags.TAGS_V2_GROUPS else exif[tag]
    tags[256], tags[257], tags[258], tags[277] = width, height, (bits,) * channels, channels
    tags[259], tags[284], tags[317], tags[278] = 8, 1, 2, rows  # deflate, contiguous, predictor
    tags[262] = 1 if channels <= 2 else 2  # black is zero, RGB
    if channels in (2, 4):
        tags[338] = 2  # unassociated alpha
    sizes = [len(strip) for strip in strips]
    tags.tagtype[273] = tags.tagtype[279] = TiffTags.LONG
    tags[273], tags[279] = tuple(np.cumsum([0, *sizes[:-1]]).tolist()), tuple(sizes)
    if metadata.dpi is not None:
        tags[282], tags[283], tags[296] = *metadata.dpi, 2
    for tag, content in ((700, metadata.xmp), (33723, metadata.iptc), (34675, metadata.icc_profile)):
        if content:
            tags.tagtype[tag] = TiffTags.BYTE if tag == 700 else TiffTags.UNDEFINED
            tags[tag] = content
    tags.save(stream)
    for strip in strips:
        stream.write(strip)


def _deflated(rows: NDArray[Any]) -> bytes:
    """Rows as differences along x, compressed."""
    little = rows.astype(rows.dtype.newbyteorder("<"))
    little[:, 1:] -= rows[:, :-1]
    return zlib.compress(little.tobytes(), _LEVEL)


def _folder(exif: Image.Exif, tag: int) -> dict[int, Any]:
    folder = dict(exif.get_ifd(tag))
    if tag == IFD.Exif and IFD.Interop in folder:
        folder[IFD.Interop] = exif.get_ifd(IFD.Interop)
    return folder
