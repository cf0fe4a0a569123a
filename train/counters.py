"""What a training counts: plain numbers, which are kept in its checkpoints with the weights."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

COUNTS = ("images_before", "images_seen", "steps")


class CountingModule(pl.LightningModule):
    """A module that counts. Not buffers: reading one at every step would make the host wait for the GPU.

    Attributes:
        images_before: real pictures that the trainings behind its first weights had seen.
        images_seen: real pictures that the training has seen, on all devices together.
        steps: of the training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.images_before, self.images_seen, self.steps = 0, 0, 0

    @property
    def ends_at(self) -> float | None:
        """Real pictures after which the training ends by itself; None if only the trainer ends it."""
        return None

    def count(self, images: int) -> None:
        """One more step, on so many real pictures of this device."""
        self.images_seen += images * self.trainer.world_size
        self.steps += 1

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in COUNTS:
            destination[prefix + name] = torch.tensor(getattr(self, name))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in COUNTS:
            value: Tensor | None = state_dict.pop(prefix + name, None)
            if value is not None:
                setattr(self, name, int(value))
        super()._load_from_state_dict(state_dict, prefix, *rest)
