"""Where networks run, and in which form they are fastest there: the one place that knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from models.errors import PhotograftError
from models.schema import check, short

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def find_device(name: str) -> torch.device:
    """A device by its name; "auto": CUDA, else Apple's MPS, else the processor, whichever is there first.

    Raises:
        PhotograftError: an unknown name, or a device that is not there.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if check(str, name, "device") == "auto":
        return torch.device(next(kind for kind, is_there in there.items() if is_there))
    if name not in there:
        raise PhotograftError(f"unknown device {short(name)}: choose one of {', '.join(get_args(DeviceName))}")
    if not there[name]:
        usable = ", ".join(kind for kind, is_there in there.items() if is_there)
        raise PhotograftError(f"device {name} is not there: choose auto or {usable}")
    return torch.device(name)


def fast_dtype(device: torch.device) -> torch.dtype:
    """In which convolutions are fastest: bfloat16 on CUDA and on processors with instructions for it, else float32."""
    import torch

    from models.processor import computes_bfloat16

    has_bfloat16 = computes_bfloat16() if device.type == "cpu" else device.type == "cuda"
    return torch.bfloat16 if has_bfloat16 else torch.float32


def likes_channels_last(device: torch.device) -> bool:
    """Whether convolutions are faster with their channels side by side: on processors and tensor cores."""
    return device.type != "mps"
