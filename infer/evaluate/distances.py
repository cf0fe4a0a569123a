"""Distances between two sets of pictures with what chance adds to them: Fréchet with an error, KID, MS-SSIM, LPIPS."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from infer.evaluate.detection import NORMAL, Interval, bootstrap
from models.errors import PhotograftError
from models.perception.judges import Gaussian
from models.registry import suggest
from models.schema import short

RESAMPLED = 40  # times that a Fréchet distance is computed anew: its error is then known to a tenth
SUBSETS, SUBSET = 100, 1000  # of KID, and pictures in each at most
SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, Wang et al. 2003
SSIM_WINDOW = 11
BATCH = 32  # pictures that LPIPS sees at once

LpipsNet = Literal["alex", "vgg", "squeeze"]


@dataclass(frozen=True)
class Spread:
    """A value and its standard deviation."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ± {self.error:.4f}"


def frechet_error(features: Tensor, target: Tensor, *, seed: int = 0) -> float:  # [N,D], [M,D]
    """Standard error of the Fréchet distance: the first set drawn anew with replacement."""
    fitted, random = Gaussian(target), torch.Generator().manual_seed(seed)
    drawn = (torch.randint(len(features), (len(features),), generator=random) for _ in range(RESAMPLED))
    return float(torch.tensor([fitted.distance(Gaussian(features[rows])) for rows in drawn]).std())


def frechet_ratio(features: Tensor, others: Tensor, target: Tensor, *, seed: int = 0) -> tuple[float, Interval]:
    """One set's Fréchet distance over another's, and the 95 % interval; rows of both [N,D] belong together.

    Rows are drawn with replacement. That alone makes distances larger and their ratio nearer to 1, so only the draws'
    deviation counts, of the logarithm: few draws tell it better than they tell quantiles.
    """
    fitted, random = Gaussian(target), torch.Generator().manual_seed(seed)
    value = fitted.distance(Gaussian(features)) / fitted.distance(Gaussian(others))
    found = []
    for _ in range(RESAMPLED):
        rows = torch.randint(len(features), (len(features),), generator=random)
        one, other = (fitted.distance(Gaussian(each[rows])) for each in (features, others))
        found.append(math.log(one / other))
    reach = math.exp(NORMAL * float(torch.tensor(found, dtype=torch.float64).std()))
    return value, (value / reach, value * reach)


def kid(features: Tensor, target: Tensor, *, seed: int = 0) -> Spread:  # [N,D], [M,D]
    """Kernel distance (KID, Binkowski et al. 2018), unbiased, so it may be negative: mean and deviation of subsets."""
    from torchmetrics.image.kid import KernelInceptionDistance

    size = max(min(SUBSET, len(features) // 2, len(target) // 2), 2)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it keeps all features
        torch.manual_seed(seed)
        metric = KernelInceptionDistance(feature=nn.Identity(), subsets=SUBSETS, subset_size=size)
        metric.update(target, real=True)
        metric.update(features, real=False)
        mean, deviation = metric.compute()
    return Spread(float(mean), float(deviation))


def ms_ssim(images: Tensor, target: Tensor) -> Tensor:  # [N,3,R,R] x2 in [-1,1] -> [N]
    """Multi-scale structural similarity (Wang et al. 2003), 1 for the same picture.

    Pictures too small for all five scales are compared at as many as their windows fit in, whose weights are made to
    sum to 1: four at 128 px. NaN where there is not even one.
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as measure

    weights = ssim_weights(images.shape[-1])
    if not weights:
        return torch.full((len(images),), torch.nan)
    one, other = ((batch * 0.5 + 0.5).clamp(0, 1) for batch in (images, target))
    return measure(one, other, reduction="none", data_range=1.0, betas=weights, normalize="relu")


def ssim_weights(resolution: int) -> tuple[float, ...]:
    """Of the scales that fit, the finest first; they sum to 1."""
    scales = max((n for n in range(1, len(SSIM_WEIGHTS) + 1) if _fits(resolution, n)), default=0)
    total = sum(SSIM_WEIGHTS[:scales])
    return tuple(weight / total for weight in SSIM_WEIGHTS[:scales])


def _fits(resolution: int, scales: int) -> bool:
    """Whether torchmetrics takes so many scales."""
    return resolution // max(1, scales - 1) ** 2 > SSIM_WINDOW - 1 and resolution >= 2**scales


class Lpips:
    """Learned perceptual distance (Zhang et al. 2018) of pictures [N,3,R,R] in [-1,1] -> [N].

    Args:
        net: its network, whose ImageNet weights torchvision keeps or fetches (5, 230, 530 MB).

    Raises:
        PhotograftError: they are not there and cannot be fetched.
    """

    def __init__(self, net: LpipsNet) -> None:
        from torchmetrics.functional.image.lpips import learned_perceptual_image_patch_similarity as measure

        self.net, self._measure = net, measure
        try:
            self(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))
        except OSError as error:
            raise PhotograftError(
                f"the weights of LPIPS ({net}) cannot be fetched ({error}): leave --lpips out, or put torchvision's"
                f" into {torch.hub.get_dir()}/checkpoints"
            ) from error

    @torch.no_grad()
    def __call__(self, images: Tensor, target: Tensor) -> Tensor:
        pairs = zip(images.clamp(-1, 1).split(BATCH), target.clamp(-1, 1).split(BATCH), strict=True)
        parts = (self._measure(*pair, net_type=self.net, reduction="none") for pair in pairs)
        return torch.cat([part.reshape(-1) for part in parts])  # a single picture's is a scalar


def load_lpips(net: str) -> Lpips:
    """LPIPS by the name of its network. Raises PhotograftError: see `Lpips`, and for an unknown name."""
    names: tuple[LpipsNet, ...] = get_args(LpipsNet)
    if net not in names:
        raise PhotograftError(
            f"unknown network of LPIPS {short(net)}{suggest(net, names)} (there are {', '.join(names)})"
        )
    return Lpips(net)


def mean_interval(values: Sequence[float] | Tensor) -> Interval:
    """95 % interval of a mean, values resampled."""
    array = np.asarray(values, np.float64)
    return bootstrap(array, np.arange(len(array)), lambda drawn: float(drawn.mean()))
