"""What the trainings of E and of A and B share: a frozen generator and discriminator, and photos with their classes."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from data import images_to_float
from data.module import ImageDataModule
from models.base import Configurable, Generator
from models.encoder import Encoder
from models.errors import PhotograftError
from models.files import load_network
from models.layers.resampling import fast_layout
from models.prepared import prepare
from models.processor import computes_bfloat16
from models.projection.adam import Adam
from models.projection.objective import FeatureExtractor, Losses, Objective
from models.zoo import Model, load_model
from train.counters import CountingModule
from train.divergence import check_terms
from train.networks import describe
from train.projection.classes import generator_labels
from train.schedule import check_rates, linear_decay


@dataclass
class FrozenNetworks:
    """What is trained against, ready for use.

    Attributes:
        generator, discriminator: the latter's features are Psi.
        encoder: where projection starts, if the training starts there.
    """

    generator: Generator
    discriminator: FeatureExtractor
    encoder: Encoder | None = None

    def to(self, device: torch.device) -> None:
        """Move all of it, in place."""
        for network in (self.generator, self.discriminator, self.encoder):
            if isinstance(network, torch.nn.Module):
                network.to(device)


class ProjectionTraining(CountingModule):
    """Base of trainings against a frozen generator and discriminator, which are no part of the checkpoint.

    Args:
        generator: a registered one: name in the zoo, or path of a .generator.safetensors.
        discriminator: file of the discriminator behind Psi, SN projection (the paper's) or projected (its heads'
            features). Default: the SN projection discriminator beside the generator.
        encoder: file of the encoder to start from. Default: the one beside the generator.
        learning_rate: of Adam (betas 0.0 and 0.9).
        decay: (from, to) images over which the learning rate goes linearly to zero.
        weight_decay: times the weights is added to the gradient, before it is clipped as in the original.
        half_precision: the frozen networks in channels_last and, but on CPUs without instructions for it, in bfloat16
            (2-3x faster).

    Raises:
        PhotograftError: unknown names, missing or damaged files, networks that do not fit together; at the start of
            the training data of another resolution or with classes that the generator does not have.
    """

    projection_rate = 0.075  # of Adam in the variable, the original's
    validated_steps: tuple[int, ...] = (0,)  # of projection, after which validation looks at the losses

    def __init__(
        self,
        generator: str,
        discriminator: str | None = None,
        encoder: str | None = None,
        *,
        learning_rate: float,
        decay: tuple[float, float] | None = None,
        weight_decay: float = 0.0,
        half_precision: bool = False,
    ) -> None:
        super().__init__()
        if not generator:
            raise PhotograftError("no generator to train for: give --generator NAME or FILE")
        # in a tuple, so that they are no submodules: not saved, not averaged, not set to training mode
        self._model = (load_model(generator),)
        self._discriminator = (self._beside(discriminator, "discriminator"),)
        self._encoder = (self._beside(encoder, "encoder"),)
        if self._discriminator[0] is None:
            raise PhotograftError(f"{generator} has no discriminator beside it: give --discriminator FILE")
        check_rates(decay, learning_rate=learning_rate, weight_decay=weight_decay)
        self.learning_rate, self.decay, self.weight_decay = learning_rate, decay, weight_decay
        self.half_precision = half_precision
        self._labels: Tensor | None = None
        self._frozen: FrozenNetworks | None = None

    def _beside(self, path: str | None, kind: str) -> Any:
        """The network of a file, or the one that belongs to the generator."""
        if path is None:
            return getattr(self.model, kind)
        network, _ = load_network(Path(path), kind)
        for ours in ("num_classes", "latent_dim"):
            number, expected = getattr(network, ours, 0), getattr(self.model.generator, ours)
            if number not in (0, expected):
                raise PhotograftError(f"{path} has {ours} {number}, the generator {expected}")
        return network

    # ------------------------------------------------------------------ what a training says

    @abstractmethod
    def trained(self) -> dict[str, tuple[str, Configurable]]:
        """The networks that learn, by their attribute's name, each with its kind (see `train.networks.describe`)."""

    @abstractmethod
    def loss(self, objective: Objective, images: Tensor, label: Tensor | None) -> dict[str, Tensor]:
        """Terms of the loss (their sum is minimised) of pictures [N,3,R,R] and the generator's classes [N]."""

    @abstractmethod
    def first(self, images: Tensor, label: Tensor | None) -> Tensor:
        """Where the projection of pictures starts: z [N,latent_dim], or zeta [N,zeta_dim]."""

    # ------------------------------------------------------------------ networks and data

    @property
    def model(self) -> Model:
        """The generator with what belongs to it, as it was read."""
        return self._model[0]

    @property
    def frozen(self) -> FrozenNetworks:
        """Copies of the networks that are not trained, on this module's device."""
        if self._frozen is None:
            half = self.half_precision and (self.device.type != "cpu" or computes_bfloat16())
            dtype = torch.bfloat16 if half else torch.float32
            generator, discriminator = (
                prepare(network, dtype, self.half_precision)
                for network in (self.model.generator, self._discriminator[0])
            )
            encoder = self._encoder[0]
            self._frozen = FrozenNetworks(generator, discriminator, None if encoder is None else prepare(encoder))
            self._frozen.to(self.device)
        return self._frozen

    def objective(self, images: Tensor, label: Tensor | None) -> Objective:
        """The loss of projection of these pictures: z -> L(G(z, y), x)."""
        return Objective(self.frozen.generator, self.frozen.discriminator, images, label)

    def labels(self, label: Tensor) -> Tensor | None:
        """The generator's classes of the data's classes [N]; None for an unconditional generator."""
        if not self.model.generator.num_classes:
            return None
        if self._labels is None:
            data = cast(ImageDataModule, self.trainer.datamodule)  # type: ignore[attr-defined]
            ids = getattr(data, "class_ids", ())  # a data module of somebody's own may have names alone
            self._labels = generator_labels(self.model, data.class_names, ids)
        return self._labels.to(label.device)[label]

    def on_fit_start(self) -> None:
        """Check that the data suit the generator before anything is computed."""
        self._frozen = self._labels = None
        _ = self.frozen  # not first in validation, whose tensors cannot be trained through
        data = cast(ImageDataModule, self.trainer.datamodule)  # type: ignore[attr-defined]
        if data.resolution != self.model.generator.resolution:
            raise PhotograftError(
                f"the generator makes {self.model.generator.resolution} px, the data are {data.resolution} px:"
                f" give --data.resolution {self.model.generator.resolution}"
            )
        self.labels(torch.zeros(1, dtype=torch.int64))

    # ------------------------------------------------------------------ one step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam of everything that learns."""
        learns = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.Adam(learns, lr=self.learning_rate, betas=(0.0, 0.9))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rate: the config's, not a checkpoint's, holds after a resume."""
        rate = self.learning_rate * linear_decay(self.images_seen, self.decay)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        self.log("learning_rate", rate)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        """The loss of a batch. Its terms are sums over the pictures as in the original, here of all ranks."""
        images, label = images_to_float(batch["image"]), self.labels(batch["label"])
        if self.half_precision:  # in float32 another layout is another rounding by the size of the batch
            images = fast_layout(images)
        terms = self.loss(self.objective(images, label), images, label)
        self.log_dict({name: value.detach() / len(images) for name, value in terms.items()})
        check_terms(terms, self.steps)
        total = torch.stack(list(terms.values())).sum()
        self.count(len(images))
        self.log("images", float(self.images_seen), prog_bar=True)
        self.log("loss", total.detach() / len(images), prog_bar=True)
        return total * self.trainer.world_size  # several ranks' gradients are averaged

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Add the weight decay, log the gradient's norm, and clip it if the trainer says to."""
        moved = [(p, p.grad) for p in self.parameters() if p.grad is not None]
        for parameter, gradient in moved if self.weight_decay else ():
            gradient.add_(parameter.detach(), alpha=self.weight_decay)
        gradients = [gradient for _, gradient in moved]
        norm = torch.nn.utils.get_total_norm(gradients + self.counted_gradients())
        self.log("gradient_norm", norm)
        if gradient_clip_val:
            for gradient in gradients:
                gradient.mul_(torch.clamp(gradient_clip_val / norm, max=1.0))

    def counted_gradients(self) -> list[Tensor]:
        """Gradients beside those of what learns that count in the norm."""
        return []

    # ------------------------------------------------------------------ how good it is

    @torch.enable_grad()
    def project(self, images: Tensor, label: Tensor | None, steps: int, learning_rate: float | None = None) -> Losses:
        """Losses and pictures of photos [N,3,R,R] after so many updates of projection from `first`; 0: the start.

        Nothing is drawn at random, and no weight gets a gradient. Default learning rate: `projection_rate`.
        """
        objective = self.objective(images, label)
        rows = torch.arange(len(images), device=images.device)
        with torch.no_grad():
            variable = self.first(images, label)
        adam = Adam.start(variable)
        for _ in range(steps):
            _, gradient = objective.gradient(variable, rows)
            variable = objective.hold(adam.step(variable, gradient, learning_rate or self.projection_rate))
        with torch.no_grad():
            return objective(variable, rows)

    def refine(self, images: Tensor, label: Tensor | None, steps: int, learning_rate: float | None = None) -> Tensor:
        """The pictures [N,3,R,R] of `project`, on the photos' device."""
        return self.project(images, label, steps, learning_rate).image.float()

    @torch.no_grad()
    def translate(self, images: Tensor, label: Tensor | None, target: int) -> Tensor:
        """Pictures [N,3,R,R] of what `first` makes of photos, with another of the generator's classes."""
        others = torch.full((len(images),), target, device=images.device)
        rows = torch.arange(len(images), device=images.device)
        return self.objective(images, others)(self.first(images, label), rows).image.float()

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Log L and the mean squared difference of what projection starts from, and after `validated_steps`."""
        with torch.inference_mode(False):  # Lightning's mode makes tensors that no gradient can pass
            images, label = images_to_float(batch["image"].clone()), self.labels(batch["label"].clone())
            values: dict[str, Tensor] = {}
            for steps in self.validated_steps:
                losses, name = self.project(images, label, steps), f"_{steps}" if steps else ""
                values |= {f"val/feature{name}": losses.feature.mean(), f"val/pixel{name}": losses.pixel.mean()}
        self.log_dict(values, batch_size=len(images), sync_dist=True)

    # ------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what export needs to rebuild the networks, and which generator they belong to."""
        checkpoint["networks"] = describe(self.trained())
        checkpoint["generator"] = self.model.fingerprint

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise PhotograftError for a checkpoint of another generator."""
        if checkpoint.get("generator") != self.model.fingerprint:
            raise PhotograftError(
                "the checkpoint was trained for another generator than this one: give that generator, or start anew"
            )
