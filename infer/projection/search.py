"""Projection of pictures onto a generator: a latent with G(z, y) near x (Suzuki et al., section 4 and supplement B).

    minimise  L(G(z, y), x) + 0.2 MSE,   L(x1, x2) = 1 - Psi(x1) . Psi(x2)   (Eq. 4),

by Adam on z, or on zeta with z = B(zeta) and zeta0 = A(E(x)) (Eq. 5). Psi are the discriminator's normalised final
features. (The original code minimises -cos and adds the pixel term; the gradients are the same.) Of a style generator
w or w+ can be searched instead, with its noise maps: see `models.projection.spaces.WSpace`.

Every picture has losses, Adam moments and a stopping time of its own, so a batch gives what one by one gives, but for
rounding: convolutions add in another order for another number of rows, and ReLUs and Adam's first steps, which look at
signs, make that visible within ten updates. So pictures are not mixed unless a batch_size asks for it. Further random
starts are more rows of the batch, of which the worse half of each picture is dropped again and again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from infer.progress import Progress
from infer.projection.delta import Delta
from infer.projection.starts import W_SPACES, Starts, check_space, check_start, create_space, find_starts
from models.auxiliary import AuxiliaryNetworks
from models.base import Generator
from models.encoder import Encoder
from models.errors import PhotograftError
from models.prepared import prepare
from models.processor import Floating
from models.projection.adam import Adam
from models.projection.objective import FeatureExtractor, Losses, Objective
from models.projection.spaces import WSpace, ZetaSpace
from models.schema import Count, Flag, Positive, Restarts, Seed, Steps, Weight, bounded, check_arguments

# of the originals; in w in units of its deviation over the prior
LEARNING_RATES = {"z": 0.075, "zeta": 0.015, "w": 0.1, "w+": 0.1}
HALVING = 10  # iterations between two halvings of the starts


@dataclass(frozen=True)
class Projection:
    """Where N pictures lie on the generator's manifold.

    Attributes:
        latent: float32, what the generator is given: z [N,latent_dim], or [N,num_ws,w_dim] after a search in w or w+.
        label: [N] classes (or [N,num_classes] weights), None if unconditional.
        loss: [N] total loss of the latent, under its delta if it has one.
        feature_curve, pixel_curve: [T,N] loss before every update, of the start that won; NaN after a stop.
        iterations: [N] number of updates that were made.
        zeta: [N,zeta_dim] in zeta space, else None; z is B of it, within the ball of max_norm.
        origin: [N,latent_dim] after a search in w or w+, the z from which it went out, NaN where it was the mean of w.
        deltas: what each picture changes in the generator (noise maps, tuned weights); empty for nothing.
    """

    latent: Tensor
    label: Tensor | None
    loss: Tensor
    feature_curve: Tensor
    pixel_curve: Tensor
    iterations: Tensor
    zeta: Tensor | None = None
    origin: Tensor | None = None
    deltas: tuple[Delta, ...] = ()

    def __getitem__(self, rows: slice) -> "Projection":
        """Some of the pictures."""
        label, zeta, origin = (None if t is None else t[rows] for t in (self.label, self.zeta, self.origin))
        return Projection(
            latent=self.latent[rows],
            label=label,
            loss=self.loss[rows],
            feature_curve=self.feature_curve[:, rows],
            pixel_curve=self.pixel_curve[:, rows],
            iterations=self.iterations[rows],
            zeta=zeta,
            origin=origin,
            deltas=self.deltas[rows],
        )


@bounded
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
    steps: Steps = 200,
    learning_rate: Positive | None = None,
    pixel_weight: Weight = 0.2,
    feature_weight: Weight = 1.0,
    keep: Literal["best", "last"] = "best",
    patience: Count | None = None,
    tolerance: Weight = 1e-3,
    max_norm: float | None = None,
    noise: Flag = True,
    restarts: Restarts = 0,
    batch_size: Count = 1,
    dtype: Floating = torch.float32,
    channels_last: Flag = False,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> Projection:
    """Find latents whose pictures look like given ones.

    With batch_size 1 a picture's result is the same to the bit whatever other pictures are given and in whatever order,
    on one machine with one number of threads and one set of versions; on CUDA as far as its kernels repeat themselves.

    Args:
        generator, discriminator: copies of them are frozen, folded and cast; they themselves are left alone. What
            `prepare` made in the same dtype and layout is used without a copy.
        target: [N,3,R,R] float32 in [-1,1] at the generator's resolution.
        label: [N] classes, or [N,num_classes] weights; None if unconditional.
        encoder: E, for init "encoder".
        auxiliary: A and B, for space "zeta".
        space: in which Adam moves: "z" or "zeta"; of a style generator also "w" (one for all layers) or "w+".
        init: "encoder" (if there is one, the default), "mean" (z = 0, or the mean of w), "random" (the prior), or
            latents: z [N,latent_dim], or in w and w+ also w+ [N,num_ws,w_dim].
        steps: number of updates at most (200 in the original).
        learning_rate: see LEARNING_RATES if None.
        pixel_weight, feature_weight: of MSE and L.
        keep: "best": the latent of the least loss seen; "last": that after the last update, as in the original.
        patience: stop a picture when so many updates in a row have not lowered its loss by `tolerance`; None: never.
        tolerance: relative to the least loss so far (to 0.001 where that is less).
        max_norm: z is held in the ball of this radius (see `Space.hold`); None: not at all, as in the paper. Far
            out of the prior (whose z have norm sqrt(latent_dim)) a picture may be near and its translations poor.
        noise: in w and w+ search each picture's noise maps too.
        restarts: further random starts per picture; after every 10 updates the worse half of the starts is dropped.
        batch_size: pictures that are worked on at once. More are faster, and rounding then depends on the others.
        dtype, channels_last: of the networks. float32 and False are exact; bfloat16 is faster where the processor has
            it and moves the trajectory (see infer/evaluate/speed.py).
        seed: of random draws; every picture gets the same.
        progress: told of every update; of one group of batch_size pictures after another.

    Raises:
        PhotograftError: shapes, ranges, spaces, starts or labels that do not fit.
        UnsupportedEdit: w or w+ of a generator that has none.
    """
    _check_pictures(generator, target)
    moves = create_space(space, generator, auxiliary, max_norm, noise)
    in_w = space in W_SPACES
    if label is not None and len(label) != len(target):
        raise PhotograftError(f"{len(label)} labels for {len(target)} pictures: give one for each")
    if isinstance(init, Tensor):
        check_start(init, len(target), generator, in_w)
    e = prepare(encoder, channels_last=channels_last)
    rate = learning_rate or LEARNING_RATES[space]
    settings = _Settings(steps, rate, keep == "last", patience, tolerance, seed, progress)
    g, d = prepare(generator, dtype, channels_last), prepare(discriminator, dtype, channels_last)
    parts = []
    for at in range(0, len(target), batch_size):
        chosen = slice(at, at + batch_size)
        part_label = None if label is None else label[chosen]
        part_init = (
            init[chosen].clone() if isinstance(init, Tensor) else init
        )  # products round by memory's alignment too
        starts = find_starts(generator, target[chosen], part_label, e, part_init, restarts, seed, in_w)
        objective = Objective(
            g,
            d,
            target[chosen],
            part_label,
            space=moves,
            pixel_weight=pixel_weight,
            feature_weight=feature_weight,
        )
        parts.append(_Descent(objective, starts, settings).run())
    return replace(join(parts), label=label)


@dataclass(frozen=True)
class _Settings:
    steps: int
    learning_rate: float
    last: bool
    patience: int | None
    tolerance: float
    seed: int
    progress: Progress | None


def check_options(generator: Generator, target: Tensor, options: Mapping[str, Any]) -> None:
    """Raise PhotograftError unless `project` takes these pictures and options: for calls that need not search."""
    _check_pictures(generator, target)
    check_arguments(project, {"generator": generator, "discriminator": None, "target": target, **options}, "projection")
    check_space(options.get("space", "z"), generator, options.get("auxiliary"), options.get("max_norm"))


def _check_pictures(generator: Generator, target: Tensor) -> None:
    r = generator.resolution
    if target.ndim != 4 or tuple(target.shape[1:]) != (3, r, r) or len(target) == 0:
        raise PhotograftError(f"pictures must be [N,3,{r},{r}], not {list(target.shape)}")
    if not bool((target.abs() <= 1.01).all()):
        raise PhotograftError("pictures must be in [-1,1]")


class _Descent:
    """Adam on all starts of a few pictures, with what is known of each start by its number."""

    def __init__(self, objective: Objective, starts: Starts, settings: _Settings) -> None:
        self.objective, self.settings = objective, settings
        count, n = starts.latent.shape[:2]
        self.rows = torch.arange(n, device=starts.latent.device).repeat(count)  # picture of every start that still runs
        self.ids = torch.arange(count * n, device=starts.latent.device)  # its number
        self.origin, self.explores = starts.origin.flatten(0, 1), not starts.informed
        self.random = torch.Generator().manual_seed(settings.seed)
        with torch.no_grad():
            self.variable = objective.space.start(starts.latent.flatten(0, 1))  # [count*n,D]
        self.adam = Adam.start(self.variable)
        self.result = self.variable.clone()
        self.best = torch.full((count * n,), torch.inf, device=self.variable.device)
        self.reference = torch.full_like(self.best, 1e9)  # best loss when it last fell clearly
        self.stale = torch.zeros_like(self.ids)
        self.iterations = torch.zeros_like(self.ids)
        self.curves = torch.full((2, settings.steps + 1, count * n), torch.nan, device=self.best.device)
        self.starts, self.n = count, n

    def run(self) -> Projection:
        """All updates, then one look at where the last one led."""
        s, space = self.settings, self.objective.space
        for t in range(s.steps):
            # starts that know nothing of their picture look around first; from E's answer that would only lead away
            tried = space.explore(self.variable, t, s.steps, self.random) if self.explores else self.variable
            losses, gradient = self.objective.gradient(tried, self.rows)
            self._record(t, losses, tried)
            if s.patience is not None and len(self.ids) <= self.n:
                going = self.stale[self.ids] < s.patience
                gradient = gradient[going]
                self._keep(going)
                if len(self.ids) == 0:
                    break
            rate = s.learning_rate * space.rate(t, s.steps)
            self.variable = space.hold(self.adam.step(self.variable, gradient, rate))
            self.iterations[self.ids] += 1
            if (t + 1) % HALVING == 0 and len(self.ids) > self.n:
                self._halve()
            if s.progress is not None:
                s.progress(f"projecting, loss {self.best[self.ids].mean().item():.3f}", t + 1, s.steps)
        if len(self.ids):
            with torch.no_grad():
                self._record(s.steps, self.objective(self.variable, self.rows), self.variable)
        return self._finish()

    def _record(self, t: int, losses: Losses, variable: Tensor) -> None:
        self.curves[0, t, self.ids], self.curves[1, t, self.ids] = losses.feature, losses.pixel
        better = losses.total < self.best[self.ids]
        self.best[self.ids] = torch.where(better, losses.total, self.best[self.ids])
        self.result[self.ids[better]] = variable[better]
        reference = self.reference[self.ids]
        fell = losses.total < reference - self.settings.tolerance * reference.clamp_min(1e-3)
        self.reference[self.ids] = torch.where(fell, losses.total, reference)
        self.stale[self.ids] = torch.where(fell, 0, self.stale[self.ids] + 1)
        if self.settings.last:
            self.result[self.ids] = variable

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
        variable, space = self.result[winner], self.objective.space
        with torch.no_grad():
            latent, noise = space.to_latent(variable), space.noise(variable)
        generator = self.objective.generator
        deltas = [Delta.between(generator, {name: m[i] for name, m in noise.items()}) for i in range(len(variable))]
        return Projection(
            latent=latent,
            label=None,
            loss=self._loss_of(winner),
            feature_curve=self.curves[0][:, winner],
            pixel_curve=self.curves[1][:, winner],
            iterations=self.iterations[winner],
            zeta=variable if isinstance(space, ZetaSpace) else None,
            origin=self.origin[winner] if isinstance(space, WSpace) else None,
            deltas=tuple(deltas) if noise else (),
        )

    def _loss_of(self, winner: Tensor) -> Tensor:
        if not self.settings.last:
            return self.best[winner]
        weights = (self.objective.feature_weight, self.objective.pixel_weight)
        curve = weights[0] * self.curves[0][:, winner] + weights[1] * self.curves[1][:, winner]
        return curve.gather(0, self.iterations[winner][None])[0]


def join(parts: Sequence[Projection]) -> Projection:
    """The pictures of several projections of the same kind as one."""

    def joined(values: Sequence[Tensor | None]) -> Tensor | None:
        there = [value for value in values if value is not None]
        return torch.cat(there) if there else None

    return Projection(
        latent=torch.cat([part.latent for part in parts]),
        label=joined([part.label for part in parts]),
        loss=torch.cat([part.loss for part in parts]),
        feature_curve=torch.cat([part.feature_curve for part in parts], dim=1),
        pixel_curve=torch.cat([part.pixel_curve for part in parts], dim=1),
        iterations=torch.cat([part.iterations for part in parts]),
        zeta=joined([part.zeta for part in parts]),
        origin=joined([part.origin for part in parts]),
        deltas=tuple(delta for part in parts for delta in part.deltas),
    )
