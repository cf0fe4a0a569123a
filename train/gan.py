"""GAN training: one module, several sources of fakes, several adversaries.

With one source (prior samples) and one adversary (SN projection discriminator, n_dis 5) this is the paper's hinge SNGAN.
With an encoder in the loop, fakes are also reconstructions G(E(x), y) and class translations G(E(x), y') of real photos,
which is what makes training feasible on small machines: see docs/training.md for what was measured.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from data import images_to_float
from models.base import Generator
from models.encoder import FeatureEncoder, resize
from models.errors import PhotograftError
from models.files import load_network
from models.generators.sngan import ConditionalBatchNorm2d
from models.losses import stage_distance
from models.registry import KINDS, create_generator, encoders
from train.adversaries import Adversary, ProjectedAdversary
from train.augment import Augmentation

SOURCES = ("reconstruction", "translation", "prior")


@dataclass
class Stage:
    """A part of the training.

    Attributes:
        images: real pictures seen in it (the last stage goes on for ever).
        sources: shares of the batch's fakes by source: "reconstruction", "translation", "prior".
        adversarial: factor on the adversaries' weights; 0 trains an autoencoder.
        train_generator: False lets the discriminators catch up first.
    """

    images: float = float("inf")
    sources: dict[str, float] = field(default_factory=lambda: {"prior": 1.0})
    adversarial: float = 1.0
    train_generator: bool = True

    def __post_init__(self) -> None:
        unknown = set(self.sources) - set(SOURCES)
        if unknown or not self.sources:
            raise PhotograftError(f"sources of fakes must be among {', '.join(SOURCES)}, not {sorted(unknown)}")

    def split(self, n: int) -> dict[str, int]:
        """How many of n fakes come from each source; they add up to n."""
        total = sum(self.sources.values())
        counts = {name: int(n * self.sources.get(name, 0.0) / total) for name in SOURCES}
        largest = max(self.sources, key=lambda name: self.sources[name])
        counts[largest] += n - sum(counts.values())
        return counts


@dataclass
class Network:
    """A network in a config: its family in the registry and the keywords of its class."""

    family: str
    config: dict[str, Any] = field(default_factory=dict)


@dataclass
class Fakes:
    """Generated pictures of one batch, sorted by source: reconstructions first, in the order of the real pictures."""

    images: Tensor  # [N,3,R,R]
    labels: Tensor  # [N]
    reconstructions: int


class GroupedTable(nn.Module):
    """A class's row = its own + its group's, so that rare classes of a group learn together (folded on export)."""

    index: Tensor

    def __init__(self, group_of_class: Tensor, channels: int) -> None:
        super().__init__()
        self.register_buffer("index", group_of_class)
        self.group = nn.Parameter(torch.zeros(int(group_of_class.max()) + 1, channels))

    def forward(self, table: Tensor) -> Tensor:  # [K,C] -> [K,C]
        return table + self.group[self.index]


class GAN(pl.LightningModule):
    """Adversarial training of a generator, with or without an encoder in the loop.

    Args:
        generator: family and config; `num_classes` comes from the data.
        adversaries: discriminators; at least one.
        encoder: encoder in the loop; needed for reconstructions and translations.
        stages: what is trained for how long.
        n_dis: discriminator steps per generator step.
        reuse_fakes: one forward pass of the generator serves the discriminator's and then the generator's step.
            False is the original's order: generator first, on samples of its own, then the discriminators.
        generator_batch: number of the generator's own samples where fakes are not reused.
        learning_rate: Adam (betas 0.0 and 0.9) of generator and encoder.
        table_learning_rate: of the class tables (gamma and beta).
        decay: (from, to) images over which learning rates go linearly to zero.
        feature_weight, pixel_weight: of the reconstruction's terms (standardised frozen features; mean |x - x'|).
        saturation_weight: of the square by which the values before the final tanh exceed 2.5: where tanh is flat no
            other term can bring a blown-out area back.
        group_tables: add a table per group of classes (species) to the class tables.
        ema: decay of the exponential moving average of generator and encoder, per generator step.
        init_generator, init_encoder: weights files to start from.
    """

    def __init__(
        self,
        generator: Network,
        adversaries: list[Adversary],
        encoder: Network | None = None,
        stages: list[Stage] | None = None,
        n_dis: int = 1,
        reuse_fakes: bool = True,
        generator_batch: int = 32,
        learning_rate: float = 2e-4,
        table_learning_rate: float = 1e-3,
        decay: tuple[float, float] | None = None,
        feature_weight: float = 1.0,
        pixel_weight: float = 1.0,
        saturation_weight: float = 0.0,
        group_tables: bool = True,
        ema: float = 0.999,
        init_generator: str | None = None,
        init_encoder: str | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.specification, self.encoder_specification = generator, encoder
        self.adversaries = nn.ModuleList(adversaries)
        self.stages = stages or [Stage()]
        self.n_dis, self.reuse_fakes, self.generator_batch = n_dis, reuse_fakes, generator_batch
        self.learning_rate, self.table_learning_rate, self.decay = learning_rate, table_learning_rate, decay
        self.feature_weight, self.pixel_weight = feature_weight, pixel_weight
        self.saturation_weight = saturation_weight
        self.group_tables, self.ema_decay = group_tables, ema
        self.init_generator, self.init_encoder = init_generator, init_encoder
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.generator: Generator | None = None
        self.encoder: FeatureEncoder | None = None
        if any({"reconstruction", "translation"} & set(stage.sources) for stage in self.stages) and encoder is None:
            raise PhotograftError("reconstructions and translations need an encoder in the config")

    # ------------------------------------------------------------------ networks

    def configure_model(self) -> None:
        """Build the networks for the data's classes; called by Lightning before weights are restored."""
        if self.generator is not None:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        generator = create_generator(
            self.specification.family, **self.specification.config, num_classes=data.num_classes
        )
        if generator.resolution != data.resolution:
            raise PhotograftError(f"the generator makes {generator.resolution} px, the data are {data.resolution} px")
        if self.init_generator:
            source, _ = load_network(Path(self.init_generator), "generator")
            generator.load_state_dict(source.state_dict())
        generator.requires_grad_(True)
        if self.group_tables and data.num_classes:
            add_group_tables(generator, torch.tensor(data.groups))
        self.generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.encoder_specification is not None:
            encoder = encoders.create(self.encoder_specification.family, **self.encoder_specification.config)
            if self.init_encoder:
                source, _ = load_network(Path(self.init_encoder), "encoder")
                encoder.load_state_dict(source.state_dict())
            encoder.requires_grad_(True)
            encoder.network.requires_grad_(False)  # type: ignore[union-attr]
            self.encoder = encoder  # type: ignore[assignment]
        self.ema = nn.ModuleDict({"generator": copy.deepcopy(self.generator)})
        if self.encoder is not None:
            self.ema["encoder"] = copy.deepcopy(self.encoder)
        self.ema.requires_grad_(False).eval()
        if self.saturation_weight:  # after the copy, which would take the hook along
            self.generator.get_submodule("to_rgb").register_forward_hook(self._remember_saturation)
        self.label_distribution = torch.as_tensor(data.class_distribution, dtype=torch.float32)
        self.class_names, self.groups = list(data.class_names), list(data.groups)
        self.group_names = list(data.group_names)
        for adversary in self.adversaries:
            adversary.build(data.num_classes, data.resolution)

    def _remember_saturation(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self._saturation = F.relu(output.float().abs() - 2.5).square().mean()

    def on_fit_start(self) -> None:
        """Standardise the frozen features by real pictures, once."""
        if int(self.steps):
            return
        pictures: list[Tensor] = []
        for batch in self.trainer.datamodule.train_dataloader():  # type: ignore[attr-defined]
            pictures.append(images_to_float(batch["image"]).to(self.device))
            if sum(map(len, pictures)) >= 512:
                break
        for adversary in self._projected():
            adversary.network.calibrate(torch.cat(pictures)[:512])

    def _projected(self) -> list[ProjectedAdversary]:
        return [a for a in self.adversaries if isinstance(a, ProjectedAdversary)]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam of the generator (with the encoder), then one of each adversary."""
        assert self.generator is not None
        tables = {id(p): p for p in _table_parameters(self.generator)}
        rest = [p for p in self.generator.parameters() if id(p) not in tables]
        if self.encoder is not None:
            rest += [p for p in self.encoder.parameters() if p.requires_grad]
        betas = (0.0, 0.9)
        groups = [
            {"params": rest, "lr": self.learning_rate},
            {"params": list(tables.values()), "lr": self.table_learning_rate},
        ]
        optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(groups, betas=betas)]
        for adversary in self.adversaries:
            learns = [p for p in adversary.parameters() if p.requires_grad]
            optimizers.append(torch.optim.Adam(learns, lr=adversary.learning_rate, betas=betas))
        # the config's rates, not a checkpoint's, hold after a resume
        self._rates = [[float(group["lr"]) for group in optimizer.param_groups] for optimizer in optimizers]
        return optimizers

    # ------------------------------------------------------------------ one step

    @property
    def stage(self) -> Stage:
        """The stage of the training that it is in."""
        seen = int(self.images_seen)
        for stage in self.stages:
            if seen < stage.images:
                return stage
            seen -= int(stage.images)
        return self.stages[-1]

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """One discriminator step per adversary, and every n_dis steps one of the generator."""
        real, label = images_to_float(batch["image"]), batch["label"]
        stage, step = self.stage, int(self.steps)
        self._set_learning_rates()
        generator_turn = stage.train_generator and step % self.n_dis == 0
        if not self.reuse_fakes and generator_turn:
            self._generator_step(stage, real, label, self.make_fakes(stage, real, label, self.generator_batch))
        with torch.set_grad_enabled(self.reuse_fakes and generator_turn):
            fakes = self.make_fakes(stage, real, label, len(real))
        if stage.adversarial:
            self._discriminator_steps(step, real, label, fakes)
        if self.reuse_fakes and generator_turn:
            self._generator_step(stage, real, label, fakes)
        self.images_seen += len(real) * self.trainer.world_size
        self.steps += 1
        self.log("images", float(self.images_seen), prog_bar=True)

    def draw_labels(self, n: int) -> Tensor:  # -> [n] int64
        """Classes as the training draws them."""
        return torch.multinomial(self.label_distribution, n, replacement=True).to(self.device)

    def make_fakes(self, stage: Stage, real: Tensor, label: Tensor, n: int) -> Fakes:
        """n pictures in one pass of the generator, from the stage's sources."""
        assert self.generator is not None
        counts = stage.split(n)
        from_photos = counts["reconstruction"] + counts["translation"]
        prior = self.generator.sample_latent(counts["prior"]).to(self.device)
        drawn = self.draw_labels(n - counts["reconstruction"])
        if not from_photos:
            return self._generate(prior, drawn, 0)
        assert self.encoder is not None
        if from_photos > len(real):
            raise PhotograftError(
                f"{from_photos} fakes from photos need as many real pictures; the batch has {len(real)}"
            )
        codes = self.encoder.sample(real if self.encoder.resolution == real.shape[-1] else self._small(real))
        latent = torch.cat([codes[:from_photos], prior])
        return self._generate(latent, torch.cat([label[: counts["reconstruction"]], drawn]), counts["reconstruction"])

    def _small(self, x: Tensor) -> Tensor:
        assert self.encoder is not None
        return resize(x, self.encoder.resolution)

    def _generate(self, latent: Tensor, label: Tensor, reconstructions: int) -> Fakes:
        assert self.generator is not None
        return Fakes(self.generator(latent, label if self.generator.num_classes else None), label, reconstructions)

    def _discriminator_steps(self, step: int, real: Tensor, label: Tensor, fakes: Fakes) -> None:
        self._seen: dict[int, Any] = {}
        augmentation = Augmentation.draw(len(real), real.device)
        self._augmentation = augmentation
        for index, adversary in enumerate(self.adversaries):
            if step % adversary.every:
                continue
            n = max(1, int(len(real) * adversary.share))
            pick = slice(0, n) if adversary.share == 1.0 else torch.randperm(len(real))[:n]
            seen_real, seen_fake = self._look(adversary, real, fakes.images, augmentation, pick)
            self._seen[index] = (seen_real, seen_fake, fakes.labels[pick])
            detached = seen_fake.detach()
            terms = adversary.own_loss(
                seen_real, label[pick], detached, fakes.labels[pick], self._wrong_labels(label[pick])
            )
            optimizer = self.optimizers()[1 + index]  # type: ignore[index]
            optimizer.zero_grad()
            self.manual_backward(torch.stack(list(terms.values())).sum())
            optimizer.step()
            name = type(adversary).__name__.removesuffix("Adversary").lower()
            self.log_dict({f"{name}/{key}": value.detach() for key, value in terms.items()})

    @staticmethod
    def _look(
        adversary: Adversary, real: Tensor, fake: Tensor, augmentation: Augmentation, pick: Any
    ) -> tuple[Any, Any]:
        real, fake = real[pick], fake[pick]
        if adversary.augment:
            real, fake = augmentation[pick](real), augmentation[pick](fake)
        with torch.no_grad():
            seen_real = adversary.look(real)
        return seen_real, adversary.look(fake)

    def _wrong_labels(self, label: Tensor) -> Tensor:
        """Classes drawn as ever, moved on by one where they happen to be right."""
        wrong = self.draw_labels(len(label))
        return torch.where(wrong == label, (wrong + 1) % len(self.label_distribution), wrong)

    def _generator_step(self, stage: Stage, real: Tensor, label: Tensor, fakes: Fakes) -> None:
        terms: dict[str, Tensor] = {}
        listened = [(i, a) for i, a in enumerate(self.adversaries) if stage.adversarial and a.weight]
        if self.reuse_fakes and listened:  # those that looked in this step
            listened = [(i, a) for i, a in listened if i in self._seen]
        for index, adversary in listened:
            adversary.requires_grad_(False)
            if self.reuse_fakes:
                _, seen, labels = self._seen[index]
            else:
                seen, labels = adversary.look(self._augmented(adversary, fakes.images)), fakes.labels
            score = adversary.generator_loss(seen, labels)
            terms[f"adversarial_{index}"] = stage.adversarial * adversary.weight * score
        if fakes.reconstructions:
            terms |= self._reconstruction_terms(stage, real, fakes)
        if self.saturation_weight:
            terms["saturation"] = self.saturation_weight * self._saturation
        optimizer = self.optimizers()[0]  # type: ignore[index]
        optimizer.zero_grad()
        self.manual_backward(torch.stack(list(terms.values())).sum())
        optimizer.step()
        for _, adversary in listened:
            _unfreeze(adversary)
        self._update_ema()
        self.log_dict({f"generator/{key}": value.detach() for key, value in terms.items()}, prog_bar=False)

    def _augmented(self, adversary: Adversary, images: Tensor) -> Tensor:
        return Augmentation.draw(len(images), images.device)(images) if adversary.augment else images

    def _reconstruction_terms(self, stage: Stage, real: Tensor, fakes: Fakes) -> dict[str, Tensor]:
        n = fakes.reconstructions
        terms = {"pixels": self.pixel_weight * F.l1_loss(fakes.images[:n], real[:n])}
        for index, adversary in enumerate(self.adversaries):
            if not isinstance(adversary, ProjectedAdversary) or not self.feature_weight:
                continue
            if stage.adversarial and self.reuse_fakes:  # both were augmented alike, so they can be compared
                seen_real, seen_fake, _ = self._seen[index]
            else:
                with torch.no_grad():
                    seen_real = adversary.look(real[:n])
                seen_fake = adversary.look(fakes.images[:n])
            distance = stage_distance(seen_real[:n].stages, seen_fake[:n].stages)
            terms["features"] = self.feature_weight * distance
        return terms

    @torch.no_grad()
    def _update_ema(self) -> None:
        live: dict[str, nn.Module | None] = {"generator": self.generator, "encoder": self.encoder}
        # early on the average would be of nothing but the first weights
        decay = min(self.ema_decay, (1 + int(self.steps)) / (10 + int(self.steps)))
        for name, average in self.ema.items():
            source = live[name]
            assert source is not None
            for old, new in zip(_tensors(average), _tensors(source), strict=True):
                if old.is_floating_point():
                    old.lerp_(new, 1 - decay)
                else:
                    old.copy_(new)

    def _set_learning_rates(self) -> None:
        start, end = self.decay or (0.0, float("inf"))
        factor = 1.0 if self.decay is None else min(1.0, max(0.0, (end - int(self.images_seen)) / (end - start)))
        for optimizer, rates in zip(self.optimizers(), self._rates, strict=True):  # type: ignore[arg-type]
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what export needs to rebuild the networks."""
        roles: dict[str, tuple[str, Any]] = {"generator": ("generator", self.generator)}
        if self.encoder is not None:
            roles["encoder"] = ("encoder", self.encoder)
        for index, adversary in enumerate(self.adversaries):
            roles[f"adversaries.{index}.network"] = ("discriminator", adversary.network)
        checkpoint["networks"] = {
            role: {"kind": kind, "family": KINDS[kind].name_of(network), "config": network.config}
            for role, (kind, network) in roles.items()
        }
        checkpoint["classes"] = {
            "class_names": self.class_names,
            "groups": self.groups,
            "group_names": self.group_names,
            "distribution": self.label_distribution.tolist(),
        }


def add_group_tables(generator: Generator, group_of_class: Tensor) -> None:
    """Make every class table the sum of a class's and its group's rows."""
    for module in list(generator.modules()):
        if isinstance(module, ConditionalBatchNorm2d):
            for name in ("gamma", "beta"):
                channels = module.gamma.shape[1]
                parametrize.register_parametrization(module, name, GroupedTable(group_of_class, channels))


def folded(generator: Generator) -> Generator:
    """A copy whose class tables have their groups' rows added in: an ordinary generator again."""
    plain = copy.deepcopy(generator)
    for module in list(plain.modules()):
        if isinstance(module, ConditionalBatchNorm2d) and parametrize.is_parametrized(module):
            for name in ("gamma", "beta"):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    return plain


def _table_parameters(generator: Generator) -> list[nn.Parameter]:
    norms = [module for module in generator.modules() if isinstance(module, ConditionalBatchNorm2d)]
    return [parameter for norm in norms for parameter in norm.parameters()]


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _unfreeze(adversary: Adversary) -> None:
    """Gradients back on, but for the parts that never learn."""
    adversary.requires_grad_(True)
    if isinstance(adversary, ProjectedAdversary):
        for part in (adversary.network.network, adversary.network.mix1, adversary.network.mix3):
            part.requires_grad_(False)
