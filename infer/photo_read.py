"""Reading photos: from any file to an upright `Photo`, with all that the file says about it."""

import logging
import re
import struct
import warnings
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, JpegImagePlugin, UnidentifiedImageError

from infer.deep_photo import Deep, TiffPage, read_png16, read_tiff_values, tiff_page, to_8_bit
from infer.photo import MAX_MEGAPIXELS, MIN_SIDE, JpegCoding, Photo
from infer.photo_metadata import Metadata, read_metadata, tiff_metadata, without_texts
from infer.picture_file import PNG_SIGNATURE, TIFF_SIGNATURES, is_heif, read_picture_file
from models.errors import PhotograftError

# A short list also keeps Pillow from trying readers that start other programs (EPS) or that nobody means (PDF, fonts).
_READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM")
_SCANS_PER_PICTURE = 4000  # of a progressive JPEG, times megapixels: some 20 seconds
_JPEG_MARKER, _JPEG_SCAN, _JPEG_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]"), 0xDA, 0xD9
_DARK = 4096  # 16-bit values that end below this are often 12-bit ones
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A picture whose header was read: Pillow's image, or the tags of a TIFF that only tifffile reads."""

    data: bytes
    image: Image.Image | None
    page: TiffPage | None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as stored."""
        if self.image is not None:
            return self.image.size
        assert self.page is not None
        return self.page.size


def read_photo(path: str | Path, *, max_megapixels: float = MAX_MEGAPIXELS) -> Photo:
    """Read a still photo upright, as 8-bit RGB, with its metadata and, where it has 16 bits, with these.

    CMYK and grey profiles are converted to sRGB; transparency goes to `alpha`. Special files, other kinds of files,
    animations, several pages, numbers without a range (floats), pictures under 16 px, over `max_megapixels` (at most
    178) or that cannot be decoded raise `PhotograftError`; kind and size are checked before anything is decoded.
    """
    path = Path(path)
    opened = open_picture(path, max_megapixels)
    width, height = opened.size
    if min(width, height) < MIN_SIDE:
        raise PhotograftError(f"{path}: {width}x{height} is too small, at least {MIN_SIDE} px are needed")
    return decode_photo(opened, path)


def open_picture(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> Opened:
    """Open without decoding: everything that can be told from head and header is refused here."""
    data = read_picture_file(path, max_megapixels)
    if is_heif(data):
        need_heif(path)
    too_large = f"the limit is {max_megapixels:g} megapixels: shrink the photo first"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage in what is not needed; our own limit of sizes follows
            opened = _opened(data)
            frames = int(getattr(opened.image, "n_frames", 1))
        width, height = opened.size
        if width * height > max_megapixels * 1e6:
            raise PhotograftError(f"{width}x{height} is too large, {too_large}")
        _check_scans(opened)
    except PhotograftError as error:
        raise PhotograftError(f"{path}: {error}") from error
    except Image.DecompressionBombError as error:
        raise PhotograftError(f"{path}: is too large, {too_large}") from error
    except UnidentifiedImageError as error:
        message = f"{path}: is not a picture that can be read: save it as JPEG, PNG, WebP or TIFF of 8 or 16 bits"
        raise PhotograftError(message) from error
    except OSError as error:
        raise PhotograftError(f"{path}: cannot be read ({error.strerror or error}): copy the photo again") from error
    except Exception as error:  # readers raise anything on damaged headers
        raise damaged(path, error) from error
    # A camera's MPO is a JPEG photo with previews behind it; a HEIC says which of its pictures is the main one.
    if frames > 1 and opened.image is not None and opened.image.format not in ("MPO", "HEIF"):
        raise PhotograftError(f"{path}: holds {frames} frames or pages: save the one to edit as a still picture")
    return opened


def need_heif(name: str | Path) -> None:
    """Make Pillow read and write HEIC. Raises PhotograftError without the extra."""
    try:
        import pillow_heif
    except ImportError as error:
        extra = "pip install 'photograft[heic]', or save it as JPEG"
        raise PhotograftError(f"{name}: HEIC needs an extra that is not installed: {extra}") from error
    pillow_heif.register_heif_opener()


def _opened(data: bytes) -> Opened:
    page, lean, profile, formats = None, data, None, list(_READABLE)
    if data.startswith(TIFF_SIGNATURES):
        page = _page(data)
    elif data.startswith(PNG_SIGNATURE):
        lean, profile = without_texts(data)
    elif is_heif(data):
        formats = ["HEIF"]
    try:
        image = Image.open(BytesIO(lean), formats=formats)
    except UnidentifiedImageError:
        if page is None:
            raise
        return Opened(data, None, page)
    if profile is not None:
        image.info["icc_profile"] = profile
    return Opened(data, image, page)


def _page(data: bytes) -> TiffPage | None:
    try:
        return tiff_page(data)
    except PhotograftError:
        raise
    except Exception as error:  # what Pillow reads of it, counts
        _log.debug("tags that tifffile does not read", exc_info=error)
        return None


def _check_scans(opened: Opened) -> None:
    """A progressive JPEG may go over all its pixels any number of times."""
    if isinstance(opened.image, JpegImagePlugin.JpegImageFile):
        scans, (width, height) = 0, opened.size
        marker, data = _JPEG_MARKER.search(opened.data, 2), opened.data
        while marker is not None and data[marker.end() - 1] != _JPEG_END:
            scans += data[marker.end() - 1] == _JPEG_SCAN
            length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
            marker = _JPEG_MARKER.search(data, marker.end() + length)
        if scans * max(width * height / 1e6, 0.1) > _SCANS_PER_PICTURE:
            raise PhotograftError(f"the picture is coded in {scans} passes: save it anew as an ordinary JPEG")


def decode_photo(opened: Opened, path: Path) -> Photo:
    """Decode to upright 8-bit RGB, with alpha, 16 bits and the metadata that still holds."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decoded(opened, path)
    except PhotograftError as error:
        raise PhotograftError(f"{path}: {error}") from error
    except Exception as error:  # decoders raise anything on damaged data
        raise damaged(path, error) from error


