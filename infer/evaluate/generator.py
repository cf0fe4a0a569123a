"""The judge of a generator's samples: Fréchet distances, precision and recall, class hits; real pictures as floor and
ceiling.

The independent judge is SqueezeNet, which no training here uses: distances on its features, and a linear probe on
them, fitted to the real training pictures, that names classes and groups. Distances on MobileNet's features flatter
generators that were trained against a projected discriminator on it, and are named so.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from infer.evaluate.classifiers import Classifier
from infer.evaluate.distances import Spread, frechet_error, kid
from infer.evaluate.judging import BATCH, Hits, Probe, judge_features, real_pictures
from infer.evaluate.manifold import Manifold, manifold
from infer.pictures.samples import drawn_for, most_real, scores_of
from infer.progress import Progress, untold
from models.perception.judges import FLATTERING, JUDGES, frechet, resize_bicubic, to_uint8
from models.prepared import Networks, prepare
from models.samples import draw

SMALL = 64  # pixels, of the distance that does not look at fine detail
INDEPENDENT = "squeezenet"


@dataclass(frozen=True)
class GeneratorReport:
    """What `evaluate_generator` found.

    Attributes:
        samples: number of samples and of real pictures.
        frechet: judge -> distance of samples to real pictures.
        floor: judge -> distance between two halves of the real pictures (so at half the number: read it as a floor).
        error: standard error of the independent judge's distance, the samples resampled.
        kid: kernel distance by the independent judge; real_kid: of the two halves of real pictures.
        manifold: of half of the samples against half of the real pictures; real: of the two halves of real pictures.
        hits: of samples by the probe; real: of real validation pictures, the ceiling.
        classified: the same by a classifier with an index map, if one was given; its name.
        truncation, reject, seed: of the samples.
    """

    samples: int
    frechet: dict[str, float]
    floor: dict[str, float]
    error: float
    kid: Spread
    real_kid: Spread
    manifold: Manifold
    real_manifold: Manifold
    hits: Hits
    real: Hits
    truncation: float
    reject: float
    seed: int
    classified: dict[str, tuple[Hits, Hits]] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, str, str]]:
        """(measure, samples, real pictures) as text."""
        rows = []
        for judge in self.frechet:
            flattering = " (flattering: trained against)" if judge in FLATTERING else ""
            error = f" ± {self.error:.1f}" if judge == INDEPENDENT else ""
            name = f"Fréchet, {judge}{flattering}"
            rows.append((name, f"{self.frechet[judge]:.1f}{error}", f"{self.floor[judge]:.1f}"))
        rows.append((f"KID, {INDEPENDENT}", str(self.kid), str(self.real_kid)))
        for name in Manifold.names():
            pair = (getattr(m, name) for m in (self.manifold, self.real_manifold))
            rows.append((f"{name}, {INDEPENDENT}", *(f"{value:.3f}" for value in pair)))  # type: ignore[arg-type]
        for who, (hits, real) in {"probe": (self.hits, self.real), **self.classified}.items():
            for name in ("class_top1", "class_top5", "group_top1"):
                rows.append((f"{who}, {name}", f"{getattr(hits, name):.3f}", f"{getattr(real, name):.3f}"))
        return rows


@torch.no_grad()
def draw_samples(
    networks: Networks, n: int, seed: int, truncation: float, progress: Progress, reject: float = 0.0
) -> tuple[Tensor, Tensor]:
    """n samples, uint8 [n,3,R,R], and their classes [n], drawn as often as training drew them; see `evaluate_generator`
    for the rest."""
    count = drawn_for(n, reject)
    drawn = draw(networks.on_device, count, seed=seed, truncation=truncation)
    assert drawn.label is not None
    generator, model = networks.generator.at_truncation(truncation), networks.on_device
    images: list[Tensor] = []
    scores: list[Tensor] = []
    for i in range(0, count, BATCH):
        part = drawn[i : i + BATCH]
        found = generator(part.latent, part.label)
        if reject:
            assert part.label is not None
            scores.append(scores_of(model, found, part.label))
        images.append(to_uint8(found).cpu())
        progress("sampling", min(i + BATCH, count), count)
    rows = most_real(torch.cat(scores), n) if reject else torch.arange(n)
    return torch.cat(images)[rows], drawn.label.cpu()[rows]


def evaluate_generator(
    networks: Networks,
    root: Path,
    *,
    samples: int = 4000,
    truncation: float = 1.0,
    reject: float = 0.0,
    seed: int = 1,
    classifier: Classifier | None = None,
    progress: Progress | None = None,
) -> GeneratorReport:
    """Judge prior samples against the pictures that the generator was trained on.

    Args:
        networks: of a class-conditional model.
        root: its data: class folders or tar shards.
        samples: number of samples and of real pictures; below some thousands distances are too large.
        truncation: see `models.samples.truncated`.
        reject: share of all samples that are left out, see `infer.pictures.samples.sample_rows`; here each by itself.
        seed: of samples and of the choice of real pictures.
        classifier: names classes too, beside the probe.
        progress: told of progress.
    """
    model, progress = networks.model, progress or untold
    real, real_labels, val, val_labels = real_pictures(root, model, samples, seed)
    fake, fake_labels = draw_samples(networks, samples, seed, truncation, progress, reject)
    groups = torch.tensor(model.groups)
    distances, floors = {}, {}

    ready = partial(prepare, channels_last=networks.channels_last, device=networks.device)

    def compare(name: str, judge: torch.nn.Module, sides: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        features = judge_features(judge, sides[0], progress, f"{name}: real")
        found = judge_features(judge, sides[1], progress, f"{name}: samples")
        distances[name] = frechet(found, features)
        floors[name] = frechet(features[0::2], features[1::2])
        return features, found

    judge = ready(JUDGES[INDEPENDENT]())
    features, found = compare(INDEPENDENT, judge, (real, fake))
    if model.generator.resolution > SMALL:
        compare(f"{INDEPENDENT}, {SMALL} px", judge, (shrunk(real), shrunk(fake)))
    for name in JUDGES.keys() - {INDEPENDENT}:
        compare(name, ready(JUDGES[name]()), (real, fake))
    probe = Probe(features, real_labels, len(groups))
    ceiling = probe.hits(judge_features(judge, val, progress, f"{INDEPENDENT}: validation"), val_labels, groups)
    classified = {}
    if classifier is not None:
        pairs = ((fake, fake_labels, "samples"), (val, val_labels, "validation"))
        ours, theirs = (classifier.hits(x, y, groups, progress, f"{classifier.name}: {what}") for x, y, what in pairs)
        classified[classifier.name] = (ours, theirs)
    return GeneratorReport(
        samples=samples,
        frechet=distances,
        floor=floors,
        error=frechet_error(found, features),
        kid=kid(found, features),
        real_kid=kid(features[0::2], features[1::2]),
        manifold=manifold(features[0::2], found[0::2]),
        real_manifold=manifold(features[0::2], features[1::2]),
        hits=probe.hits(found, fake_labels, groups),
        real=ceiling,
        truncation=truncation,
        reject=reject,
        seed=seed,
        classified=classified,
    )


def shrunk(images: Tensor, size: int = SMALL) -> Tensor:  # uint8 [N,3,R,R] -> uint8 [N,3,size,size]
    """Pictures at a smaller size, rounded as they would be stored."""
    parts = [resize_bicubic(part.float(), size).round().to(torch.uint8) for part in images.split(BATCH)]
    return torch.cat(parts)
