"""StyleGAN2 in the GAN module: its adversary, path lengths, and a whole small training up to the exported files."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.base import StyleGenerator
from models.errors import PhotograftError
from models.generators.stylegan2 import StyleGAN2Generator
from models.zoo import load_model
from tests.train.tiny import SIDE, adversaries, fit, gan, read, reconstruction, write_shards
from train.export import export
from train.gan.adversaries import StyleGAN2Adversary
from train.gan.augment import Augmentation
from train.gan.module import GAN
from train.gan.optimizers import OptimizerSettings
from train.gan.path_length import path_lengths
from train.gan.sources import Codes, Fakes
from train.gan.style_mixing import mix_styles
from train.gan.terms import Diversity, GeneratorStep, PathLength, Saturation, Spectrum
from train.networks import Network

CHANNELS = [8, 8, 4, 4]
GENERATOR = Network("stylegan2", {"channels": CHANNELS, "latent_dim": 16, "mapping": [12, 12], "mapping_rate": 0.1})


class Linear(nn.Module):
    """In the place of a discriminator: the score is linear in the picture, so its gradient is known."""

    num_classes = 0

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        return torch.einsum("nchw,chw->n", x, self.weight)


def adversary(**changes: float | list[str]) -> StyleGAN2Adversary:
    made = StyleGAN2Adversary(CHANNELS, mapping=[8], **changes)  # type: ignore[arg-type]
    made.network = Linear()  # type: ignore[assignment]
    return made


def terms(made: StyleGAN2Adversary, real: Tensor) -> dict[str, Tensor]:
    none = torch.zeros(len(real), dtype=torch.int64)
    return made.own_loss(real, none, -real, none, none)


def test_losses_are_logistic_and_r1_takes_its_turns() -> None:
    made, real = adversary(r1=3.0, r1_every=4), torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    found = [terms(made, real) for _ in range(5)]
    assert [("r1" in f) for f in found] == [True, False, False, False, True]
    score = made.network(real, None)
    assert torch.allclose(found[0]["real"], torch.log1p(torch.exp(-score)).mean())
    assert torch.allclose(found[0]["fake"], torch.log1p(torch.exp(-score)).mean())  # fakes are minus the real ones
    assert torch.allclose(made.generator_loss(real, None), found[0]["real"])  # type: ignore[arg-type]
    assert torch.allclose(found[0]["r1"], 4 * 3.0 / 2 * made.network.weight.square().sum())  # type: ignore[union-attr, operator]
    (gradient,) = torch.autograd.grad(found[0]["r1"], [made.network.weight])  # type: ignore[list-item]
    assert torch.allclose(gradient, 4 * 3.0 * made.network.weight)  # type: ignore[operator]


def test_adaptive_chance_follows_the_signs_of_real_scores() -> None:
    made = adversary(ada_target=0.6, ada_images=100, augment=["colour"])
    assert float(made.chance) == 0
    good = made.network.weight.detach().expand(10, -1, -1, -1)  # type: ignore[operator]
    for _ in range(3):
        terms(made, good)
    assert float(made.chance) == pytest.approx(0.3)
    terms(made, torch.cat([good[:8], -good[:2]]))  # mean sign 0.6: neither
    assert float(made.chance) == pytest.approx(0.3)
    for _ in range(4):
        terms(made, -good)
    assert float(made.chance) == 0
    for _ in range(12):
        terms(made, good)
    assert float(made.chance) == 1


def test_pictures_are_augmented_with_the_adaptive_chance() -> None:
    made, x = adversary(ada_target=0.6, augment=["colour"]), torch.rand(400, 3, 4, 4)
    made.chance.fill_(0.25)
    seen = made.augmented(x, Augmentation.draw(400, "cpu"))
    changed = (seen != x).flatten(1).any(1)
    assert 60 < int(changed.sum()) < 140
    with pytest.raises(PhotograftError, match="augment"):
        adversary(ada_target=0.6)


class Drawn:
    """In the place of a prior."""

    def __init__(self, z: Tensor, label: Tensor) -> None:
        self.z, self.label = z, label

    def latent(self, n: int) -> Tensor:
        return self.z[:n]

    def labels(self, n: int) -> Tensor:
        return self.label[:n]


def test_path_lengths_are_those_of_the_jacobian() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator([4, 4], 6, [5], num_classes=2, mapping_rate=1.0).double()
    generator.noise = "none"
    z, label = torch.randn(3, 6).double(), torch.tensor([0, 1, 1])
    path = PathLength(1.0, every=4, decay=0.25).double()
    path.mean.fill_(2.0)
    torch.manual_seed(7)
    lengths_found = path_lengths(generator, z, label)
    torch.manual_seed(7)
    fakes = Fakes(torch.zeros(6, 3, 8, 8), Codes(z, label, 0))  # of which path lengths take half as many
    step = GeneratorStep(8, fakes.images, fakes, generator, Drawn(z, label), None, None)  # type: ignore[arg-type]
    value = path(step) / 4  # it weighs as many times as much as it is rare
    images = generator(z, label)
    torch.manual_seed(7)
    noise = torch.randn_like(images).double() / 8  # of the same layout in memory, which the stream follows
    lengths = []
    for i in range(3):
        ws = generator.mapping(z[i : i + 1], label[i : i + 1]).detach()
        jacobian = torch.autograd.functional.jacobian(lambda w: generator.synthesize(w, generator.styles(w))[0], ws)
        pulled = torch.einsum("chw,chwnd->nd", noise[i], jacobian[:, :, :, 0])  # [num_ws,w_dim]
        lengths.append(pulled.square().sum(1).mean().sqrt())
    expected = torch.stack(lengths)
    assert torch.allclose(lengths_found, expected)
    mean = 0.75 * 2.0 + 0.25 * expected.mean()
    assert torch.allclose(path.mean, mean)
    assert torch.allclose(value, (expected - mean).square().mean())
    value.backward()
    weight = generator.get_parameter("blocks.1.conv1.weight")
    assert weight.grad is not None
    assert bool((weight.grad != 0).any())
    assert path(replace(step, number=9)) is None


def make() -> GAN:
    """Encoder in the loop, both kinds of adversaries, path lengths, adaptive augmentation."""
    own = StyleGAN2Adversary(CHANNELS, mapping=[8], ada_target=0.6, augment=["zoom"])
    return gan(
        generator=GENERATOR,
        adversaries=[adversaries()[0], own],
        terms=[*reconstruction(), Diversity(1.0), Spectrum(0.1), PathLength(2.0)],
        optimizer=OptimizerSettings(learning_rate=2e-3, encoder_learning_rate=1e-4),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data, and a folder with the checkpoint of a few steps."""
    folder = tmp_path_factory.mktemp("stylegan2")
    root = write_shards(folder / "data")
    fit(root, folder, 6, make=make)
    return root, folder


