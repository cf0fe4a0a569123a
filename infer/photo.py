"""Photos in and out: read a photo upright, crop a square from it, put the square back, write the photo.

Pixels are uint8 RGB [H,W,3] everywhere in this module; the photo that was read is never changed.
Every bad input raises `PhotograftError` with one clear line.
"""

import logging
import re
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, JpegImagePlugin, UnidentifiedImageError

from models.errors import PhotograftError
from models.writing import Writer, write_file

Pixels = NDArray[np.uint8]
Mask = NDArray[np.float32]

MIN_SIDE = 16
MAX_MEGAPIXELS = 100.0

# A short list also keeps Pillow from trying readers that start other programs (EPS) or that nobody means (PDF, fonts).
_READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM")
_FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP",
}  # fmt: skip
_SUFFIX_OF_FORMAT = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp"}
_ORIENTATION, _EXIF_IFD, _PIXEL_X, _PIXEL_Y = 0x0112, 0x8769, 0xA002, 0xA003
# How a TIFF stores its pixels, thumbnails and profiles: untrue of the file we write.
_STRUCTURAL_TAGS = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, _ORIENTATION, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 330}
    | {338, 339, 347, 512, 513, 514, 529, 530, 531, 532, 700, 33723, 34377, 34675}
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photo:
    """A still photo, upright.

    `pixels` is uint8 RGB [H,W,3]; `alpha` uint8 [H,W] or None; `format` is Pillow's name of the source format;
    `icc_profile` describes `pixels` (None: sRGB); `exif` is what the file carried, without the orientation (already
    applied). `jpeg` holds the source's (subsampling, quantisation tables), so that a JPEG is written as it was read.
    """

    path: Path | None
    pixels: Pixels
    format: str
    icc_profile: bytes | None = None
    exif: bytes = b""
    alpha: Pixels | None = None
    jpeg: tuple[int, dict[int, list[int]]] | None = None

    @property
    def suffix(self) -> str:
        """The file suffix to write this photo with: the source's format, or ".png" where that cannot be kept."""
        return _SUFFIX_OF_FORMAT.get(self.format, ".png")


