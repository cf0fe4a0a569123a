"""Self-attention over the positions of a feature map: Zhang et al. 2019 (SAGAN), as BigGAN uses it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.spectral_norm import SNConv2d


class SelfAttention(nn.Module):
    """x + gamma * o(attention of theta(x) over max-pooled phi(x) and g(x)); 1x1 convolutions without bias.

    Args:
        channels: C, at least 8: keys have C/8, values C/2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = SNConv2d(channels, channels // 8, 1, bias=False)
        self.phi = SNConv2d(channels, channels // 8, 1, bias=False)
        self.g = SNConv2d(channels, channels // 2, 1, bias=False)
        self.o = SNConv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:  # [N,C,H,W] -> [N,C,H,W]
        queries = self.theta(x).flatten(2).mT  # [N,HW,C/8]
        keys = F.max_pool2d(self.phi(x), 2).flatten(2).mT  # [N,HW/4,C/8]
        values = F.max_pool2d(self.g(x), 2).flatten(2).mT  # [N,HW/4,C/2]
        # zeros change no product: with one width for all, torch never holds the HW x HW/4 weights
        wide = values.shape[2] - keys.shape[2]
        queries, keys = F.pad(queries, (0, wide)), F.pad(keys, (0, wide))
        seen = F.scaled_dot_product_attention(queries[:, None], keys[:, None], values[:, None], scale=1.0)
        return torch.addcmul(x, self.gamma, self.o(seen[:, 0].mT.unflatten(2, x.shape[2:])))
