"""Networks made ready for inference, once, at the door: frozen copies on one device, in the form that is fast there."""

import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import nn

from models.auxiliary import AuxiliaryNetworks
from models.base import Generator
from models.device import fast_dtype, find_device, likes_channels_last
from models.discriminators.base import Discriminator
from models.discriminators.projected import ProjectedDiscriminator
from models.encoder import Encoder
from models.errors import PhotograftError
from models.layers.resampling import keep_kernels
from models.layers.spectral_norm import fold_spectral_norm
from models.projection.objective import FeatureExtractor
from models.schema import check
from models.zoo import Model


def prepare(
    network: Any,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    device: torch.device | None = None,
) -> Any:
    """A frozen copy of a network for inference: its spectral norm folded into the weights, its fused kernels made.

    What is no module, such as None, comes back as it is.
    """
    if not isinstance(network, nn.Module):
        return network
    frozen = copy.deepcopy(network).eval().requires_grad_(False)
    fold_spectral_norm(frozen)
    frozen = frozen.to(device, dtype)
    if channels_last:
        frozen = frozen.to(memory_format=torch.channels_last)
    keep_kernels(frozen)
    return frozen


@dataclass(frozen=True, eq=False)
class Networks:
    """A model's networks on one device. Each is copied and cast when it is first asked for, and kept.

    Attributes:
        model: what they were made of; left alone.
        device: where they are.
        dtype, channels_last: of the generator and the discriminators while latents are searched. Encoder and A and B
            are cheap: they stay float32.
        psi_name: whose features are Psi: "discriminator", the paper's, or "projected", on frozen ImageNet features.
            With a small discriminator's Psi photos drift away by an independent judge
            (docs/how-it-works.md).
    """

    model: Model
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    psi_name: str = "discriminator"

    @classmethod
    def of(
        cls, model: Model, device: str = "auto", *, dtype: torch.dtype | None = None, psi: str | None = None
    ) -> Self:
        """A model's networks, in the form that is fastest on a device.

        Args:
            model: any.
            device: "auto", "cpu", "cuda" or "mps".
            dtype: instead of the device's fastest. float32 is exact; bfloat16 moves the trajectory of projection.
            psi: see `psi_name`; None: "projected" where the model has one.

        Raises:
            PhotograftError: a device that is not there, or a Psi that the model does not have.
        """
        where = find_device(device)
        there = {"discriminator": model.discriminator, "projected": model.projected}
        if psi is None:
            psi = "discriminator" if model.projected is None else "projected"
        elif there.get(check(str, psi, "psi")) is None:
            names = ", ".join(name for name, network in there.items() if network is not None)
            raise PhotograftError(f"model {model.name} has no {psi!r} to take Psi from: choose from {names}")
        return cls(model, where, dtype or fast_dtype(where), likes_channels_last(where), psi)

    def fast(self, network: Any) -> Any:
        """A copy of another network in the fast form, such as a generator that a photo has changed."""
        return prepare(network, self.dtype, self.channels_last, self.device)

    @cached_property
    def float32(self) -> Self:
        """The same networks in float32."""
        return self if self.dtype == torch.float32 else replace(self, dtype=torch.float32)

    @cached_property
    def exact(self) -> Generator:
        """The generator in float32 and the plain layout: what pictures that are shown and kept are made with."""
        generator: Generator = prepare(self.model.generator, device=self.device)
        return generator

    @cached_property
    def generator(self) -> Generator:
        """The generator in the fast form, for what is done many times. Its pictures are float32."""
        generator: Generator = self.fast(self.model.generator)
        return generator

    @cached_property
    def discriminator(self) -> Discriminator | None:
        """The discriminator that the generator was trained against, in the fast form; None if there is none."""
        network: Discriminator | None = self.fast(self.model.discriminator)
        return network

    @cached_property
    def projected(self) -> ProjectedDiscriminator | None:
        """The projected discriminator in the fast form; None if there is none."""
        network: ProjectedDiscriminator | None = self.fast(self.model.projected)
        return network

    @property
    def psi(self) -> FeatureExtractor:
        """The network whose features are Psi. Raises PhotograftError where the model has none."""
        network = self.projected if self.psi_name == "projected" else self.discriminator
        if network is None:
            raise PhotograftError(f"model {self.model.name} has no discriminator beside its generator: there is no Psi")
        return network

    @property
    def classifier(self) -> ProjectedDiscriminator | None:
        """The projected discriminator in float32, which names classes of photos; None if there is none."""
        return self.float32.projected

    @cached_property
    def encoder(self) -> Encoder | None:
        """E; None if there is none."""
        network: Encoder | None = prepare(self.model.encoder, torch.float32, self.channels_last, self.device)
        return network

    @cached_property
    def auxiliary(self) -> AuxiliaryNetworks | None:
        """A and B; None if there are none."""
        network: AuxiliaryNetworks | None = prepare(self.model.auxiliary, device=self.device)
        return network

    @cached_property
    def on_device(self) -> Model:
        """The model with its exact generator, for what takes a model and makes pictures."""
        return replace(self.model, generator=self.exact)

    @cached_property
    def fast_model(self) -> Model:
        """The model with its generator in the fast form, for what takes a model and draws many pictures."""
        return replace(self.model, generator=self.generator)
