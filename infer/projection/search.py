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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from infer.progress import Progress
from infer.projection.delta import Delta
from infer.projection.limit import Limit
from infer.projection.mixture import classes_of
from infer.projection.options import FALLING_BETAS, LEARNING_RATES, ORIGINAL_STEPS, UNSET, ProjectionOptions
from infer.projection.starts import W_SPACES, Starts, check_space, check_start, create_space, find_starts
from models.base import Generator
from models.errors import PhotograftError
from models.prepared import Networks
from models.projection.adam import Adam
from models.projection.objective import FeatureExtractor, Losses, Objective
from models.projection.spaces import WSpace, ZetaSpace
from models.schema import Count, bounded

TOLERANCE = 1e-3  # by which a loss must fall not to be stale, relative to the least one (to 0.001 where that is less)
# Updates between two halvings of the starts. Four photos, three restarts and 60 updates, the work of 80 of one start:
# loss 0.113; from E's answer alone 0.118 for as much work; by 100 updates and a halving every 10, twice as much, 0.110.
HALVING = 5


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
        tuned: [N] number of updates of tuning that were made; None: none.
        stopped: [N] whether the time was over before all updates were made; None: no picture's was.
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
    tuned: Tensor | None = None
    stopped: Tensor | None = None

    def __getitem__(self, rows: slice) -> "Projection":
        """Some of the pictures."""
        label, zeta, origin, tuned, stopped = (
            None if t is None else t[rows] for t in (self.label, self.zeta, self.origin, self.tuned, self.stopped)
        )
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
            tuned=tuned,
            stopped=stopped,
        )

    def cpu(self) -> "Projection":
        """The same in the processor's memory."""
        tensors: dict[str, Any] = {name: t.cpu() for name, t in vars(self).items() if isinstance(t, Tensor)}
        return replace(self, **tensors)


@bounded
def project(
    networks: Networks,
    target: Tensor,
    label: Tensor | None = None,
    options: ProjectionOptions = UNSET,
    *,
    psi: FeatureExtractor | None = None,
    start: Tensor | None = None,
    batch_size: Count = 1,
    progress: Progress | None = None,
) -> Projection:
    """Find latents whose pictures look like given ones.

    With batch_size 1 a picture's result is the same to the bit whatever other pictures are given and in whatever order,
    on one machine with one number of threads and one set of versions; on CUDA as far as its kernels repeat themselves.

    Args:
        networks: with a discriminator; float32 without channels_last is exact.
        target: [N,3,R,R] float32 in [-1,1] at the generator's resolution.
        label: [N] classes, or [N,num_classes] weights, of which rows of one class alone are taken as that class; None
            if unconditional.
        options: see there; its tuning is for `infer.projection.model.project_pictures`.
        psi: whose features are compared, prepared; None: the networks' own.
        start: latents to start from instead of the options' init: z [N,latent_dim], or in w and w+ also w+
            [N,num_ws,w_dim].
        batch_size: pictures that are worked on at once. More are faster, and rounding then depends on the others.
        progress: told of every update; of one group of batch_size pictures after another.

    Returns:
        The projections, on the CPU.

    Raises:
        PhotograftError: shapes, spaces, starts or labels that do not fit.
        UnsupportedEdit: w or w+ of a generator that has none.
    """
    check_options(networks, target, options)
    generator, psi = networks.generator, psi or networks.psi
    space = options.space or "z"
    moves, in_w = create_space(space, networks, options.max_norm, options.noise), space in W_SPACES
    if label is not None and len(label) != len(target):
        raise PhotograftError(f"{len(label)} labels for {len(target)} pictures: give one for each")
    if start is not None:
        check_start(start, len(target), generator, in_w)
    target = target.to(networks.device)
    label, start = (None if t is None else t.to(networks.device) for t in (label, start))
    parts = []
    for at in range(0, len(target), batch_size):
        chosen = slice(at, at + batch_size)
        part_label, part_start = (None if t is None else t[chosen] for t in (label, start))
        part_label = None if part_label is None else classes_of(part_label)
        # products round by memory's alignment too
        part_start = None if part_start is None else part_start.clone()
        objective = Objective(
            generator, psi, target[chosen], part_label, space=moves, pixel_weight=options.pixel_weight
        )
        starts = find_starts(networks, objective, options, part_start, progress)
        parts.append(_Descent(objective, starts, options, progress).run())
    found = join(parts).cpu()
    return replace(found, label=None if label is None else label.cpu())


def check_options(networks: Networks, target: Tensor, options: ProjectionOptions) -> None:
    """Raise PhotograftError unless `project` takes these pictures and options: for calls that need not search."""
    _check_pictures(networks.model.generator, target)
    check_space(options.space or "z", networks, options.max_norm)


def _check_pictures(generator: Generator, target: Tensor) -> None:
    r = generator.resolution
    if target.ndim != 4 or tuple(target.shape[1:]) != (3, r, r) or len(target) == 0:
        raise PhotograftError(f"pictures must be [N,3,{r},{r}], not {list(target.shape)}")
    if not bool((target.abs() <= 1.01).all()):
        raise PhotograftError("pictures must be in [-1,1]")


