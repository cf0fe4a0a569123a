"""Where projection searches, and where it begins: the space of a name, and the latents that are tried first."""

from dataclasses import dataclass

import torch
from torch import Tensor

from infer.progress import Progress, untold
from infer.projection.options import ProjectionOptions
from models.base import Generator, StyleGenerator
from models.errors import PhotograftError, UnsupportedEdit
from models.prepared import Networks
from models.projection.objective import Objective
from models.projection.spaces import Space, WSpace, ZetaSpace, ZSpace
from models.schema import short

W_SPACES = ("w", "w+")
SPACES = ("z", "zeta", *W_SPACES)
# Of 12 pictures of another model with the same classes, without encoders: SNGAN in z, 30 updates: loss 0.128 from
# z = 0, 0.131 from one sample, 0.103 from the nearest of 8, 0.098 of 16; StyleGAN2 in w+, 40 updates: 0.080 from the
# mean of w, 0.079 from one sample, 0.046 from the nearest of 8 and the mean, 0.045 of 16.
SAMPLES, TRUNCATION = 16, 0.7


@dataclass(frozen=True)
class Starts:
    """Latents [S,N,...] with the z that they come from [S,N,latent_dim], NaN for none; informed: the first ones."""

    latent: Tensor
    origin: Tensor
    informed: bool


def create_space(name: str, networks: Networks, max_norm: float | None, noise: bool) -> Space:
    """The space of this name. Raises PhotograftError as `check_space` does."""
    check_space(name, networks, max_norm)
    if name == "z":
        return ZSpace(max_norm)
    if networks.auxiliary is not None and name == "zeta":
        return ZetaSpace(networks.auxiliary, max_norm)
    assert isinstance(networks.generator, StyleGenerator)
    return WSpace(networks.generator, plus=name == "w+", noise=noise)


def check_space(name: str, networks: Networks, max_norm: float | None = None) -> None:
    """Raise PhotograftError where a space of this name does not exist or is not bounded as asked."""
    if name not in SPACES:
        raise PhotograftError(f"space must be one of {', '.join(SPACES)}, not {short(name)}")
    if max_norm is not None and name in W_SPACES:
        raise PhotograftError(f"max_norm bounds z: it cannot be given in space {name!r}")
    if name == "zeta" and networks.model.auxiliary is None:
        raise PhotograftError("projection in zeta needs the auxiliary networks A and B: choose another space")
    if name in W_SPACES and not isinstance(networks.model.generator, StyleGenerator):
        raise UnsupportedEdit(f"space {name!r} is a style generator's, this one has no w: choose z or zeta")


def find_starts(
    networks: Networks,
    objective: Objective,
    options: ProjectionOptions,
    start: Tensor | None,
    progress: Progress | None = None,
) -> Starts:
    """Starts of the objective's pictures, the random ones the same for each; see `infer.projection.search.project` for
    the other arguments.

    In w and w+ they are w+, which the mean of w can be; else z.

    Raises:
        PhotograftError: latents that do not fit, or a start that there is not.
    """
    target, label = objective.target, objective.label
    n, generator, encoder = len(target), networks.generator, networks.encoder
    restarts, in_w = options.restarts or 0, options.space in W_SPACES
    prior = generator.sample_latent(1 + restarts, torch.Generator().manual_seed(options.seed)).to(target)
    prior = prior[:, None].expand(-1, n, -1)  # [1+restarts,N,latent_dim]
    init = options.init or ("mean" if encoder is None else "encoder")
    informed = start is not None or init == "encoder"
    if start is not None:
        first = start.to(target)
    elif init == "encoder":
        if encoder is None:
            raise PhotograftError("init 'encoder' needs an encoder")
        with torch.no_grad():
            first = encoder.encode(target, label).to(target)
    elif init == "mean":
        first = torch.zeros_like(prior[0])
        if in_w and isinstance(generator, StyleGenerator):
            first = generator.broadcast(generator.w_mean.to(target).expand(n, -1))
    elif init == "samples":
        more = generator.sample_latent(1 + restarts + SAMPLES, torch.Generator().manual_seed(options.seed))
        first = _nearest(objective, more[1 + restarts :], in_w, progress or untold)
    else:
        first = prior[0]
    check_start(first, n, generator, in_w)
    if not (in_w and isinstance(generator, StyleGenerator)):
        z = torch.cat([first[None], prior[1:]])
        return Starts(z, z, informed)
    with torch.no_grad():
        ws = [z if z.ndim == 3 else generator.mapping(z, label).to(target) for z in (first, *prior[1:])]
    unknown = torch.full_like(prior[0], torch.nan)
    return Starts(torch.stack(ws), torch.stack([unknown if first.ndim == 3 else first, *prior[1:]]), informed)


@torch.no_grad()
def _nearest(objective: Objective, z: Tensor, in_w: bool, progress: Progress) -> Tensor:
    """For each picture what comes nearest to it of S samples under its own class, and in w of their mean.

    z [S,latent_dim] -> [N,latent_dim], or w+ [N,num_ws,w_dim].
    """
    generator, z = objective.generator, z.to(objective.target)
    found = []
    for i in range(len(objective.target)):  # each picture, and each sample, for itself: others must not even round
        label = None if objective.label is None else objective.label[i : i + 1]
        tried = list(z.split(1))
        if in_w and isinstance(generator, StyleGenerator):
            tried = [generator.mapping(one, label, TRUNCATION).to(z) for one in tried]
            tried.append(generator.broadcast(generator.w_mean.to(z)[None]))
        row = torch.tensor([i], device=z.device)
        losses = torch.full((len(tried),), torch.inf)
        for k, latent in enumerate(tried):
            losses[k] = objective.at(latent, row).total.item()
            progress("looking for a start", k + 1, len(tried))
        found.append(tried[int(losses.nan_to_num(torch.inf).argmin())])
    return torch.cat(found)


def check_start(start: Tensor, n: int, generator: Generator, in_w: bool) -> None:
    """Raise PhotograftError unless these are finite latents to start n pictures from: z, or for in_w also w+."""
    shapes: list[tuple[int, ...]] = [(n, generator.latent_dim)]
    if in_w and isinstance(generator, StyleGenerator):
        shapes.append((n, generator.num_ws, generator.w_dim))
    if tuple(start.shape) not in shapes or not bool(torch.isfinite(start).all()):
        fitting = " or ".join(f"[{','.join(map(str, shape))}]" for shape in shapes)
        raise PhotograftError(f"initial latents must be finite and {fitting}, not {list(start.shape)}")
