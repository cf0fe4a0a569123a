"""What every discriminator has: the features behind Psi, a score, and scores of a picture under all classes."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from models.base import Configurable
from models.errors import PhotograftError


class Discriminator(Configurable, ABC):
    """A trained discriminator of pictures of one resolution.

    Attributes:
        num_classes: 0 for an unconditional one.
        resolution: height and width of the pictures that it was trained on; None: it takes others too.
        least: height and width of the smallest pictures that it can halve.
    """

    least: int = 1

    num_classes: int
    resolution: int | None

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Pictures [N,3,R,R] in [-1,1] -> final features [N,...], which depend on no other picture of the batch.

        Normalised, they are Psi.
        """

    @abstractmethod
    def class_scores(self, x: Tensor) -> Tensor:
        """Pictures -> scores under every class [N,num_classes], of one pass and each picture for itself."""

    @abstractmethod
    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Score [N] of pictures and their classes, as in training."""

    def check_pictures(self, x: Tensor) -> None:
        """Raise PhotograftError unless these are pictures of its resolution."""
        if x.shape[1:] != (3, self.resolution, self.resolution):
            raise PhotograftError(f"this discriminator takes pictures of {self.resolution} px, not {list(x.shape)}")


def class_weights(label: Tensor, num_classes: int) -> Tensor:  # [N] or [N,K] -> [N,K]
    """Weights of classes, of class indices too."""
    if label.ndim == 2:
        return label
    return label[:, None] == torch.arange(num_classes, device=label.device)  # one_hot would read labels back
