"""Path length regularisation (Karras et al. 2020, section 3.2, Eq. 4): steps in w change the picture by one amount.

For pictures g(w) and noise y, both of P pixels, |J^T y| / sqrt(P) is held near its own running mean.
"""

import torch
from torch import Tensor, nn

from models.base import StyleGenerator


class PathLength(nn.Module):
    """The term, with the running mean that it knows.

    Args:
        decay: share of a new batch's mean in the running one.
    """

    mean: Tensor

    def __init__(self, decay: float = 0.01) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, generator: StyleGenerator, latent: Tensor, label: Tensor | None) -> Tensor:
        """Mean square of what lengths differ from their running mean, which is moved on.

        Args:
            generator: its weights get gradients of this gradient.
            latent, label: z [N,latent_dim] and classes [N] of the pictures that it makes for it.
        """
        ws = generator.mapping(latent, label)
        images = generator.synthesize(latent, generator.styles(ws))
        noise = torch.randn_like(images) / images[0, 0].numel() ** 0.5
        (gradient,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
        lengths = gradient.to(self.mean).square().sum(2).mean(1).sqrt()  # [N]
        mean = self.mean.lerp(lengths.mean(), self.decay)
        self.mean.copy_(mean.detach())
        return (lengths - mean).square().mean()
