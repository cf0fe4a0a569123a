"""Codes of photos that fill the prior: whitened at the start by an exact change of basis, kept uncorrelated by a term.

Codes of unit variance per dimension may still lie in few directions of z. Then a prior sample spends its variance on
directions that the generator never learnt to use, and samples of a class hardly differ.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.base import Generator
from models.encoder import FeatureEncoder
from models.errors import PhotograftError
from models.layers.batch_norm import shares_statistics
from models.layers.resampling import resize


@torch.no_grad()
def whiten(encoder: FeatureEncoder, first: nn.Linear, pictures: Iterable[Tensor], floor: float = 1e-4) -> Tensor:
    """Change the basis of z so that codes have zero mean and unit covariance; reconstructions stay what they are.

    With mean m and covariance S = L L^T of the codes, codes become L^-1 (code - m) and the generator's first layer
    W L, b + W m.

    Args:
        encoder, first: changed in place; `first` is the generator's layer that takes z.
        pictures: batches [N,3,R,R] in [-1,1].
        floor: least variance of a direction: below it there is only noise.

    Returns:
        The codes' covariance as it was, [D,D].
    """
    encoder.eval()
    codes = torch.cat([encoder(resize(x, encoder.resolution)) for x in pictures]).double()
    mean, covariance = codes.mean(0), torch.cov(codes.T)
    lower = torch.linalg.cholesky(covariance + floor * torch.eye(len(mean), dtype=torch.float64, device=mean.device))
    # the encoder's last layer comes before its standardisation: (y - m0) / s0
    norm, out = encoder.standard, encoder.out
    assert norm.running_mean is not None and norm.running_var is not None
    std = (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.running_mean.double() + std * mean
    basis = torch.linalg.solve_triangular(lower, torch.diag(1 / std), upper=False)
    out.weight.copy_(basis @ out.weight.double())
    out.bias.copy_(basis @ (out.bias.double() - shift))
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0)
    weight = first.weight.double()
    first.bias.add_((weight @ mean).float())
    first.weight.copy_(weight @ lower)
    encoder.train()
    return covariance


def correlation_penalty(codes: Tensor, covariance: Tensor, momentum: float = 0.02) -> Tensor:
    """Half the sum of squared covariances between dimensions, over the number of dimensions (the covariance term of
    VICReg, Bardes et al. 2022). A batch is smaller than z, so squares of its own covariance would be mostly noise: the
    value and the gradient's direction come from the running one, of the batches of all processes, which is moved on.

    Args:
        codes: [N,D], zero mean and unit variance over the pictures.
        covariance: [D,D], running; changed in place.
        momentum: share of this batch in it.
    """
    batch = codes.mT @ codes / len(codes)
    of_all = batch.detach().to(covariance.dtype, copy=True)
    if shares_statistics():
        dist.all_reduce(of_all)
        of_all /= dist.get_world_size()
    covariance.lerp_(of_all, momentum)
    between = covariance - torch.diag(covariance.diagonal())
    gradient = (between * (batch - batch.detach())).sum()  # zero, but for its gradient
    return (between.square().sum() / 2 + gradient) / codes.shape[1]


@torch.no_grad()
def widen(network: nn.Module, spread: float) -> None:
    """Scale z so that N(0, I) reaches `spread` times as far: what truncation psi > 1 would draw, as a change of basis.

    Codes of photos shrink by as much, so pictures of codes stay what they are.

    Args:
        network: a generator whose z goes into a layer named `linear`, or a `FeatureEncoder`; changed in place.
        spread: above 1 samples are more varied and less safe.

    Raises:
        PhotograftError: another network.
    """
    first = getattr(network, "linear", None)
    if isinstance(network, FeatureEncoder):
        assert network.standard.running_var is not None
        network.standard.running_var.mul_(spread**2)
    elif isinstance(network, Generator) and isinstance(first, nn.Linear):
        first.weight.mul_(spread)
    else:
        raise PhotograftError(f"--spread is for sngan with a feature encoder, not for {type(network).__name__}")
