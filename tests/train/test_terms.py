"""The terms of the generator's loss: what each computes and needs, and that its config is all that names it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from models.errors import PhotograftError
from tests.train.tiny import CHANNELS, LATENTS, MIXED, SIDE, adversaries, fit, gan, read, reconstruction, write_folders
from train.fit import run
from train.gan.adversaries import SNProjectionAdversary
from train.gan.module import GAN
from train.gan.sources import Codes, Stage, pair_classes
from train.gan.start import Start
from train.gan.terms import (
    Decorrelation,
    Diversity,
    Features,
    GeneratorStep,
    Outline,
    PathLength,
    Pixels,
    Saturation,
    Spectrum,
    Term,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
    pytest.mark.filterwarnings("ignore:LightningCLI.s args parameter"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("data") / "folders", count=4)


@pytest.fixture(autouse=True)
def segmenter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.gan.terms.create_segmenter", lambda **options: brightness)


def brightness(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """In the place of a segmenter."""
    return pixels.mean(axis=2, dtype=np.float32) / 255


class Brightness(Term):
    """A term of a file that nothing of the project knows: fakes are to be as bright as photos."""

    def __init__(self, weight: float, power: int = 2) -> None:
        super().__init__(weight)
        self.power = power

    def forward(self, step: GeneratorStep) -> Tensor:
        """See `Term`."""
        return (step.fakes.images.mean() - step.real.mean()).abs() ** self.power


def logged(module: GAN) -> dict[str, float]:
    """The values of the generator's loss in the last step."""
    values = module.trainer.callback_metrics
    return {k.removeprefix("generator/"): float(v) for k, v in values.items() if k.startswith("generator/")}


