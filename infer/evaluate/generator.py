"""The judge of a generator's samples: Fréchet distances and class hits, with real pictures as floor and ceiling.

The independent judge is SqueezeNet, which no training here uses: the distance on its features, and a linear probe on
them, fitted to the real training pictures, that names classes and groups. Distances on MobileNet's features flatter
generators that were trained against a projected discriminator on it, and are named so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.loaders import EvalLoader, PictureStore
from data.sampling import ClassBalancedSampler
from data.sources import open_splits
from models.errors import PhotograftError
from models.judges import FLATTERING, JUDGES, frechet, to_uint8
from models.zoo import Model

BATCH = 64
Say = Callable[[str, int, int], None]
"""Told of progress: what is being done, pictures done, pictures in all."""


@dataclass(frozen=True)
class Hits:
    """Shares of pictures whose class (top-1, in the top-5) and group (of the top-1) the probe names as asked."""

    class_top1: float
    class_top5: float
    group_top1: float


@dataclass(frozen=True)
class GeneratorReport:
    """What `evaluate_generator` found.

    Attributes:
        samples: number of samples and of real pictures.
        frechet: judge -> distance of samples to real pictures.
        floor: judge -> distance between two halves of the real pictures (so at half the number: read it as a floor).
        hits: of samples; real: of real validation pictures, the ceiling.
        truncation, seed: of the samples.
    """

    samples: int
    frechet: dict[str, float]
    floor: dict[str, float]
    hits: Hits
    real: Hits
    truncation: float
    seed: int

    def rows(self) -> list[tuple[str, str, str]]:
        """(measure, samples, real pictures) as text."""
        rows = []
        for judge in self.frechet:
            flattering = " (flattering: trained against)" if judge in FLATTERING else ""
            rows.append((f"Fréchet, {judge}{flattering}", f"{self.frechet[judge]:.1f}", f"{self.floor[judge]:.1f}"))
        for name in ("class_top1", "class_top5", "group_top1"):
            rows.append((f"probe, {name}", f"{getattr(self.hits, name):.3f}", f"{getattr(self.real, name):.3f}"))
        return rows


class Probe:
    """Linear classifier on a judge's features, fitted to real pictures. Features [N,D], labels [N]."""

    def __init__(self, features: Tensor, labels: Tensor, num_classes: int, steps: int = 2000, seed: int = 0) -> None:
        self.mean, self.std = features.mean(0), features.std(0).clamp_min(1e-6)
        random = torch.Generator().manual_seed(seed)
        self.linear = nn.Linear(features.shape[1], num_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        optimizer = torch.optim.AdamW(self.linear.parameters(), 1e-3, weight_decay=1e-2)
        standard = (features - self.mean) / self.std
        for _ in range(steps):
            pick = torch.randint(0, len(standard), (256,), generator=random)
            optimizer.zero_grad()
            F.cross_entropy(self.linear(standard[pick]), labels[pick]).backward()
            optimizer.step()

    @torch.no_grad()
    def hits(self, features: Tensor, labels: Tensor, groups: Tensor) -> Hits:
        """How often it names what was asked for; groups [K] is the group of each class."""
        best = self.linear((features - self.mean) / self.std).topk(min(5, len(groups))).indices  # [N,5]
        right = best == labels[:, None]
        group = groups[best[:, 0]] == groups[labels]
        return Hits(_share(right[:, 0]), _share(right.any(1)), _share(group))


def _share(mask: Tensor) -> float:
    return float(mask.float().mean())


@torch.no_grad()
def judge_features(judge: nn.Module, images: Tensor, say: Say, what: str) -> Tensor:  # uint8 [N,3,R,R] -> [N,D]
    """Features of pictures, in batches."""
    parts = []
    for i in range(0, len(images), BATCH):
        parts.append(judge(images[i : i + BATCH]).float())
        say(what, min(i + BATCH, len(images)), len(images))
    return torch.cat(parts)


@torch.no_grad()
def draw_samples(model: Model, n: int, seed: int, truncation: float, say: Say) -> tuple[Tensor, Tensor]:
    """n samples, uint8 [n,3,R,R], and their classes [n], drawn as often as training drew them."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.tensor(model.distribution), n, replacement=True, generator=random)
    z = model.generator.sample_latent(n, random) * truncation
    images = []
    for i in range(0, n, BATCH):
        images.append(to_uint8(model.generator(z[i : i + BATCH], labels[i : i + BATCH])))
        say("sampling", min(i + BATCH, n), n)
    return torch.cat(images), labels


def real_pictures(root: Path, model: Model, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """n training pictures drawn as in training, and all validation pictures, each with labels; uint8 [N,3,R,R].

    Raises:
        PhotograftError: data whose classes are not the model's.
    """
    train, val = open_splits(root, classes=None, min_images=0, val_root=None, val_fraction=0.05)
    if train.class_names != model.class_names:
        raise PhotograftError(f"the classes in {root} are not those of model {model.name}: evaluate on its own data")
    resolution = model.generator.resolution
    numbers = ClassBalancedSampler(train.labels, power=0.5, seed=seed).indices(0, n)
    images, _, labels = PictureStore(train, resolution=resolution, crop="center", in_memory=False).many(numbers)
    store = PictureStore(val, resolution=resolution, crop="center", in_memory=False)
    batches = list(EvalLoader(store, batch_size=BATCH))
    return images, labels, torch.cat([b["image"] for b in batches]), torch.cat([b["label"] for b in batches])


def evaluate_generator(
    model: Model, root: Path, *, samples: int = 4000, truncation: float = 1.0, seed: int = 1, say: Say | None = None
) -> GeneratorReport:
    """Judge prior samples against the pictures that the generator was trained on.

    Args:
        model: a class-conditional one.
        root: its data: class folders or tar shards.
        samples: number of samples and of real pictures; below some thousands distances are too large.
        truncation: factor on z.
        seed: of samples and of the choice of real pictures.
        say: told of progress.
    """
    say = say or (lambda what, done, total: None)
    real, real_labels, val, val_labels = real_pictures(root, model, samples, seed)
    fake, fake_labels = draw_samples(model, samples, seed, truncation, say)
    groups = torch.tensor(model.groups)
    distances, floors = {}, {}
    hits = ceiling = Hits(float("nan"), float("nan"), float("nan"))
    for name, create in JUDGES.items():
        judge = create()
        features = judge_features(judge, real, say, f"{name}: real")
        found = judge_features(judge, fake, say, f"{name}: samples")
        distances[name] = frechet(found, features)
        floors[name] = frechet(features[0::2], features[1::2])
        if name == "squeezenet":
            probe = Probe(features, real_labels, len(groups))
            hits = probe.hits(found, fake_labels, groups)
            ceiling = probe.hits(judge_features(judge, val, say, f"{name}: validation"), val_labels, groups)
    return GeneratorReport(samples, distances, floors, hits, ceiling, truncation, seed)
