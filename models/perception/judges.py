"""Feature networks that judge pictures: Fréchet distances and class hits, without a download.

`SqueezeNetFeatures` is independent of every training here. Pictures are resized bicubically to the network's input.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from models.files import read_tensors
from models.perception.features import WEIGHTS, create_features

_BGR_MEAN = (103.939, 116.779, 123.68)


class SqueezeNetFeatures(nn.Module):
    """uint8 pictures [N,3,H,W] -> [N,512]: SqueezeNet 1.1's last features, mean over positions."""

    def __init__(self, path: Path = WEIGHTS / "squeezenet1_1_imagenet_features.safetensors") -> None:
        super().__init__()
        self.network = torchvision.models.squeezenet1_1(weights=None)
        self.network.classifier = nn.Identity()
        self.network.load_state_dict(read_tensors(path))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        x = resize_bicubic(images.float(), 224).flip(1)
        x = x - torch.tensor(_BGR_MEAN, device=x.device).view(3, 1, 1)
        return self.network.features(x).mean(dim=(2, 3))


class MobileNetFeatures(nn.Module):
    """uint8 pictures [N,3,H,W] -> [N,1280]. Flattering where a projected discriminator looked through them."""

    def __init__(self) -> None:
        super().__init__()
        self.network = create_features("mobilenet_v2")

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        pooled: Tensor = self.network(resize_bicubic(images.float(), 224) / 127.5 - 1)[1]
        return pooled


JUDGES: dict[str, type[nn.Module]] = {"squeezenet": SqueezeNetFeatures, "mobilenet": MobileNetFeatures}
FLATTERING = frozenset({"mobilenet"})  # judges that projected discriminators look through in training


def resize_bicubic(images: Tensor, size: int) -> Tensor:  # [N,3,H,W] -> [N,3,size,size], range kept
    """Bicubic with antialiasing, clipped to 0..255."""
    if images.shape[-1] == size and images.shape[-2] == size:
        return images
    resized = F.interpolate(images, (size, size), mode="bicubic", align_corners=False, antialias=True)
    return resized.clamp(0, 255)


def to_uint8(images: Tensor) -> Tensor:  # [-1,1] -> 0..255
    """Pictures as they would be stored: rounded."""
    return (images.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)


class Gaussian:
    """A Gaussian fitted to features [N,D], N > 1, in double precision; its covariance is over N - 1."""

    def __init__(self, features: Tensor) -> None:
        assert features.ndim == 2 and len(features) > 1, features.shape
        x = features.double()
        self.mean, self.covariance = x.mean(0), torch.cov(x.T)
        self._root: Tensor | None = None

    @property
    def root(self) -> Tensor:
        """R [D,D] with covariance = R R^T."""
        if self._root is None:
            values, vectors = torch.linalg.eigh(self.covariance)
            self._root = vectors * values.clamp(min=0).sqrt()
        return self._root

    def distance(self, other: "Gaussian") -> float:
        """Fréchet distance: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))."""
        # R^T C2 R has the eigenvalues of C1 C2
        cross = torch.linalg.eigvalsh(self.root.T @ other.covariance @ self.root).clamp(min=0).sqrt().sum()
        traces = self.covariance.trace() + other.covariance.trace()
        return float((self.mean - other.mean).square().sum() + traces - 2 * cross)


def frechet(first: Tensor, second: Tensor) -> float:  # [N,D], [M,D]
    """Fréchet distance between Gaussians fitted to two sets of features (FID, Heusel et al. 2017)."""
    return Gaussian(first).distance(Gaussian(second))
