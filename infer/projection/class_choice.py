"""Which class is in a picture that no classifier names: by a discriminator's scores, and by what can be made of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from infer.projection.options import ProjectionOptions
from infer.projection.search import project
from models.discriminators.base import Discriminator
from models.errors import PhotograftError
from models.prepared import Networks

ScoreFunction = Callable[[Tensor], Tensor]
"""Pictures [N,3,R,R] -> [N,num_classes], the more the better."""


@dataclass(frozen=True)
class ClassScore:
    """How well one class suits a picture.

    Attributes:
        label: class index.
        loss: of the projection after the first few updates, the less the better; NaN if it was not tried.
        score: the discriminator's, the more the better; NaN without one.
    """

    label: int
    loss: float
    score: float


def choose_class(
    networks: Networks,
    target: Tensor,
    candidates: Sequence[int] | None = None,
    *,
    shortlist: int = 16,
    steps: int = 5,
    chunk: int = 8,
) -> list[list[ClassScore]]:
    """Rank classes for pictures whose class nobody gave.

    The discriminator's scores of the picture under every candidate choose a shortlist; those of it are projected for a
    few steps, and order by rank in both (the sum of the ranks by loss and by score, ties by loss) is the result; the
    rest follow by score. Without a discriminator's score every candidate is projected. Every picture is looked at for
    itself: which others are given changes nothing.

    Args:
        networks, target: see `infer.projection.search.project`. Trials look through the SN projection discriminator
            where there is one, which is the cheaper Psi.
        candidates: class indices; all classes if None.
        shortlist: number of candidates that are projected; 0: the score alone decides.
        steps: updates for each.
        chunk: candidates that are projected at once.

    Returns:
        For every picture its candidates, the best first.

    Raises:
        PhotograftError: an unconditional generator, or no or unknown candidates.
    """
    generator = networks.model.generator
    candidates = list(range(generator.num_classes) if candidates is None else dict.fromkeys(candidates))
    if not candidates or not all(0 <= c < generator.num_classes for c in candidates):
        raise PhotograftError(f"candidate classes must be some of 0..{generator.num_classes - 1}: {candidates[:8]}")
    psi = networks.psi if networks.discriminator is None else networks.discriminator
    score, target = class_scores(networks.float32.discriminator), target.to(networks.device)
    options = ProjectionOptions(steps=steps)
    nan = float("nan")
    rankings = []
    for picture in target[:, None]:
        row = [] if score is None else score(picture)[0].tolist()
        scores = {c: row[c] for c in candidates} if row else {}
        order = sorted(candidates, key=lambda c, s=scores: -s.get(c, 0.0))  # type: ignore[misc]
        tried = order[:shortlist] if scores else order
        losses: dict[int, float] = {}
        for at in range(0, len(tried), chunk):
            labels = torch.tensor(tried[at : at + chunk], device=target.device)
            pictures = picture.expand(len(labels), -1, -1, -1)
            found = project(networks, pictures, labels, options, psi=psi, batch_size=chunk)
            losses |= dict(zip(tried[at : at + chunk], found.loss.tolist(), strict=True))
        by_loss = sorted(tried, key=losses.__getitem__)
        ranks = {c: by_loss.index(c) + (tried.index(c) if scores else 0) for c in tried}
        best = sorted(by_loss, key=ranks.__getitem__)
        ranked = [*best, *(c for c in order if c not in losses)]
        rankings.append([ClassScore(c, losses.get(c, nan), scores.get(c, nan)) for c in ranked])
    return rankings


def class_scores(discriminator: object) -> ScoreFunction | None:
    """A discriminator's scores of a picture under all classes, from one pass; None if it has no classes.

    Args:
        discriminator: prepared for inference (see `models.prepared.prepare`).
    """
    if isinstance(discriminator, Discriminator) and discriminator.num_classes:
        return torch.no_grad()(discriminator.class_scores)
    return None
