"""What all studies share: samples to edit, a judge of classes, and what a study finds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from infer.catalog.catalog import Catalog
from infer.edits.feature_blending import Stream
from infer.evaluate.choices import REAL
from infer.evaluate.judging import BATCH, Probe, judge_features, real_pictures
from infer.evaluate.report_files import Row
from infer.photo.photo import Photo, Pixels
from infer.progress import Progress, untold
from models.base import Generator
from models.errors import PhotograftError, UnsupportedEdit
from models.perception.judges import SqueezeNetFeatures, to_uint8
from models.prepared import Networks, prepare
from models.samples import Samples, draw, truncated
from models.zoo import Model

BATCHED = 8  # samples edited at once
_EYES, _HEAD = 0.03, 0.32  # of the picture: how far below its middle the region's lies, and its half width


class StudyJudge:
    """Names classes of pictures, and sees how far pictures are from others.

    With data it is a probe on SqueezeNet features, through which no training looked. Without it is the model's own
    classifier (of the projected discriminator), fitted to real pictures too; as training looked through its features,
    it flatters. A model without either has no verdicts.

    Args:
        networks: of the model.
        root: its data, or None.
        real: pictures of it that the probe is fitted to.
        seed: of those.
        progress: told of progress.
    """

    def __init__(
        self,
        networks: Networks,
        root: Path | None = None,
        *,
        real: int = REAL,
        seed: int = 1,
        progress: Progress = untold,
    ) -> None:
        self.network = prepare(SqueezeNetFeatures(), device=networks.device)
        self.classifier = networks.classifier
        self.probe: Probe | None = None
        self.name = "nobody" if self.classifier is None else "the model's classifier"
        if root is not None:
            images, labels, _, _ = real_pictures(root, networks.model, real, seed)
            features = judge_features(self.network, images, progress, "judging real pictures")
            self.probe = Probe(features, labels, networks.model.generator.num_classes)
            self.name = "a probe on SqueezeNet features"

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:  # [N,3,R,R] in [-1,1] -> [N,512]
        """SqueezeNet's, on the CPU."""
        return judge_features(self.network, to_uint8(images), untold, "")

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:  # [N,3,R,R] in [-1,1] -> [N,K]
        """Of all classes; NaN where nobody judges."""
        if self.probe is not None:
            return self.probe.probabilities(self.features(images))
        if self.classifier is None:
            return torch.full((len(images), 1), torch.nan)
        device = next(self.classifier.parameters()).device
        parts = [self.classifier.class_logits(part.to(device)).softmax(1).cpu() for part in images.split(BATCH)]
        return torch.cat(parts)

    def of_class(self, images: Tensor, classes: Tensor) -> Tensor:  # [N,3,R,R], [N] -> [N]
        """How likely the class of each is; NaN where nobody judges."""
        found = self.probabilities(images)
        return found[:, 0] if found.shape[1] == 1 else found.gather(1, classes.cpu()[:, None])[:, 0]


