"""What readers of BigGAN have in common: weights divided by their largest singular value, conditions put in order."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.checkpoints.arrays import Arrays
from models.errors import PhotograftError


def divided(
    arrays: Arrays, name: str, weight: Tensor, u: Tensor, v: Tensor | None = None, eps: float = 0.0
) -> Tensor:  # -> [O,...]
    """weight [O,...] / sigma; nothing but zeros stays so.

    Args:
        name: of the weight in arrays.
        u: [O], the left singular vector, as far as training came to it.
        v: the right one; None: both are found by one step of the power iteration from u, as the network does.
        eps: added to their lengths in that step.

    Raises:
        PhotograftError: sigma is no number to divide by.
    """
    flat = weight.flatten(1)
    u = u.flatten()
    if v is None:
        v = flat.mT @ u
        v = v / (v.norm() + eps)
        u = flat @ v
        u = u / (u.norm() + eps)
    if not weight.any():
        return weight
    result = weight / torch.dot(u, flat @ v.flatten())
    if not result.isfinite().all():
        raise PhotograftError(
            f"{arrays.path}: {arrays.told(name)} cannot be divided by its sigma, which is 0 or nearly"
        )
    return result


def taken(arrays: Arrays, name: str) -> Tensor:  # -> [O,...]
    """A weight of two dimensions or more. Raises PhotograftError as `Arrays.take` does, or for another one."""
    if len(arrays.shape(name)) < 2:
        raise arrays.misfit(name)
    return arrays.take(name)


def class_first(weight: Tensor, latent: int) -> Tensor:  # [O,Z+S] -> [O,S+Z]
    """A condition that begins with z as one that begins with the class."""
    return torch.cat([weight[:, latent:], weight[:, :latent]], dim=1)


def channels_first(rows: Tensor, width: int) -> Tensor:  # [h*w*C,...] -> [C*h*w,...]
    """A first map whose values are stored position by position as one stored channel by channel."""
    return rows.unflatten(0, (width, width, -1)).movedim(2, 0).flatten(0, 2)


def bottom_width(features: int, channels: int, name: str, arrays: Arrays) -> int:
    """Height of a first map of so many values."""
    width = round((features / channels) ** 0.5)
    if width * width * channels != features:
        raise arrays.misfit(name)
    return width


def attended(arrays: Arrays, name: str, channels: Sequence[int], axis: int) -> int:
    """The first block whose output has as many channels as self-attention takes; axis: that of its kernel."""
    width = arrays.shape(name, 4)[axis]
    fitting = [i for i, given in enumerate(channels) if given == width and i]
    if not fitting:
        raise PhotograftError(f"{arrays.path}: {arrays.told(name)} takes {width} channels, which no block gives")
    return fitting[0]
