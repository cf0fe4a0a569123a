"""Where the fakes of a training come from, and for how long: prior samples, reconstructions, class translations."""

from dataclasses import dataclass, field

from torch import Tensor

from models.errors import PhotograftError

SOURCES = ("reconstruction", "translation", "prior")


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
        pairs: per source, [P,2], which ones share their class for the sake of comparing them.
        photos: [M,latent_dim], the codes of all real pictures without their noise; None without an encoder.
    """

    latent: Tensor
    labels: Tensor
    reconstructions: int
    from_photos: int = 0
    pairs: tuple[Tensor, ...] = ()
    photos: Tensor | None = None


@dataclass
class Fakes:
    """Generated pictures [N,3,R,R] in [-1,1] of one batch and the codes that they were made of."""

    images: Tensor
    codes: Codes
