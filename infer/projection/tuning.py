"""Tuning: a copy of the generator learns the one photo whose latent is found already.

Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images" (2021): the latent stays, the weights move on the
loss of projection, and pictures of other latents near it are held where they were (their section 3.3), so that edits of
the photo stay what they are. Of a change only what a file can hold is kept, see `infer.projection.delta.Delta`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from infer.progress import Progress
from infer.projection.delta import Delta
from infer.projection.limit import Limit
from infer.projection.mixture import shares
from infer.projection.options import FALLING_BETAS
from infer.projection.presets import TUNING
from models.base import Generator, StyleGenerator
from models.errors import PhotograftError
from models.prepared import Networks
from models.projection.objective import Objective
from models.schema import Positive, Seed, Steps, Weight, Width, bounded

# Of Adam, relative to each weight's root mean square, so that equalised and plain weights move alike; it falls to zero.
# One photo, embedded SNGAN, 60 updates: loss 0.103 -> 0.024, and 0.026 of change in neighbours that were not held.
# Half as fast again: 0.023 and 0.051 with Adam's usual betas, with which this rate gives 0.025 and 0.035.
RATE = 2e-3
# Singular values that are kept of each weight's change. Two photos, loss: 16 0.051, 32 0.039 (1.6 MB), 48 0.036, 64
# 0.035 (3.2 MB), whole changes 0.034. Whole changes of some layers alone were worse at any size.
RANK = 64
LOCALITY = 0.1  # weight of the neighbours' loss (Roich et al.)
NEIGHBOURS = 8  # pictures that are held, in turn
EVERY = 2  # updates from one neighbour to the next, which weighs as much more
NEARNESS = 0.5  # of the way from the photo's latent to a random one


@dataclass(frozen=True)
class Tuned:
    """A generator fitted to a picture.

    Attributes:
        delta: all that changes in it.
        loss: of the picture that the generator makes with it.
        iterations: number of updates that were made.
    """

    delta: Delta
    loss: float
    iterations: int


@bounded
def tune(
    networks: Networks,
    target: Tensor,
    latent: Tensor,
    label: Tensor | None = None,
    *,
    delta: Delta | None = None,
    steps: Steps = TUNING,
    rate: Positive = RATE,
    rank: Width = RANK,
    locality: Weight = LOCALITY,
    pixel_weight: Weight = 0.2,
    seed: Seed = 0,
    max_seconds: Positive | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Fit a copy of a generator to one picture at its latent.

    The convolutions' weights move; styles, classes and the mapping, on which edits act, stay the model's.

    Args:
        networks: are left alone; their generator is tuned in float32.
        target: [1,3,R,R] in [-1,1].
        latent: [1,latent_dim] or [1,num_ws,w_dim], of the projection.
        label: [1], or [1,num_classes] weights of a mixture; None if unconditional.
        delta: what the projection changed already (noise maps); it is part of the result.
        steps: updates.
        rate: see RATE; it falls to zero.
        rank: see RANK.
        locality: weight of the loss by which pictures of neighbours are held.
        pixel_weight: see `infer.projection.options.ProjectionOptions`.
        seed: of the neighbours.
        max_seconds: after which no update is begun but the first; the weights of the least loss seen are kept then.
        progress: told of every update.

    Raises:
        PhotograftError: not one picture, or weights that come out as no numbers.
    """
    if len(target) != 1 or len(latent) != 1:
        raise PhotograftError(f"tuning takes one picture with its latent, not {len(target)} and {len(latent)}")
    before, generator, limit = delta or Delta(), networks.exact, Limit(max_seconds)
    layout = torch.channels_last if networks.channels_last else torch.contiguous_format
    tuned: Generator = before.applied(generator).to(memory_format=layout)
    target, latent = target.to(networks.device), latent.to(networks.device)
    label = None if label is None else label.to(networks.device)
    weights = dict(convolutions(tuned))
    random = torch.Generator().manual_seed(seed)
    latents, labels = _neighbours(tuned, latent, label, random)
    with torch.no_grad():
        held = torch.cat([tuned(z[None], None if labels is None else labels[i : i + 1]) for i, z in enumerate(latents)])
    objective = Objective(
        tuned,
        networks.float32.psi,
        torch.cat([target, held]),
        None if label is None or labels is None else torch.cat([label, labels]),
        pixel_weight=pixel_weight,
    )
    points = torch.cat([latent, latents])
    descent, made = _Descent(weights, rate, steps), 0
    while made < steps and not (made and limit.over):
        held_now = [1 + made // EVERY % NEIGHBOURS] if made % EVERY == 0 else []
        rows = torch.tensor([0, *held_now], device=latent.device)
        losses = objective(points[rows], rows).total
        if max_seconds is not None:
            descent.note(losses[0].item())
        descent.step(losses[0] + locality * EVERY * losses[1:].sum())
        made += 1
        if progress is not None:
            progress(f"tuning, loss {losses[0].item():.3f}", made, steps)
    if made < steps:
        descent.go_back()
    if not all(bool(torch.isfinite(w).all()) for w in weights.values()):
        raise PhotograftError("tuning ended in weights that are no numbers: the model is unusable for it")
    kept = before | Delta.between(generator, weights, rank)
    objective.generator = kept.applied(generator)
    with torch.no_grad():
        loss = objective(latent, torch.tensor([0], device=latent.device)).total.item()
    return Tuned(kept, loss, made)


class _Descent:
    """Adam on weights, each at a rate relative to its root mean square that falls to zero, as that of search does."""

    def __init__(self, weights: Mapping[str, torch.nn.Parameter], rate: float, steps: int) -> None:
        self.weights, self.steps = list(weights.values()), steps
        groups = [{"params": [w], "lr": rate * float(w.detach().square().mean().sqrt())} for w in self.weights]
        self.adam = torch.optim.Adam(groups, betas=FALLING_BETAS)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.adam, lambda t: 1 - t / max(steps, 1))
        self.least, self.kept = torch.inf, list[Tensor]()
        for w in self.weights:
            w.requires_grad_()

    def step(self, loss: Tensor) -> None:
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self.schedule.step()

    @torch.no_grad()
    def note(self, loss: float) -> None:
        """Keep the weights as they are, if this is their loss and the least so far."""
        if loss < self.least:
            self.least, self.kept = loss, [w.clone() for w in self.weights]

    @torch.no_grad()
    def go_back(self) -> None:
        """To the weights of the least loss."""
        for w, kept in zip(self.weights, self.kept, strict=True):
            w.copy_(kept)


def convolutions(generator: Generator) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The weights that tuning moves: those of convolutions [O,I,k,k], by name."""
    for name, parameter in generator.named_parameters():
        if name.endswith("weight") and parameter.ndim == 4:
            yield name, parameter


def _neighbours(
    generator: Generator, latent: Tensor, label: Tensor | None, random: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Latents on the way from a picture's latent to random ones, and classes drawn evenly."""
    z = generator.sample_latent(NEIGHBOURS, random).to(latent)
    labels = None
    if label is not None:
        labels = torch.randint(generator.num_classes, (NEIGHBOURS,), generator=random)
        labels = (labels if label.ndim == 1 else shares(labels, generator.num_classes)).to(label)
    if latent.ndim == 3 and isinstance(generator, StyleGenerator):
        with torch.no_grad():
            z = generator.mapping(z, labels).to(latent)
    return torch.lerp(latent, z, NEARNESS), labels
