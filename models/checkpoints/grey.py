"""Networks of grey pictures as networks of colour ones: three equal channels are drawn, the mean of three is seen."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from models.checkpoints.told import told
from models.errors import PhotograftError

GREY = "its pictures are grey: they are drawn as three equal channels, and colours are seen as their mean"


def remarks(variables: Mapping[str, Any]) -> list[str]:
    """What is assumed of a generator in TensorFlow that draws grey pictures."""
    shapes: list[tuple[int, ...]] = [
        getattr(variables[name], "shape", ()) for name in variables if "ToRGB_lod0/weight" in name
    ]
    shapes += [getattr(variables[name], "shape", ()) for name in variables if name.endswith("/ToRGB/weight")]
    return [GREY] if any(len(shape) == 4 and shape[3] == 1 for shape in shapes) else []


def check_channels(channels: object, where: object) -> None:
    """Raise PhotograftError unless pictures of so many channels are colour or grey."""
    if type(channels) is not int or channels not in (1, 3):
        raise PhotograftError(f"{where}: its pictures have {told(channels)} channels: only 3 or 1 can be read")


def drawn(value: Tensor) -> Tensor:  # [1,...] -> [3,...]
    """Weight or bias of a layer that gives the picture; of one that gives colours it stays."""
    return value.repeat(3, *[1] * (value.ndim - 1)) if value.ndim and len(value) == 1 else value


def seen(weight: Tensor, gain: float = 1 / 3) -> Tensor:  # [O,1,1,1] -> [O,3,1,1]
    """Effective weight of a layer that sees the picture.

    Args:
        weight: of one that sees colours it stays.
        gain: 1 / sqrt(3) for a weight that is divided by the square root of its fan-in at each pass.
    """
    return weight.repeat(1, 3, 1, 1) * gain if weight.ndim == 4 and weight.shape[1] == 1 else weight
