"""The power spectrum of generated pictures, held to that of real ones.

Hatching is energy in a few high frequencies, between holes where real pictures have some. A discriminator with strides
is nearly blind to both; the mean spectrum of a batch shows them at once (Durall et al. 2020 regularise it radially; the
peaks here lie in directions, so the spectrum keeps its two dimensions).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 4  # frequencies that are averaged along each axis


def log_spectrum(images: Tensor) -> Tensor:  # [N,3,R,R] -> [R/4,R/8]
    """Logarithm of the mean power of a batch's brightness, over pictures, of blocks of frequencies."""
    with torch.autocast(images.device.type, enabled=False):
        x = images.float().mean(dim=1)  # [N,R,R]
        size = x.shape[-1]
        window = torch.hann_window(size, device=x.device)
        x = (x - x.mean(dim=(1, 2), keepdim=True)) * window[:, None] * window
        power = torch.view_as_real(torch.fft.rfft2(x, norm="ortho")[..., : size // 2]).square().sum(-1).mean(dim=0)
        return (F.avg_pool2d(power[None, None], BLOCK)[0, 0] + 1e-6).log()


def spectral_distance(fake: Tensor, real: Tensor) -> Tensor:
    """Mean squared difference of the log spectra of two batches [N,3,R,R]; 0.5 is about a factor of 2 everywhere."""
    with torch.no_grad():
        target = log_spectrum(real)
    return F.mse_loss(log_spectrum(fake), target)
