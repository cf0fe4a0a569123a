"""Fixtures of runs over many photos."""

from collections.abc import Iterator

import pytest
import torch

from tests.infer.conftest import CAT

SMALL = CAT[::2, ::2]  # [150,226,3]: there are many photos here, and each is solved and written several times
HEAD = "60,15,80,80"  # of the small cat


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
