"""Auxiliary networks A: z -> zeta and B: zeta -> z', a space in which projection converges faster (paper, B.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Configurable
from models.errors import PhotograftError
from models.registry import auxiliaries
from models.schema import Dim


@auxiliaries.register("mlp")
class AuxiliaryNetworks(Configurable):
    """Two MLPs with one hidden layer each and a PReLU with one slope per dimension at their ends.

    Args:
        latent_dim: size of z.
        zeta_dim: size of zeta (10000 in the paper).
        hidden_a, hidden_b: widths of the hidden layers (1000 in the paper).
    """

    def __init__(
        self, latent_dim: Dim = 128, zeta_dim: Dim = 10000, hidden_a: Dim = 1000, hidden_b: Dim = 1000
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

    @torch.no_grad()
    def set_linear(self, frame: Tensor) -> None:
        """Make B the linear map zeta -> zeta @ frame and A its pseudo-inverse, so that B(A(z)) = z exactly.

        ReLU lets x through as relu(x) - relu(-x), which takes 2 latent_dim hidden units of A and of B; the others keep
        their incoming weights and get no outgoing ones, so they can still learn.

        Args:
            frame: [zeta_dim,latent_dim] of rank latent_dim.

        Raises:
            PhotograftError: a frame of another shape, or hidden layers that are too narrow.
        """
        d = self.latent_dim
        if frame.shape != (self.zeta_dim, d):
            raise PhotograftError(f"the frame must be [{self.zeta_dim},{d}], not {list(frame.shape)}")
        if min(self.a1.out_features, self.b1.out_features) < 2 * d:
            raise PhotograftError(f"a linear map of {d} latents takes hidden layers of at least {2 * d} units")
        eye = torch.eye(d).to(frame)
        _let_through(self.a1, self.a2, eye, torch.linalg.pinv(frame).T)
        _let_through(self.b1, self.b2, frame.T, eye)
        self.prelu_zeta.weight.fill_(1.0)
        self.prelu_z.weight.fill_(1.0)

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


def _let_through(first: nn.Linear, second: nn.Linear, into: Tensor, out: Tensor) -> None:
    """Make x -> second(relu(first(x))) the linear map x -> out @ into @ x, with into [d,n] and out [m,d]."""
    d = len(into)
    first.weight[: 2 * d] = torch.cat([into, -into])
    second.weight.zero_()
    second.weight[:, : 2 * d] = torch.cat([out, -out], dim=1)
    first.bias.zero_()
    second.bias.zero_()
