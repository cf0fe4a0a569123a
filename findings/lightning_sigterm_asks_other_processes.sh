#!/usr/bin/env bash
# pytorch-lightning: SIGTERM in one of several processes raises an error out of whatever line runs there.
#
# Package: pytorch-lightning 2.6.6 (with torch 2.14.1, gloo, on the CPU).
#
# Expected: SIGTERM ends a process, or (as in Trainer.fit with one process) sets a
#   mark that the loop reads after the batch. Code in a batch that forgives an error
#   of its own, `try: ... except Exception`, is not concerned.
#
# Behaviour: Trainer.predict with two spawned processes. One is killed; torch's
#   spawn sends SIGTERM to the other, as it should. Lightning's handler there begins
#   with a broadcast to all processes. The dead one does not answer, so the handler
#   raises gloo's error, out of the line that happened to run. `except Exception`
#   around that line takes it for its own error, and the process goes on to work.
#
# Output seen (the kind of the error; its words name addresses and vary):
#   process 1 was killed by signal 9
#   process 0: time.sleep raised RuntimeError or a kind of it: True
#   process 0 went on after SIGTERM: True
#   behaviour as stated: True
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet pytorch-lightning==2.6.6 torch==2.14.1 numpy==2.4.6
cd "$tmp"
cat > predict.py <<'PY'
import os
import signal
import time
import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch.multiprocessing.spawn import ProcessExitedException

warnings.filterwarnings("ignore")


class Model(pl.LightningModule):
    def predict_step(self, batch, batch_idx):
        if self.global_rank == 1:
            while not Path("working").exists():
                time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)  # as for want of memory
        try:
            Path("working").touch()
            for _ in range(600):
                time.sleep(0.1)
        except Exception as error:
            Path("raised").write_text(str(isinstance(error, RuntimeError)))
        Path("went_on").touch()


if __name__ == "__main__":
    trainer = pl.Trainer(accelerator="cpu", devices=2, strategy=DDPStrategy(start_method="spawn"), logger=False,
                         enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
                         inference_mode=False)
    try:
        trainer.predict(Model(), torch.utils.data.DataLoader(torch.ones(2, 2)), return_predictions=False)
    except ProcessExitedException as error:
        print(f"process {error.error_index} was killed by signal {-error.exit_code}")
    raised = Path("raised").read_text() if Path("raised").exists() else "no error"
    print(f"process 0: time.sleep raised RuntimeError or a kind of it: {raised}")
    print(f"process 0 went on after SIGTERM: {Path('went_on').exists()}")
PY
"$tmp/venv/bin/python" predict.py 2> log | tee out
if grep -q "kind of it: True" out && grep -q "after SIGTERM: True" out; then
    echo "behaviour as stated: True"
else
    echo "behaviour as stated: False"
    tail -n 5 log
    exit 1
fi
