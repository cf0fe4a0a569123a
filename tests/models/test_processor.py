"""What the processor can do, against what torch chose its kernels for."""

import pytest
import torch

from models.processor import computes_bfloat16


def test_bfloat16_needs_avx512_on_x86() -> None:
    capability = torch.backends.cpu.get_cpu_capability()
    if not capability.startswith("AVX"):
        pytest.skip("not a processor with AVX")
    assert computes_bfloat16() == capability.startswith("AVX512")
