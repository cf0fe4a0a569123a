"""One iteration of the paper's training against the original: G step, then D step, on given z and classes.

Our own module runs it, through a Trainer; only the drawn z and classes are replaced by the recorded ones. Gradients
below `NOISE` (the generator's biases before a batch norm, whose true gradient is zero, and single other elements) are
treated as tests/train/golden.py says: else their shift would be seen in the running means.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.base import Configurable
from tests.collage_fixtures import IMAGE, Fixture, network, worst
from tests.train.golden import GivenData, fit_once, gradients, links, settle
from train.gan.adversaries import SNProjectionAdversary
from train.gan.module import GAN
from train.gan.optimizers import OptimizerSettings
from train.gan.sources import Codes, Fakes
from train.networks import Network

pytestmark = pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training")

RATE = 2e-4
NOISE = 2e-6  # and below it Chainer's epsilon, which it adds before the bias correction, is seen too
GRADIENT = {"rtol": 2e-4, "atol": 2e-8}
AFTER = {"rtol": 0.0, "atol": RATE * 0.02}  # a hundredth of the way between the two signs
STATISTICS = {"rtol": 1e-5, "atol": 2e-6}
SCORE = {"rtol": 1e-4, "atol": 2e-6}


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
            settle_step(self, "g")
        return next(self.given)

    def make_fakes(self, codes: Codes) -> Fakes:
        self.made.append(super().make_fakes(codes))
        return self.made[-1]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        stepping = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert self.generator is not None
        networks: list[nn.Module] = [self.generator, self._opponents[0].network]
        self.gradients += [gradients(net) for net in networks if any(id(p) in stepping for p in net.parameters())]

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
        optimizer=OptimizerSettings(learning_rate=RATE, table_learning_rate=RATE),
        group_tables=False,
    )
    fit_once(module, GivenData(fixture.get("x_real"), fixture.get("y_real")))
    return module


def network_of(run: GivenGAN, prefix: str) -> Configurable:
    """The generator (g) or the discriminator (d)."""
    assert run.generator is not None
    return run.generator if prefix == "g" else run._opponents[0].network


def names(run: GivenGAN, prefix: str) -> Iterator[tuple[str, str, Tensor, Tensor | None]]:
    """(array, our name, value after the step, gradient or None) of the generator (g) or discriminator (d)."""
    net = network_of(run, prefix)
    computed = run.gradients[0 if prefix == "g" else 1]
    for link, name, value in links(net):
        yield link, name, value, computed.get(name)


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


def settle_step(run: GivenGAN, prefix: str) -> tuple[int, int]:
    """Set what moved by noise to what was recorded; numbers of such values and of all."""
    net, computed = network_of(run, prefix), run.gradients[0 if prefix == "g" else 1]
    return settle(run.fixture, f"{prefix}_after__", net, computed, noise=NOISE, rate=RATE)


@pytest.mark.parametrize(("prefix", "at_most"), [("g", 0.1), ("d", 0.002)])
def test_state_after_the_step(run: GivenGAN, prefix: str, at_most: float) -> None:
    noisy, total = settle_step(run, prefix)
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