def test_a_term_of_another_file_is_one_entry_of_a_config(folders: Path, tmp_path: Path) -> None:
    term = {"class_path": "tests.train.test_terms.Brightness", "init_args": {"weight": 3.0, "power": 1}}
    adversary = {"class_path": "train.gan.adversaries.SNProjectionAdversary", "init_args": {"ch": 2}}
    network = {"family": "sngan", "config": {"channels": CHANNELS, "latent_dim": LATENTS}}
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    config = {
        "trainer": {**quiet, "accelerator": "cpu", "fast_dev_run": 2, "enable_model_summary": False},
        "model": {
            "class_path": "train.gan.GAN",
            "init_args": {"generator": network, "adversaries": [adversary], "terms": [term]},
        },
        "data": {
            "class_path": "data.module.ImageDataModule",
            "init_args": {"root": str(folders), "resolution": SIDE, "batch_size": 4, "num_workers": 0},
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    module = run(["fit", "-c", str(tmp_path / "config.yaml")]).model
    assert isinstance(module, GAN)
    assert [type(found).__name__ for found in module.terms.values()] == ["Brightness"]
    assert {"adversarial_0", "brightness"} == set(logged(module))


def one_step(folders: Path, folder: Path, terms: list[Term], **changes: Any) -> GAN:
    module = fit(folders, folder, 1, module=gan(stages=[Stage(sources=MIXED)], terms=terms, **changes))
    assert isinstance(module, GAN)
    return module


MAKE: dict[str, Callable[[float], Term]] = {
    kind.__name__: kind for kind in (Pixels, Features, Saturation, Decorrelation, Diversity, Outline, Spectrum)
}


@pytest.mark.parametrize("name", MAKE)
def test_a_weight_scales_its_term_alone(name: str, folders: Path, tmp_path: Path) -> None:
    """And the gradient of one step follows it, the batch and its codes being the same."""
    others = [Diversity(1e-9)] if name != "Diversity" else []  # the same pairs in every run
    small, large = (one_step(folders, tmp_path, [MAKE[name](w), *others]) for w in (1e-9, 100.0))
    before, after = logged(small), logged(large)
    term = MAKE[name](1.0).name
    assert before[term] > 0
    assert after[term] == pytest.approx(1e11 * before[term], rel=1e-4)
    assert {key: value for key, value in after.items() if key != term} == {k: before[k] for k in after if k != term}
    moved = "encoder.out.weight" if name == "Decorrelation" else "generator.to_rgb.weight"
    assert not torch.equal(small.state_dict()[moved], large.state_dict()[moved])


class Spy(Term):
    """Keeps the step; not a part of the loss."""

    def forward(self, step: GeneratorStep) -> None:
        """See `Term`."""
        self.step = step


def test_reconstructions_are_compared_with_their_own_photos(folders: Path, tmp_path: Path) -> None:
    spy = Spy(1.0)
    module = one_step(folders, tmp_path, [spy, Pixels(2.0), Features(3.0)])
    n, step, found = spy.step.fakes.codes.reconstructions, spy.step, logged(module)
    assert n == module.stages[0].split(len(step.real))["reconstruction"] > 0
    fake, real = step.fakes.images[:n].detach(), step.real[:n]
    assert found["pixels"] == pytest.approx(2 * float((fake - real).abs().mean()), rel=1e-5)
    assert step.view is not None
    pairs = zip(step.view.real.stages, step.view.fake.stages, strict=True)
    distances = [float((a[:n] - b[:n]).detach().square().mean()) for a, b in pairs]
    assert found["features"] == pytest.approx(3 * sum(distances) / len(distances), rel=1e-3)


def test_without_adversaries_only_what_belongs_there_is_asked_for(folders: Path, tmp_path: Path) -> None:
    every = [make(1.0) for make in MAKE.values()]
    module = fit(folders, tmp_path, 1, module=gan(terms=every))  # a step of the autoencoder
    assert isinstance(module, GAN)
    assert set(logged(module)) == {"pixels", "features", "saturation", "decorrelation"}


def test_names_are_those_of_the_logs() -> None:
    assert [term.name for term in (Pixels(1), PathLength(1), Decorrelation(1))] == [
        "pixels",
        "path_length",
        "decorrelation",
    ]


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_is_positive(weight: float) -> None:
    with pytest.raises(PhotograftError, match=r"the weight of Outline is .*: give a positive number"):
        Outline(weight)


def test_what_a_term_needs_is_said() -> None:
    pixels_only = [SNProjectionAdversary("snresnet_small", ch=2)]
    for term in (Diversity(1.0), Features(1.0)):
        with pytest.raises(PhotograftError, match=f"{type(term).__name__} needs a ProjectedAdversary in the config"):
            gan(adversaries=pixels_only, terms=[term])
    with pytest.raises(PhotograftError, match="Outline needs a ProjectedAdversary with share 1"):
        gan(adversaries=adversaries(share=0.5), terms=[Outline(1.0)])
    with pytest.raises(PhotograftError, match="Outline needs a ProjectedAdversary with share 1"):
        gan(reuse_fakes=False, terms=[Outline(1.0)])
    for term in (Pixels(1.0), Decorrelation(1.0)):
        with pytest.raises(PhotograftError, match=f"{type(term).__name__} needs an encoder in the config"):
            gan(encoder=None, stages=[Stage()], terms=[term])
    with pytest.raises(PhotograftError, match="whiten_codes need an encoder"):
        gan(encoder=None, stages=[Stage()], terms=[], start=Start(whiten_codes=True))
    with pytest.raises(PhotograftError, match="Pixels is there twice"):
        gan(terms=[Pixels(1.0), Pixels(2.0)])


# --- pairs ---


def test_pairs_share_their_class(folders: Path, tmp_path: Path) -> None:
    term = Diversity(1.0)
    module = gan(stages=[Stage(sources={"prior": 0.5, "translation": 0.5})], terms=[term])
    drawn = []
    draw = module.draw_codes

    def spy(*args: Any) -> Codes:
        drawn.append(draw(*args))
        return drawn[-1]

    module.draw_codes = spy  # type: ignore[method-assign]
    fit(folders, tmp_path, 2, module=module)
    assert drawn
    for codes in drawn:
        counts = module.stage.split(len(codes.labels))
        assert {source: len(pair) for source, pair in codes.pairs.items()} == {
            source: counts[source] // 2 for source in ("translation", "prior")
        }
        translations, prior = codes.pairs["translation"], codes.pairs["prior"]
        assert 0 < int(translations.max()) < codes.from_photos <= int(prior.min())  # each among its own kind
        for first, second in (pair.T for pair in codes.pairs.values()):
            assert len({*first.tolist(), *second.tolist()}) == 2 * len(first) > 0
            assert torch.equal(codes.labels[first], codes.labels[second])
            assert not torch.equal(codes.latent[first], codes.latent[second])
    assert not bool((term.get_buffer("scatter_0") == 1).all())  # measured on real pictures


def test_pairs_are_of_the_sources_asked_for(folders: Path, tmp_path: Path) -> None:
    drawn = torch.arange(8)
    pairs = pair_classes(drawn, {"reconstruction": 0, "translation": 4, "prior": 4}, ["prior"])
    assert {source: pair.tolist() for source, pair in pairs.items()} == {"prior": [[4, 6], [5, 7]]}
    assert drawn.tolist() == [0, 1, 2, 3, 4, 5, 4, 5]
    for sources in (["photos"], []):
        with pytest.raises(PhotograftError, match="must be among translation, prior"):
            Diversity(1.0, sources=sources)
    spy, term = Spy(1.0), Diversity(1.0, sources=["translation"])
    module = gan(stages=[Stage(sources={"prior": 0.5, "translation": 0.5})], terms=[spy, term])
    fit(folders, tmp_path, 1, module=module)
    assert set(spy.step.fakes.codes.pairs) == {"translation"}


# --- checkpoints ---


def test_a_checkpoint_from_before_terms_were_a_list_goes_on(folders: Path, tmp_path: Path) -> None:
    def make() -> GAN:
        return gan(terms=[*reconstruction(), Decorrelation(0.1), Diversity(1.0)])

    fit(folders, tmp_path / "run", 2, make=make)
    path = tmp_path / "run" / "last.ckpt"
    content = read(path)
    content["state_dict"]["terms.code_covariance"] = content["state_dict"].pop("terms.decorrelation.covariance")
    torch.save(content, tmp_path / "before.ckpt")
    states = []
    for name, start in (("now", path), ("before", tmp_path / "before.ckpt")):
        fit(folders, tmp_path / name, 3, resume=start, make=make)
        states.append(read(tmp_path / name / "last.ckpt")["state_dict"])
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
