#!/usr/bin/env bash
# pytorch-lightning: saving a checkpoint without permission fails without a word.
#
# Package: pytorch-lightning 2.6.6 (with torch 2.14.1 and fsspec 2026.9.0).
#
# Expected: Trainer.save_checkpoint raises PermissionError when the folder may not
#   be written, as open() does. At the least it warns. Its documentation speaks of
#   no case in which it returns without having saved.
#
# Behaviour: save_checkpoint returns, there is no file, no error and no warning.
#   The PermissionError is caught inside and only one special case (a move between
#   file systems) is passed on. So a training can run for days and leave nothing.
#   (Tried apart from this script: fit() with ModelCheckpoint ends as usual too,
#   and best_model_path names a file that is not there.)
#   (Known: Lightning issue 21800.) The temporary folder must be on the same
#   file system as the target, as here; otherwise RuntimeError is raised.
#   Root may write anywhere, so as root the program first becomes an ordinary user.
#
# Output seen (without Lightning's own lines):
#   folder with permission:    save_checkpoint returned None, file there: True
#   open() without permission: PermissionError
#   folder without permission: save_checkpoint returned None, warnings 0, file there: False
#   behaviour as stated: True
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet pytorch-lightning==2.6.6 torch==2.14.1 fsspec==2026.9.0 numpy==2.4.6
cd "$tmp"
mkdir mine theirs scratch
chmod 777 mine scratch
chmod 555 theirs
TMPDIR="$tmp/scratch" "$tmp/venv/bin/python" - 2> save.log <<'PY' || { tail -n 5 save.log; exit 1; }
import os
import sys
import warnings
import pytorch_lightning as pl
import torch


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).pow(2).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


trainer = pl.Trainer(max_steps=3, accelerator="cpu", logger=False, enable_checkpointing=False,
                     enable_progress_bar=False, enable_model_summary=False)
trainer.fit(Model(), torch.utils.data.DataLoader(torch.ones(8, 2), batch_size=2))
if os.geteuid() == 0:
    os.setuid(65534)
result = trainer.save_checkpoint("mine/a.ckpt", weights_only=False)
good = os.path.exists("mine/a.ckpt")
print(f"folder with permission:    save_checkpoint returned {result}, file there: {good}")
try:
    plain = open("theirs/a.ckpt", "wb")
except PermissionError as error:
    plain = type(error).__name__
print("open() without permission:", plain)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    result = trainer.save_checkpoint("theirs/a.ckpt", weights_only=False)
there = os.path.exists("theirs/a.ckpt")
print(f"folder without permission: save_checkpoint returned {result}, warnings {len(caught)},"
      f" file there: {there}")
ok = good and plain == "PermissionError" and not caught and not there
print("behaviour as stated:", ok)
sys.exit(0 if ok else 1)
PY