def test_rates_are_those_asked_for(trained: tuple[Path, Path]) -> None:
    groups = read(trained[1] / "last.ckpt")["optimizer_states"][0]["param_groups"]
    assert [group["lr"] for group in groups] == [2e-3, 1e-3, 1e-4]
    assert all(group["params"] for group in (groups[0], groups[2]))


def test_resume_is_exact(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """Path lengths' mean, the adaptive chance and R1's turns come back too."""
    root, folder = trained
    fit(root, tmp_path / "a", 3, make=make)
    fit(root, tmp_path / "b", 6, resume=tmp_path / "a" / "last.ckpt", make=make)
    whole, resumed = (read(path / "last.ckpt")["state_dict"] for path in (folder, tmp_path / "b"))
    assert {"terms.path_length.mean", "adversaries.1.chance", "adversaries.1.steps"} < set(whole)
    assert float(whole["terms.path_length.mean"]) > 0
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_export_is_a_model_with_the_mean_of_w(trained: tuple[Path, Path], tmp_path: Path) -> None:
    export(trained[1] / "last.ckpt", tmp_path / "small", half=False)
    model = load_model(str(tmp_path / "small"))
    generator = model.generator
    assert isinstance(generator, StyleGenerator)
    assert generator.noise == "const"
    z = torch.randn(4000, 16, generator=torch.Generator().manual_seed(3))
    ws = generator.mapping(z, torch.arange(4000) % 3)[:, 0]
    assert torch.allclose(generator.w_mean, ws.mean(0), atol=4 * float(ws.std(0).max()) / 4000**0.5)
    assert float(generator.w_mean.norm()) > 0
    picture = generator(z[:1], torch.tensor([1]))
    assert picture.shape == (1, 3, SIDE, SIDE)


def test_only_prior_samples_mix_styles(tmp_path: Path) -> None:
    module = make()
    module.style_mixing = 1.0
    fit(write_shards(tmp_path / "data"), tmp_path, 1, module=module)
    generator = module.generator
    assert isinstance(generator, StyleGenerator)
    generator.noise = "none"
    z, label = torch.randn(40, 16), torch.arange(40) % 3
    codes = Codes(z, label, 5, 10)
    ws = generator.mapping(z, label)
    others = torch.randn(40, 16)
    same = (mix_styles(generator, ws, others, label, 1.0) == ws).all(2)  # [N,num_ws]
    counts = same.sum(1, keepdim=True)
    assert bool((same == (torch.arange(generator.num_ws) < counts)).all())  # one cut each
    assert counts.unique().tolist() == list(range(1, generator.num_ws))
    assert 0.2 < float((mix_styles(generator, ws, others, label, 0.5) != ws).any(2).any(1).float().mean()) < 0.8
    with torch.no_grad():
        whole = generator(z, label)
        images = module.make_fakes(codes).images
        assert torch.allclose(images[:10], whole[:10], atol=1e-5)
        assert bool(((images - whole)[10:].abs().amax((1, 2, 3)) > 1e-4).all())
        module.style_mixing = 0.0
        assert torch.allclose(module.make_fakes(codes).images, whole, atol=1e-5)


def test_terms_that_have_no_place_are_named(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "data")
    with pytest.raises(PhotograftError, match="Saturation is for generators that end in tanh"):
        fit(root, tmp_path, 1, module=gan(generator=GENERATOR, terms=[Saturation(1.0)]))
    with pytest.raises(PhotograftError, match="PathLength is for generators with a w"):
        fit(root, tmp_path, 1, module=gan(terms=[PathLength(1.0)]))
    with pytest.raises(PhotograftError, match="style_mixing"):
        fit(root, tmp_path, 1, module=gan(style_mixing=0.5))
    wrong = gan(adversaries=[StyleGAN2Adversary([8, 8])], encoder=None, stages=None, terms=[])
    with pytest.raises(PhotograftError, match="8 px, not 32 px"):
        fit(root, tmp_path, 1, module=wrong)
