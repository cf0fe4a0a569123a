"""GAN training: one module, several sources of fakes, several adversaries.

With one source (prior samples) and one adversary (SN projection discriminator, n_dis 5) this is the paper's hinge
SNGAN. With an encoder in the loop, fakes are also reconstructions G(E(x), y) and class translations G(E(x), y') of real
photos, which is what makes training feasible on small machines: see docs/training.md for what was measured.
"""

import copy
from collections.abc import Mapping
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
from models.progress import tell
from train.checkpoint import check_classes
from train.counters import CountingModule
from train.divergence import check_terms
from train.gan.adversaries import Adversary, ProjectedAdversary, View
from train.gan.augment import Augmentation
from train.gan.graph import StepGraphs, set_recordable
from train.gan.one_class import check_class_count
from train.gan.optimizers import OptimizerSettings, rates_of, set_rates
from train.gan.prior import Prior
from train.gan.sources import Codes, Fakes, Stage, draw_codes
from train.gan.start import Start, first_pictures, whiten_start
from train.gan.style_mixing import mix_styles
from train.gan.terms import GeneratorStep, Need, Term, named
from train.networks import Network, build_encoder, build_generator, describe, update_average

ADAM, FRESH = OptimizerSettings(), Start()


class GAN(CountingModule):
    """Adversarial training of a generator, with or without an encoder in the loop.

    Args:
        generator: family and config; `num_classes` comes from the data.
        adversaries: discriminators; at least one.
        encoder: encoder in the loop; needed for reconstructions and translations.
        stages: what is trained for how long.
        terms: of the generator's loss, beside the adversaries' scores (see `train.gan.terms`).
        n_dis: discriminator steps per generator step.
        reuse_fakes: one forward pass of the generator serves the discriminator's and then the generator's step.
            False is the original's order: generator first, on samples of its own, then the discriminators.
        generator_batch: number of the generator's own samples where fakes are not reused.
        style_mixing: share of the prior samples whose finer styles come from another z of their class (see
            `train.gan.style_mixing`); for generators with a w.
        optimizer: learning rates, their decay, betas.
        start: weights files to start from, and what is done to them.
        group_tables: add a table per group of classes (species) to the class tables.
        ema: decay of the exponential moving average of generator and encoder, per generator step.
        graphed: replay steps as CUDA graphs (see `train.gan.graph`). On one CUDA device; elsewhere it has no effect.
            Not with terms or adversaries that decide anew in every step (`PathLength`, `StyleGAN2Adversary`).

    Raises:
        PhotograftError: reconstructions, translations or whitening without an encoder, a term without what it needs,
            graphs of what is not the same in every step; later a term that the generator has no place for, a generator
            that does not fit the data's resolution, or weights files that do not fit the networks.
    """

    def __init__(
        self,
        generator: Network,
        adversaries: list[Adversary],
        encoder: Network | None = None,
        stages: list[Stage] | None = None,
        terms: list[Term] | None = None,
        n_dis: int = 1,
        reuse_fakes: bool = True,
        generator_batch: int = 32,
        style_mixing: float = 0.0,
        optimizer: OptimizerSettings = ADAM,
        start: Start = FRESH,
        group_tables: bool = True,
        ema: float = 0.999,
        graphed: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.specification, self.encoder_specification = generator, encoder
        self.adversaries = nn.ModuleList(adversaries)
        self.stages = stages or [Stage()]
        self.terms = nn.ModuleDict(named(terms or []))
        self.n_dis, self.reuse_fakes, self.generator_batch = n_dis, reuse_fakes, generator_batch
        self.style_mixing, self.adam, self.start = style_mixing, optimizer, start
        self.group_tables, self.ema_decay, self.graphed = group_tables, ema, graphed
        self._graphs: StepGraphs | None = None
        self._report: dict[str, Tensor] = {}
        self._views: dict[int, View] = {}
        self.generator: Generator | None = None
        self.encoder: FeatureEncoder | None = None
        self._check()

    def _check(self) -> None:
        """Raise PhotograftError for a config whose parts do not fit each other."""
        encoded, projected = self.encoder_specification is not None, self._projected
        if not encoded and any(stage.needs_encoder for stage in self.stages):
            raise PhotograftError("reconstructions and translations need an encoder in the config")
        if not encoded and (self.start.encoder or self.start.whiten_codes):
            raise PhotograftError("start.encoder and start.whiten_codes need an encoder in the config")
        whole = projected is not None and projected.share == 1 and projected.every == 1 and self.reuse_fakes
        met = {Need.ENCODER: encoded, Need.PROJECTED: projected is not None, Need.WHOLE_VIEW: whole}
        for term in self._terms:
            for need in term.needs:
                if not met[need]:
                    raise PhotograftError(f"the term {type(term).__name__} needs {need}")
        changing = [type(part).__name__ for part in (*self._terms, *self._opponents) if not part.recordable]
        if self.graphed and changing:
            raise PhotograftError(f"graphed is not for {' or '.join(changing)}: set it to false")

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
    def _terms(self) -> list[Term]:
        return cast(list[Term], list(self.terms.values()))

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
        check_class_count(data.class_names, getattr(data, "root", "the data"), self.stages, self._opponents)
        self.generator = build_generator(self.specification, data, self.group_tables, self.start.generator)
        if self.start.generator is not None:
            self.images_before = read_header(Path(self.start.generator)).known.images_seen
        if self.encoder_specification is not None:
            built = build_encoder(self.encoder_specification, self.generator, self.start.encoder)
            self.encoder = cast(FeatureEncoder, built)
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
        for term in self._terms:  # after the copy of the generator, which would take hooks along
            term.build(self.generator, self.encoder, self._projected)

    def on_fit_start(self) -> None:
        """Measure real pictures, once: standardise the frozen features, whiten codes, scatter within classes."""
        if self.steps:
            return
        wanted = [512, 2048 if self.start.whiten_codes else 0, *(term.pictures for term in self._terms)]
        tell("measuring the first pictures")
        pictures, labels = first_pictures(self, self._data.train_dataloader(), max(wanted))
        for adversary in self._opponents:
            if isinstance(adversary, ProjectedAdversary) and not adversary.init:
                adversary.network.calibrate(pictures[:512])
        if self.start.whiten_codes:
            assert self.generator is not None and self.encoder is not None
            whiten_start(self.generator, self.encoder, pictures)
            for name, average in self.ema.items():
                average.load_state_dict(self.get_submodule(name).state_dict())
        for term in self._terms:
            term.measure(self._projected, pictures, labels)

    def on_train_start(self) -> None:
        """Record steps from here on, if asked to; optimisers are as a checkpoint has left them."""
        recorded = self.graphed and self.device.type == "cuda" and self.trainer.world_size == 1
        if recorded:
            self._graphs, self.prior.on_device = StepGraphs(), True
        for optimizer in self._all_optimizers():
            set_recordable(optimizer.optimizer, self.device if recorded else None)
        self.trainer.should_stop = self._ended()  # a resume of what has ended

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam of the generator (with the encoder), then one of each adversary."""
        assert self.generator is not None
        optimizers = self.adam.build(self.generator, self.encoder, self._opponents)
        self._rates = rates_of(optimizers)  # the config's, not a checkpoint's, hold after a resume
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

    @property
    def ends_at(self) -> float | None:
        """Where the learning rates end."""
        return None if self.adam.decay is None else self.adam.decay[1]

    def _ended(self) -> bool:
        return self.ends_at is not None and self.images_seen >= self.ends_at

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """One discriminator step per adversary, and every n_dis steps one of the generator. Ends with the rates."""
        real, label = images_to_float(batch["image"]), batch["label"]
        stage, factor = self.stage, self.adam.decayed(self.images_seen)
        set_rates([o.optimizer for o in self._all_optimizers()], self._rates, factor)
        if self._graphs is None:
            report = self._step(stage, real, label)
        else:
            turns = (self.steps % self.n_dis == 0, *(self.steps % a.every == 0 for a in self._opponents))
            kind = (self.stages.index(stage), turns, len(real))
            report = self._graphs(kind, lambda real, label: self._step(stage, real, label), real, label)
        # norms of gradients scaled for float16 overflow now and then, and are passed over
        check_terms({k: v for k, v in report.items() if not k.startswith("gradient_norm/")}, self.steps)
        self.count(len(real))
        self.log_dict(report)
        self.log_dict({f"learning_rate/{self._name_of(i)}": r[0] * factor for i, r in enumerate(self._rates)})
        self.log("images", float(self.images_seen), prog_bar=True)
        if self._ended():
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
        self._views = {}  # with the graph of gradients that hangs on it
        return self._report

    def draw_codes(self, stage: Stage, real: Tensor, label: Tensor, n: int) -> Codes:
        """Latents and classes of n fakes from the stage's sources; see `train.gan.sources.draw_codes`."""
        paired = {source for term in self._terms for source in term.pairs}
        return draw_codes(stage, n, real, label, self.prior, self.encoder, paired)

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
        self._views = {}
        augmentation = Augmentation.draw(len(real), real.device)
        for index, adversary in enumerate(self._opponents):
            if step % adversary.every:
                continue
            n = max(1, int(len(real) * adversary.share))
            pick = slice(0, n) if adversary.share == 1.0 else torch.rand(len(real), device=real.device).argsort()[:n]
            view = adversary.view(real, fakes, augmentation, pick)
            self._views[index] = view
            labels = label[pick]
            wrong = self.prior.wrong_labels(labels)
            terms = adversary.own_loss(view.real, labels, view.fake.detach(), view.labels, wrong)
            self._descend(1 + index, terms)

    def _descend(self, index: int, terms: dict[str, Tensor]) -> None:
        """One step of an optimiser on a sum of terms, which are reported with the norm of their gradient."""
        optimizer = self._all_optimizers()[index]
        optimizer.zero_grad()
        self.manual_backward(torch.stack(list(terms.values())).sum())
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        name = self._name_of(index)
        self._report |= {f"{name}/{key}": value.detach() for key, value in terms.items()}
        self._report[f"gradient_norm/{name}"] = torch.nn.utils.get_total_norm(gradients)
        (optimizer if self._graphs is None else optimizer.optimizer).step()

    def _name_of(self, index: int) -> str:
        """Of an optimiser, in metrics."""
        if index == 0:
            return "generator"
        return type(self._opponents[index - 1]).__name__.removesuffix("Adversary").lower()

    def _all_optimizers(self) -> list[LightningOptimizer]:
        return cast(list[LightningOptimizer], self.optimizers())

    def _generator_step(self, stage: Stage, real: Tensor, fakes: Fakes) -> None:
        listened = [(i, a) for i, a in enumerate(self._opponents) if stage.adversarial and a.weight]
        views = self._views if self.reuse_fakes and stage.adversarial else {}
        if self.reuse_fakes:  # those that looked in this step
            listened = [(i, a) for i, a in listened if i in views]
        terms: dict[str, Tensor] = {}
        for index, adversary in listened:
            adversary.set_learning(False)
            if index in views:
                seen, labels = views[index].fake, views[index].labels
            else:
                augmentation = Augmentation.draw(len(fakes.images), fakes.images.device)
                seen, labels = adversary.look(adversary.augmented(fakes.images, augmentation)), fakes.codes.labels
            score = adversary.generator_loss(seen, labels)
            terms[f"adversarial_{index}"] = stage.adversarial * adversary.weight * score
        terms |= self._weighted_terms(stage, real, fakes, views)
        if terms:  # else nobody that it listens to looked in this step
            self._descend(0, terms)
            self._update_ema()
        for _, adversary in listened:
            adversary.set_learning(True)

    def _weighted_terms(self, stage: Stage, real: Tensor, fakes: Fakes, views: Mapping[int, View]) -> dict[str, Tensor]:
        assert self.generator is not None
        projected = self._projected
        whole = [v for i, v in views.items() if self._opponents[i] is projected and projected.share == 1]
        view = whole[0] if whole else None
        step = GeneratorStep(self.steps, real, fakes, self.generator, self.prior, projected, view)
        weighted = {}
        for term in self._terms:
            if (stage.adversarial or not term.adversarial) and (value := term(step)) is not None:
                weighted[term.name] = term.weight * value
        return weighted

    def _update_ema(self) -> None:
        # early on the average would be of nothing but the first weights; a graph has one decay for ever
        decay = self.ema_decay
        if self._graphs is None:
            decay = min(decay, (1 + self.steps) / (10 + self.steps))
        for name, average in self.ema.items():
            update_average(average, self.get_submodule(name), decay)

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Log the mean squared difference of validation photos to their reconstructions, if there is an encoder."""
        if self.encoder is None:
            return
        images, label = images_to_float(batch["image"]), batch["label"]
        latent = self.averaged_encoder.encode(images)
        made = self.averaged_generator(latent, label if self.averaged_generator.num_classes else None)
        self.log("val/pixel", (made.float() - images).square().mean(), batch_size=len(images), sync_dist=True)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise PhotograftError for a checkpoint of other classes than the data's."""
        state = checkpoint["state_dict"]
        if "terms.code_covariance" in state:  # its name before terms were a list
            state["terms.decorrelation.covariance"] = state.pop("terms.code_covariance")
        check_classes(checkpoint, self.class_names)

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
