#!/usr/bin/env bash
# pytorch-lightning: a training that SIGTERM cut short ends with exit code 0.
#
# Package: pytorch-lightning 2.6.6 (with torch 2.14.1, on the CPU).
#
# Expected: a process that SIGTERM ends has the status "killed by signal 15", which
#   a shell shows as 143, or another code that is not 0. A job queue or a script
#   (`train && publish`) relies on that. The documentation of SIGTERMException
#   says that callbacks can use it; it does not say that the exit code becomes 0.
#
# Behaviour: Trainer.fit catches the signal, ends after the current batch and raises
#   SIGTERMException. That is a SystemExit without a code, so Python exits with 0
#   and prints no traceback. The line after fit() never runs, the training is not
#   done, and the exit code says success. (Known: Lightning issue 19916. A fix is
#   merged in its repository: pull request 21623.)
#
# Output seen (without Lightning's own lines):
#   plain Python, SIGTERM: exit code 143
#   fit() left by SIGTERMException, code None, at step 4 of 100, status interrupted
#   Trainer.fit, SIGTERM:  exit code 0
#   behaviour as stated: True
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet pytorch-lightning==2.6.6 torch==2.14.1 numpy==2.4.6
cd "$tmp"
cat > train.py <<'PY'
import os
import signal
import warnings
import pytorch_lightning as pl
import torch

warnings.filterwarnings("ignore")


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, batch_idx):
        if self.global_step == 3:  # the signal a job queue sends
            os.kill(os.getpid(), signal.SIGTERM)
        return self.layer(batch).pow(2).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


trainer = pl.Trainer(max_steps=100, accelerator="cpu", logger=False, enable_checkpointing=False,
                     enable_progress_bar=False, enable_model_summary=False)
try:
    trainer.fit(Model(), torch.utils.data.DataLoader(torch.ones(400, 2), batch_size=2))
except BaseException as error:  # only to show it
    print(f"fit() left by {type(error).__name__}, code {error.code}, at step {trainer.global_step}"
          f" of 100, status {trainer.state.status.value}", flush=True)
    raise
open("done", "w").close()
PY
plain=0
"$tmp/venv/bin/python" -c 'import os, signal; os.kill(os.getpid(), signal.SIGTERM)' || plain=$?
echo "plain Python, SIGTERM: exit code $plain"
code=0
"$tmp/venv/bin/python" train.py 2> train.log > train.out || code=$?
cat train.out
echo "Trainer.fit, SIGTERM:  exit code $code"
if [ "$plain" -eq 143 ] && [ "$code" -eq 0 ] && [ ! -e done ] && grep -q 'at step 4 of 100' train.out; then
    echo "behaviour as stated: True"
else
    echo "behaviour as stated: False"
    tail -n 5 train.log
    exit 1
fi
