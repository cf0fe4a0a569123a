#!/usr/bin/env bash
# Pillow reads int8 and uint32 grey TIFF files with the wrong sign.
#
# Package: pillow 13.0.0 (tifffile 2026.3.3 and numpy 2.4.6 make the files).
#
# Expected: the TIFF tag SampleFormat says if samples are unsigned (1) or signed
#   (2). Pillow's release notes say that signed 8-bit TIFF files can be read, and
#   a signed 16-bit file does come back with its negative values. Mode "I" is
#   documented as signed, so a value that a mode cannot hold should be refused
#   or scaled. (int8 RGB and uint32 RGB files are refused.)
#
# Behaviour: the bits are taken over as they are. int8 becomes mode "L", which is
#   unsigned: -1 (just below the middle) becomes 255, the brightest value, and -128
#   becomes 128. uint32 becomes mode "I", which is signed: values from 2147483648
#   on turn negative, so the brightest pixel becomes darker than black. The order
#   of the pixels by brightness changes, without an error or a warning.
#
# Output seen:
#   int16  stored [-32768, -1, 0, 32767] read [-32768, -1, 0, 32767] mode I
#   int8   stored [-128, -1, 0, 127] read [128, 255, 0, 127] mode L
#   uint32 stored [0, 1, 3000000000, 4294967295] read [0, 1, -1294967296, -1] mode I
#   behaviour as stated: True
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
cd "$tmp"
"$tmp/venv/bin/python" -W error - <<'PY'
import sys
import numpy as np
import tifffile
from PIL import Image

cases = [  # type, stored, read as the comment above says, mode
    ("int16", [-32768, -1, 0, 32767], [-32768, -1, 0, 32767], "I"),
    ("int8", [-128, -1, 0, 127], [128, 255, 0, 127], "L"),
    ("uint32", [0, 1, 3000000000, 4294967295], [0, 1, -1294967296, -1], "I"),
]
ok = True
for kind, stored, stated, mode in cases:
    tifffile.imwrite("x.tif", np.array([stored] * 2, kind), photometric="minisblack", byteorder="<")
    image = Image.open("x.tif")
    got = [image.getpixel((x, 0)) for x in range(4)]
    print(f"{kind:6} stored {stored} read {got} mode {image.mode}")
    ok = ok and got == stated and image.mode == mode
print("behaviour as stated:", ok)
sys.exit(0 if ok else 1)
PY
