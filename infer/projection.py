"""Projection of pictures onto a generator: z with G(z, y) near x (Suzuki et al., section 4 and supplement B).

    minimise  L(G(z, y), x) + 0.2 MSE,   L(x1, x2) = 1 - Psi(x1) . Psi(x2)   (Eq. 4),

by Adam on z, or on zeta with z = B(zeta) and zeta0 = A(E(x)) (Eq. 5). Psi are the discriminator's normalised final
features. (The original code minimises -cos and adds the pixel term; the gradients are the same.)

Every picture has losses, Adam moments and a stopping time of its own, so a batch gives what one by one gives. Further
random starts are more rows of the batch, of which the worse half of each picture is dropped again and again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.auxiliary import AuxiliaryNetworks
from models.base import Generator
from models.encoder import Encoder
from models.errors import PhotograftError
from models.projection_step import Adam, FeatureExtractor, Losses, Objective, prepare

LEARNING_RATES = {"z": 0.075, "zeta": 0.015}  # of the original
HALVING = 10  # iterations between two halvings of the starts

Progress = Callable[[int, int, float], None]
"""Called after every iteration with its number from 1, the number of all, and the mean of the best losses so far."""


@dataclass(frozen=True)
class Projection:
    """Where N pictures lie on the generator's manifold.

    Attributes:
        z: [N,latent_dim] float32.
        label: [N] classes (or [N,num_classes] weights), None if unconditional.
        loss: [N] total loss of z.
        feature_curve, pixel_curve: [T,N] loss before every update, of the start that won; NaN after a stop.
        iterations: [N] number of updates that were made.
        zeta: [N,zeta_dim] in zeta space, else None; z is B of it, within the ball of max_norm.
    """

    z: Tensor
    label: Tensor | None
    loss: Tensor
    feature_curve: Tensor
    pixel_curve: Tensor
    iterations: Tensor
    zeta: Tensor | None = None


def project(
    generator: Generator,
    discriminator: FeatureExtractor,
    target: Tensor,
    label: Tensor | None = None,
    *,
    encoder: Encoder | None = None,
    auxiliary: AuxiliaryNetworks | None = None,
    space: str = "z",
    init: str | Tensor | None = None,
    steps: int = 200,
    learning_rate: float | None = None,
    pixel_weight: float = 0.2,
    feature_weight: float = 1.0,
    keep: str = "best",
    patience: int | None = None,
    tolerance: float = 1e-3,
    max_norm: float | None = None,
    restarts: int = 0,
    batch_size: int = 8,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Projection:
    """Find latents whose pictures look like given ones.

    Args:
        generator, discriminator: copies of them are frozen, folded and cast; they themselves are left alone. What
            `prepare` made in the same dtype and layout is used without a copy.
        target: [N,3,R,R] float32 in [-1,1] at the generator's resolution.
        label: [N] classes, or [N,num_classes] weights; None if unconditional.
        encoder: E, for init "encoder".
        auxiliary: A and B, for space "zeta".
        space: "z" or "zeta", in which Adam moves.
        init: "encoder" (if there is one, the default), "mean" (z = 0), "random" (the prior), or z [N,latent_dim].
        steps: number of updates at most (200 in the original).
        learning_rate: 0.075 in z and 0.015 in zeta if None (the original's).
        pixel_weight, feature_weight: of MSE and L.
        keep: "best": the latent of the least loss seen; "last": that after the last update, as in the original.
        patience: stop a picture when so many updates in a row have not lowered its loss by `tolerance`; None: never.
        tolerance: relative to the least loss so far (to 0.001 where that is less).
        max_norm: z is held in the ball of this radius (see `Objective.hold`); None: not at all, as in the paper. Far
            out of the prior (whose z have norm sqrt(latent_dim)) a picture may be near and its translations poor.
        restarts: further random starts per picture; after every 10 updates the worse half of the starts is dropped.
        batch_size: pictures that are worked on at once (memory).
        dtype, channels_last: of the networks. float32 and False are exact; bfloat16 is faster where the processor has
            it and moves the trajectory (see infer/bench.py).
        seed: of random starts.
        progress: see `Progress`; called per group of batch_size pictures.

    Raises:
        PhotograftError: shapes, ranges, spaces, starts or labels that do not fit.
    """
    _check(generator, target, space, keep, auxiliary)
    if max_norm is not None and not max_norm > 0:
        raise PhotograftError(f"max_norm is a positive bound of z, not {max_norm}")
    z0 = _initial(generator, target, label, prepare(encoder, channels_last=channels_last), init, restarts, seed)
    settings = _Settings(steps, learning_rate or LEARNING_RATES[space], keep == "last", patience, tolerance, progress)
    g, d = prepare(generator, dtype, channels_last), prepare(discriminator, dtype, channels_last)
    to_z = prepare(auxiliary) if space == "zeta" else None
    parts = []
    for at in range(0, len(target), batch_size):
        chosen = slice(at, at + batch_size)
        part_label = None if label is None else label[chosen]
        objective = Objective(
            g,
            d,
            target[chosen],
            part_label,
            auxiliary=to_z,
            pixel_weight=pixel_weight,
            feature_weight=feature_weight,
            max_norm=max_norm,
        )
        parts.append(_Descent(objective, z0[:, chosen], settings).run())
    return _join(parts, label)


@dataclass(frozen=True)
class _Settings:
    steps: int
    learning_rate: float
    last: bool
    patience: int | None
    tolerance: float
    progress: Progress | None


def _check(generator: Generator, target: Tensor, space: str, keep: str, auxiliary: AuxiliaryNetworks | None) -> None:
    r = generator.resolution
    if target.ndim != 4 or tuple(target.shape[1:]) != (3, r, r) or len(target) == 0:
        raise PhotograftError(f"pictures must be [N,3,{r},{r}], not {list(target.shape)}")
    if not bool((target.abs() <= 1.01).all()):
        raise PhotograftError("pictures must be in [-1,1]")
    if space not in LEARNING_RATES or keep not in ("best", "last"):
        raise PhotograftError(f"space must be z or zeta and keep best or last, not {space!r} and {keep!r}")
    if space == "zeta" and auxiliary is None:
        raise PhotograftError("projection in zeta needs the auxiliary networks A and B")


def _initial(
    generator: Generator,
    target: Tensor,
    label: Tensor | None,
    encoder: Encoder | None,
    init: str | Tensor | None,
    restarts: int,
    seed: int,
) -> Tensor:  # -> [1+restarts,N,latent_dim]
    n, dim = len(target), generator.latent_dim
    prior = generator.sample_latent((1 + restarts) * n, torch.Generator().manual_seed(seed)).view(1 + restarts, n, dim)
    prior = prior.to(target)
    init = init if init is not None else "mean" if encoder is None else "encoder"
    if isinstance(init, Tensor):
        if init.shape != (n, dim) or not bool(torch.isfinite(init).all()):
            raise PhotograftError(f"initial latents must be finite and [{n},{dim}], not {list(init.shape)}")
        first = init.to(target)
    elif init == "encoder":
        if encoder is None:
            raise PhotograftError("init 'encoder' needs an encoder")
        with torch.no_grad():
            first = encoder.encode(target, label).to(target)
    elif init == "mean":
        first = torch.zeros_like(prior[0])
    elif init == "random":
        first = prior[0]
    else:
        raise PhotograftError(f"init must be encoder, mean, random or latents, not {init!r}")
    return torch.cat([first[None], prior[1:]])


class _Descent:
    """Adam on all starts of a few pictures, with what is known of each start by its number."""

    def __init__(self, objective: Objective, z0: Tensor, settings: _Settings) -> None:
        self.objective, self.settings = objective, settings
        starts, n = z0.shape[:2]
        self.rows = torch.arange(n, device=z0.device).repeat(starts)  # picture of every start that still runs
        self.ids = torch.arange(starts * n, device=z0.device)  # its number
        self.variable = z0.flatten(0, 1)  # [starts*n,D]
        if objective.auxiliary is not None:
            with torch.no_grad():
                self.variable = objective.auxiliary.to_zeta(self.variable)
        self.adam = Adam.start(self.variable)
        self.result = self.variable.clone()
        self.best = torch.full((starts * n,), torch.inf, device=z0.device)
        self.reference = torch.full_like(self.best, 1e9)  # best loss when it last fell clearly
        self.stale = torch.zeros_like(self.ids)
        self.iterations = torch.zeros_like(self.ids)
        self.curves = torch.full((2, settings.steps + 1, starts * n), torch.nan, device=z0.device)
        self.starts, self.n = starts, n

    def run(self) -> Projection:
        """All updates, then one look at where the last one led."""
        s = self.settings
        for t in range(s.steps):
            losses, gradient = self.objective.gradient(self.variable, self.rows)
            self._record(t, losses)
            if s.patience is not None and len(self.ids) <= self.n:
                going = self.stale[self.ids] < s.patience
                gradient = gradient[going]
                self._keep(going)
                if len(self.ids) == 0:
                    break
            self.variable = self.objective.hold(self.adam.step(self.variable, gradient, s.learning_rate))
            self.iterations[self.ids] += 1
            if (t + 1) % HALVING == 0 and len(self.ids) > self.n:
                self._halve()
            if s.progress is not None:
                s.progress(t + 1, s.steps, self.best[self.ids].mean().item())
        if len(self.ids):
            with torch.no_grad():
                self._record(s.steps, self.objective(self.variable, self.rows))
        return self._finish()

    def _record(self, t: int, losses: Losses) -> None:
        self.curves[0, t, self.ids], self.curves[1, t, self.ids] = losses.feature, losses.pixel
        better = losses.total < self.best[self.ids]
        self.best[self.ids] = torch.where(better, losses.total, self.best[self.ids])
        self.result[self.ids[better]] = self.variable[better]
        reference = self.reference[self.ids]
        fell = losses.total < reference - self.settings.tolerance * reference.clamp_min(1e-3)
        self.reference[self.ids] = torch.where(fell, losses.total, reference)
        self.stale[self.ids] = torch.where(fell, 0, self.stale[self.ids] + 1)
        if self.settings.last:
            self.result[self.ids] = self.variable

    def _keep(self, rows: Tensor) -> None:
        self.ids, self.rows, self.variable = self.ids[rows], self.rows[rows], self.variable[rows]
        self.adam.keep(rows)

    def _halve(self) -> None:
        """Drop the worse half of each picture's starts."""
        alive = len(self.ids) // self.n
        table = torch.full((self.starts * self.n,), torch.inf, device=self.best.device)
        table[self.ids] = self.best[self.ids].nan_to_num(torch.inf)
        rank = table.view(self.starts, self.n).argsort(dim=0).argsort(dim=0).flatten()  # of each start by its picture
        self._keep(rank[self.ids] < (alive + 1) // 2)

    def _finish(self) -> Projection:
        if not bool(torch.isfinite(self.best.view(self.starts, self.n).amin(0)).all()):
            raise PhotograftError("the loss of projection is not a number: the weights are unusable")
        winner = self.best.view(self.starts, self.n).argmin(0) * self.n + torch.arange(self.n, device=self.best.device)
        variable, auxiliary = self.result[winner], self.objective.auxiliary
        with torch.no_grad():
            z = self.objective.to_z(variable)
        return Projection(
            z=z,
            label=None,
            loss=self._loss_of(winner),
            feature_curve=self.curves[0][:, winner],
            pixel_curve=self.curves[1][:, winner],
            iterations=self.iterations[winner],
            zeta=None if auxiliary is None else variable,
        )

    def _loss_of(self, winner: Tensor) -> Tensor:
        if not self.settings.last:
            return self.best[winner]
        weights = (self.objective.feature_weight, self.objective.pixel_weight)
        curve = weights[0] * self.curves[0][:, winner] + weights[1] * self.curves[1][:, winner]
        return curve.gather(0, self.iterations[winner][None])[0]


def _join(parts: Sequence[Projection], label: Tensor | None) -> Projection:
    zeta = [part.zeta for part in parts if part.zeta is not None]
    return Projection(
        z=torch.cat([part.z for part in parts]),
        label=label,
        loss=torch.cat([part.loss for part in parts]),
        feature_curve=torch.cat([part.feature_curve for part in parts], dim=1),
        pixel_curve=torch.cat([part.pixel_curve for part in parts], dim=1),
        iterations=torch.cat([part.iterations for part in parts]),
        zeta=torch.cat(zeta) if zeta else None,
    )
