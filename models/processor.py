"""What the processor can do, and the types that networks compute in."""

from typing import Annotated

import torch
from pydantic import AfterValidator


def _floating(dtype: torch.dtype) -> torch.dtype:
    """A type that networks can compute in."""
    if dtype not in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        raise ValueError("Type should be float32, bfloat16, float16 or float64 of torch")
    return dtype


Floating = Annotated[torch.dtype, AfterValidator(_floating)]
"""A bound of `models.schema`: checked where it annotates an argument."""


def computes_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16 (AVX-512 and newer, some ARM). Without them it is emulated:
    on an AVX2 processor convolutions took ten times as long as in float32."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
