"""Auxiliary networks A: z -> zeta and B: zeta -> z', a space in which projection converges faster (paper, B.1)."""

import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Configurable
from models.registry import auxiliaries


@auxiliaries.register("mlp")
class AuxiliaryNetworks(Configurable):
    """Two MLPs with one hidden layer each and a PReLU with one slope per dimension at their ends.

    Args:
        latent_dim: size of z.
        zeta_dim: size of zeta (10000 in the paper).
        hidden_a, hidden_b: widths of the hidden layers (1000 in the paper).
    """

    def __init__(
        self, latent_dim: int = 128, zeta_dim: int = 10000, hidden_a: int = 1000, hidden_b: int = 1000
    ) -> None:
        super().__init__()
        self.config = {
            "latent_dim": latent_dim,
            "zeta_dim": zeta_dim,
            "hidden_a": hidden_a,
            "hidden_b": hidden_b,
        }
        self.latent_dim, self.zeta_dim = latent_dim, zeta_dim
        self.a1 = nn.Linear(latent_dim, hidden_a)
        self.a2 = nn.Linear(hidden_a, zeta_dim)
        self.prelu_zeta = nn.PReLU(zeta_dim)
        self.b1 = nn.Linear(zeta_dim, hidden_b)
        self.b2 = nn.Linear(hidden_b, latent_dim)
        self.prelu_z = nn.PReLU(latent_dim)
        for module in (self.a1, self.a2, self.b1, self.b2):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)

    def to_zeta(self, z: Tensor) -> Tensor:  # [N,latent_dim] -> [N,zeta_dim]
        """A."""
        zeta: Tensor = self.prelu_zeta(self.a2(F.relu(self.a1(z))))
        return zeta

    def to_z(self, zeta: Tensor) -> Tensor:  # [N,zeta_dim] -> [N,latent_dim]
        """B."""
        z: Tensor = self.prelu_z(self.b2(F.relu(self.b1(zeta))))
        return z

    def forward(self, z: Tensor) -> Tensor:
        """B(A(z)), which training draws towards z."""
        return self.to_z(self.to_zeta(z))