def read_values(opened: Opened) -> NDArray[Any] | None:  # -> [H,W,C]
    """Values of more than 8 bits as they are in the file, white high; None for pictures of 8 bits or fewer."""
    image, page = opened.image, opened.page
    if page is not None and page.dtype.itemsize == 1 and page.dtype.kind == "i":
        return read_tiff_values(page, opened.data)
    if page is not None and page.dtype.itemsize > 1:
        if page.dtype.kind != "f" and page.bits not in (16, 32, 64):
            raise PhotograftError(f"has {page.bits} bits per channel: save it with 8 or 16")
        if page.dtype == np.uint16 and not page.is_deep:
            return None  # CMYK and others: Pillow reads 8 bits of them
        return read_tiff_values(page, opened.data)
    if image is None:
        raise PhotograftError("is a kind of TIFF that is not read: save it as RGB of 8 or 16 bits")
    image.load()
    if image.format == "PNG" and opened.data[24] == 16:
        return read_png16(opened.data, image.info.get("transparency"))
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return np.clip(np.asarray(image), 0, 65535).astype(np.uint16)[..., None]
    return np.asarray(image)[..., None] if image.mode in ("F", "I") else None


def _decoded(opened: Opened, path: Path) -> Photo:
    image, values = opened.image, read_values(opened)
    if values is not None and values.dtype != np.uint16:
        low, high = np.nanmin(values), np.nanmax(values)
        raise PhotograftError(
            f"has {values.dtype} values, here from {low:g} to {high:g}, of which no range is known:"
            " save it as 8 or 16 bits per channel"
        )
    if image is None:
        metadata, orientation = tiff_metadata(opened.data)
        file_format, remarks = "TIFF", list[str]()
    else:
        image.load()
        metadata, orientation, remarks = read_metadata(image, opened.data)
        file_format = "JPEG" if image.format == "MPO" else str(image.format)
    jpeg = None
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.mode in ("RGB", "L"):
        jpeg = JpegCoding(
            JpegImagePlugin.get_sampling(image),
            # A turned picture has another block grid: there the old tables would only add loss.
            {k: list(v) for k, v in image.quantization.items()} if orientation == 1 else {},
            bool(image.info.get("progressive")),
        )
    if values is not None:
        if values.max() < _DARK:
            remarks.append(f"its 16-bit values end at {values.max()} of 65535: scale them if they mean fewer bits")
        image = _shown(values)
    assert image is not None
    shown, metadata = _to_srgb_if_not_rgb(image, metadata, remarks)
    if values is not None and shown is not image:
        values = None
        remarks.append("its 16 bits become 8: its grey profile is converted to sRGB")
    remarks += _reduced(opened)
    alpha = None
    if "transparency" in shown.info or shown.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        shown = shown.convert("RGBA")
        alpha = turn(np.array(shown.getchannel("A")), orientation)
    pixels = turn(np.array(shown.convert("RGB")), orientation)
    deep = None if values is None else turn(values, orientation)
    return Photo(path, pixels, file_format, alpha, deep, metadata, jpeg, remarks=tuple(remarks))


