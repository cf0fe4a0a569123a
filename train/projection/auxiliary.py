"""Training of the auxiliary networks A and B, which give projection a space to converge faster in (paper, B.1).

    minimise  sum_j w_j L(G(B(zeta_j), y), x) + lambda |B(A(z)) - z|^2,   zeta_0 = A(z), z = E(x, y),

where zeta_1 ... zeta_T come from T steps of AdaGrad on zeta, which are differentiated through (double backprop).
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data import images_to_float
from models.auxiliary import AuxiliaryNetworks
from models.base import Configurable
from models.errors import PhotograftError
from models.progress import counted
from models.projection.adam import Adam
from models.projection.objective import Objective
from train.projection.base import ProjectionTraining

ACCUMULATED = 1e-8  # AdaGrad's sum of squares before the first step, as in the original


class AuxiliaryTraining(ProjectionTraining):
    """Train A and B for a generator, its discriminator and its encoder. The defaults are the paper's.

    Args:
        generator, discriminator, encoder, learning_rate, decay, weight_decay, half_precision: see `ProjectionTraining`.
        zeta_dim, hidden_a, hidden_b: sizes of A and B.
        step_size: of AdaGrad, the same for every dimension of zeta at first. (The original's setting to learn it had
            no effect, so its rate stayed at 0.0002.)
        learn_step_size: learn it, one per dimension.
        weights: of the loss before and after every inner step; there are one fewer steps than weights.
        reconstruction_weight: lambda.
        pixel_weight: of the mean squared difference in L. The original adds 0.05 of the mean over the *batch* to a
            *sum* of cosines: 0.05 / batch size here.
        random_starts: share of the batch whose z is a prior sample and not E's answer.
        start: "random": fresh layers, as in the paper. "linear": B is a linear map and A its inverse: B(A(z)) = z from
            the first step, and projection in zeta is fast before anything is trained (see `linear_frame`).
        start_photos: photos whose gradients "linear" looks at.
        warm_up: steps of the autoencoder B(A(z)) alone, on prior samples, before the training ("random" needs some).
        max_norm: radius of the ball in which projection will hold z (`infer.projection.search.project`); None: none.
        projection_rate: Adam's in zeta, for validation and grids; the exported file tells it to the editor.
        count_generator: count the gradients of the frozen generator and of step sizes that do not learn in the norm
            that is clipped, as the original does.

    Raises:
        PhotograftError: see `ProjectionTraining`; no encoder, or settings out of range.
    """

    validated_steps = (0, 10)

    def __init__(
        self,
        generator: str,
        discriminator: str | None = None,
        encoder: str | None = None,
        *,
        zeta_dim: int = 10000,
        hidden_a: int = 1000,
        hidden_b: int = 1000,
        step_size: float = 2e-4,
        learn_step_size: bool = False,
        weights: Sequence[float] = (20.0, 2.0, 1.0),
        reconstruction_weight: float = 100.0,
        pixel_weight: float = 0.05,
        random_starts: float = 0.0,
        start: Literal["random", "linear"] = "random",
        start_photos: int = 384,
        warm_up: int = 0,
        max_norm: float | None = None,
        projection_rate: float = 0.015,
        count_generator: bool = False,
        learning_rate: float = 5e-5,
        decay: tuple[float, float] | None = None,
        weight_decay: float = 1e-4,
        half_precision: bool = False,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            encoder,
            learning_rate=learning_rate,
            decay=decay,
            weight_decay=weight_decay,
            half_precision=half_precision,
        )
        if self._encoder[0] is None and random_starts < 1:
            raise PhotograftError("A and B are trained from the encoder's answers: give --encoder FILE")
        if step_size <= 0 or len(weights) < 2 or not 0 <= random_starts <= 1:
            raise PhotograftError("step_size must be positive, weights at least two, random_starts in [0, 1]")
        if start == "linear":
            count_bases(zeta_dim, self.model.generator.latent_dim)
        self.auxiliary = AuxiliaryNetworks(self.model.generator.latent_dim, zeta_dim, hidden_a, hidden_b)
        self.log_step_size = nn.Parameter(torch.full((zeta_dim,), step_size).log(), requires_grad=learn_step_size)
        self.weights, self.reconstruction_weight, self.pixel_weight = weights, reconstruction_weight, pixel_weight
        self.random_starts, self.warm_up, self.count_generator = random_starts, warm_up, count_generator
        self.start, self.start_photos, self.max_norm = start, start_photos, max_norm
        self.projection_rate = projection_rate
        self._counted: list[Tensor] = []

    def trained(self) -> dict[str, tuple[str, Configurable]]:
        """A and B."""
        return {"auxiliary": ("auxiliary", self.auxiliary)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what export needs."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["projection_rate"] = self.projection_rate

    def on_fit_start(self) -> None:
        """Check the data; if the training starts and not resumes, the linear map or the autoencoder first."""
        super().on_fit_start()
        if self.steps == 0:
            if self.start == "linear":
                self.auxiliary.set_linear(linear_frame(self.principal_axes(), self.auxiliary.zeta_dim))
            if self.warm_up:
                self._warm_up()
        self.frozen.generator.requires_grad_(self.count_generator)

    @torch.enable_grad()
    def principal_axes(self) -> Tensor:
        """Axes [latent_dim,latent_dim] (rows) along which the loss's gradient in z varies, on the way of a projection.

        The gradients are those of some photos at E's answer and after 3 and 6 updates.
        """
        data, frozen = self.trainer.datamodule, self.frozen  # type: ignore[attr-defined]
        assert frozen.encoder is not None
        latent_dim = self.model.generator.latent_dim
        moment = torch.zeros(latent_dim, latent_dim, device=self.device)
        batches = range(math.ceil(self.start_photos / (data.batch_size * self.trainer.world_size)))
        shown = counted(batches, "principal axes", unit="batches")
        for _, batch in zip(shown, data.train_dataloader(), strict=False):  # an independent look at the stream
            images, label = images_to_float(batch["image"]).to(self.device), self.labels(batch["label"].to(self.device))
            objective = Objective(frozen.generator, frozen.discriminator, images, label, max_norm=self.max_norm)
            rows = torch.arange(len(images), device=self.device)
            with torch.no_grad():
                z = frozen.encoder.encode(images, label)
            adam = Adam.start(z)
            for update in range(7):
                _, gradient = objective.gradient(z, rows)
                if update % 3 == 0:
                    moment += gradient.mT @ gradient
                z = objective.hold(adam.step(z, gradient, 0.1))
        moment = cast(Tensor, self.trainer.strategy.reduce(moment, reduce_op="mean"))  # the same on every rank
        return torch.linalg.eigh(moment)[1].mT.contiguous()

    @torch.enable_grad()
    def _warm_up(self) -> None:
        stream = torch.Generator().manual_seed(0)  # the same on every rank
        optimizer = torch.optim.Adam(self.auxiliary.parameters(), 1e-3)
        for _ in counted(range(self.warm_up), "autoencoder of z", unit="steps"):
            z = self.model.generator.sample_latent(256, stream).to(self.device)
            optimizer.zero_grad()
            F.mse_loss(self.auxiliary(z), z).backward()
            optimizer.step()
        optimizer.zero_grad()

    def objective(self, images: Tensor, label: Tensor | None) -> Objective:
        """The loss of projection of these pictures in zeta."""
        return Objective(
            self.frozen.generator,
            self.frozen.discriminator,
            images,
            label,
            auxiliary=self.auxiliary,
            pixel_weight=self.pixel_weight,
            max_norm=self.max_norm,
        )

    def latents(self, images: Tensor, label: Tensor | None) -> Tensor:
        """z [N,latent_dim] that the training starts from."""
        n = len(images)
        prior = round(n * self.random_starts)
        drawn = self.model.generator.sample_latent(prior).to(images.device)
        if prior == n:
            return drawn
        assert self.frozen.encoder is not None
        with torch.no_grad():
            codes = self.frozen.encoder.encode(images[prior:], None if label is None else label[prior:])
        return torch.cat([drawn, codes])

    def first(self, images: Tensor, label: Tensor | None) -> Tensor:
        """zeta [N,zeta_dim] = A(E(x, y))."""
        assert self.frozen.encoder is not None
        return self.auxiliary.to_zeta(self.frozen.encoder.encode(images, label))

    def loss(self, objective: Objective, images: Tensor, label: Tensor | None) -> dict[str, Tensor]:
        """The weighted losses along the inner steps, and the autoencoder's. Sums over the batch."""
        z = self.latents(images, label)
        zeta = self.auxiliary.to_zeta(z)
        distance = (self.auxiliary.to_z(zeta) - z).square().mean(dim=1).sum()
        losses = unroll(objective, zeta, self.inner_step_size(), len(self.weights) - 1)
        self.log_dict({f"step_{j}": value.detach().mean() for j, value in enumerate(losses)})
        terms = {f"weighted_{j}": self.weights[j] * value.sum() for j, value in enumerate(losses)}
        return {**terms, "autoencoder": self.reconstruction_weight * distance}

    def inner_step_size(self) -> Tensor:
        """[zeta_dim]; its gradient is counted, as the original's is, where it does not learn."""
        step_size = self.log_step_size.exp()
        if self.count_generator and not step_size.requires_grad:
            self._counted = [step_size.requires_grad_()]
        return step_size

    def counted_gradients(self) -> list[Tensor]:
        """The original's norm also counts the frozen generator and the step sizes."""
        parameters = [*self.frozen.generator.parameters(), *self._counted] if self.count_generator else []
        gradients = [p.grad for p in parameters if p.grad is not None]
        for parameter in parameters:
            parameter.grad = None
        # nobody averages them over the ranks, which have to clip alike
        return [cast(Tensor, self.trainer.strategy.reduce(gradient, reduce_op="mean")) for gradient in gradients]


