"""What a photo's file holds besides pixels: read from any format, kept as long as it is true of an edited photo."""

import logging
import re
import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, JpegImagePlugin
from PIL.ExifTags import IFD

from infer.photo.picture_file import PNG_SIGNATURE
from models.errors import PhotograftError

_MAX_INFLATED = 1 << 24
_MAX_CHUNKS = 200_000
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_PNG_COLOUR = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
_KNOWN_CHUNKS: tuple[bytes, ...] = (
    *_PNG_TEXTS,
    *_PNG_COLOUR,
    b"IHDR",
    b"PLTE",
    b"IDAT",
    b"IEND",
    b"tRNS",
    b"iCCP",
    b"pHYs",
    b"eXIf",
)
_KNOWN_CHUNKS += (b"sBIT", b"bKGD", b"hIST", b"sPLT", b"tIME", b"acTL", b"fcTL", b"fdAT")  # of the old pixels alone
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"
_EXIF_KEYWORDS = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
_IPTC_RESOURCE, _IPTC_TAG, _PHOTOSHOP_LAYERS, _XMP_TAG, _ICC_TAG = 0x0404, 33723, 37724, 700, 34675
_CREDENTIALS_TAG = 52545
_RESOLUTION_UNIT = 296
_TURNED = (5, 6, 7, 8)  # orientations of a picture that lies on its side
_ORIENTATION, _PIXEL_X, _PIXEL_Y, _X_RESOLUTION, _Y_RESOLUTION = 0x0112, 0xA002, 0xA003, 282, 283
# How a TIFF stores its pixels, thumbnails, layers and profiles: untrue of the file we write, or written otherwise.
_STRUCTURAL_TAGS = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, _ORIENTATION, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291, 317}
    | {320, 322, 323, 324, 325, 330, 338, 339, 340, 341, 347, 512, 513, 514, 529, 530, 531, 532}
    | {_XMP_TAG, _IPTC_TAG, 34377, _ICC_TAG, _PHOTOSHOP_LAYERS, _CREDENTIALS_TAG}
)
_CREDENTIALS = b"jumdc2pa"  # how a C2PA manifest begins, in every format
# What is read of a JPEG, or said by a line of its own, or is of its coding alone.
_KNOWN_SEGMENTS: tuple[bytes, ...] = (
    b"JFIF\0",
    b"JFXX\0",
    b"Exif\0",
    b"http://ns.adobe.com/",
    b"ICC_PROFILE\0",
    b"MPF\0",
    b"urn:iso:",
)
_KNOWN_SEGMENTS += (b"Photoshop 3.0\0", b"Adobe", b"Ducky")
# What an edit makes untrue in XMP: the turn that was applied, a gain map and a film that are not written.
_UNTRUE_XMP = (
    (rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8]", rb"\g<1>1"),
    (rb"(:(?:MotionPhoto|MicroVideo)\s*(?:=\s*[\"']|>)\s*)1", rb"\g<1>0"),
    (rb"\s(?:hdrgm:Version|xmpNote:HasExtendedXMP)\s*=\s*(?:\"[^\"]*\"|'[^']*')", rb""),
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Metadata:
    """What a file says about its picture.

    `icc_profile` describes the pixels (None: sRGB); `exif` begins with "Exif" and has no orientation, for that is
    applied; `xmp` is a packet, `iptc` IPTC-IIM records; `comments` those of JPEG and GIF; `dpi` is (x, y) per inch;
    `png_texts` and `png_colour` are chunks (type, data) of a PNG as they are in the file.
    """

    icc_profile: bytes | None = None
    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    comments: tuple[bytes, ...] = ()
    dpi: tuple[float, float] | None = None
    png_texts: tuple[tuple[bytes, bytes], ...] = ()
    png_colour: tuple[tuple[bytes, bytes], ...] = ()

    def in_srgb(self) -> "Metadata":
        """The same of pixels that were converted to sRGB."""
        return replace(self, icc_profile=None, png_colour=())


def read_metadata(image: Image.Image, data: bytes, turned: int = 1) -> tuple[Metadata, int, list[str]]:
    """Metadata of an opened picture, the EXIF orientation (1..8) of its pixels and what is left out, in words.

    `turned` is the orientation that a TIFF had before its pixels were turned.
    """
    remarks: list[str] = []
    exif, orientation = _exif_of(image, remarks, turned)
    dpi = _resolution(image, turned=orientation in _TURNED)
    heif = image.format == "HEIF"
    if heif or image.format == "TIFF":  # whose readers turn the pixels
        orientation = 1
    xmp = image.info.get("xmp") or b""
    xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    comments: tuple[Any, ...] = (image.info.get("comment"),)
    iptc = image.info.get("photoshop", {}).get(_IPTC_RESOURCE, b"") if image.format in ("JPEG", "MPO") else b""
    tags = getattr(image, "tag_v2", {})
    if isinstance(tags.get(_IPTC_TAG, b""), bytes):
        iptc = tags.get(_IPTC_TAG, iptc)
    else:
        remarks.append("its IPTC record is left out, it is stored as numbers")
    if _PHOTOSHOP_LAYERS in tags:
        remarks.append("its Photoshop layers are left out: they would show the photo as it was")
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        comments = tuple(content for name, content in image.applist if name == "COM")
    remarks += _companions(image, data, xmp)
    metadata = Metadata(
        image.info.get("icc_profile") or None,
        exif,
        _true_xmp(xmp),
        iptc if isinstance(iptc, bytes) else b"",
        tuple(c if isinstance(c, bytes) else str(c).encode() for c in comments if c),
        dpi,
    )
    if image.format == "PNG":
        metadata = _with_chunks(metadata, data)
    elif heif and not metadata.icc_profile and (colour := image.info.get("nclx_profile")):
        code = bytes([colour["color_primaries"], colour["transfer_characteristics"], 0, 1])
        metadata = replace(metadata, png_colour=((b"cICP", code),))  # a PNG can say it as the HEIC does
    return metadata, orientation, remarks


def tiff_metadata(data: bytes) -> tuple[Metadata, int]:
    """The same of a TIFF that Pillow cannot open."""
    exif = Image.Exif()
    exif.load(data)
    image = Image.new("L", (1, 1))
    image.info["exif"] = b"Exif\0\0" + data
    kept, orientation = _exif_of(image, [])
    scale = {None: 1, 2: 1, 3: 2.54}.get(exif.get(_RESOLUTION_UNIT), 0)  # inches by default, centimetres
    dpi = _checked_dpi(exif.get(_X_RESOLUTION), exif.get(_Y_RESOLUTION), scale, turned=orientation in _TURNED)
    texts = {tag: exif.get(tag) for tag in (_ICC_TAG, _XMP_TAG, _IPTC_TAG)}
    icc, xmp, iptc = (value if isinstance(value, bytes) else b"" for value in texts.values())
    return Metadata(icc or None, kept, _true_xmp(xmp), iptc, dpi=dpi), orientation


def png_chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """(type, start of the data, length) of a PNG's chunks, as far as the file goes."""
    chunks, at = [], len(PNG_SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        chunks.append((kind, at + 8, min(length, len(data) - at - 8)))
        at += length + 12
        if len(chunks) > _MAX_CHUNKS:
            raise PhotograftError("it has over 200,000 chunks")
    return chunks


def without_texts(data: bytes) -> tuple[bytes, bytes | None]:
    """A PNG without texts and profile, which may inflate to anything, and the profile, inflated to a bound."""
    kept, profile, at = [], None, 0
    for kind, start, length in png_chunks(data):
        content = data[start : start + min(length, 80)]
        if kind == b"iCCP":
            profile = _inflated(data[start : start + length].partition(b"\0")[2][1:])
        elif kind not in _PNG_TEXTS or content.startswith(_EXIF_KEYWORDS):
            continue
        kept.append(data[at : start - 8])
        at = start + length + 4
    return (b"".join([*kept, data[at:]]) if kept else data), profile


def _with_chunks(metadata: Metadata, data: bytes) -> Metadata:
    """A PNG's own: texts and colour as they are, XMP out of its text."""
    texts, colour, xmp = [], [], metadata.xmp
    for kind, start, length in png_chunks(data):
        content = data[start : start + length]
        if kind == b"iTXt" and content.startswith(_XMP_KEYWORD):
            compressed = content[len(_XMP_KEYWORD) : len(_XMP_KEYWORD) + 1] == b"\1"
            text = content[len(_XMP_KEYWORD) + 2 :].split(b"\0", 2)[-1]
            xmp = _true_xmp((_inflated(text) or b"") if compressed else text)
        elif kind in _PNG_TEXTS and not content.startswith(_EXIF_KEYWORDS):
            texts.append((kind, content))
        elif kind in _PNG_COLOUR:
            colour.append((kind, content))
    return replace(metadata, xmp=xmp, png_texts=tuple(texts), png_colour=tuple(colour))


def _inflated(data: bytes) -> bytes | None:
    """zlib data, if it is whole and within the bound."""
    inflater = zlib.decompressobj()
    try:
        out = inflater.decompress(data, _MAX_INFLATED)
    except zlib.error:
        return None
    return out if inflater.eof else None


def _true_xmp(xmp: bytes) -> bytes:
    for pattern, replacement in _UNTRUE_XMP:
        xmp = re.sub(pattern, replacement, xmp)
    return _without(xmp, b"<Container:Directory>", b"</Container:Directory>")  # of a gain map and a film


def _without(text: bytes, opens: bytes, closes: bytes) -> bytes:
    """Without what stands between two words, and these; what nothing closes stays. (A pattern would search for its
    end from every beginning.)"""
    kept, at = [], 0
    while (start := text.find(opens, at)) >= 0 and (end := text.find(closes, start)) >= 0:
        kept.append(text[at:start])
        at = end + len(closes)
    return b"".join([*kept, text[at:]])


def _resolution(image: Image.Image, turned: bool) -> tuple[float, float] | None:
    """Dots per inch, if the file says any."""
    tags = getattr(image, "tag_v2", None)
    if tags is not None and _X_RESOLUTION not in tags:  # Pillow then says 1
        return None
    found = image.info.get("dpi")
    x, y = found if isinstance(found, tuple) and len(found) == 2 else (None, None)
    return _checked_dpi(x, y, 1, turned)


def _checked_dpi(x: Any, y: Any, scale: float, turned: bool) -> tuple[float, float] | None:
    """Numbers of a file times `scale` as dots per inch, if they can be that."""
    try:
        x, y = float(x) * scale, float(y) * scale
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    if not (0 < x < 1e6 and 0 < y < 1e6):  # also false for NaN
        return None
    return (y, x) if turned else (x, y)


def _companions(image: Image.Image, data: bytes, xmp: bytes) -> list[str]:
    """What stands beside the picture in its file and is not written: it belongs to the photo as it was."""
    info, remarks = image.info, []
    auxiliary = " ".join(map(str, info.get("aux") or ())) + ("hdrgm" if b"hdrgm:Version" in xmp else "")
    if "hdrgainmap" in auxiliary.lower() or "hdrgm" in auxiliary or b"urn:iso:std:iso:ts:21496:-1" in data[:65536]:
        remarks.append("its gain map (HDR) is left out: it would be wrong after an edit")
    if info.get("depth_images"):
        remarks.append("its depth map is left out: it would be wrong after an edit")
    if re.search(rb":(?:MotionPhoto|MicroVideo)\s*(?:=\s*[\"']|>)\s*1", xmp) or b"MotionPhoto_Data" in data[-1024:]:
        remarks.append("the film of the motion photo is left out")
    if b"HasExtendedXMP" in xmp:
        remarks.append("its extended XMP is left out")
    if image.format == "MPO" and not remarks:
        remarks.append("the further pictures in its file (MPO) are left out")
    if image.format == "HEIF" and getattr(image, "n_frames", 1) > 1:
        remarks.append(f"it holds {image.n_frames} pictures, the main one is read: the others are left out")  # type: ignore[attr-defined]
    if _CREDENTIALS in data:
        remarks.append("its content credentials (C2PA) are left out: they vouch for the photo as it was")
    if others := _other_blocks(image, data):
        remarks.append(f"what is not known is left out: {', '.join(others)}")
    if image.format == "PNG" and info.get("interlace"):
        remarks.append("it is interlaced, the result is not")
    return remarks


def _other_blocks(image: Image.Image, data: bytes) -> list[str]:
    """Parts of a JPEG or PNG that are neither of the picture nor among our metadata."""
    names: list[str] = []
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        names = [
            name
            for name, content in image.applist
            if name != "COM" and not content.startswith(_KNOWN_SEGMENTS) and _CREDENTIALS not in content
        ]
        if set(image.info.get("photoshop", {})) - {_IPTC_RESOURCE}:
            names.append("Photoshop's resources")
    elif image.format == "PNG":
        chunks = [kind for kind, start, length in png_chunks(data) if _CREDENTIALS not in data[start : start + length]]
        names = [kind.decode("latin-1") for kind in chunks if kind not in _KNOWN_CHUNKS]
    return list(dict.fromkeys(names))


def _exif_of(image: Image.Image, remarks: list[str], turned: int = 1) -> tuple[bytes, int]:
    """EXIF bytes without orientation, previews and pixel layout; and the orientation (1 = upright)."""
    orientation = 1
    try:
        exif = image.getexif()
        found = exif.get(_ORIENTATION, turned)
        orientation = found if found in range(1, 9) else 1
        details = exif.get_ifd(IFD.Exif)
        for tag in _STRUCTURAL_TAGS & set(exif):
            del exif[tag]
        if orientation in _TURNED:
            for values, x, y in ((details, _PIXEL_X, _PIXEL_Y), (exif, _X_RESOLUTION, _Y_RESOLUTION)):
                if x in values and y in values:
                    values[x], values[y] = values[y], values[x]
        exif.bigtiff = False  # which EXIF never is
        return (exif.tobytes() if len(exif) else b""), orientation
    except Exception as error:  # EXIF in the wild is broken in every way; the picture is still good
        _log.debug("unreadable EXIF", exc_info=error)
        remarks.append("its EXIF cannot be read and is left out")
        return b"", orientation