class Drawing(Protocol):
    """What `pairs` needs to know: a model, how many samples of it, and how they are drawn."""

    @property
    def model(self) -> Model: ...
    @property
    def generator(self) -> Generator: ...
    @property
    def pictures(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def truncation(self) -> float: ...
    @property
    def progress(self) -> Progress: ...


@dataclass(frozen=True)
class Setting:
    """What a study is made with.

    Attributes:
        networks: the model's, on a device.
        judge: of classes.
        pictures: samples that are measured; shown: those of them on the sheet, the first ones.
        seed, truncation: of the samples.
        photo: for the studies on a photo.
        preset: of its projection; updates: their number, None: the preset's.
        to: the class that the photo is changed to.
        catalog: opens the catalog of parts, for the studies on parts.
        progress: told of progress.
    """

    networks: Networks
    judge: StudyJudge
    pictures: int
    shown: int
    seed: int
    truncation: float
    photo: Photo
    preset: str
    updates: int | None
    to: str
    catalog: Callable[[], Catalog]
    progress: Progress = untold

    @property
    def model(self) -> Model:
        """With its exact generator, on its device."""
        return self.networks.on_device

    @property
    def generator(self) -> Generator:
        """The exact one."""
        return self.networks.exact


@dataclass(frozen=True)
class Found:
    """What a study found.

    Attributes:
        rows: a table, its header first.
        sheet: pictures to look at.
        frames: of an animation, if there is one.
    """

    rows: Sequence[Row]
    sheet: Pixels
    frames: tuple[Pixels, ...] = ()


Study = Callable[[Setting], Found]


@dataclass(frozen=True)
class Pair:
    """Some samples and as many others, pair by pair, with what the samples' classes are changed to.

    Attributes:
        samples, others: the two of each pair.
        base, reference: the same with modulations.
        image, other: [n,3,R,R] of both, on the CPU.
        targets: [2,n] two other classes for each; [2,0] for fewer than three classes.
    """

    samples: Samples
    others: Samples
    base: Stream
    reference: Stream
    image: Tensor
    other: Tensor
    targets: Tensor


def need_classes(model: Model) -> None:
    """Raise UnsupportedEdit for a model without classes to change, or with fewer than three."""
    if not model.generator.modulated_layers or model.generator.num_classes < 3:
        raise UnsupportedEdit(f"model {model.name} has no classes to change: this study needs three at least")


@torch.no_grad()
def pairs(setting: Drawing, what: str, *, same_class: bool = True) -> Iterator[Pair]:
    """All pairs of a study, in batches.

    Args:
        setting: what is drawn, and how many.
        what: it is called while it runs.
        same_class: the others have the samples' classes; else those that they were drawn in.
    """
    model, generator = setting.model, setting.generator
    classes = generator.num_classes
    random = torch.Generator().manual_seed(setting.seed)
    drawn = draw(model, setting.pictures, seed=2 * setting.seed, truncation=setting.truncation)
    z = draw(model, setting.pictures, seed=2 * setting.seed + 1, truncation=1.0)
    for i in range(0, setting.pictures, BATCHED):
        samples = drawn[i : i + BATCHED]
        others = z[i : i + BATCHED]
        label = samples.label if same_class else others.label
        others = _relabelled(model, others, label, setting.truncation)
        targets = _targets(samples.label, classes, random)
        base, reference = stream(generator, samples), stream(generator, others)
        image, other = (generator.synthesize(s.latent, s.modulations).cpu() for s in (base, reference))
        yield Pair(samples, others, base, reference, image, other, targets)
        setting.progress(what, min(i + BATCHED, setting.pictures), setting.pictures)


@torch.no_grad()
def natural(setting: Setting) -> Tensor:  # -> [N,512]
    """The judge's features of as many other samples: what edited ones are compared with by a Fréchet distance."""
    seed = 2**30 + setting.seed  # none of those of `pairs`
    drawn = draw(setting.model, setting.pictures, seed=seed, truncation=setting.truncation)
    parts = []
    for i in range(0, setting.pictures, BATCH):
        part = drawn[i : i + BATCH]
        parts.append(setting.judge.features(setting.generator(part.latent, part.label)))
    return torch.cat(parts)


def stream(generator: Generator, samples: Samples) -> Stream:
    """Samples with their modulations."""
    return Stream(samples.latent, generator.modulations(samples.latent, samples.label))


def _relabelled(model: Model, z: Samples, label: Tensor | None, truncation: float) -> Samples:
    """Samples of the same z under other classes."""
    origin = z.latent if z.origin is None else z.origin
    return Samples(truncated(model.generator, origin, label, truncation), label, origin)


def _targets(label: Tensor | None, classes: int, random: torch.Generator) -> Tensor:  # -> [2,n]
    """Two other classes for each sample, drawn evenly; none without classes."""
    if label is None or classes < 3:
        return torch.zeros(2, 0, dtype=torch.int64)
    drawn = [torch.randperm(classes - 1, generator=random)[:2] for _ in label]
    return torch.stack([one + (one >= own) for one, own in zip(drawn, label.cpu(), strict=True)], dim=1)


def region(resolution: int) -> Tensor:  # -> [R,R]
    """The region of most studies: a disc over the middle of a head, 1 inside and 0 outside."""
    at = (torch.arange(resolution) + 0.5) / resolution - 0.5
    return ((at[:, None] - _EYES) ** 2 + at[None] ** 2 < _HEAD**2).float()


def halves(mask: Tensor) -> tuple[Tensor, Tensor]:  # [R,R] -> [R,R] x2
    """Its left and its right half."""
    left = (torch.arange(mask.shape[1]) < mask.shape[1] // 2).float()
    return mask * left, mask * (1 - left)


def number(value: float) -> str:
    """A measured value in a table: four significant digits; nothing where there is none."""
    return "" if np.isnan(value) else f"{value:.4g}"


def check_pictures(pictures: int, shown: int) -> None:
    """Raise PhotograftError for more pictures on a sheet than are measured."""
    if shown > pictures:
        raise PhotograftError(f"{shown} pictures cannot be shown of {pictures}: give more --pictures or fewer --shown")
