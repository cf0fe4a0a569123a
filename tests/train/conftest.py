"""Fixtures of several files."""

from pathlib import Path

import pytest

from tests.train.trainings import Train


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """`train.py fit` of a tiny GAN in a fresh folder."""
    return Train(tmp_path)
