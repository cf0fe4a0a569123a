"""Path length regularisation (Karras et al. 2020, section 3.2, Eq. 4): steps in w change the picture by one amount.

For pictures g(w) and noise y, both of P pixels, |J^T y| / sqrt(P) is held near its own running mean.
"""

import torch
from torch import Tensor

from models.base import StyleGenerator


def path_lengths(generator: StyleGenerator, latent: Tensor, label: Tensor | None) -> Tensor:  # -> [N]
    """|J^T y| / sqrt(P) of pictures that a generator makes for it, in float32 at least.

    Args:
        generator: its weights get gradients of this gradient.
        latent, label: z [N,latent_dim] and classes [N] of the pictures.
    """
    ws = generator.mapping(latent, label)
    images = generator.synthesize(latent, generator.styles(ws))
    noise = torch.randn_like(images) / images[0, 0].numel() ** 0.5
    (gradient,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
    gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
    return gradient.square().sum(2).mean(1).sqrt()
