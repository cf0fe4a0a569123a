"""Style mixing (Karras et al. 2019, section 3.1): a picture's finer styles come from another z."""

import torch
from torch import Tensor

from models.base import StyleGenerator


def mix_styles(generator: StyleGenerator, ws: Tensor, label: Tensor | None, share: float) -> Tensor:
    """w+ of prior samples, some of which take their styles from a layer drawn at random on from another z.

    Args:
        generator: whose prior and mapping the other styles come from.
        ws: [N,num_ws,w_dim].
        label: [N] classes, which the other z share; None if there are none.
        share: chance of each sample.

    Returns:
        [N,num_ws,w_dim].
    """
    n, layers, device = len(ws), generator.num_ws, ws.device
    others = generator.mapping(generator.sample_latent(n).to(device), label)
    cut = torch.randint(1, layers, (n,), device=device)
    cut = cut.masked_fill(torch.rand(n, device=device) >= share, layers)
    own = torch.arange(layers, device=device) < cut[:, None]  # [N,num_ws]
    return torch.where(own[:, :, None], ws, others)
