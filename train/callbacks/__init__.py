"""Callbacks: pictures of what is learnt, exact resume, the Fréchet distance, progress, and what loggers are told."""

from train.callbacks.frechet import FrechetDistance
from train.callbacks.grids import ReconstructionGrid, SampleGrid
from train.callbacks.progress import TrainingProgress
from train.callbacks.run import Throughput, run_folder
from train.callbacks.state import RandomState, TimedCheckpoint
from train.callbacks.tracking import Tracking

__all__ = [
    "FrechetDistance",
    "RandomState",
    "ReconstructionGrid",
    "SampleGrid",
    "Throughput",
    "TimedCheckpoint",
    "Tracking",
    "TrainingProgress",
    "run_folder",
]
