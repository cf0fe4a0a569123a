#!/usr/bin/env bash
# 16-bit grey TIFF with WhiteIsZero: comes back as its own negative.
#
# Packages: pillow 13.0.0, opencv-python-headless 4.14.0.94
#           (tifffile 2026.3.3 and numpy 2.4.6 make the file).
#
# Expected: by the TIFF 6.0 specification PhotometricInterpretation 0 means that
#   0 is white, whatever the number of bits. Both libraries turn the values round
#   for 8 bits, so that 0 is black in the array. 16 bits should be the same.
#
# Behaviour: with 16 bits neither Pillow nor OpenCV (IMREAD_UNCHANGED or
#   IMREAD_ANYDEPTH) turns the values round. Nothing in the result says so, and
#   the picture is a negative. OpenCV even contradicts itself: the same file read
#   with IMREAD_GRAYSCALE is turned round.
#
# Output seen (the file holds white, light, dark, black):
#   right, 8 bit:              [255, 245, 55, 0]
#   right, 16 bit:             [65535, 62965, 14135, 0]
#   Pillow 8 bit:              [255, 245, 55, 0]
#   OpenCV 8 bit UNCHANGED:    [255, 245, 55, 0]
#   Pillow 16 bit:             [0, 2570, 51400, 65535]
#   OpenCV 16 bit UNCHANGED:   [0, 2570, 51400, 65535]
#   OpenCV 16 bit ANYDEPTH:    [0, 2570, 51400, 65535]
#   OpenCV 16 bit GRAYSCALE:   [255, 245, 55, 0]
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

stored8 = np.array([[0, 10, 200, 255]] * 2, np.uint8)
stored16 = stored8.astype(np.uint16) * 257
tifffile.imwrite("8.tif", stored8, photometric="miniswhite")
tifffile.imwrite("16.tif", stored16, photometric="miniswhite", byteorder="<")


def row(name, flag=None):
    picture = np.asarray(Image.open(name)) if flag is None else cv2.imread(name, flag)
    return picture[0].tolist()


right8, right16 = (255 - stored8)[0].tolist(), (65535 - stored16)[0].tolist()
negative16 = stored16[0].tolist()
seen = {  # what was read, and what the comment above says
    "Pillow 8 bit": (row("8.tif"), right8),
    "OpenCV 8 bit UNCHANGED": (row("8.tif", cv2.IMREAD_UNCHANGED), right8),
    "Pillow 16 bit": (row("16.tif"), negative16),
    "OpenCV 16 bit UNCHANGED": (row("16.tif", cv2.IMREAD_UNCHANGED), negative16),
    "OpenCV 16 bit ANYDEPTH": (row("16.tif", cv2.IMREAD_ANYDEPTH), negative16),
    "OpenCV 16 bit GRAYSCALE": (row("16.tif", cv2.IMREAD_GRAYSCALE), right8),
}
print("right, 8 bit:             ", right8)
print("right, 16 bit:            ", right16)
for name, (got, _) in seen.items():
    print(f"{name + ':':26}", got)
ok = all(got == stated for got, stated in seen.values())
print("behaviour as stated:", ok)
sys.exit(0 if ok else 1)
PY
