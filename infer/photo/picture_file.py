"""A picture's file is looked at before it is read: a film, an archive or a device costs nothing and is named."""

import os
import re
import stat
from pathlib import Path

from models.errors import PhotograftError

_BYTES_PER_PIXEL = 8  # four channels of 16 bits, uncompressed
_BESIDE_PIXELS = 1 << 26  # metadata, previews, a motion photo's film
_HEAD = 4096
_ADVICE = "save it as JPEG, PNG, WebP or TIFF"

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_READABLE = (
    *(PNG_SIGNATURE, *TIFF_SIGNATURES, b"\xff\xd8\xff", b"BM", b"GIF8"),
    *(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),  # JPEG 2000
)
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"}
_OTHERS = {  # the first bytes of what people give for a photo
    b"%PDF": "a PDF document", b"%!PS": "a PostScript document", b"8BPS": "a Photoshop document (PSD)",
    b"gimp xcf": "a GIMP document (XCF)", b"PK\x03\x04": "an archive or document (ZIP)", b"Rar!": "an archive (RAR)",
    b"7z\xbc\xaf\x27\x1c": "an archive (7z)", b"\x1f\x8b": "an archive (gzip)", b"BZh": "an archive (bzip2)",
    b"\xfd7zXZ": "an archive (xz)", b"\x28\xb5\x2f\xfd": "an archive (zstd)",
    b"FUJIFILMCCD-RAW": "a camera's raw photo (RAF)", b"IIRO": "a camera's raw photo (ORF)",
    b"IIRS": "a camera's raw photo (ORF)", b"IIU\0": "a camera's raw photo (RW2)",
    b"FOVb": "a camera's raw photo (X3F)",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture", b"\xff\x0a": "a JPEG XL picture", b"v/1\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance HDR picture", b"\0\0\1\0": "an icon (ICO)", b"icns": "an icon (ICNS)",
    b"DDS ": "a texture (DDS)", b"qoif": "a QOI picture", b"P7\n": "a PAM picture", b"\x93NUMPY": "a NumPy array",
    b"\x1aE\xdf\xa3": "a film (Matroska)", b"FLV": "a film (FLV)", b"OggS": "a film or sound (Ogg)",
    b"\0\0\1\xba": "a film (MPEG)", b"\0\0\1\xb3": "a film (MPEG)", b"\x30\x26\xb2\x75": "a film (WMV)",
    b"ID3": "a sound (MP3)", b"\x7fELF": "a program", b"MZ": "a program", b"{": "text (JSON)",
}  # fmt: skip


def most_bytes(max_megapixels: float) -> int:
    """The largest file that a picture of so many megapixels can be, uncompressed and with all that lies beside it."""
    return round(max_megapixels * 1e6 * _BYTES_PER_PIXEL) + _BESIDE_PIXELS


def read_picture_file(path: Path, max_megapixels: float) -> bytes:
    """A picture file's content, if that may be a picture of at most `max_megapixels`; one look at the head decides.

    Raises:
        PhotograftError: no file, a folder, a pipe, socket or device, an empty file, one of another kind, which is
            named, or one that is larger than such a picture can be. Nothing but the head is read then.
    """
    limit = most_bytes(max_megapixels)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PhotograftError(f"{path}: is a folder: give a photo")
        if not stat.S_ISREG(status.st_mode):
            raise PhotograftError(f"{path}: is {_special(status.st_mode)}, not a file: give a photo")
        if not os.access(path, os.R_OK):
            raise PhotograftError(f"{path}: cannot be read (no permission): change its rights")
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
            if not head:
                raise PhotograftError(f"{path}: the file is empty: copy the photo again")
            if (other := _other_kind(head)) is not None:
                raise PhotograftError(f"{path}: is {other}, not a picture that can be read: {_ADVICE}")
            if status.st_size > limit:
                size = f"{status.st_size / 1e6:.0f} MB are too large for a picture of {max_megapixels:g} megapixels"
                raise PhotograftError(f"{path}: {size}: shrink the photo first")
            return head + stream.read()
    except FileNotFoundError as error:
        raise PhotograftError(f"{path}: no such file: check the path") from error
    except OSError as error:
        raise PhotograftError(f"{path}: cannot be read ({error.strerror or error}): check the path") from error
    except ValueError as error:  # a NUL in the name
        raise PhotograftError(f"{str(path)!r}: no such file: check the path") from error


def is_heif(data: bytes) -> bool:
    """Is it a HEIC or HEIF picture? AVIF has the same box, with a brand of its own."""
    brands = _brands(data)
    general = bool(brands) and brands[0] in (b"mif1", b"mif2", b"msf1")
    return bool(_HEIF_BRANDS & set(brands[:1])) and not (general and {b"avif", b"avis"} & set(brands))


def _brands(head: bytes) -> list[bytes]:
    """The major brand of an ISO media file and those that it is compatible with; none of other files."""
    if head[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(head[:4], "big"), len(head), 256)
    return [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]


def _other_kind(head: bytes) -> str | None:
    """What a file is that is no picture of the kinds that are read, in words; None for those."""
    brands = _brands(head)
    if brands:
        if is_heif(head) or {b"avif", b"avis"} & set(brands):
            return None
        return "a camera's raw photo (CR3)" if brands[0] == b"crx " else "a film (MP4 or QuickTime)"
    if head[:4] == b"RIFF":
        form = head[8:12]
        return None if form == b"WEBP" else {b"AVI ": "a film (AVI)", b"WAVE": "a sound (WAV)"}.get(form, "a RIFF file")
    if head[:4] in (b"II*\0", b"MM\0*") and head[8:10] == b"CR":
        return "a camera's raw photo (CR2)"
    if head.startswith(_READABLE) or re.match(rb"P[1-6][\s#]", head):
        return None
    for magic, kind in _OTHERS.items():
        if head.startswith(magic):
            return kind
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "a film (QuickTime)"
    if head[257:262] == b"ustar":
        return "an archive (tar)"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if text.startswith((b"<svg", b"<?xml", b"<!--")):
        return "an SVG drawing" if b"<svg" in text else "text (XML)"
    return "empty of data (its first bytes are all zero)" if not head.strip(b"\0") else "text or data of another kind"


def _special(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "a special file")
