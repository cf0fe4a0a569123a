"""Small makers of unusual picture files, for the tests: bytes put together by hand, all of them harmless."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms
from skimage import data

CAT: NDArray[np.uint8] = data.cat()[:96, :128].copy()  # [96,128,3]
# Its 16-bit picture: every value has low bits of its own, which 8 bits would lose.
DEEP = (CAT.astype(np.uint16) * 257) ^ np.random.default_rng(0).integers(0, 64, CAT.shape, dtype=np.uint16)
ALPHA = np.where(np.arange(128) < 100, 65535, 30000).astype(np.uint16) * np.ones((96, 1), np.uint16)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d" rdf:about="a cat"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(samples: NDArray[Any], *, before: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG of [H,W,C] in 8 or 16 bits, C in 1..4, with chunks before and after its pixels."""
    height, width, channels = samples.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + before + chunk(b"IDAT", zlib.compress(rows)) + after + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def png_samples(content: bytes) -> NDArray[Any]:
    """[H,W,C] of a PNG that OpenCV or Pillow wrote, by the few lines that the standard needs: a reader of our own."""
    at, head, packed = 8, b"", b""
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        head, packed = (content[at + 8 : at + 21], packed) if kind == b"IHDR" else (head, packed)
        packed += content[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    width, height, bits, colour = struct.unpack(">IIBB", head[:10])
    step = {0: 1, 2: 3, 4: 2, 6: 4}[colour] * bits // 8
    raw = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, -1)
    above = np.zeros(raw.shape[1] - 1, np.int64)
    rows = []
    for line in raw:
        row, kind = line[1:].astype(np.int64), line[0]
        for i in range(len(row) if kind in (1, 3, 4) else 0):
            left = row[i - step] if i >= step else 0
            corner = above[i - step] if i >= step else 0
            paeth = min((left, above[i], corner), key=lambda v, i=i, p=left + above[i] - corner: abs(p - v))
            row[i] = (row[i] + {1: left, 3: (left + above[i]) // 2, 4: paeth}[int(kind)]) & 255
        above = (row + above) & 255 if kind == 2 else row
        rows.append(above.astype(np.uint8))
    return np.stack(rows).reshape(-1).view(">u2" if bits == 16 else np.uint8).reshape(height, width, -1)


def tiff(samples: NDArray[Any], **options: Any) -> bytes:
    stream = BytesIO()
    tifffile.imwrite(stream, samples, **options)
    return stream.getvalue()


def tiff_lzw(samples: NDArray[Any]) -> bytes:
    bgr = samples[..., ::-1] if samples.ndim == 3 else samples
    return bytes(cv2.imencode(".tif", bgr, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes())


def saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def jpeg(**options: Any) -> bytes:
    return saved(Image.fromarray(CAT), "JPEG", **{"quality": 92} | options)


def with_segment(content: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG with another segment after its start."""
    return content[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + content[2:]


def exif(**tags: Any) -> bytes:
    """EXIF with tags given as x0112=6."""
    out = Image.Exif()
    for name, value in tags.items():
        out[int(name[1:], 16)] = value
    return bytes(out.tobytes())


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
