"""A step that is replayed as a CUDA graph: what is recorded reads nothing back and takes nothing from the host."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models.errors import PhotograftError
from tests.train.tiny import CHANNELS, CLASSES, LATENTS, adversaries, fit, gan, read, reconstruction, write_shards
from train.gan.adversaries import StyleGAN2Adversary
from train.gan.graph import StepGraphs, set_recordable
from train.gan.module import GAN
from train.gan.optimizers import OptimizerSettings
from train.gan.terms import Decorrelation, Diversity, Outline, PathLength, Saturation, Spectrum
from train.networks import Network

FAMILIES: dict[str, dict[str, Any]] = {
    "sngan": {},
    "stylegan2": {
        "generator": Network("stylegan2", {"channels": CHANNELS, "latent_dim": LATENTS, "mapping": [12, 12]}),
        "style_mixing": 0.5,
    },
}
HOST = ("_local_scalar_dense", "lift_fresh", "randperm", "nonzero", "multinomial")


class Watch(TorchDispatchMode):
    """Notes operations that would make a recording fail."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(name in str(func) for name in HOST):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class Watched:
    """In place of `StepGraphs`: takes every step as it comes, and watches it."""

    def __init__(self) -> None:
        self.kinds: list[Any] = []
        self.seen: list[str] = []

    def __call__(
        self, kind: Any, step: Callable[[Tensor, Tensor], dict[str, Tensor]], pictures: Tensor, label: Tensor
    ) -> dict[str, Tensor]:
        self.kinds.append(kind)
        with Watch() as watch:
            report = step(pictures, label)
        self.seen += watch.seen
        return report


@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_steps_leave_the_host_alone(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched()

    def start(module: GAN) -> None:
        module._graphs, module.prior.on_device = watched, True  # type: ignore[assignment]

    monkeypatch.setattr(GAN, "on_train_start", start)
    for module in ("base", "generators.sngan", "generators.stylegan", "layers.equalized"):  # on a GPU it reads nothing
        monkeypatch.setattr(f"models.{module}.check_labels", lambda *_: None)
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: None)  # a recordable one counts on the GPU
    ours = adversaries(augment=["colour", "zoom"])
    ours[1].augment = ("colour", "translation", "cutout")

    def make() -> GAN:
        terms = [*reconstruction(), Decorrelation(0.1), Diversity(3.0), Outline(4.0), Spectrum(0.3)]
        if family == "sngan":
            terms.append(Saturation(0.1))
        return gan(adversaries=ours, terms=terms, **FAMILIES[family])

    trained = fit(write_shards(tmp_path / "data"), tmp_path, 4, make=make)
    assert watched.seen == []
    # the autoencoder's step, then with the second adversary at every other step
    assert [kind[:2] for kind in watched.kinds] == [
        (0, (True, True, True)),
        (1, (True, True, False)),
        (1, (True, True, True)),
        (1, (True, True, False)),
    ]
    assert {"generator/diversity", "generator/outline", "projected/probe"} < set(trained.trainer.callback_metrics)


def test_watch_sees_a_value_read_back() -> None:
    with Watch() as watch:
        float(torch.zeros(1) + 1)
        torch.tensor([1.0])
    assert [name.split(".")[1] for name in watch.seen] == ["_local_scalar_dense", "lift_fresh"]


def test_labels_drawn_on_the_device_follow_the_distribution(tmp_path: Path) -> None:
    module = fit(write_shards(tmp_path / "data"), tmp_path, 1)
    assert isinstance(module, GAN)
    prior = module.prior
    prior.cumulative, prior.on_device = torch.tensor([0.5, 0.5, 1.0]), True
    share = prior.labels(20_000).bincount(minlength=len(CLASSES)) / 20_000
    torch.testing.assert_close(share, torch.tensor([0.5, 0.0, 0.5]), atol=0.02, rtol=0)
    prior.cumulative = torch.tensor([0.1, 0.2, 0.9])  # rounding may leave the last below 1
    assert int(prior.labels(1000).max()) == 2


def test_recordable_optimiser_keeps_its_rates_as_tensors() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    set_recordable(optimizer, torch.device("cpu"))
    group = optimizer.param_groups[0]
    assert torch.is_tensor(group["lr"])
    assert float(group["lr"]) == pytest.approx(0.1)
    assert group["capturable"]
    assert int(optimizer.state[weight]["step"]) == 1
    set_recordable(optimizer, None)
    assert isinstance(group["lr"], float)
    assert not group["capturable"]


def test_recorded_training_goes_on_without_a_gpu(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "data")
    fit(root, tmp_path / "whole", 3)
    fit(root, tmp_path / "recorded", 2)
    path = tmp_path / "recorded" / "last.ckpt"
    checkpoint = read(path)
    for optimizer in checkpoint["optimizer_states"]:  # as recorded steps leave them
        for group in optimizer["param_groups"]:
            group |= {"lr": torch.tensor(group["lr"]), "capturable": True}
    torch.save(checkpoint, path)
    fit(root, tmp_path / "recorded", 3, resume=path)
    states = [read(tmp_path / name / "last.ckpt")["state_dict"] for name in ("whole", "recorded")]
    assert all(torch.equal(states[0][key], value) for key, value in states[1].items())


def test_training_ends_where_its_rates_do(tmp_path: Path) -> None:
    module = fit(
        write_shards(tmp_path / "data"), tmp_path, 99, make=lambda: gan(optimizer=OptimizerSettings(decay=(4, 12)))
    )
    assert (int(module.steps), int(module.images_seen)) == (3, 12)


def test_steps_that_decide_anew_are_not_recorded() -> None:
    with pytest.raises(PhotograftError, match="graphed is not for PathLength:"):
        gan(graphed=True, terms=[PathLength(2.0)])
    own = StyleGAN2Adversary(CHANNELS)
    with pytest.raises(PhotograftError, match="graphed is not for PathLength or StyleGAN2Adversary:"):
        gan(graphed=True, terms=[PathLength(2.0)], adversaries=[own])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_replays_are_steps() -> None:
    graphs, weight = StepGraphs(), torch.zeros(3, device="cuda", requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.1)
    set_recordable(optimizer, torch.device("cuda"))

    def step(pictures: Tensor, label: Tensor) -> dict[str, Tensor]:
        optimizer.zero_grad()
        loss = (weight - pictures[0]).square().sum()
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach(), "noise": torch.rand((), device="cuda")}

    target, label = torch.tensor([[1.0, 2.0, 3.0]], device="cuda"), torch.zeros(1, device="cuda")
    reports = [{k: float(v) for k, v in graphs("only", step, target, label).items()} for _ in range(200)]
    assert reports[-1]["loss"] < 1e-2 < reports[5]["loss"]
    assert len({report["noise"] for report in reports}) > 190
