"""Evaluations by several processes: each runs the whole one, and computes its share of what is kept in a folder.

Who asks for one runs it again, and finds all that takes long (`infer.evaluate.cache.ResultCache.each`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from infer.folders.source import Source, may_be_one_of_several
from models.prepared import Networks


def share_evaluation(networks: Networks, evaluate: Callable[[Networks], object], devices: int) -> None:
    """Run an evaluation in several processes; what it returns is not needed.

    Args:
        networks: of a model that has files, on the device that is meant.
        evaluate: can be pickled; keeps what takes long in a folder.
        devices: processes on this machine.

    Raises:
        PhotograftError: see `infer.folders.engine.share_out`.
    """
    if devices > 1 or may_be_one_of_several():
        from infer.folders.engine import share_out  # Lightning takes its time

        job = _Evaluation(Source.of(networks), evaluate)
        share_out(job, None, devices=devices, device=networks.device.type)


@dataclass(frozen=True)
class _Evaluation:
    source: Source
    evaluate: Callable[[Networks], object]

    def begin(self, rank: int, device: torch.device) -> "_Process":
        return _Process(self.evaluate, self.source.networks(device))


@dataclass(frozen=True)
class _Process:
    evaluate: Callable[[Networks], object]
    networks: Networks

    def read(self, units: Sequence[int]) -> Iterator[int]:
        return iter(units)

    def work(self, read: int) -> None:
        self.evaluate(self.networks)

    def finish(self) -> None:
        pass
