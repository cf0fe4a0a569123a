"""One step of E's training against the original, by our own module through a Trainer; see tests/train/golden.py."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.encoder import ResNetEncoder
from tests.collage_fixtures import DISCRIMINATOR, LATENT, Fixture, network, snapshot_path, worst
from tests.train.golden import GivenData, fit_once, gradients, links, settle, use_original_epsilon, write_model
from train.networks import Network
from train.projection.encoder import EncoderTraining

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
]

RATE = 5e-5
NOISE = 1e-6
GRADIENT = {"rtol": 2e-5, "atol": 2e-8}
# One ReLU of the discriminator sees 7e-7 of its layer's deviation, which rounding puts on either side: it alone moves
# gradients by a thousandth (found by trying: with it on the other side all agree to a few millionths).
KINK, KINK_VALUE = (1, 1, 11, 12), 1e-9
AFTER = {"rtol": 0.0, "atol": RATE * 0.002}  # a thousandth of the way between the two signs
STATISTICS = {"rtol": 1e-5, "atol": 2e-6}


class GivenEncoder(EncoderTraining):
    """Keeps what the step computed."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.codes: list[Tensor] = []
        self.terms: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        self.encoder.register_forward_hook(lambda _m, _i, z: self.codes.append(z.detach()))

    def on_fit_start(self) -> None:
        super().on_fit_start()
        discriminator: Any = self.frozen.discriminator
        discriminator.blocks[0].conv1.register_forward_hook(self._as_recorded)

    def _as_recorded(self, module: torch.nn.Module, inputs: Any, x: Tensor) -> Tensor:
        if x[KINK].abs() > 1e-5:  # the photos, not their reconstructions
            return x
        moved = x.clone()
        moved[KINK] = moved[KINK] + (KINK_VALUE - moved[KINK]).detach()
        return moved

    def loss(self, *args: Any) -> dict[str, Tensor]:
        self.terms = super().loss(*args)
        return self.terms

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        use_original_epsilon(optimizer)
        self.gradients = gradients(self.encoder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[GivenEncoder, Fixture]:
    fixture, folder = Fixture("train_enc_step"), tmp_path_factory.mktemp("golden")
    encoder = network("enc_small_bw2", "encoder")
    networks = {
        "generator": network("gen_small_bw2", "generator"),
        "discriminator": network("dis_small", "discriminator"),
        "encoder": encoder,
    }
    name = write_model(folder, networks)
    config = {key: encoder.config[key] for key in ("channels", "bottom_width")}
    module = GivenEncoder(name, Network("resnet", config), init=f"{name}.encoder.safetensors")
    assert module.encoder.config == encoder.config
    fit_once(module, GivenData(fixture.get("x"), fixture.get("c")))
    return module, fixture


def compare_loss_and_code(module: GivenEncoder, fixture: Fixture) -> None:
    fixture.check("z_trainmode", module.codes[0], **LATENT)
    (feature,) = module.terms.values()
    fixture.check("loss", feature - len(module.codes[0]), **DISCRIMINATOR)  # the original's has no 1 before the cosine


def compare_gradients(module: GivenEncoder, fixture: Fixture) -> None:
    for link, name, _ in links(module.encoder):
        gradient = module.gradients.get(name)
        if gradient is None:
            continue
        recorded = fixture.get(f"gradnorm__{link}")
        if recorded < 1e-6:  # before a batch norm: rounding noise on both sides
            assert gradient.norm() < 5e-6, link
        else:
            fixture.check(f"gradnorm__{link}", gradient.norm(), **GRADIENT)
        if f"grad__{link}" in fixture:
            fixture.check(f"grad__{link}", gradient, rtol=0, atol=2e-5 * gradient.abs().max().item())


def compare_state(module: GivenEncoder, fixture: Fixture) -> tuple[int, int]:
    counts = settle(fixture, "after__", module.encoder, module.gradients, noise=NOISE, rate=RATE)
    for link, name, value in links(module.encoder):
        key = f"after__{link}"
        if key in fixture:  # recorded up to 600 values
            fixture.check(key, value, **(AFTER if name in module.gradients else STATISTICS))
    return counts


def test_loss_and_code(run: tuple[GivenEncoder, Fixture]) -> None:
    compare_loss_and_code(*run)


def test_gradients(run: tuple[GivenEncoder, Fixture]) -> None:
    compare_gradients(*run)


def test_state_after_the_step(run: tuple[GivenEncoder, Fixture]) -> None:
    noisy, total = compare_state(*run)
    print(f"{noisy} of {total} values stepped by noise")
    assert noisy < 0.02 * total  # 76: the biases before a batch norm


def test_nothing_was_overlooked(run: tuple[GivenEncoder, Fixture]) -> None:
    """Every array was compared, but for counters, and the original's last batch norm, which it never applies."""
    module, fixture = run
    assert isinstance(module.encoder, ResNetEncoder)
    compare_loss_and_code(module, fixture)
    compare_gradients(module, fixture)
    compare_state(module, fixture)
    with np.load(snapshot_path("enc_small_bw2")) as file:
        initial = dict(file)
    unused = {f"after__b7.{value}" for value in ("beta", "gamma", "avg_mean", "avg_var")}
    assert {key for key in fixture.left if not key.endswith(".N")} == unused
    assert max(share for key, share in worst.items() if key.startswith("train_enc_step/")) <= 1
    for key in unused:
        assert np.array_equal(fixture.arrays[key], initial[key.removeprefix("after__").replace(".", "/")]), key
