"""One step of the training of A and B against the original, by our own module through a Trainer.

The original sums cosines over the batch and adds 0.05 of the *mean* squared difference over the batch, which is 0.05 /
batch size in our terms. Its loss has no 1 before the cosine.
"""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from models.auxiliary import AuxiliaryNetworks
from models.projection.objective import Losses, Objective
from tests.collage_fixtures import (
    DISCRIMINATOR,
    IMAGE,
    LATENT,
    OUTER_STEP,
    Fixture,
    link_path,
    names,
    network,
    networks,
    worst,
)
from tests.train.golden import GivenData, fit_once, gradients, links, use_original_epsilon, write_model
from train.projection.auxiliary import AuxiliaryTraining

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
]

RATE, CLIP = 5e-5, 100.0
WEIGHTS = (20.0, 2.0, 1.0)
GRADIENT = {"rtol": 1e-5, "atol": 1e-7}
AFTER = {"rtol": 0.0, "atol": RATE * 0.002}  # a thousandth of the way between the two signs


class Recorder(Objective):
    """Keeps the variables and the losses of every call."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.calls: list[tuple[Tensor, Losses]] = []

    def __call__(self, variable: Tensor, rows: Tensor) -> Losses:
        losses = super().__call__(variable, rows)
        self.calls.append((variable.detach(), losses))
        return losses


class GivenAuxiliary(AuxiliaryTraining):
    """Starts from the recorded z, and keeps what the step computed."""

    def __init__(self, *args: Any, z: Tensor, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.given = z
        self.gradients: dict[str, Tensor] = {}
        self.generator_gradients: dict[str, Tensor] = {}
        self.terms: dict[str, Tensor] = {}
        self.logged: dict[str, Tensor] = {}

    def latents(self, images: Tensor, label: Tensor | None) -> Tensor:
        return self.given

    def objective(self, images: Tensor, label: Tensor | None) -> Recorder:
        frozen = self.frozen
        settings = {"auxiliary": self.auxiliary, "pixel_weight": super().objective(images, label).pixel_weight}
        self.recorder = Recorder(frozen.generator, frozen.discriminator, images, label, **settings)
        return self.recorder

    def loss(self, *args: Any) -> dict[str, Tensor]:
        self.terms = super().loss(*args)
        return self.terms

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        use_original_epsilon(optimizer)
        self.gradients = gradients(self.auxiliary)
        self.generator_gradients = gradients(self.frozen.generator)
        (step_size,) = self._counted
        assert step_size.grad is not None
        self.step_size_gradient = step_size.grad.clone()

    def counted_gradients(self) -> list[Tensor]:
        self.counted = super().counted_gradients()
        return self.counted

    def log(self, name: str, value: Any, *_: Any, **__: Any) -> None:
        self.logged[name] = value


@dataclass
class Run:
    """A fixture and the module that was run on it."""

    fixture: Fixture
    module: GivenAuxiliary


@pytest.fixture(scope="module", params=names("aux_"))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    name, folder = request.param, tmp_path_factory.mktemp("golden")
    fixture, loaded = Fixture(name), networks(name)
    dis = bytes(fixture.get("dis_snapshot").tolist()).decode()
    model = write_model(folder, {"generator": loaded["generator"], "discriminator": network(dis, "discriminator")})
    auxiliary = loaded["auxiliary"]
    assert isinstance(auxiliary, AuxiliaryNetworks)
    z, step_size = fixture.get("z"), fixture.get("fast_alpha")
    sizes = {key: auxiliary.config[key] for key in ("zeta_dim", "hidden_a", "hidden_b")}
    module = GivenAuxiliary(
        model, z=z, **sizes, pixel_weight=0.05 / len(z), random_starts=1.0, count_generator=True, weights=WEIGHTS
    )
    module.auxiliary.load_state_dict(auxiliary.state_dict())
    module.log_step_size.data.copy_(step_size.log())
    fit_once(module, GivenData(fixture.get("gt"), fixture.get("y")), gradient_clip_val=CLIP)
    return Run(fixture, module)


def test_losses_along_the_inner_steps(run: Run) -> None:
    f, terms, calls = run.fixture, run.module.terms, run.module.recorder.calls
    n = len(run.module.given)
    f.check("zeta", calls[0][0], **LATENT)
    f.check("fast_losses", torch.stack([losses.total.sum() - n for _, losses in calls]), **DISCRIMINATOR)
    f.check("zeta_after_T", calls[-1][0], **LATENT)
    f.check("out_T_stride2", calls[-1][1].image, **IMAGE)
    f.check("ae_loss", terms["autoencoder"] / 100, rtol=1e-5, atol=0)
    f.check("outer_loss", torch.stack(list(terms.values())).sum() - n * sum(WEIGHTS), rtol=1e-5, atol=0)


def test_gradients(run: Run) -> None:
    """Also of the generator and the step sizes, which do not learn but count in the norm that is clipped."""
    f, m = run.fixture, run.module
    f.check("outer_gradnorm___fast_alpha.W", m.step_size_gradient.norm(), **GRADIENT)
    generator = {link_path(name, m.model.generator): g for name, g in m.generator_gradients.items()}
    own = {link_path(name, m.auxiliary): g for name, g in m.gradients.items()}
    for link, gradient in {**generator, **own}.items():
        f.check(f"outer_gradnorm__{link}", gradient.norm(), **GRADIENT)
        if f"outer_grad__{link}" in f:
            f.check(f"outer_grad__{link}", gradient, rtol=0, atol=5e-6 * gradient.abs().max().item())
    counted = [*m.generator_gradients.values(), m.step_size_gradient]  # the last is a millionth of the norm
    assert all(torch.equal(a, b) for a, b in zip(m.counted, counted, strict=True))
    f.check("outer_gradnorm_all", m.logged["gradient_norm"], rtol=1e-5, atol=0)


def test_state_after_the_step(run: Run) -> None:
    """Of every value. Units that are off move by weight decay alone, which shows that it is clipped with the rest."""
    f, m = run.fixture, run.module
    assert m.logged["gradient_norm"] > 2 * CLIP
    assert sum(int((g == 0).sum()) for g in m.gradients.values()) > 100
    for link, _, value in links(m.auxiliary):
        f.check(f"after_step__{link}", value, **AFTER)


def test_nothing_of_the_step_was_overlooked(run: Run) -> None:
    """What is left is of A's and B's forward pass, see tests/models/test_golden_auxiliary.py."""
    test_losses_along_the_inner_steps(run)
    test_gradients(run)
    test_state_after_the_step(run)
    assert [key for key in sorted(run.fixture.left) if key.startswith(OUTER_STEP)] == []
    assert max(share for key, share in worst.items() if key.startswith(run.fixture.name)) <= 1
