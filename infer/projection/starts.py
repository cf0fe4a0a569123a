"""Where projection searches, and where it begins: the space of a name, and the latents that are tried first."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.auxiliary import AuxiliaryNetworks
from models.base import Generator, StyleGenerator
from models.encoder import Encoder
from models.errors import PhotograftError, UnsupportedEdit
from models.prepared import prepare
from models.projection.spaces import Space, WSpace, ZetaSpace, ZSpace
from models.schema import Positive, check, short

W_SPACES = ("w", "w+")
SPACES = ("z", "zeta", *W_SPACES)


@dataclass(frozen=True)
class Starts:
    """Latents [S,N,...] with the z that they come from [S,N,latent_dim], NaN for none; informed: the first ones."""

    latent: Tensor
    origin: Tensor
    informed: bool


def create_space(
    name: str, generator: Generator, auxiliary: AuxiliaryNetworks | None, max_norm: float | None, noise: bool
) -> Space:
    """The space of this name. Raises PhotograftError as `check_space` does."""
    check_space(name, generator, auxiliary, max_norm)
    if name == "z":
        return ZSpace(max_norm)
    if name == "zeta":
        return ZetaSpace(prepare(auxiliary), max_norm)
    assert isinstance(generator, StyleGenerator)
    return WSpace(generator, plus=name == "w+", noise=noise)


def check_space(
    name: str, generator: Generator, auxiliary: AuxiliaryNetworks | None, max_norm: float | None = None
) -> None:
    """Raise PhotograftError where a space of this name does not exist or is not bounded as asked."""
    if name not in SPACES:
        raise PhotograftError(f"space must be one of {', '.join(SPACES)}, not {short(name)}")
    if max_norm is not None and not (check(Positive, max_norm, "max_norm, a bound of z,") and name not in W_SPACES):
        raise PhotograftError(f"max_norm bounds z: it cannot be given in space {name!r}")
    if name == "zeta" and auxiliary is None:
        raise PhotograftError("projection in zeta needs the auxiliary networks A and B: choose another space")
    if name in W_SPACES and not isinstance(generator, StyleGenerator):
        raise UnsupportedEdit(f"space {name!r} is a style generator's, this one has no w: choose z or zeta")


def find_starts(
    generator: Generator,
    target: Tensor,
    label: Tensor | None,
    encoder: Encoder | None,
    init: str | Tensor | None,
    restarts: int,
    seed: int,
    in_w: bool,
) -> Starts:
    """Starts of pictures, the random ones the same for each; see `infer.projection.search.project` for the arguments.

    Args:
        in_w: as w+, which the mean of w can be; else as z.

    Raises:
        PhotograftError: latents that do not fit, or a start that there is not.
    """
    n = len(target)
    prior = generator.sample_latent(1 + restarts, torch.Generator().manual_seed(seed)).to(target)
    prior = prior[:, None].expand(-1, n, -1)  # [1+restarts,N,latent_dim]
    init = init if init is not None else "mean" if encoder is None else "encoder"
    informed = isinstance(init, Tensor) or init == "encoder"
    if isinstance(init, Tensor):
        first = init.to(target)
    elif init == "encoder":
        if encoder is None:
            raise PhotograftError("init 'encoder' needs an encoder")
        with torch.no_grad():
            first = encoder.encode(target, label).to(target)
    elif init == "mean":
        first = torch.zeros_like(prior[0])
        if in_w and isinstance(generator, StyleGenerator):
            first = generator.broadcast(generator.w_mean.to(target).expand(n, -1))
    elif init == "random":
        first = prior[0]
    else:
        raise PhotograftError(f"init must be encoder, mean, random or latents, not {init!r}")
    check_start(first, n, generator, in_w)
    if not (in_w and isinstance(generator, StyleGenerator)):
        z = torch.cat([first[None], prior[1:]])
        return Starts(z, z, informed)
    with torch.no_grad():
        ws = [z if z.ndim == 3 else generator.mapping(z, label).to(target) for z in (first, *prior[1:])]
    unknown = torch.full_like(prior[0], torch.nan)
    return Starts(torch.stack(ws), torch.stack([unknown if first.ndim == 3 else first, *prior[1:]]), informed)


def check_start(start: Tensor, n: int, generator: Generator, in_w: bool) -> None:
    """Raise PhotograftError unless these are finite latents to start n pictures from: z, or for in_w also w+."""
    shapes: list[tuple[int, ...]] = [(n, generator.latent_dim)]
    if in_w and isinstance(generator, StyleGenerator):
        shapes.append((n, generator.num_ws, generator.w_dim))
    if tuple(start.shape) not in shapes or not bool(torch.isfinite(start).all()):
        fitting = " or ".join(f"[{','.join(map(str, shape))}]" for shape in shapes)
        raise PhotograftError(f"initial latents must be finite and {fitting}, not {list(start.shape)}")
