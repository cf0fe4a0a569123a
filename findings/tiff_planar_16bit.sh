#!/usr/bin/env bash
# 16-bit RGB TIFF with separate planes, not compressed: wrong pixels, no error.
#
# Package: pillow 13.0.0 (tifffile 2026.3.3 and numpy 2.4.6 make the file).
#
# Expected: the TIFF 6.0 specification allows PlanarConfiguration 2 (all red
#   samples, then all green, then all blue) for RGB. Pillow reads an
#   8-bit file of this kind rightly, and 16-bit RGB with mixed samples too. So
#   a 16-bit file with separate planes should give the same picture or an error.
#
# Behaviour: it is read without an error or a warning, and the pixels are wrong.
#   Where the file is not compressed, each byte of a 16-bit sample is taken for one
#     8-bit pixel, so only the first half of each plane is shown, low bytes
#     and high bytes in turn. The same picture with Deflate is read rightly.
#
# Output seen:
#   one pixel, R G B:                     [60001, 30001, 1001]
#   8 bit planar: Pillow right True
#   16 bit mixed: Pillow right True
#   16 bit planar, Deflate: Pillow right True
#   16 bit planar: Pillow right False
#   Pillow's first two pixels, R G B:     [[97, 49, 233], [234, 117, 3]]
#   behaviour as stated: True
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
cd "$tmp"
"$tmp/venv/bin/python" - <<'PY'
import sys
import numpy as np
import tifffile
from PIL import Image

h, w = 6, 6
rgb = np.empty((h, w, 3), np.uint16)
rgb[:] = 60001, 30001, 1001
rgb[..., 0] += np.arange(w, dtype=np.uint16) * 256
high = (rgb >> 8).astype(np.uint8)  # what an 8-bit picture of it looks like


def write(name, picture, planar, compression=None):
    data = np.moveaxis(picture, -1, 0).copy() if planar else picture
    tifffile.imwrite(name, data, photometric="rgb", compression=compression, byteorder="<",
                     planarconfig="separate" if planar else "contig")
    return np.asarray(Image.open(name))


same = np.array_equal
print("one pixel, R G B:                    ", rgb[0, 0].tolist())
planar8, mixed = write("a.tif", high, True), write("b.tif", rgb, False)
print("8 bit planar: Pillow right", same(planar8, high))
print("16 bit mixed: Pillow right", same(mixed, high))
deflated, planar = write("c.tif", rgb, True, "zlib"), write("d.tif", rgb, True)
print("16 bit planar, Deflate: Pillow right", same(deflated, high))
print("16 bit planar: Pillow right", same(planar, high))
print("Pillow's first two pixels, R G B:    ", planar[0, :2].tolist())
as_bytes = [np.frombuffer(rgb[..., c].tobytes(), np.uint8)[:h * w].reshape(h, w) for c in range(3)]
ok = all(same(seen, high) for seen in (planar8, mixed, deflated)) and same(planar, np.stack(as_bytes, -1))
print("behaviour as stated:", ok)
sys.exit(0 if ok else 1)
PY
