"""Training of the encoder E on the features of a discriminator (paper, section 4).

    minimise  1 - Psi(G(E(x, y), y)) . Psi(x)   over photos x of class y; G and D are frozen, in evaluation mode.

With its terms switched on it also is what refines the encoder of a GAN's training loop for the finished generator.
"""

import copy
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Configurable
from models.encoder import Encoder, FeatureEncoder
from models.layers.resampling import fast_layout, resize
from models.processor import computes_bfloat16
from models.projection.objective import Objective
from train.networks import Network, build_encoder, update_average
from train.projection.base import ProjectionTraining


class EncoderTraining(ProjectionTraining):
    """Train E for a generator and its discriminator. The defaults are the paper's.

    Args:
        generator, discriminator, learning_rate, decay, weight_decay, half_precision: see `ProjectionTraining`.
        network: family and config of E; `num_classes` and `latent_dim` come from the generator where the family has
            them. Its resolution may differ from the generator's (the original encodes at 128 px for 256).
        init: weights file to start from.
        pixel_weight: of the mean squared difference to the photo, beside L.
        latent_weight: of mean(z^2) - 1 where that is positive: how far z lies outside the prior.
        ema: decay of a moving average of E, which is what is exported; None: no average.

    Raises:
        PhotograftError: see `ProjectionTraining`; an unknown family, a config or weights that do not fit.
    """

    def __init__(
        self,
        generator: str,
        network: Network,
        discriminator: str | None = None,
        *,
        init: str | None = None,
        pixel_weight: float = 0.0,
        latent_weight: float = 0.0,
        ema: float | None = None,
        learning_rate: float = 5e-5,
        decay: tuple[float, float] | None = None,
        weight_decay: float = 0.0,
        half_precision: bool = False,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            learning_rate=learning_rate,
            decay=decay,
            weight_decay=weight_decay,
            half_precision=half_precision,
        )
        self.encoder = build_encoder(network, self.model.generator, init)
        self.pixel_weight, self.latent_weight, self.ema_decay = pixel_weight, latent_weight, ema
        self.ema = nn.ModuleDict()
        if ema is not None:
            self.ema["encoder"] = copy.deepcopy(self.encoder).requires_grad_(False).eval()

    def trained(self) -> dict[str, tuple[str, Configurable]]:
        """E."""
        return {"encoder": ("encoder", self.encoder)}

    def objective(self, images: Tensor, label: Tensor | None) -> Objective:
        """The loss of projection of these pictures in z."""
        frozen = self.frozen
        return Objective(frozen.generator, frozen.discriminator, images, label, pixel_weight=self.pixel_weight)

    def loss(self, objective: Objective, images: Tensor, label: Tensor | None) -> dict[str, Tensor]:
        """L of G(E(x, y), y), and the terms that are switched on. Sums over the batch."""
        z = self._codes(images, label).float()
        losses = objective(z, torch.arange(len(z), device=z.device))
        terms = {"feature": losses.feature.sum()}
        if self.pixel_weight:
            terms["pixel"] = self.pixel_weight * losses.pixel.sum()
        if self.latent_weight:
            terms["latent"] = self.latent_weight * F.relu(z.square().mean(dim=1) - 1).sum()
        return terms

    def _codes(self, images: Tensor, label: Tensor | None) -> Tensor:  # -> [N,latent_dim]
        """E's answer; its frozen features in bfloat16 where the other frozen networks are, on a CPU: twice as fast."""
        encoder = self.encoder
        half = self.half_precision and images.device.type == "cpu" and computes_bfloat16()
        if not (half and isinstance(encoder, FeatureEncoder)):
            return encoder.encode(images, label)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            stages = encoder.network.stage(fast_layout(resize(images, encoder.resolution)), 17)
        return encoder.code(stages[13].float(), stages[17].float())

    def first(self, images: Tensor, label: Tensor | None) -> Tensor:
        """z [N,latent_dim] of E (of its average if there is one) in evaluation mode."""
        encoder = cast(Encoder, self.ema["encoder"]) if self.ema_decay is not None else self.encoder
        training = encoder.training
        z = encoder.eval().encode(images, label)
        encoder.train(training)
        return z

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Move the average on too: after the batch would be too late for callbacks that write checkpoints."""
        super().optimizer_step(*args, **kwargs)
        if self.ema_decay is not None:
            decay = min(self.ema_decay, (1 + self.steps) / (10 + self.steps))
            update_average(self.ema["encoder"], self.encoder, decay)