@dataclass(frozen=True)
class Box:
    """A rectangle in photo pixels: left, top, width, height. It may reach over the photo's border."""

    x: int
    y: int
    w: int
    h: int

    @classmethod
    def parse(cls, text: str) -> "Box":
        """Read "x,y,w,h" (whole numbers, photo pixels)."""
        if not re.fullmatch(r"\s*-?\d{1,6}\s*(,\s*-?\d{1,6}\s*){3}", text):
            raise PhotograftError(f"box {text!r} is not four whole numbers: write x,y,width,height")
        x, y, w, h = (int(part) for part in text.split(","))
        if w < 1 or h < 1:
            raise PhotograftError(f"box {text!r} is empty: width and height must be at least 1 pixel")
        return cls(x, y, w, h)

    def square(self) -> "Box":
        """The square with the same centre that holds this box."""
        side = max(self.w, self.h)
        return Box(self.x + (self.w - side) // 2, self.y + (self.h - side) // 2, side, side)

    def validate(self, height: int, width: int) -> "Box":
        """Return self if an edit of a photo of this size can use it, else raise."""
        if min(self.w, self.h) < MIN_SIDE:
            raise PhotograftError(f"box {self} is smaller than {MIN_SIDE} pixels: give a larger one")
        if not (0 <= self.x + self.w // 2 < width and 0 <= self.y + self.h // 2 < height):
            raise PhotograftError(f"box {self} has its centre outside the photo ({width}x{height}): move it inside")
        if max(self.w, self.h) > 2 * max(height, width):
            raise PhotograftError(f"box {self} is over twice as large as the photo ({width}x{height}): shrink it")
        return self

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.w},{self.h}"


def read_photo(path: str | Path, *, max_megapixels: float = MAX_MEGAPIXELS) -> Photo:
    """Read a still photo upright, as 8-bit RGB, with its metadata.

    CMYK and grey profiles are converted to sRGB; 16-bit greys are scaled to 8 bits; transparency goes to `alpha`.
    Animations, several pages, pictures under 16 px, over `max_megapixels` (at most 178) or that cannot be decoded
    raise `PhotograftError`; the size is checked before decoding.
    """
    path = Path(path)
    image = _open(path, max_megapixels)
    if min(image.size) < MIN_SIDE:
        raise PhotograftError(f"{path}: {image.width}x{image.height} is too small, at least {MIN_SIDE} px are needed")
    return _decode(image, path)


def read_mask(path: str | Path, shape: tuple[int, int]) -> Mask:
    """Read a painted mask for a photo of `shape` (H, W): float32 [H,W] in [0,1], 1 = edit here.

    White (or any colour) on black; on a transparent layer painted with one colour, the opacity counts.
    A mask of 0 and 1 instead of 0 and 255 is understood. Another size or an empty mask raises `PhotograftError`.
    """
    path = Path(path)
    image = _open(path, MAX_MEGAPIXELS)
    layer = _decode(image, path)
    pixels, alpha = layer.pixels, layer.alpha
    height, width = shape
    if pixels.shape[:2] != (height, width):
        raise PhotograftError(
            f"{path}: the mask is {pixels.shape[1]}x{pixels.shape[0]} but the photo is {width}x{height}"
            " (upright): paint it at the photo's size"
        )
    value = pixels.max(axis=2)  # a mask painted in red is as full as one painted in white
    if alpha is not None and alpha.min() < 255:
        painted = pixels[alpha > 0]
        one_colour = bool(len(painted)) and bool((painted == painted[0]).all())
        value = alpha if one_colour else np.round(value * (alpha / 255.0)).astype(np.uint8)
    if value.max() == 0:
        raise PhotograftError(f"{path}: the mask is empty: paint the region to edit in white on black")
    scale = np.float32(1 if value.max() == 1 else 255)
    return np.asarray(value / scale, dtype=np.float32)


def write_photo(photo: Photo, pixels: Pixels, path: str | Path) -> None:
    """Write `pixels` (uint8 RGB [H,W,3], the photo's size) with the photo's metadata, whole or not at all.

    The suffix chooses the format (none: the photo's own). PNG, TIFF, BMP and WebP are written losslessly: outside an
    edit's mask they hold exactly the photo's pixels. JPEG is lossy by nature; the source's tables and subsampling are
    used again, which changes untouched areas least. Write a ".png" where exactness counts.
    """
    write_file(path, photo_writer(photo, pixels, path))


def photo_writer(photo: Photo, pixels: Pixels, path: str | Path) -> Writer:
    """What `write_photo` writes, for a set of files. Raises PhotograftError for what the format cannot hold."""
    path = Path(path)
    if pixels.shape != photo.pixels.shape or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8 {photo.pixels.shape}, not {pixels.dtype} {pixels.shape}")
    suffix = path.suffix.lower() or photo.suffix
    file_format = _FORMAT_OF_SUFFIX.get(suffix)
    if file_format is None:
        raise PhotograftError(f"{path}: cannot write {suffix} files: use {', '.join(sorted(_FORMAT_OF_SUFFIX))}")
    transparent = photo.alpha is not None and bool(photo.alpha.min() < 255)
    if transparent and file_format in ("JPEG", "BMP"):
        raise PhotograftError(f"{path}: {file_format} cannot hold this photo's transparency: write a .png")
    if photo.path is not None and path.exists() and photo.path.exists() and path.samefile(photo.path):
        raise PhotograftError(f"{path}: would overwrite the original photo: choose another output")
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if photo.alpha is not None and file_format not in ("JPEG", "BMP"):
        image.putalpha(Image.fromarray(photo.alpha))
    options = _save_options(photo, file_format)

    def save(stream: BinaryIO) -> None:
        try:
            image.save(stream, format=file_format, **options)
        except (ValueError, SystemError) as error:  # e.g. a side over the format's limit
            raise PhotograftError(f"{path}: cannot be written as {file_format} ({error}): write a .png") from error

    return save


def crop_square(pixels: Pixels, box: Box, resolution: int) -> Pixels:
    """Crop the box's square and resample it to [resolution,resolution,3] uint8; outside the photo it is reflected."""
    height, width = pixels.shape[:2]
    square = box.validate(height, width).square()
    rows = _reflect(np.arange(square.y, square.y + square.h), height)
    columns = _reflect(np.arange(square.x, square.x + square.w), width)
    return np.asarray(_resample(pixels[np.ix_(rows, columns)], resolution), dtype=np.uint8)


def uncrop(
    patch: NDArray[Any], box: Box, photo_shape: tuple[int, ...]
) -> tuple[NDArray[Any], tuple[slice, slice], tuple[slice, slice]]:
    """Resample `patch` ([R,R,3] or [R,R], uint8 or float of any range) to the box's square in the photo.

    Returns the patch at the square's size (same dtype), the (rows, columns) of the photo that it covers, and the
    (rows, columns) of the patch that lie there. Patches from `crop_square` land where they came from.
    """
    height, width = photo_shape[:2]
    square = box.validate(height, width).square()
    top, left = max(square.y, 0), max(square.x, 0)
    bottom, right = min(square.y + square.h, height), min(square.x + square.w, width)
    in_photo = (slice(top, bottom), slice(left, right))
    in_patch = (slice(top - square.y, bottom - square.y), slice(left - square.x, right - square.x))
    return _resample(patch, square.w), in_photo, in_patch


def _resample(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Square resampling with half-pixel centres; never leaves the input's range (cubic overshoots)."""
    if values.shape[0] == side:
        return values.copy()
    method = cv2.INTER_AREA if side < values.shape[0] else cv2.INTER_CUBIC
    kept = values if values.dtype == np.uint8 else values.astype(np.float32)
    out = cv2.resize(np.ascontiguousarray(kept), (side, side), interpolation=method)
    return np.asarray(np.clip(out, values.min(), values.max())).astype(values.dtype)


def _reflect(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    period = 2 * (length - 1)
    index = np.abs(index) % period
    return np.where(index < length, index, period - index)


def _open(path: Path, max_megapixels: float) -> Image.Image:
    """Open without decoding: everything that can be told from the header is refused here."""
    if path.is_dir():
        raise PhotograftError(f"{path}: is a folder: give a photo")
    if not path.exists():
        raise PhotograftError(f"{path}: no such file: check the path")
    too_large = f"the limit is {max_megapixels:g} megapixels: shrink the photo first"
    try:
        data = path.read_bytes() if path.is_file() else b""
        if not data:
            raise PhotograftError(f"{path}: the file is empty: copy the photo again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            image = Image.open(BytesIO(data), formats=_READABLE)
        if image.width * image.height > max_megapixels * 1e6:
            raise PhotograftError(f"{path}: {image.width}x{image.height} is too large, {too_large}")
        frames = int(getattr(image, "n_frames", 1))
    except PhotograftError:
        raise
    except Image.DecompressionBombError as error:
        raise PhotograftError(f"{path}: is too large, {too_large}") from error
    except UnidentifiedImageError as error:
        message = f"{path}: is not a picture that can be read: use JPEG, PNG, WebP or TIFF (convert HEIC, raw)"
        raise PhotograftError(message) from error
    except OSError as error:
        raise PhotograftError(f"{path}: cannot be read ({error.strerror or error}): copy the photo again") from error
    except Exception as error:  # readers raise anything on damaged headers
        raise PhotograftError(f"{path}: the picture is damaged ({error}): copy the photo again") from error
    if frames > 1 and image.format != "MPO":  # a camera's MPO is a JPEG photo with previews behind it
        raise PhotograftError(f"{path}: holds {frames} frames or pages: save the one to edit as a still picture")
    return image


def _decode(image: Image.Image, path: Path) -> Photo:
    """Decode to upright 8-bit RGB, with alpha and the metadata that still holds."""
    try:
        image.load()
        file_format = "JPEG" if image.format == "MPO" else str(image.format)
        exif, orientation = _exif_of(image, path)
        jpeg = None
        if isinstance(image, JpegImagePlugin.JpegImageFile) and image.mode in ("RGB", "L") and orientation == 1:
            # A turned picture has another block grid: there the old tables would only add loss.
            jpeg = (JpegImagePlugin.get_sampling(image), {k: list(v) for k, v in image.quantization.items()})
        if image.mode.startswith("I;16") or (image.mode == "I" and file_format in ("PNG", "PPM")):
            image = _grey16(image)
        if image.mode in ("F", "I", "LAB", "HSV"):
            raise PhotograftError(f"{path}: {image.mode} pixels are not supported: save it as 8-bit RGB or grey")
        image, icc_profile = _to_srgb_if_not_rgb(image, path)
        alpha = None
        if "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
            image = image.convert("RGBA")
            alpha = _turn(np.array(image.getchannel("A")), orientation)
        pixels = _turn(np.array(image.convert("RGB")), orientation)
        return Photo(path, pixels, file_format, icc_profile, exif, alpha, jpeg)
    except PhotograftError:
        raise
    except Exception as error:  # decoders raise anything on damaged data
        raise PhotograftError(f"{path}: the picture is damaged ({error}): copy the photo again") from error


def _turn(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation (1..8) to [H,W] or [H,W,3]."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _grey16(image: Image.Image) -> Image.Image:
    """16-bit grey to 8-bit: Pillow's own conversion clips at 255 instead of scaling."""
    values = np.asarray(image).astype(np.int64)
    grey = Image.fromarray(((np.clip(values, 0, 65535) + 128) // 257).astype(np.uint8))
    grey.info = {k: v for k, v in image.info.items() if k != "transparency"}
    transparency = image.info.get("transparency")
    if isinstance(transparency, int):
        grey = grey.convert("LA")
        grey.putalpha(Image.fromarray(np.where(values == transparency, 0, 255).astype(np.uint8)))
    return grey


def _to_srgb_if_not_rgb(image: Image.Image, path: Path) -> tuple[Image.Image, bytes | None]:
    """CMYK and grey pictures go to sRGB through their profile, which must not be attached to RGB pixels."""
    icc_profile = image.info.get("icc_profile")
    if not icc_profile:
        return image, None
    colour_mode = {"L": "L", "LA": "L", "1": "L", "CMYK": "CMYK"}.get(image.mode, "RGB")
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc_profile))
        space = str(profile.profile.xcolor_space).strip()
        if space != {"L": "GRAY"}.get(colour_mode, colour_mode):
            # An RGB profile on a grey picture is legal (equal channels); any other mismatch is meaningless.
            return image, icc_profile if space == "RGB" and colour_mode == "L" else None
        if space == "RGB":
            return image, icc_profile
        alpha = image.getchannel("A") if image.mode == "LA" else None
        rgb = ImageCms.profileToProfile(
            image.convert(colour_mode), profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        _log.warning("%s: unusable colour profile is ignored (%s)", path, error)
        return image, None
    assert rgb is not None
    rgb.info = {k: v for k, v in image.info.items() if k != "transparency"}
    if alpha is not None:
        rgb.putalpha(alpha)
    return rgb, None


def _exif_of(image: Image.Image, path: Path) -> tuple[bytes, int]:
    """EXIF bytes without orientation, previews and pixel layout; and the orientation (1 = upright)."""
    orientation = 1
    try:
        exif = image.getexif()
        found = exif.get(_ORIENTATION, 1)
        orientation = found if found in range(1, 9) else 1
        details = exif.get_ifd(_EXIF_IFD)
        for tag in _STRUCTURAL_TAGS & set(exif):
            del exif[tag]
        if orientation in (5, 6, 7, 8) and _PIXEL_X in details and _PIXEL_Y in details:
            details[_PIXEL_X], details[_PIXEL_Y] = details[_PIXEL_Y], details[_PIXEL_X]
        return (exif.tobytes() if len(exif) else b""), orientation
    except Exception as error:  # EXIF in the wild is broken in every way; the picture is still good
        _log.warning("%s: unreadable EXIF is dropped (%s)", path, error)
        return b"", orientation


def _save_options(photo: Photo, file_format: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if photo.icc_profile:
        options["icc_profile"] = photo.icc_profile
    if photo.exif and file_format != "BMP":
        options["exif"] = photo.exif
    if file_format == "JPEG":
        options.update(quality=95, subsampling=0)
        if photo.jpeg is not None:
            sampling, tables = photo.jpeg
            options = {**options, "subsampling": max(sampling, 0), "qtables": tables}
            del options["quality"]
    elif file_format == "WEBP":
        options.update(lossless=True, exact=True)
    elif file_format == "TIFF":
        # libtiff cannot write the nested EXIF folders, Pillow's own uncompressed writer can.
        options["compression"] = "raw" if photo.exif else "tiff_adobe_deflate"
    return options
