"""GAN training: one module, several sources of fakes, several adversaries.

With one source (prior samples) and one adversary (SN projection discriminator, n_dis 5) this is the paper's hinge
SNGAN. With an encoder in the loop, fakes are also reconstructions G(E(x), y) and class translations G(E(x), y') of real
photos, which is what makes training feasible on small machines: see docs/training.md for what was measured.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from data import images_to_float
from data.module import ImageDataModule
from models.base import Configurable, Generator, StyleGenerator
from models.encoder import FeatureEncoder
from models.errors import PhotograftError
from models.header import read_header
from models.layers.resampling import resize
from models.schema import short
from train.counters import Counting
from train.divergence import check_terms
from train.gan.adversaries import Adversary, ProjectedAdversary, StyleGAN2Adversary
from train.gan.augment import Augmentation
from train.gan.codes import whiten
from train.gan.graph import StepGraphs, set_recordable
from train.gan.prior import Prior
from train.gan.sources import Codes, Fakes, Stage
from train.gan.style_mixing import mix_styles
from train.gan.terms import Looked, Terms, Weights
from train.networks import Network, build_encoder, build_generator, describe, update_average
from train.schedule import linear_decay
from train.tables import table_parameters

PAIRED = ("translation", "prior")  # sources whose fakes can be compared within their class, in the order of a batch


class GAN(Counting):
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
        learning_rate: Adam of the generator, and of the encoder unless it has its own.
        encoder_learning_rate: of the encoder: layers with equalised rates (StyleGAN2) want ten times that of others.
        betas: Adam's, of all networks.
        table_learning_rate: of the class tables (gamma and beta).
        decay: (from, to) images over which learning rates go linearly to zero.
        feature_weight, pixel_weight: of the reconstruction's terms (standardised frozen features; mean |x - x'|).
        path_weight: of the path length term (see `train.gan.path_length`), for generators with a w.
        style_mixing: share of the prior samples whose finer styles come from another z of their class (see
            `train.gan.style_mixing`); for generators with a w.
        saturation_weight: of the square by which the values before the final tanh exceed 1.8: where tanh is flat no
            other term can bring a blown-out area back. For generators that end in tanh.
        decorrelation_weight: of covariances between the dimensions of photos' codes (see `train.gan.codes`).
        diversity_weight: of what samples of a class lack in scatter (see `train.gan.diversity`); half of the prior
            samples, and of the translations, then share their classes with the other half, and a projected
            discriminator must be among the adversaries.
        diversity_target: the scatter asked for; 1 is that of real pictures in the frozen features.
        diversity_sources: whose pairs are compared: some of `PAIRED`.
        outline_weight: of 1 - IoU between the animal's outline in a photo and in what is made of its code (see
            `models.perception.outline`); needs a projected discriminator that looks at whole batches.
        spectrum_weight: of the distance between the power spectra of fakes and real pictures (see
            `train.gan.spectrum`).
        whiten_codes: first change the basis of z so that photos' codes are white (see `train.gan.codes`). For a start
            from given weights.
        group_tables: add a table per group of classes (species) to the class tables.
        ema: decay of the exponential moving average of generator and encoder, per generator step.
        graphed: replay steps as CUDA graphs (see `train.gan.graph`). On one CUDA device; elsewhere it has no effect.
            Not with `path_weight` or StyleGAN2's own adversary, which decide anew in every step.
        init_generator, init_encoder: weights files to start from.

    Raises:
        PhotograftError: reconstructions, translations or whitening without an encoder, diversity without a projected
            discriminator, graphs of what is not the same in every step; later a term that the generator has no place
            for, a generator that does not fit the data's resolution, or weights files that do not fit the networks.
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
        encoder_learning_rate: float | None = None,
        betas: tuple[float, float] = (0.0, 0.9),
        table_learning_rate: float = 1e-3,
        decay: tuple[float, float] | None = None,
        feature_weight: float = 1.0,
        pixel_weight: float = 1.0,
        path_weight: float = 0.0,
        style_mixing: float = 0.0,
        saturation_weight: float = 0.0,
        decorrelation_weight: float = 0.0,
        diversity_weight: float = 0.0,
        diversity_target: float = 1.0,
        diversity_sources: Sequence[str] = PAIRED,
        outline_weight: float = 0.0,
        spectrum_weight: float = 0.0,
        whiten_codes: bool = False,
        group_tables: bool = True,
        ema: float = 0.999,
        graphed: bool = False,
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
        self.weights = Weights(
            feature=feature_weight,
            pixel=pixel_weight,
            path=path_weight,
            saturation=saturation_weight,
            decorrelation=decorrelation_weight,
            diversity=diversity_weight,
            outline=outline_weight,
            spectrum=spectrum_weight,
        )
        self.encoder_learning_rate, self.betas = encoder_learning_rate, betas
        self.diversity_target, self.diversity_sources = diversity_target, tuple(diversity_sources)
        self.whiten_codes = whiten_codes
        self.group_tables, self.ema_decay, self.style_mixing = group_tables, ema, style_mixing
        self.graphed = graphed
        self._graphs: StepGraphs | None = None
        self._report: dict[str, Tensor] = {}
        self._looked: dict[int, Looked] = {}
        self.init_generator, self.init_encoder = init_generator, init_encoder
        self.generator: Generator | None = None
        self.encoder: FeatureEncoder | None = None
        if encoder is None and any(stage.needs_encoder for stage in self.stages):
            raise PhotograftError("reconstructions and translations need an encoder in the config")
        if encoder is None and (whiten_codes or decorrelation_weight):
            raise PhotograftError("whiten_codes and decorrelation_weight need an encoder in the config")
        if not set(self.diversity_sources) <= set(PAIRED):
            raise PhotograftError(f"diversity_sources must be among {', '.join(PAIRED)}, not {list(diversity_sources)}")
        if diversity_weight and self._projected is None:
            raise PhotograftError("diversity_weight needs a ProjectedAdversary in the config")
        sees_all = self._projected is not None and self._projected.share == 1 and self._projected.every == 1
        if outline_weight and not (sees_all and reuse_fakes):
            raise PhotograftError("outline_weight needs a ProjectedAdversary with share 1 and every 1, and reuse_fakes")
        if graphed and (path_weight or any(isinstance(a, StyleGAN2Adversary) for a in adversaries)):
            raise PhotograftError("graphed is not for path_weight or StyleGAN2Adversary: set it to false")

    # ------------------------------------------------------------------ networks

    @property
    def averaged_generator(self) -> Generator:
        """The moving average of the generator."""
        return cast(Generator, self.ema["generator"])

    @property
    def averaged_encoder(self) -> FeatureEncoder:
        """The moving average of the encoder, if there is one."""
        return cast(FeatureEncoder, self.ema["encoder"])

    @property
    def _opponents(self) -> list[Adversary]:
        return cast(list[Adversary], list(self.adversaries))

    @property
    def _projected(self) -> ProjectedAdversary | None:
        """The first projected discriminator."""
        return next((a for a in self._opponents if isinstance(a, ProjectedAdversary)), None)

    @property
    def _data(self) -> ImageDataModule:
        data: ImageDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def configure_model(self) -> None:
        """Build the networks for the data's classes; called by Lightning before weights are restored."""
        if self.generator is not None:
            return
        data = self._data
        self.generator = build_generator(self.specification, data, self.group_tables, self.init_generator)
        if self.init_generator is not None:
            self.images_before = read_header(Path(self.init_generator)).known.images_seen
        if self.encoder_specification is not None:
            self.encoder = cast(FeatureEncoder, build_encoder(self.encoder_specification, self.init_encoder))
        self.ema = nn.ModuleDict({"generator": copy.deepcopy(self.generator)})
        if self.encoder is not None:
            self.ema["encoder"] = copy.deepcopy(self.encoder)
        self.ema.requires_grad_(False).eval()
        if isinstance(self.generator, StyleGenerator):
            self.generator.noise = "random"
        elif self.style_mixing:
            raise PhotograftError("style_mixing is for generators with a w, such as stylegan2")
        distribution = torch.as_tensor(data.class_distribution, dtype=torch.float32)
        self.prior = Prior(self.generator.sample_latent, self.generator.latent_dim, distribution)
        self.class_names, self.groups = list(data.class_names), list(data.groups)
        self.group_names = list(data.group_names)
        for adversary in self._opponents:
            adversary.build(data.num_classes, data.resolution)
            adversary.start()
        code_dim = 0 if self.encoder is None else self.encoder.latent_dim
        # after the copy of the generator, which would take hooks along
        self.terms = Terms(self.weights, self.generator, self._projected, code_dim, self.diversity_target)

    def on_fit_start(self) -> None:
        """Measure real pictures, once: standardise the frozen features, whiten codes, scatter within classes."""
        if self.steps:
            return
        pictures, labels = self._first_pictures(2048 if self.whiten_codes or self.weights.diversity else 512)
        for adversary in self._opponents:
            if isinstance(adversary, ProjectedAdversary) and not adversary.init:
                adversary.network.calibrate(pictures[:512])
        if self.whiten_codes:
            self._whiten(pictures)
        if self._projected is not None:
            self.terms.measure(self._projected, pictures, labels)

    def on_train_start(self) -> None:
        """Record steps from here on, if asked to; optimisers are as a checkpoint has left them."""
        recorded = self.graphed and self.device.type == "cuda" and self.trainer.world_size == 1
        if recorded:
            self._graphs, self.prior.on_device = StepGraphs(), True
        for optimizer in self._all_optimizers():
            set_recordable(optimizer.optimizer, self.device if recorded else None)

    def _first_pictures(self, n: int) -> tuple[Tensor, Tensor]:
        """The first pictures of the stream [n,3,R,R] in [-1,1] and their classes: n per process, or an epoch's."""
        pictures: list[Tensor] = []
        labels: list[Tensor] = []
        for batch in self._data.train_dataloader():
            pictures.append(images_to_float(batch["image"]).to(self.device))
            labels.append(batch["label"].to(self.device))
            if sum(map(len, pictures)) >= n:
                break
        found = torch.cat(pictures)[:n], torch.cat(labels)[:n]
        if self.trainer.world_size == 1:
            return found
        # every process must measure, and change, the same
        images, classes = (cast(Tensor, self.all_gather(part)).flatten(0, 1) for part in found)
        return images, classes

    def _whiten(self, pictures: Tensor) -> None:
        assert self.generator is not None and self.encoder is not None
        first = getattr(self.generator, "linear", None)
        if not isinstance(first, nn.Linear):
            raise PhotograftError("whiten_codes needs a generator whose z goes into a layer named `linear` (sngan)")
        whiten(self.encoder, first, pictures.split(64))
        for name, average in self.ema.items():
            average.load_state_dict(self.get_submodule(name).state_dict())

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam of the generator (with the encoder), then one of each adversary."""
        assert self.generator is not None
        tables = {id(p): p for p in table_parameters(self.generator)}
        rest = [p for p in self.generator.parameters() if id(p) not in tables]
        coded = [] if self.encoder is None else [p for p in self.encoder.parameters() if p.requires_grad]
        groups = [
            {"params": rest, "lr": self.learning_rate},
            {"params": list(tables.values()), "lr": self.table_learning_rate},
        ]
        if self.encoder_learning_rate is None:
            rest += coded
        else:
            groups.append({"params": coded, "lr": self.encoder_learning_rate})
        optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(groups, betas=self.betas)]
        for adversary in self._opponents:
            learns = [p for p in adversary.parameters() if p.requires_grad]
            optimizers.append(torch.optim.Adam(learns, lr=adversary.learning_rate, betas=self.betas))
        # the config's rates, not a checkpoint's, hold after a resume
        self._rates = [[float(group["lr"]) for group in optimizer.param_groups] for optimizer in optimizers]
        return optimizers

    # ------------------------------------------------------------------ one step

    @property
    def stage(self) -> Stage:
        """The stage of the training that it is in."""
        seen = self.images_seen
        for stage in self.stages:
            if seen < stage.images:
                return stage
            seen -= int(stage.images)
        return self.stages[-1]

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """One discriminator step per adversary, and every n_dis steps one of the generator. Ends with the rates."""
        real, label = images_to_float(batch["image"]), batch["label"]
        stage = self.stage
        self._set_learning_rates()
        if self._graphs is None:
            report = self._step(stage, real, label)
        else:
            turns = (self.steps % self.n_dis == 0, *(self.steps % a.every == 0 for a in self._opponents))
            kind = (self.stages.index(stage), turns, len(real))
            report = self._graphs(kind, lambda real, label: self._step(stage, real, label), real, label)
        check_terms(report, self.steps)
        self.count(len(real))
        self.log_dict(report)
        self.log("images", float(self.images_seen), prog_bar=True)
        if self.decay is not None and self.images_seen >= self.decay[1]:
            self.trainer.should_stop = True

    def _step(self, stage: Stage, real: Tensor, label: Tensor) -> dict[str, Tensor]:
        """The step on pictures [N,3,R,R] in [-1,1] of classes [N]; the terms of its losses."""
        self._report = {}
        generator_turn = stage.train_generator and self.steps % self.n_dis == 0
        if not self.reuse_fakes and generator_turn:
            fakes = self.make_fakes(self.draw_codes(stage, real, label, self.generator_batch))
            self._generator_step(stage, real, fakes)
        with torch.set_grad_enabled(self.reuse_fakes and generator_turn):
            fakes = self.make_fakes(self.draw_codes(stage, real, label, len(real)))
        if stage.adversarial:
            self._discriminator_steps(self.steps, real, label, fakes)
        if self.reuse_fakes and generator_turn:
            self._generator_step(stage, real, fakes)
        self._looked = {}  # with the graph of gradients that hangs on it
        return self._report

    def draw_codes(self, stage: Stage, real: Tensor, label: Tensor, n: int) -> Codes:
        """Latents and classes of n fakes from the stage's sources.

        Raises:
            PhotograftError: more fakes from photos than there are real pictures [N,3,R,R] in the batch.
        """
        assert self.generator is not None
        counts = stage.split(n)
        reconstructions = counts["reconstruction"]
        from_photos = reconstructions + counts["translation"]
        prior = self.prior.latent(counts["prior"])
        drawn = self.prior.labels(n - reconstructions)
        pairs = self._pair(drawn, reconstructions, counts) if self.weights.diversity else ()
        if not from_photos:
            return Codes(prior, drawn, 0, 0, pairs)
        if from_photos > len(real):
            raise PhotograftError(
                f"{from_photos} fakes from photos need as many real pictures; the batch has {len(real)}"
            )
        assert self.encoder is not None
        codes = self.encoder(resize(real, self.encoder.resolution))
        latent = torch.cat([self.encoder.noisy(codes)[:from_photos], prior])
        return Codes(latent, torch.cat([label[:reconstructions], drawn]), reconstructions, from_photos, pairs, codes)

    def _pair(self, drawn: Tensor, start: int, counts: dict[str, int]) -> tuple[Tensor, ...]:
        """Give the second half of the translations, and of the prior samples, the classes of the first; which ones."""
        pairs = []
        for source in PAIRED:
            half = counts[source] // 2 if source in self.diversity_sources else 0
            first = torch.arange(half, device=drawn.device) + start
            start += counts[source]
            if half:
                drawn[first + half - counts["reconstruction"]] = drawn[first - counts["reconstruction"]]
                pairs.append(torch.stack([first, first + half], dim=1))
        return tuple(pairs)

    def make_fakes(self, codes: Codes) -> Fakes:
        """Pictures of codes, in one pass of the generator."""
        assert self.generator is not None
        label = codes.labels if self.generator.num_classes else None
        if not (self.style_mixing and isinstance(self.generator, StyleGenerator)):
            return Fakes(self.generator(codes.latent, label), codes)
        ws, start = self.generator.mapping(codes.latent, label), codes.from_photos
        others, label = self.prior.latent(len(ws) - start), None if label is None else label[start:]
        mixed = mix_styles(self.generator, ws[start:], others, label, self.style_mixing)
        return Fakes(self.generator(torch.cat([ws[:start], mixed])), codes)

    def _discriminator_steps(self, step: int, real: Tensor, label: Tensor, fakes: Fakes) -> None:
        self._looked = {}
        augmentation = Augmentation.draw(len(real), real.device)
        for index, adversary in enumerate(self._opponents):
            if step % adversary.every:
                continue
            n = max(1, int(len(real) * adversary.share))
            pick = slice(0, n) if adversary.share == 1.0 else torch.rand(len(real), device=real.device).argsort()[:n]
            seen_real, seen_fake = self._look(adversary, real, fakes.images, augmentation, pick)
            labels, fake_labels = label[pick], fakes.codes.labels[pick]
            self._looked[index] = Looked(seen_real, seen_fake, fake_labels)
            wrong = self.prior.wrong_labels(labels)
            terms = adversary.own_loss(seen_real, labels, seen_fake.detach(), fake_labels, wrong)
            self._descend(1 + index, terms)
            name = type(adversary).__name__.removesuffix("Adversary").lower()
            self._report |= {f"{name}/{key}": value.detach() for key, value in terms.items()}

    def _descend(self, index: int, terms: dict[str, Tensor]) -> None:
        """One step of an optimiser on a sum of terms."""
        optimizer = self._all_optimizers()[index]
        optimizer.zero_grad()
        self.manual_backward(torch.stack(list(terms.values())).sum())
        (optimizer if self._graphs is None else optimizer.optimizer).step()

    def _all_optimizers(self) -> list[LightningOptimizer]:
        return cast(list[LightningOptimizer], self.optimizers())

    @staticmethod
    def _look(
        adversary: Adversary, real: Tensor, fake: Tensor, augmentation: Augmentation, pick: Any
    ) -> tuple[Any, Any]:
        real, fake = (x[pick] if isinstance(pick, slice) else x.index_select(0, pick) for x in (real, fake))
        real, fake = (adversary.augmented(x, augmentation[pick]) for x in (real, fake))
        with torch.no_grad():
            seen_real = adversary.look(real)
        return seen_real, adversary.look(fake)

    def _generator_step(self, stage: Stage, real: Tensor, fakes: Fakes) -> None:
        listened = [(i, a) for i, a in enumerate(self._opponents) if stage.adversarial and a.weight]
        looked = self._looked if self.reuse_fakes and stage.adversarial else {}
        if self.reuse_fakes:  # those that looked in this step
            listened = [(i, a) for i, a in listened if i in looked]
        terms: dict[str, Tensor] = {}
        for index, adversary in listened:
            adversary.set_learning(False)
            if index in looked:
                seen, labels = looked[index].fake, looked[index].labels
            else:
                augmentation = Augmentation.draw(len(fakes.images), fakes.images.device)
                seen, labels = adversary.look(adversary.augmented(fakes.images, augmentation)), fakes.codes.labels
            score = adversary.generator_loss(seen, labels)
            terms[f"adversarial_{index}"] = stage.adversarial * adversary.weight * score
        whole = (looked[i] for i, a in enumerate(self._opponents) if i in looked and a is self._projected)
        terms |= self.terms(
            real,
            fakes,
            self.generator,
            self._projected,
            next(whole, None) if self._projected is not None and self._projected.share == 1 else None,
            self._draw_prior,
            adversarial=stage.adversarial > 0,
            step=self.steps,
        )
        if terms:  # else nobody that it listens to looked in this step
            self._descend(0, terms)
            self._update_ema()
        for _, adversary in listened:
            adversary.set_learning(True)
        self._report |= {f"generator/{key}": value.detach() for key, value in terms.items()}

    def _draw_prior(self, n: int) -> tuple[Tensor, Tensor | None]:
        assert self.generator is not None
        label = self.prior.labels(n)
        return self.prior.latent(n), label if self.generator.num_classes else None

    def _update_ema(self) -> None:
        # early on the average would be of nothing but the first weights; a graph has one decay for ever
        decay = self.ema_decay
        if self._graphs is None:
            decay = min(decay, (1 + self.steps) / (10 + self.steps))
        for name, average in self.ema.items():
            update_average(average, self.get_submodule(name), decay)

    def _set_learning_rates(self) -> None:
        factor = linear_decay(self.images_seen, self.decay)
        for optimizer, rates in zip(self._all_optimizers(), self._rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate * factor)
                else:
                    group["lr"] = rate * factor

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise PhotograftError for a checkpoint of other classes than the data's."""
        names = checkpoint.get("classes", {}).get("class_names", [])
        if list(names) != self.class_names:
            differ = sorted({*names} ^ {*self.class_names}) or names
            raise PhotograftError(
                f"the checkpoint was trained on {len(names)} classes and the data have {len(self.class_names)}, or in"
                f" another order ({short(differ)}): give the same data, or start anew"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what export needs to rebuild the networks."""
        assert self.generator is not None
        roles: dict[str, tuple[str, Configurable]] = {"generator": ("generator", self.generator)}
        if self.encoder is not None:
            roles["encoder"] = ("encoder", self.encoder)
        for index, adversary in enumerate(self._opponents):
            roles[f"adversaries.{index}.network"] = ("discriminator", adversary.network)
        checkpoint["networks"] = describe(roles)
        checkpoint["classes"] = {
            "class_names": self.class_names,
            "groups": self.groups,
            "group_names": self.group_names,
            "distribution": self.prior.distribution.tolist(),
        }