def _shown(values: Deep) -> Image.Image:
    """16-bit values as a picture of 8 bits."""
    small = to_8_bit(values)
    return Image.fromarray(small[..., 0] if small.shape[2] == 1 else small, {2: "LA"}.get(small.shape[2]))


def _reduced(opened: Opened) -> list[str]:
    """What of the picture's bits and channels was lost in reading."""
    data, image, page = opened.data, opened.image, opened.page
    remarks, bits = [], 8
    if page is not None:
        further = len(page.extra) - (page.opacity is not None)
        if further:
            remarks.append(f"its further channels ({further}), which are no part of the picture, are left out")
        if page.is_multiplied:
            remarks.append("its colours are stored times their opacity, those of the result are not")
    if image is None:
        return remarks
    if page is not None and page.dtype == np.uint16 and not page.is_deep:
        bits = 16
    elif image.format == "HEIF":
        bits = image.info.get("bit_depth", 8)
    elif image.format == "AVIF":
        at = data.find(b"av1C")
        bits = 10 if at > 0 and len(data) > at + 6 and data[at + 6] & 0x40 else 8
    elif image.format == "JPEG2000":
        at = data.find(b"\xff\x4f\xff\x51")  # start of the codestream, then sizes
        bits = (data[at + 42] & 0x7F) + 1 if at >= 0 and len(data) > at + 42 else 8
    elif image.format == "PPM":
        words = re.sub(rb"#[^\n]*", b"", data[:256]).split()  # magic, width, height, highest value
        bits = int(words[3]).bit_length() if data[:2] in (b"P3", b"P6") else 8
    remarks += [f"its {bits} bits per channel become 8"] if bits > 8 else []
    nclx = image.info.get("nclx_profile") or {}
    if nclx.get("transfer_characteristics") in (16, 18):  # PQ, HLG
        remarks.append("its HDR brightness is read as it is stored: colours may look flat")
    return remarks


def orientation_of(opened: Opened) -> int:
    """How a picture is turned by its EXIF, 1..8; 1 for upright ones."""
    if opened.image is None:
        return tiff_metadata(opened.data)[1]
    return read_metadata(opened.image, opened.data)[1]


def turn(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation (1..8) to [H,W] or [H,W,C]."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _to_srgb_if_not_rgb(image: Image.Image, metadata: Metadata, remarks: list[str]) -> tuple[Image.Image, Metadata]:
    """CMYK and grey pictures go to sRGB through their profile, which must not be attached to RGB pixels."""
    if image.mode in ("LAB", "HSV"):
        raise PhotograftError(f"{image.mode} pixels are not supported: save it as 8-bit RGB or grey")
    if image.mode == "CMYK":
        remarks.append("its CMYK colours are converted to sRGB")
    icc_profile = metadata.icc_profile
    if not icc_profile:
        return image, metadata
    colour_mode = {"L": "L", "LA": "L", "1": "L", "CMYK": "CMYK"}.get(image.mode, "RGB")
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc_profile))
        space = str(profile.profile.xcolor_space).strip()
        if space != {"L": "GRAY"}.get(colour_mode, colour_mode):
            # An RGB profile on a grey picture is legal (equal channels); any other mismatch is meaningless.
            if space == "RGB" and colour_mode == "L":
                return image, metadata
            remarks.append(f"its colour profile is left out: it is of {space} colours, the picture is not")
            return image, replace(metadata, icc_profile=None)
        if space == "RGB":
            return image, metadata
        alpha = image.getchannel("A") if image.mode == "LA" else None
        rgb = ImageCms.profileToProfile(
            image.convert(colour_mode), profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        remarks.append("its colour profile cannot be read and is left out")
        return image, replace(metadata, icc_profile=None)
    assert rgb is not None
    rgb.info = {k: v for k, v in image.info.items() if k != "transparency"}
    if alpha is not None:
        rgb.putalpha(alpha)
    return rgb, metadata.in_srgb()


def damaged(path: Path, error: Exception) -> PhotograftError:
    """The line for whatever a decoder raised."""
    why = "not what its header says" if isinstance(error, struct.error) else " ".join(str(error).split())
    return PhotograftError(f"{path}: the picture is damaged ({why[:200]}): copy the photo again")
