"""What a training draws from the prior: z, and classes as often as its data have them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Prior(nn.Module):
    """Draws on the host by its random stream; on the device, if told to, where steps are recorded as graphs.

    Args:
        sample: of the generator, so many z [n,latent_dim] on the host.
        latent_dim: size of z.
        distribution: [K], shares of the classes.

    Attributes:
        distribution: as given, on the host: whoever draws by a seed draws there.
        on_device: where to draw.
    """

    cumulative: Tensor

    def __init__(self, sample: Callable[[int], Tensor], latent_dim: int, distribution: Tensor) -> None:
        super().__init__()
        self.sample, self.latent_dim, self.on_device = sample, latent_dim, False
        self.distribution = distribution.cpu()  # Lightning makes a model's tensors on the GPU
        self.register_buffer("cumulative", self.distribution.cumsum(0), persistent=False)

    def latent(self, n: int) -> Tensor:  # -> [n,latent_dim]
        """z of N(0, I)."""
        if self.on_device:
            return torch.randn(n, self.latent_dim, device=self.cumulative.device)
        return self.sample(n).to(self.cumulative.device)

    def labels(self, n: int) -> Tensor:  # -> [n] int64
        """Classes as the training draws them."""
        if self.on_device:
            drawn = torch.rand(n, device=self.cumulative.device)
            return torch.searchsorted(self.cumulative, drawn).clamp_max(len(self.distribution) - 1)
        if n == 0:
            return torch.zeros(0, dtype=torch.int64, device=self.cumulative.device)
        return torch.multinomial(self.distribution, n, replacement=True).to(self.cumulative.device)

    def wrong_labels(self, label: Tensor) -> Tensor:
        """Classes [N] drawn as ever, moved on by one where they happen to be the right ones [N]."""
        wrong = self.labels(len(label))
        return torch.where(wrong == label, (wrong + 1) % len(self.distribution), wrong)
