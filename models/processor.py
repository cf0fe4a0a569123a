"""What the processor can do."""

import torch


def computes_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16 (AVX-512 and newer, some ARM). Without them it is emulated:
    on an AVX2 processor convolutions took ten times as long as in float32."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