class _Descent:
    """Adam on all starts of a few pictures, with what is known of each start by its number."""

    def __init__(
        self, objective: Objective, starts: Starts, options: ProjectionOptions, progress: Progress | None
    ) -> None:
        self.objective, self.progress, self.last = objective, progress, options.keep == "last"
        self.patience = options.patience
        self.steps = ORIGINAL_STEPS if options.steps is None else options.steps
        seconds = options.max_seconds
        self.limit, self.stopped = Limit(None if seconds is None else seconds * len(objective.target)), False
        self.learning_rate = options.learning_rate or LEARNING_RATES[options.space or "z"]
        count, n = starts.latent.shape[:2]
        self.rows = torch.arange(n, device=starts.latent.device).repeat(count)  # picture of every start that still runs
        self.ids = torch.arange(count * n, device=starts.latent.device)  # its number
        self.origin, self.explores = starts.origin.flatten(0, 1), not starts.informed
        self.random = torch.Generator().manual_seed(options.seed)
        with torch.no_grad():
            self.variable = objective.space.start(starts.latent.flatten(0, 1))  # [count*n,D]
        self.falls = options.schedule == "falling" and (options.space or "z") not in W_SPACES
        self.adam = Adam.start(self.variable, FALLING_BETAS) if self.falls else Adam.start(self.variable)
        self.result = self.variable.clone()
        self.best = torch.full((count * n,), torch.inf, device=self.variable.device)
        self.reference = torch.full_like(self.best, 1e9)  # best loss when it last fell clearly
        self.stale = torch.zeros_like(self.ids)
        self.iterations = torch.zeros_like(self.ids)
        self.curves = torch.full((2, self.steps + 1, count * n), torch.nan, device=self.best.device)
        self.starts, self.n = count, n

    def run(self) -> Projection:
        """All updates, or those that there is time for but one at least; then one look at where the last one led."""
        steps, space, made = self.steps, self.objective.space, 0
        for t in range(steps):
            self.stopped = t > 0 and self.limit.over
            if self.stopped:
                break
            # starts that know nothing of their picture look around first; from E's answer that would only lead away
            tried = space.explore(self.variable, t, steps, self.random) if self.explores else self.variable
            losses, gradient = self.objective.gradient(tried, self.rows)
            self._record(t, losses, tried)
            if self.patience is not None and len(self.ids) <= self.n:
                going = self.stale[self.ids] < self.patience
                gradient = gradient[going]
                self._keep(going)
                if len(self.ids) == 0:
                    break
            rate = self.learning_rate * (1 - t / steps if self.falls else space.rate(t, steps))
            self.variable = space.hold(self.adam.step(self.variable, gradient, rate))
            self.iterations[self.ids] += 1
            made = t + 1
            if (t + 1) % HALVING == 0 and len(self.ids) > self.n:
                self._halve()
            if self.progress is not None:
                self.progress(f"projecting, loss {self.best[self.ids].mean().item():.3f}", t + 1, steps)
        if len(self.ids):
            with torch.no_grad():
                self._record(made, self.objective(self.variable, self.rows), self.variable)
        return self._finish()

    def _record(self, t: int, losses: Losses, variable: Tensor) -> None:
        self.curves[0, t, self.ids], self.curves[1, t, self.ids] = losses.feature, losses.pixel
        better = losses.total < self.best[self.ids]
        self.best[self.ids] = torch.where(better, losses.total, self.best[self.ids])
        reference = self.reference[self.ids]
        fell = losses.total < reference - TOLERANCE * reference.clamp_min(1e-3)
        self.reference[self.ids] = torch.where(fell, losses.total, reference)
        self.stale[self.ids] = torch.where(fell, 0, self.stale[self.ids] + 1)
        taken = torch.full_like(better, True) if self.last else better
        self.result[self.ids] = torch.where(taken[:, None], variable, self.result[self.ids])

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
            stopped=torch.full((self.n,), True, device=self.best.device) if self.stopped else None,
        )

    def _loss_of(self, winner: Tensor) -> Tensor:
        if not self.last:
            return self.best[winner]
        weights = (self.objective.feature_weight, self.objective.pixel_weight)
        curve = weights[0] * self.curves[0][:, winner] + weights[1] * self.curves[1][:, winner]
        return curve.gather(0, self.iterations[winner][None])[0]


def join(parts: Sequence[Projection]) -> Projection:
    """The pictures of several projections of the same kind as one."""

    def joined(values: Sequence[Tensor | None]) -> Tensor | None:
        there = [value for value in values if value is not None]
        return torch.cat(there) if there else None

    none_stopped = all(part.stopped is None for part in parts)
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
        tuned=joined([part.tuned for part in parts]),
        stopped=None if none_stopped else torch.cat([_stopped(part) for part in parts]),
    )


def _stopped(part: Projection) -> Tensor:  # -> [N]
    return torch.zeros(len(part.loss), dtype=torch.bool) if part.stopped is None else part.stopped.cpu()
