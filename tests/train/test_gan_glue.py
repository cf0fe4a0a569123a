"""What `GAN` does between its parts: whose labels fakes have, how loud an adversary is heard, what the average follows.

Seen from outside: through an adversary that writes down what it is shown, and the networks before and after a step.
"""

import copy
from pathlib import Path
from typing import Any, cast

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from tests.train.tiny import LATENTS, MIXED, adversaries, fit, gan, write_folders
from train.gan.adversaries import Adversary, SNProjectionAdversary
from train.gan.module import GAN
from train.gan.sources import Stage
from train.networks import Network

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
]
# its codes have (nearly) no noise, so that a reconstruction can be made again
ENCODER = Network("feature", {"latent_dim": LATENTS, "resolution": 32, "width": 4, "hidden": 8, "noise": 1e-6})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("data") / "folders", count=4)


class Witness(SNProjectionAdversary):
    """Writes down what it is shown; as the generator's judge it asks for dark pictures (their mean)."""

    def __init__(self, **settings: Any) -> None:
        super().__init__("snresnet_small", ch=2, **settings)
        self.shown: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []  # real, its classes, fake, its classes
        self.pulls: list[Tensor] = []  # gradients of the generator's loss on the pictures, through this adversary

    def look(self, x: Tensor) -> Tensor:
        return x.clone()  # of its own: no other term reaches it

    def own_loss(
        self, real: Tensor, real_label: Tensor, fake: Tensor, fake_label: Tensor, wrong_label: Tensor
    ) -> dict[str, Tensor]:
        self.shown.append((real, real_label, fake.detach(), fake_label))
        return super().own_loss(real, real_label, fake, fake_label, wrong_label)

    def generator_loss(self, fake: Tensor, label: Tensor) -> Tensor:
        fake.register_hook(self.pulls.append)
        return fake.mean()


def beside(*witnesses: Witness) -> list[Adversary]:
    """With the projected discriminator, through whose features reconstructions are compared."""
    return [*witnesses, adversaries()[0]]


class Before(pl.Callback):
    """Copies of the module's networks and averages before every step."""

    def __init__(self) -> None:
        self.networks: list[dict[str, nn.Module]] = []
        self.averages: list[dict[str, nn.Module]] = []
        self.after: list[tuple[dict[str, nn.Module], dict[str, nn.Module]]] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        networks, averages = both(cast(GAN, pl_module))
        self.networks.append(networks)
        self.averages.append(averages)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.after.append(both(cast(GAN, pl_module)))


def both(module: GAN) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    """Copies of the networks and of their averages."""
    networks = {"generator": module.generator, "encoder": module.encoder}
    averages = {"generator": module.averaged_generator, "encoder": module.averaged_encoder}
    return copy.deepcopy(networks), copy.deepcopy(averages)  # type: ignore[return-value]


def floats(network: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if value.is_floating_point()}


def test_reconstructions_are_of_their_photos_and_have_their_classes(folders: Path, tmp_path: Path) -> None:
    witness, before = Witness(), Before()
    stages = [Stage(sources={"reconstruction": 1.0})]
    fit(
        folders,
        tmp_path,
        3,
        module=gan(adversaries=beside(witness), encoder=ENCODER, stages=stages),
        callbacks=(before,),
    )
    assert len(witness.shown) == 3
    assert any(len(set(label.tolist())) > 1 for _, label, _, _ in witness.shown)
    for (real, label, fake, fake_label), networks in zip(witness.shown, before.networks, strict=True):
        assert torch.equal(fake_label, label)
        with torch.no_grad():
            expected = networks["generator"](networks["encoder"](real), label)
        torch.testing.assert_close(fake, expected, rtol=0, atol=1e-3)
        assert float((fake.flip(0) - expected).abs().max()) > 1e-2  # those of other photos look different


def test_of_mixed_fakes_the_first_are_reconstructions(folders: Path, tmp_path: Path) -> None:
    witness = Witness()
    shares = {**MIXED, "reconstruction": 1.0}
    module = gan(adversaries=beside(witness), encoder=ENCODER, stages=[Stage(sources=shares)])
    fit(folders, tmp_path, 4, module=module, batch_size=8)
    count = Stage(sources=shares).split(8)["reconstruction"]
    assert 1 < count < 8
    for _, label, _, fake_label in witness.shown:
        assert torch.equal(fake_label[:count], label[:count])
    assert any(not torch.equal(fake_label, label) for _, label, _, fake_label in witness.shown)


@pytest.mark.parametrize(("adversarial", "reuse"), [(1.0, True), (0.5, False)])
def test_an_adversary_is_heard_by_its_weight(folders: Path, tmp_path: Path, adversarial: float, reuse: bool) -> None:
    loud, quiet, observer = Witness(weight=3.0), Witness(weight=0.25), Witness(weight=0.0)
    stages = [Stage(sources={"prior": 1.0}, adversarial=adversarial)]
    fit(
        folders,
        tmp_path,
        2,
        module=gan(adversaries=beside(loud, quiet, observer), stages=stages, reuse_fakes=reuse, generator_batch=4),
    )
    for witness in (loud, quiet):
        assert len(witness.pulls) == 2
        for pull in witness.pulls:  # the mean's gradient is 1 / numel
            torch.testing.assert_close(pull, torch.full_like(pull, adversarial * witness.weight / pull.numel()))
    assert len(observer.shown) == 2
    assert not observer.pulls


def test_the_average_warms_up_and_then_keeps_its_decay(folders: Path, tmp_path: Path) -> None:
    before, decay = Before(), 0.22
    stages = [Stage(sources=dict(MIXED))]
    fit(folders, tmp_path, 4, module=gan(adversaries=beside(Witness()), stages=stages, ema=decay), callbacks=(before,))
    used = [min(decay, (1 + step) / (10 + step)) for step in range(4)]
    assert used == [1 / 10, 2 / 11, decay, decay]  # two of each kind
    for keeps, averages, (networks, new_averages) in zip(used, before.averages, before.after, strict=True):
        for name in ("generator", "encoder"):
            old, source, new = (floats(n[name]) for n in (averages, networks, new_averages))
            assert any(
                float((source[key] - old[key]).abs().max()) > 1e-5 for key in old
            )  # there is something to follow
            for key, value in new.items():
                expected = keeps * old[key] + (1 - keeps) * source[key]
                torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)
