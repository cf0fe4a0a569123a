"""What a GAN's training starts from: weights of earlier ones, and the first pictures of the data, which it measures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from data import images_to_float
from models.base import Generator
from models.encoder import FeatureEncoder
from models.errors import PhotograftError
from train.gan.codes import whiten


@dataclass(frozen=True)
class Start:
    """Where generator and encoder begin; adversaries name their own files.

    Attributes:
        generator, encoder: weights files (that `train.py export` wrote); None: fresh weights.
        whiten_codes: first change the basis of z so that photos' codes are white (see `train.gan.codes`); for given
            weights.
    """

    generator: str | None = None
    encoder: str | None = None
    whiten_codes: bool = False


def first_pictures(
    module: pl.LightningModule, batches: Iterable[Mapping[str, Tensor]], n: int
) -> tuple[Tensor, Tensor]:  # -> [n,3,R,R], [n]
    """The first pictures of a stream in [-1,1] and their classes: n of each process; fewer where it ends before."""
    pictures: list[Tensor] = []
    labels: list[Tensor] = []
    for batch in batches:
        pictures.append(images_to_float(batch["image"]).to(module.device))
        labels.append(batch["label"].to(module.device))
        if sum(map(len, pictures)) >= n:
            break
    found = torch.cat(pictures)[:n], torch.cat(labels)[:n]
    if module.trainer.world_size == 1:
        return found
    # every process must measure, and change, the same
    images, classes = (cast(Tensor, module.all_gather(part)).flatten(0, 1) for part in found)
    return images, classes


def whiten_start(generator: Generator, encoder: FeatureEncoder, pictures: Tensor) -> None:
    """Change the basis of z in both, in place, so that codes of pictures [N,3,R,R] are white.

    Raises:
        PhotograftError: a generator whose first layer is another one.
    """
    first = getattr(generator, "linear", None)
    if not isinstance(first, nn.Linear):
        raise PhotograftError("whiten_codes needs a generator whose z goes into a layer named `linear` (sngan)")
    whiten(encoder, first, pictures.split(64))
