"""Style mixing (Karras et al. 2019, section 3.1): a picture's finer styles come from another z."""

import torch
from torch import Tensor

from models.base import StyleGenerator


def mix_styles(generator: StyleGenerator, ws: Tensor, others: Tensor, label: Tensor | None, share: float) -> Tensor:
    """w+ of prior samples, some of which take their styles from a layer drawn at random on from another z.

    Args:
        generator: whose mapping the other styles come from.
        ws: [N,num_ws,w_dim].
        others: z [N,latent_dim] of the other styles.
        label: [N] classes, which the other z share; None if there are none.
        share: chance of each sample.

    Returns:
        [N,num_ws,w_dim].
    """
    n, layers, device = len(ws), generator.num_ws, ws.device
    cut = torch.randint(1, layers, (n,), device=device)
    cut = cut.masked_fill(torch.rand(n, device=device) >= share, layers)
    own = torch.arange(layers, device=device) < cut[:, None]  # [N,num_ws]
    return torch.where(own[:, :, None], ws, generator.mapping(others, label))
