"""Where the fakes of a training come from, and for how long: prior samples, reconstructions, class translations."""

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.encoder import FeatureEncoder
from models.errors import PhotograftError
from models.layers.resampling import fast_layout, resize
from train.gan.prior import Prior

SOURCES = ("reconstruction", "translation", "prior")
PAIRED = ("translation", "prior")  # whose fakes can be compared within their class, in the order of a batch


@dataclass
class Stage:
    """A part of the training.

    Attributes:
        images: real pictures seen in it (the last stage goes on for ever).
        sources: shares of the batch's fakes by source: "reconstruction", "translation", "prior".
        adversarial: factor on the adversaries' weights; 0 trains an autoencoder.
        train_generator: False lets the discriminators catch up first.

    Raises:
        PhotograftError: an unknown source, or none.
    """

    images: float = float("inf")
    sources: dict[str, float] = field(default_factory=lambda: {"prior": 1.0})
    adversarial: float = 1.0
    train_generator: bool = True

    def __post_init__(self) -> None:
        unknown = set(self.sources) - set(SOURCES)
        if unknown or not self.sources:
            raise PhotograftError(f"sources of fakes must be among {', '.join(SOURCES)}, not {sorted(unknown)}")

    @property
    def needs_encoder(self) -> bool:
        """Whether it makes fakes of photos."""
        return bool({"reconstruction", "translation"} & set(self.sources))

    def split(self, n: int) -> dict[str, int]:
        """How many of n fakes come from each source; they add up to n."""
        total = sum(self.sources.values())
        counts = {name: int(n * self.sources.get(name, 0.0) / total) for name in SOURCES}
        largest = max(self.sources, key=lambda name: self.sources[name])
        counts[largest] += n - sum(counts.values())
        return counts


@dataclass
class Codes:
    """What one batch of fakes is made of, sorted by source: reconstructions first, in the order of the real pictures.

    Attributes:
        latent: [N,latent_dim].
        labels: [N] int64, the class that each is to show.
        reconstructions: how many of them are codes of the first real pictures with their own classes.
        from_photos: how many, with the reconstructions, are made of the codes of the first real pictures, in order.
        pairs: by source, [P,2], which ones share their class for the sake of comparing them.
        photos: [M,latent_dim], the codes of all real pictures without their noise; None without an encoder.
    """

    latent: Tensor
    labels: Tensor
    reconstructions: int
    from_photos: int = 0
    pairs: dict[str, Tensor] = field(default_factory=dict)
    photos: Tensor | None = None


@dataclass
class Fakes:
    """Generated pictures [N,3,R,R] in [-1,1] of one batch and the codes that they were made of."""

    images: Tensor
    codes: Codes


def draw_codes(
    stage: Stage,
    n: int,
    real: Tensor,
    label: Tensor,
    prior: Prior,
    encoder: FeatureEncoder | None,
    paired: Collection[str] = (),
) -> Codes:
    """Latents and classes of n fakes from a stage's sources.

    Args:
        stage, n: what they come from, and how many.
        real, label: pictures [N,3,R,R] in [-1,1] and their classes [N].
        prior, encoder: give z.
        paired: sources whose fakes are to come in pairs of one class: some of `PAIRED`.

    Raises:
        PhotograftError: more fakes from photos than there are real pictures.
    """
    counts = stage.split(n)
    reconstructions = counts["reconstruction"]
    from_photos = reconstructions + counts["translation"]
    latent = prior.latent(counts["prior"])
    drawn = prior.labels(n - reconstructions)
    pairs = pair_classes(drawn, counts, paired)
    if not from_photos:
        return Codes(latent, drawn, 0, 0, pairs)
    if from_photos > len(real):
        raise PhotograftError(f"{from_photos} fakes from photos need as many real pictures; the batch has {len(real)}")
    assert encoder is not None
    photos = encoder(fast_layout(resize(real, encoder.resolution)))
    latent = torch.cat([encoder.noisy(photos)[:from_photos], latent])
    return Codes(latent, torch.cat([label[:reconstructions], drawn]), reconstructions, from_photos, pairs, photos)


def pair_classes(drawn: Tensor, counts: dict[str, int], sources: Collection[str]) -> dict[str, Tensor]:
    """Give the second half of the fakes from each of some sources the classes of the first half.

    Args:
        drawn: [N] classes of all fakes but the reconstructions; changed in place.
        counts: fakes by source.
        sources: some of `PAIRED`.

    Returns:
        By source, [P,2], the places of each pair among all fakes.
    """
    pairs, start = {}, counts["reconstruction"]
    for source in PAIRED:
        half = counts[source] // 2 if source in sources else 0
        first = torch.arange(half, device=drawn.device) + start
        start += counts[source]
        if half:
            drawn[first + half - counts["reconstruction"]] = drawn[first - counts["reconstruction"]]
            pairs[source] = torch.stack([first, first + half], dim=1)
    return pairs
