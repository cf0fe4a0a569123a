"""Adam (Kingma and Ba, 2015) for latents that do not influence each other."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Adam:
    """Adam for rows that do not influence each other, with eps added before bias correction as in the original.

    Attributes:
        m, v: [n,D] moments.
        betas: how much of each is kept, in [0,1).
        t: number of updates made.
    """

    m: Tensor
    v: Tensor
    betas: tuple[float, float] = (0.9, 0.999)
    t: int = 0

    @classmethod
    def start(cls, variable: Tensor, betas: tuple[float, float] = (0.9, 0.999)) -> "Adam":
        """Zero moments for variables [n,D]."""
        return cls(torch.zeros_like(variable), torch.zeros_like(variable), betas)

    def step(self, variable: Tensor, gradient: Tensor, learning_rate: float) -> Tensor:
        """The updated variables [n,D]."""
        self.t += 1
        first, second = self.betas
        self.m = torch.lerp(self.m, gradient, 1 - first)
        self.v = torch.lerp(self.v, gradient.square(), 1 - second)
        rate = learning_rate * (1 - second**self.t) ** 0.5 / (1 - first**self.t)
        updated: Tensor = variable - rate * self.m / (self.v.sqrt() + 1e-8)
        return updated

    def keep(self, rows: Tensor) -> None:
        """Forget the rows for which the mask [n] is False."""
        self.m, self.v = self.m[rows], self.v[rows]
