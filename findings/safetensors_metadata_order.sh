#!/usr/bin/env bash
# safetensors writes the keys of the metadata in a random order.
#
# Package: safetensors 0.8.0 (numpy 2.4.6 makes the tensor). The torch functions
#   use the same writer.
#
# Expected: equal tensors and an equal metadata dict give equal bytes. The tensors
#   are written in a fixed order, and without metadata the bytes are equal every
#   time. A Python dict keeps its order, so the metadata could keep it too. The
#   documentation of save() says nothing of a random order.
#
# Behaviour: with two or more metadata keys their order in the header differs from
#   save to save, also within one process. The content is equal, but the hash of
#   the file is not. So a hash cannot tell if two files hold the same weights, and
#   a build that writes such a file is not repeatable. With one key, for
#   example one JSON text, the bytes are equal. (Known: safetensors issue 584.)
#
# Output seen (the hashes and the orders differ from run to run):
#   no metadata:      6 saves,  1 hash(es)
#   one key:          6 saves,  1 hash(es)
#   eight keys:       6 saves,  6 hash(es)
#   one order:        c d b h a g e f
#   another order:    e h b c a f d g
#   the same length and content: True
#   behaviour as stated: True
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet safetensors==0.8.0 numpy==2.4.6
cd "$tmp"
cat > writer.py <<'PY'
import sys
import numpy as np
from safetensors.numpy import save_file

weights = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
keys = sys.argv[1]
for number in sys.argv[2:]:  # two saves in each process
    save_file(weights, f"{keys or 'none'}{number}", {k: k.upper() for k in keys} or None)
PY
for keys in "" a abcdefgh; do
    for pair in "1 2" "3 4" "5 6"; do
        # shellcheck disable=SC2086
        "$tmp/venv/bin/python" writer.py "$keys" $pair
    done
done
"$tmp/venv/bin/python" - <<'PY'
import hashlib
import json
import sys
from pathlib import Path

count, header = {}, []
for label, name in (("no metadata", "none"), ("one key", "a"), ("eight keys", "abcdefgh")):
    files = [Path(f"{name}{n}").read_bytes() for n in range(1, 7)]
    count[name] = len({hashlib.sha256(f).hexdigest() for f in files})
    print(f"{label + ':':17} {len(files)} saves,  {count[name]} hash(es)")
texts = [f[8:8 + int.from_bytes(f[:8], "little")] for f in files]  # of the eight keys
orders = sorted({" ".join(json.loads(t)["__metadata__"]) for t in texts})
print("one order:       ", orders[0])
print("another order:   ", orders[-1])
same = (len({len(f) for f in files}) == 1 and all(json.loads(t) == json.loads(texts[0]) for t in texts)
        and len({f[8 + len(t):] for f, t in zip(files, texts)}) == 1)
print("the same length and content:", same)
ok = count["none"] == count["a"] == 1 and count["abcdefgh"] > 1 and len(orders) > 1 and same
print("behaviour as stated:", ok)
sys.exit(0 if ok else 1)
PY
