"""Callbacks: pictures of what is learnt, exact resume of random streams, and the Fréchet distance while training."""

from train.callbacks.frechet import FrechetDistance
from train.callbacks.grids import ReconstructionGrid, SampleGrid
from train.callbacks.run import Throughput, run_folder
from train.callbacks.state import RandomState, TimedCheckpoint

__all__ = [
    "FrechetDistance",
    "RandomState",
    "ReconstructionGrid",
    "SampleGrid",
    "Throughput",
    "TimedCheckpoint",
    "run_folder",
]