def count_bases(zeta_dim: int, latent_dim: int) -> int:
    """How many bases of z zeta has in a linear start. Raises PhotograftError: zeta_dim is no multiple of latent_dim."""
    bases, rest = divmod(zeta_dim, latent_dim)
    if rest or not bases:
        raise PhotograftError(
            f"zeta_dim is {zeta_dim}: a linear start takes a multiple of the {latent_dim} latents, such as"
            f" {latent_dim * max(1, round(zeta_dim / latent_dim))}"
        )
    return bases


def linear_frame(axes: Tensor, zeta_dim: int) -> Tensor:
    """Linear map [zeta_dim,latent_dim] from zeta to z: z's own axes and given ones [latent_dim,latent_dim] in turn.

    Adam moves along every coordinate at one speed. z's own axes suit some photos' losses and the principal axes of the
    gradient others; the mean of moves in both is better (measured: docs/experiments/README.md).

    Raises:
        PhotograftError: zeta_dim is no multiple of latent_dim.
    """
    latent_dim = len(axes)
    bases = count_bases(zeta_dim, latent_dim)
    eye = torch.eye(latent_dim).to(axes)
    return torch.cat([axes if i % 2 else eye for i in range(bases)]) / bases**0.5


def unroll(objective: Objective, zeta: Tensor, step_size: Tensor, steps: int) -> list[Tensor]:
    """Losses [N] before every inner AdaGrad step and after the last, differentiable through the steps.

    Args:
        objective: of N pictures, in zeta.
        zeta: [N,zeta_dim], part of a graph.
        step_size: [zeta_dim].
        steps: T.
    """
    rows = torch.arange(len(zeta), device=zeta.device)
    accumulated = torch.full_like(zeta, ACCUMULATED)
    losses = []
    for _ in range(steps):
        losses.append(objective(zeta, rows).total)
        (gradient,) = torch.autograd.grad(losses[-1].sum(), zeta, create_graph=True)
        accumulated = accumulated + gradient.square()
        zeta = zeta - step_size * gradient / accumulated.sqrt()
    return [*losses, objective(zeta, rows).total]
