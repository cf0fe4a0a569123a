"""One iteration of the paper's training against the original: G step, then D step, on given z and classes.

Our own module runs it, through a Trainer; only the drawn z and classes are replaced by the recorded ones. Adam's first
step is lr * sign(gradient), so a value whose gradient is mere rounding noise (below `NOISE`: the generator's biases
before a batch norm, whose true gradient is zero, and single other elements) may step to either side. Such values are
checked to lie within a step, and then set to the recorded ones: else their shift would be seen in the running means.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from models.base import Configurable
from tests.collage_fixtures import IMAGE, Fixture, link_path, network, worst
from train.adversaries import SNProjectionAdversary
from train.gan import GAN
from train.networks import Network
from train.sources import Codes, Fakes

pytestmark = pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training")

RATE = 2e-4
NOISE = 2e-6  # and below it Chainer's epsilon, which it adds before the bias correction, is seen too
GRADIENT = {"rtol": 2e-4, "atol": 2e-8}
AFTER = {"rtol": 0.0, "atol": RATE * 0.02}  # a hundredth of the way between the two signs
STATISTICS = {"rtol": 1e-5, "atol": 2e-6}
SCORE = {"rtol": 1e-4, "atol": 2e-6}


class GivenData(pl.LightningDataModule):
    """The recorded real batch, and what the module asks of its data."""

    def __init__(self, fixture: Fixture) -> None:
        super().__init__()
        self.batch = {"image": fixture.get("x_real"), "label": fixture.get("y_real")}
        self.num_classes, self.resolution = 7, 64
        self.class_names, self.group_names, self.groups = [str(i) for i in range(7)], ["all"], [0] * 7
        self.class_distribution = torch.full((7,), 1 / 7)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader([self.batch], batch_size=None)  # type: ignore[arg-type]


class GivenGAN(GAN):
    """Draws the recorded codes, in turn, and keeps what the steps computed."""

    def __init__(self, fixture: Fixture, **settings: Any) -> None:
        super().__init__(**settings)
        self.fixture = fixture
        self.given: Iterator[Codes] = iter(
            [Codes(fixture.get(f"z_{turn}"), fixture.get(f"y_{turn}"), 0) for turn in ("gen", "dis")]
        )
        self.made: list[Fakes] = []
        self.gradients: list[dict[str, Tensor]] = []
        self.logged: dict[str, Tensor] = {}
        self.scores: list[Tensor] = []

    def configure_model(self) -> None:
        super().configure_model()
        assert self.generator is not None
        discriminator = self._opponents[0].network
        for ours, (name, kind) in {
            self.generator: ("gen_resnet64", "generator"),
            discriminator: ("dis_64", "discriminator"),
        }.items():
            source = network(name, kind)
            assert source.config == ours.config
            ours.load_state_dict(source.state_dict())
        discriminator.register_forward_hook(lambda _m, _i, score: self.scores.append(score.detach()))

    def draw_codes(self, *_: Any) -> Codes:
        if self.gradients:  # between the steps
            settle(self, "g")
        return next(self.given)

    def make_fakes(self, codes: Codes) -> Fakes:
        self.made.append(super().make_fakes(codes))
        return self.made[-1]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        stepping = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert self.generator is not None
        networks: list[nn.Module] = [self.generator, self._opponents[0].network]
        self.gradients += [
            {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
            for net in networks
            if any(id(p) in stepping for p in net.parameters())
        ]

    def log_dict(self, values: Any, *_: Any, **__: Any) -> None:
        self.logged |= values


@pytest.fixture(scope="module")
def run() -> GivenGAN:
    fixture = Fixture("train_gan_step")
    generator: Configurable = network("gen_resnet64", "generator")
    discriminator: Configurable = network("dis_64", "discriminator")
    config = {key: value for key, value in generator.config.items() if key != "num_classes"}
    module = GivenGAN(
        fixture,
        generator=Network("sngan", config),
        adversaries=[SNProjectionAdversary("snresnet_64", discriminator.config["channels"][0], learning_rate=RATE)],
        n_dis=1,
        reuse_fakes=False,
        generator_batch=4,
        learning_rate=RATE,
        table_learning_rate=RATE,
        group_tables=False,
    )
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(module, datamodule=GivenData(fixture))
    return module


def names(run: GivenGAN, prefix: str) -> Iterator[tuple[str, str, Tensor, Tensor | None]]:
    """(array, our name, value after the step, gradient or None) of the generator (g) or discriminator (d)."""
    assert run.generator is not None
    net = run.generator if prefix == "g" else run._opponents[0].network
    gradients = run.gradients[0 if prefix == "g" else 1]
    for name, value in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        owner, leaf = name.rsplit(".", 1)
        if leaf in ("running_mean", "running_var"):
            link = link_path(f"{owner}.weight", net).rsplit(".", 1)[0]
            link += ".avg_mean" if leaf == "running_mean" else ".avg_var"
        elif leaf == "u":
            link = link_path(f"{owner.removesuffix('.spectral_norm')}.weight", net).removesuffix("W") + "u"
        else:
            link = link_path(name, net)
        yield link, name, value, gradients.get(name)


def test_losses_scores_and_picture(run: GivenGAN) -> None:
    f = run.fixture
    f.check("x_fake_gen_item0_train", run.made[0].images, **IMAGE)
    f.check("loss_gen", run.logged["generator/adversarial_0"], **SCORE)
    f.check("loss_dis", run.logged["snprojection/real"] + run.logged["snprojection/fake"], **SCORE)
    _, real, fake = run.scores
    f.check("dis_real", real, **SCORE)
    f.check("dis_fake", fake, **SCORE)


@pytest.mark.parametrize("prefix", ["g", "d"])
def test_gradients(run: GivenGAN, prefix: str) -> None:
    for link, _, _, gradient in names(run, prefix):
        if gradient is not None:
            recorded = run.fixture.get(f"{prefix}_gradnorm__{link}")
            if recorded < 1e-7:  # rounding noise on both sides
                assert gradient.norm() < 1e-6, link
            else:
                run.fixture.check(f"{prefix}_gradnorm__{link}", gradient.norm(), **GRADIENT)


def settle(run: GivenGAN, prefix: str) -> tuple[int, int]:
    """Set what moved by noise to what was recorded; numbers of such values and of all."""
    noisy = total = 0
    for link, name, value, gradient in names(run, prefix):
        key = f"{prefix}_after__{link}"
        if key in run.fixture and gradient is not None:
            expected = run.fixture.get(key).reshape(value.shape)
            noise = gradient.abs() < NOISE
            if bool((~noise).any()):
                noise &= gradient != 0  # classes that are not in the batch: these do not move
            assert bool(((value - expected).abs()[noise] <= 2.01 * RATE).all()), name
            value[noise] = expected[noise]
            noisy, total = noisy + int(noise.sum()), total + value.numel()
    return noisy, total


@pytest.mark.parametrize(("prefix", "at_most"), [("g", 0.1), ("d", 0.002)])
def test_state_after_the_step(run: GivenGAN, prefix: str, at_most: float) -> None:
    noisy, total = settle(run, prefix)
    print(f"{prefix}: {noisy} of {total} values stepped by noise")
    assert noisy < at_most * total
    for link, _, value, gradient in names(run, prefix):
        key = f"{prefix}_after__{link}"
        if key in run.fixture:  # recorded up to 600 values
            run.fixture.check(key, value, **(STATISTICS if gradient is None else AFTER))


def test_nothing_was_overlooked(run: GivenGAN) -> None:
    """Runs last: every array was compared, but for the counters that nothing reads."""
    test_losses_scores_and_picture(run)
    for prefix in ("g", "d"):
        test_gradients(run, prefix)
        test_state_after_the_step(run, prefix, 0.1)
    assert {key for key in run.fixture.left if not key.endswith(".N")} == set()
    assert max(share for key, share in worst.items() if key.startswith("train_gan_step/")) <= 1
