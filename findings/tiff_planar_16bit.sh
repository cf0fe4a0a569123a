#!/usr/bin/env bash
# 16-bit RGB TIFF with separate planes: wrong pixels, no error, in two readers.
#
# Packages: pillow 13.0.0, opencv-python-headless 4.14.0.94
#           (tifffile 2026.3.3 and numpy 2.4.6 make the file).
#
# Expected: the TIFF 6.0 specification allows PlanarConfiguration 2 (all red
#   samples, then all green, then all blue) for RGB. Both libraries read an
#   8-bit file of this kind rightly, and 16-bit RGB with mixed samples too. So
#   a 16-bit file with separate planes should give the same picture or an error.
#
# Behaviour: both read it without an error or a warning, and the pixels are wrong.
#   Pillow, file not compressed: each byte of a 16-bit sample is taken for one
#     8-bit pixel, so only the first half of each plane is shown, low bytes
#     and high bytes in turn. The same picture with Deflate is read rightly.
#   OpenCV, IMREAD_UNCHANGED: the red plane is taken for mixed samples, so three
#     red neighbours become the channels of one pixel. They fill the first third
#     of the rows. Green and blue are not read, and the rows below are not the
#     picture. (A fix is merged in OpenCV's repository: pull request 29567.)
#
# Output seen:
#   one pixel, R G B:                     [60001, 30001, 1001]
#   8 bit planar: Pillow right True, OpenCV right True
#   16 bit mixed: Pillow right True, OpenCV right True
#   16 bit planar, Deflate: Pillow right True
#   16 bit planar: Pillow right False, OpenCV right False
#   Pillow's first two pixels, R G B:     [[97, 49, 233], [234, 117, 3]]
#   OpenCV's first two pixels, R G B:     [[60001, 60257, 60513], [60769, 61025, 61281]]
#   behaviour as stated: True
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet pillow==13.0.0 opencv-python-headless==4.14.0.94 \
    tifffile==2026.3.3 numpy==2.4.6
cd "$tmp"
"$tmp/venv/bin/python" - <<'PY'
import sys
import cv2
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
    pil = np.asarray(Image.open(name))
    return pil, cv2.imread(name, cv2.IMREAD_UNCHANGED)[..., ::-1]


same = np.array_equal
print("one pixel, R G B:                    ", rgb[0, 0].tolist())
pil8, cv8 = write("a.tif", high, True)
print(f"8 bit planar: Pillow right {same(pil8, high)}, OpenCV right {same(cv8, high)}")
pilm, cvm = write("b.tif", rgb, False)
print(f"16 bit mixed: Pillow right {same(pilm, high)}, OpenCV right {same(cvm, rgb)}")
pilz, _ = write("c.tif", rgb, True, "zlib")
print("16 bit planar, Deflate: Pillow right", same(pilz, high))
pil, cv = write("d.tif", rgb, True)
print(f"16 bit planar: Pillow right {same(pil, high)}, OpenCV right {same(cv, rgb)}")
print("Pillow's first two pixels, R G B:    ", pil[0, :2].tolist())
print("OpenCV's first two pixels, R G B:    ", cv[0, :2].tolist())
as_bytes = [np.frombuffer(rgb[..., c].tobytes(), np.uint8)[:h * w].reshape(h, w) for c in range(3)]
ok = (same(pil8, high) and same(cv8, high) and same(pilm, high) and same(cvm, rgb)
      and same(pilz, high) and same(pil, np.stack(as_bytes, -1))
      and cv.shape == rgb.shape and same(cv[:h // 3], rgb[..., 0].reshape(h // 3, w, 3)))
print("behaviour as stated:", ok)
sys.exit(0 if ok else 1)
PY
