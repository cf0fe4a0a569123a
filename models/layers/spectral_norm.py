"""Spectral normalisation (Miyato et al. 2018) of convolutions, linear layers and embeddings."""

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.resampling import keeps_kernel, kept_kernel, pooled_conv, upsampled_conv, upsampling


class SpectralNorm(nn.Module):
    """Weight / sigma, sigma by one power iteration from the stored u at every use (Miyato et al. 2018).

    u moves on in training only; in evaluation the same iteration is done and forgotten, so a frozen network has no
    hidden state. (The original also moves u of linear and embedding layers in evaluation: put the layer in training
    mode for that.)
    """

    u: Tensor

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.register_buffer("u", F.normalize(torch.randn(rows), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):  # a matrix-vector product is cheap: keep its digits
            flat = weight.flatten(1)  # [out,-1]
            with torch.no_grad():
                v = F.normalize(flat.mT @ self.u, dim=0, eps=1e-12)
                u = F.normalize(flat @ v, dim=0, eps=1e-12)
                if self.training:
                    self.u.copy_(u)
            return weight / torch.dot(u, flat @ v)


class SNConv2d(nn.Conv2d):
    """Convolution with spectral norm."""

    def __init__(self, c_in: int, c_out: int, kernel_size: int, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(c_in, c_out, kernel_size, padding=(kernel_size - 1) // 2, **kwargs)
        self.spectral_norm = SpectralNorm(c_out)
        nn.init.xavier_uniform_(self.weight, gain=gain)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @classmethod
    def upsampling(cls, c_in: int, c_out: int) -> Self:
        """A 3x3 one for `upsampled`, which keeps the fused kernel when it is frozen."""
        return keeps_kernel(cls(c_in, c_out, 3), upsampling)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.spectral_norm(self.weight), self.bias)

    def pooled(self, x: Tensor) -> Tensor:  # [N,I,2H,2W] -> [N,O,H,W]
        """The mean over 2x2 windows of what `forward` gives (3x3 kernels)."""
        return pooled_conv(x, self.spectral_norm(self.weight), self.bias, kept_kernel(self))

    def upsampled(self, x: Tensor) -> Tensor:  # [N,I,H,W] -> [N,O,2H,2W]
        """What `forward` gives of x enlarged twice by its nearest neighbours (3x3 kernels)."""
        return upsampled_conv(x, self.spectral_norm(self.weight), self.bias, kept_kernel(self))


class SNLinear(nn.Linear):
    """Linear layer with spectral norm."""

    def __init__(self, c_in: int, c_out: int, bias: bool = True) -> None:
        super().__init__(c_in, c_out, bias)
        self.spectral_norm = SpectralNorm(c_out)
        nn.init.xavier_uniform_(self.weight)
        if bias:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.spectral_norm(self.weight), self.bias)


class SNEmbedding(nn.Embedding):
    """Embedding with spectral norm."""

    def __init__(self, n: int, dim: int) -> None:
        super().__init__(n, dim)
        self.spectral_norm = SpectralNorm(n)
        nn.init.xavier_uniform_(self.weight)

    def forward(self, label: Tensor) -> Tensor:
        return F.embedding(label, self.spectral_norm(self.weight))


def without_spectral_norm(network: nn.Module) -> None:
    """Let a network's layers take their weights as they are: those of files in which they are divided by sigma."""
    for module in network.modules():
        if isinstance(module, SNConv2d | SNLinear | SNEmbedding):
            module.add_module("spectral_norm", nn.Identity())


@torch.no_grad()
def fold_spectral_norm(network: nn.Module) -> None:
    """Give a frozen network weight / sigma as its plain weights, in place: the same results without power iterations.

    For inference only: it cannot be trained on or saved then.
    """
    for module in network.modules():
        if isinstance(module, SNConv2d | SNLinear | SNEmbedding):
            module.weight = nn.Parameter(module.spectral_norm(module.weight), requires_grad=False)
    without_spectral_norm(network)
