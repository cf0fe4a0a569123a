"""Tuning: a copy of the generator learns the one photo whose latent is found already.

Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images" (2021): the latent stays, the weights move on the
loss of projection, and pictures of other latents near it are held where they were (their section 3.3), so that edits of
the photo stay what they are. Of a change only what a file can hold is kept, see `infer.projection.delta.Delta`.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from infer.progress import Progress
from infer.projection.delta import Delta
from infer.projection.mixture import shares
from infer.projection.presets import TUNING
from models.base import Generator, StyleGenerator
from models.errors import PhotograftError
from models.prepared import Networks
from models.projection.objective import Objective
from models.schema import Positive, Seed, Steps, Weight, Width, bounded

# Of Adam, relative to each weight's root mean square, so that equalised and plain weights move alike. One photo,
# embedded SNGAN, 30 updates: loss 0.195 -> 0.084, and 0.020 of change in neighbours that were not held. Three times the
# rate: 0.064 and 0.072.
RATE = 1e-3
# Singular values that are kept of each weight's change. There 32 (1.0 MB) give 0.084 where whole changes (5.1 MB) give
# 0.081; 16 (0.5 MB) 0.091. Whole changes of some layers alone were worse at any size (at 3e-3: 0.101 in 1.2 MB, where
# 16 singular values of all layers give 0.076 in 0.5 MB).
RANK = 32
LOCALITY = 0.1  # weight of the neighbours' loss (Roich et al.)
NEIGHBOURS = 8  # pictures that are held, one at each step in turn
NEARNESS = 0.5  # of the way from the photo's latent to a random one


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
    progress: Progress | None = None,
) -> tuple[Delta, float]:
    """Fit a copy of a generator to one picture at its latent.

    The convolutions' weights move; styles, classes and the mapping, on which edits act, stay the model's.

    Args:
        networks: are left alone; their generator is tuned in float32.
        target: [1,3,R,R] in [-1,1].
        latent: [1,latent_dim] or [1,num_ws,w_dim], of the projection.
        label: [1], or [1,num_classes] weights of a mixture; None if unconditional.
        delta: what the projection changed already (noise maps); it is part of the result.
        steps: updates.
        rate: see RATE.
        rank: see RANK.
        locality: weight of the loss by which pictures of neighbours are held.
        pixel_weight: see `infer.projection.options.ProjectionOptions`.
        seed: of the neighbours.
        progress: told of every update.

    Returns:
        The whole delta, and the loss of the picture that the generator makes with it.

    Raises:
        PhotograftError: not one picture, or weights that come out as no numbers.
    """
    if len(target) != 1 or len(latent) != 1:
        raise PhotograftError(f"tuning takes one picture with its latent, not {len(target)} and {len(latent)}")
    before, generator = delta or Delta(), networks.exact
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
    groups = [{"params": [w], "lr": rate * float(w.detach().square().mean().sqrt())} for w in weights.values()]
    adam = torch.optim.Adam(groups)
    for w in weights.values():
        w.requires_grad_()
    for t in range(steps):
        rows = torch.tensor([0, 1 + t % NEIGHBOURS], device=latent.device)
        losses = objective(points[rows], rows).total
        adam.zero_grad()
        (losses[0] + locality * losses[1]).backward()
        adam.step()
        if progress is not None:
            progress(f"tuning, loss {losses[0].item():.3f}", t + 1, steps)
    if not all(bool(torch.isfinite(w).all()) for w in weights.values()):
        raise PhotograftError("tuning ended in weights that are no numbers: the model is unusable for it")
    kept = before | Delta.between(generator, weights, rank)
    objective.generator = kept.applied(generator)
    with torch.no_grad():
        loss = objective(latent, torch.tensor([0], device=latent.device)).total.item()
    return kept, loss


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
