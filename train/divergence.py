"""Whether a training still computes numbers. One that does not stops, and its last checkpoint stays as it is."""

from collections.abc import Mapping

import pytorch_lightning as pl
import torch
from torch import Tensor

from models.errors import PhotograftError

_AGAIN = "start again from the last checkpoint with a lower learning rate"


def check_terms(terms: Mapping[str, Tensor], step: int, every: int = 50) -> None:
    """Raise PhotograftError if a term of the loss is not finite.

    On a GPU only every so many steps are looked at, as looking makes the host wait; what is NaN once stays so.
    """
    values = [value.detach() for value in terms.values()]
    if not values or (values[0].device.type != "cpu" and step % every):
        return
    finite = torch.stack([value.isfinite().all() for value in values])
    if not bool(finite.all()):
        name = list(terms)[int(finite.long().argmin())]
        raise PhotograftError(f"the training diverged: {name} is no number in step {step}: {_AGAIN}")


def check_weights(module: pl.LightningModule) -> None:
    """Raise PhotograftError if a weight of a module is not finite."""
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise PhotograftError(f"the training diverged: {name} holds NaN or infinite values: {_AGAIN}")
