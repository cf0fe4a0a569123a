"""Weights of ncnn: a text that lists the layers (.param) and their numbers one after another (.bin).

Read are files in float16 whose only layers with weights are convolutions with a bias, in the order in which a network
of ours has them; what lies between the layers is the network's to know.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.errors import PhotograftError
from models.reading import read_text

_PARAM_MAGIC, _HALF = "7767517", b"\x47\x6b\x30\x01"  # of the text; before weights that are float16
_LARGEST = 2**28  # bytes


def load_convolutions(network: nn.Module, param: Path, bin_file: Path) -> None:
    """Fill all convolutions of a network, in the order of `network.modules()`.

    Raises:
        PhotograftError: missing or damaged files, or layers of other sizes than the network's.
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    lines = [line.split() for line in read_text(param, "ncnn network").splitlines()]
    sizes = [_sizes(words) for words in lines if words[:1] == ["Convolution"]]
    wanted = [(conv.out_channels, conv.weight.numel()) for conv in convolutions]
    if lines[:1] != [[_PARAM_MAGIC]] or sizes != wanted:
        raise PhotograftError(f"{param} describes another network than ours: install the version that is named")
    try:
        found = bin_file.stat().st_size
        data = bin_file.read_bytes() if found < _LARGEST else b""
    except OSError as error:
        raise PhotograftError(f"{bin_file} cannot be read: {error.strerror or error}") from error
    expected = sum(4 + (2 * weights + 3) // 4 * 4 + 4 * outputs for outputs, weights in wanted)
    if len(data) != expected:
        raise PhotograftError(f"{bin_file} is damaged: {found:,} bytes instead of {expected:,}")
    at = 0
    for conv in convolutions:
        if data[at : at + 4] != _HALF:
            raise PhotograftError(f"{bin_file} is damaged: its weights are no float16")
        count = conv.weight.numel()
        weight = _numbers(data, "<f2", count, at + 4).view_as(conv.weight)
        at += 4 + (2 * count + 3) // 4 * 4
        bias = _numbers(data, "<f4", conv.out_channels, at)
        at += 4 * conv.out_channels
        if not bool(weight.isfinite().all() and bias.isfinite().all()):
            raise PhotograftError(f"{bin_file} is damaged: weights that are no numbers")
        with torch.no_grad():
            conv.weight.copy_(weight)
            assert conv.bias is not None
            conv.bias.copy_(bias)


def _sizes(words: list[str]) -> tuple[int, int]:
    """Outputs (key 0) and number of weights (key 6) of a convolution's line; zeros where it does not say them."""
    said = dict(word.split("=", 1) for word in words if "=" in word)
    outputs, weights = said.get("0", ""), said.get("6", "")
    return (int(outputs), int(weights)) if outputs.isdecimal() and weights.isdecimal() else (0, 0)


def _numbers(data: bytes, kind: str, count: int, at: int) -> Tensor:
    return torch.from_numpy(np.frombuffer(data, kind, count, at).astype(np.float32))
