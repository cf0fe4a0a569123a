"""Networks as other processes are told of them, and who starts these."""

import os
from dataclasses import dataclass

import torch

from models.prepared import Networks
from models.zoo import load_model


@dataclass(frozen=True)
class Source:
    """Where networks come from.

    Attributes:
        model: a name, or files.
        dtype, psi: see `Networks`.
    """

    model: str
    dtype: torch.dtype
    psi: str

    @classmethod
    def of(cls, networks: Networks) -> "Source":
        """Of these networks."""
        return cls(networks.model.name, networks.dtype, networks.psi_name)

    def networks(self, device: torch.device) -> Networks:
        """The same on a device. Raises PhotograftError where the model cannot be read."""
        return Networks.of(load_model(self.model), str(device), dtype=self.dtype, psi=self.psi)


def may_be_one_of_several() -> bool:
    """Whether torchrun or Slurm may have started this process beside others."""
    return any(name in os.environ for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS"))
