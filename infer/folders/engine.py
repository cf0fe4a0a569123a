"""Work shared out among processes, on one machine or several, by Lightning's predict loop.

Lightning is imported when this module is, which is when a run begins. Each process takes every n-th unit. Where no
other program starts the processes (torchrun and Slurm do), they are spawned from this one.
"""

import logging
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from multiprocessing import active_children, parent_process
from typing import Any, Protocol

import cv2
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from models.device import find_device
from models.errors import PhotograftError
from models.terminal import orderly

# Lightning's advice is for trainings. Said here, spawned processes hear it too.
for name in ("pytorch_lightning", "lightning_fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")


_PATIENCE = timedelta(days=7)  # of processes that have done their share with those that have not


class Worker(Protocol):
    """What one process does with its units, in their order."""

    def read(self, units: Sequence[Any]) -> Iterator[Any]:
        """What is read ahead for each unit."""

    def work(self, read: Any) -> None:
        """Do a unit; what can be done behind the next one's back may wait."""

    def finish(self) -> None:
        """Do what waits."""


class Job(Protocol):
    """Work that can be sent to another process."""

    def begin(self, rank: int, device: torch.device) -> Worker:
        """A process's worker."""


class _Loop(pl.LightningModule):
    def __init__(self, job: Job, units: Sequence[Any] | None) -> None:
        super().__init__()
        self.job, self.units = job, units
        self.worker: Worker | None = None

    def setup(self, stage: str) -> None:
        trainer = self.trainer
        # Those of the first process, where each was started by itself; without any, one for each process.
        self.units = trainer.strategy.broadcast(self.units)
        self.units = range(trainer.world_size) if self.units is None else self.units
        if trainer.world_size > 1:
            cv2.setNumThreads(torch.get_num_threads())  # Lightning has shared the threads out
            if parent_process() is not None:
                self.until_exit = ExitStack()
                self.until_exit.enter_context(orderly(exits=True))
            self.on_sigterm = signal.getsignal(signal.SIGTERM)
        self.worker = self.job.begin(trainer.global_rank, trainer.strategy.root_device)

    def on_predict_start(self) -> None:
        """Lightning's own answer to SIGTERM asks the other processes first: they work, or are gone."""
        if self.trainer.world_size > 1:
            signal.signal(signal.SIGTERM, self.on_sigterm)

    def predict_dataloader(self) -> "_Ahead":
        assert self.units is not None
        assert self.worker is not None
        return _Ahead(self.worker, self.units[self.trainer.global_rank :: self.trainer.world_size])

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch

    @torch.enable_grad()  # which latents are searched with
    def predict_step(self, batch: Any) -> int:
        assert self.worker is not None
        self.worker.work(batch)
        return 0  # Lightning warns of None

    def on_predict_end(self) -> None:
        assert self.worker is not None
        self.worker.finish()
        self.trainer.strategy.barrier()  # the first process joins what all have written


class _Ahead:
    """What Lightning iterates over."""

    def __init__(self, worker: Worker, units: Sequence[Any]) -> None:
        self.worker, self.units = worker, units

    def __len__(self) -> int:
        return len(self.units)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.worker.read(self.units))


def share_out(job: Job, units: Sequence[Any] | None, *, devices: int, device: str = "auto") -> None:
    """Have units done by processes, one for each device.

    Args:
        job: can be pickled where devices > 1.
        units: what is to be done; counts in the first process. None there: a number for each process.
        devices: processes on this machine; of those that torchrun or Slurm start, their number counts.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        PhotograftError: one that a process raised, or a process that was ended from outside: what it had not finished
            is not done.
    """
    where, outside = find_device(device).type, _started_outside()
    if units is not None and not units and outside is None:
        return
    devices, nodes = outside or (devices, 1)
    several = DDPStrategy(start_method="popen" if outside else "spawn", timeout=_PATIENCE)
    strategy = several if devices * nodes > 1 else "auto"
    trainer = pl.Trainer(
        accelerator={"cuda": "gpu"}.get(where, where),
        devices=devices,
        num_nodes=nodes,
        strategy=strategy,
        plugins=None if outside else [LightningEnvironment()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        inference_mode=False,
    )
    try:
        with _threads_each(1 if outside else devices):
            trainer.predict(_Loop(job, units), return_predictions=False)
        if outside:  # the processes go on alone
            torch.distributed.destroy_process_group()
    except SystemExit:  # Lightning's answer to Ctrl-C, after which it hears no other
        signal.signal(signal.SIGINT, signal.default_int_handler)
        children = active_children()  # a terminal tells them as well, `kill` does not
        for child in children:
            child.terminate()
        for child in children:
            child.join()
        raise KeyboardInterrupt from None
    except ProcessRaisedException as error:
        last = str(error).strip().splitlines()[-1]
        kind, _, text = last.partition(": ")
        if kind.endswith(PhotograftError.__name__):
            raise PhotograftError(text) from None
        raise
    except ProcessExitedException as error:
        how = f"signal {-error.exit_code}" if error.exit_code and error.exit_code < 0 else f"code {error.exit_code}"
        raise PhotograftError(f"process {error.error_index} was ended ({how}): go on with --resume") from None


@contextmanager
def _threads_each(processes: int) -> Iterator[None]:
    """Spawned processes share the threads out; not all libraries can be told so later than by the environment."""
    name = "OMP_NUM_THREADS"
    if processes == 1 or name in os.environ:
        yield
        return
    os.environ[name] = str(max(1, torch.get_num_threads() // processes))
    try:
        yield
    finally:
        del os.environ[name]


def _started_outside() -> tuple[int, int] | None:
    """Processes on this machine, and machines, where torchrun or Slurm starts them; else None."""
    said = os.environ
    if TorchElasticEnvironment.detect():
        found = int(said["LOCAL_WORLD_SIZE"]), int(said.get("GROUP_WORLD_SIZE", 1))
    elif SLURMEnvironment.detect():
        nodes = int(said.get("SLURM_NNODES", 1))
        found = int(said["SLURM_NTASKS"]) // nodes, nodes
    else:
        return None
    return None if found == (1, 1) else found
