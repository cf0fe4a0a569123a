#!/usr/bin/env bash
# wandb: an offline run's folder does not hold the pictures of its tables.
#
# Package: wandb 0.31.0 (with numpy 2.4.6 and pillow 12.3.0).
#
# Expected: a table with a column of wandb.Image is logged to an offline run as a single
#   wandb.Image is: its picture lies in the run's folder (offline-run-*/files/media), so that
#   the folder can be copied and synced elsewhere.
#
# Behaviour: the single picture lies there. The table's picture does not: the table's file in
#   the run's folder has the word "Image" in its cell, and the PNG waits under the data
#   directory (WANDB_DATA_DIR, else the user's), in artifacts/staging, outside of the run.
#   (Near known reports: wandb issue 4611 on tables of offline runs.)
#
# Output seen:
#   pictures in the run's folder: logged alone 1, of the table 0
#   cell of the table's file: 'Image'
#   pictures below WANDB_DATA_DIR: 1
#   behaviour as stated: True
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet wandb==0.31.0 numpy==2.4.6 pillow==12.3.0
cd "$tmp"
WANDB_MODE=offline WANDB_SILENT=true WANDB_DATA_DIR="$tmp/waiting" WANDB_CACHE_DIR="$tmp/cache" \
  WANDB_CONFIG_DIR="$tmp/config" "$tmp/venv/bin/python" - <<'PY'
import json
import sys
from pathlib import Path

import numpy as np
import wandb


def pictures(folder):
    return [path for path in Path(folder).rglob("*") if path.is_file() and path.read_bytes()[:4] == b"\x89PNG"]


alone, inside = (np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8) for seed in (0, 1))
run = wandb.init(project="p", dir=".")
run.log({"alone": wandb.Image(alone)})
run.log({"table": wandb.Table(columns=["picture"], data=[[wandb.Image(inside)]])})
run.finish()
wandb.teardown()
(folder,) = Path("wandb").glob("offline-run-*")
there = pictures(folder)
named = [path for path in there if path.name.startswith("alone")]
(table,) = folder.rglob("*.table.json")
cell = json.loads(table.read_text())["data"][0][0]
waiting = pictures("waiting")
print(f"pictures in the run's folder: logged alone {len(named)}, of the table {len(there) - len(named)}")
print(f"cell of the table's file: {cell!r}")
print(f"pictures below WANDB_DATA_DIR: {len(waiting)}")
ok = len(there) == len(named) == 1 and cell == "Image" and len(waiting) == 1
print("behaviour as stated:", ok)
sys.exit(0 if ok else 1)
PY
