"""The parts of a training: stages, class tables, adversaries, augmentation."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from data.module import ImageDataModule
from models.errors import PhotograftError
from models.files import save_network
from models.generators.sngan import SNGANGenerator
from models.generators.stylegan2 import StyleGAN2Generator
from models.losses import hinge_discriminator
from tests.train.tiny import MIXED, SIDE, adversaries, fit, gan, write_folders
from train.gan.adversaries import ProjectedAdversary, SNProjectionAdversary
from train.gan.augment import LEAST_ZOOM, MOST_ZOOM, PARTS, Augmentation
from train.gan.optimizers import OptimizerSettings
from train.gan.sources import SOURCES, Stage
from train.gan.start import Start
from train.networks import Network, build_generator
from train.tables import GroupedTable, add_group_tables, folded, table_parameters

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("data") / "folders", count=4)


# --- stages ---


@pytest.mark.parametrize("n", [1, 2, 3, 7, 16, 64, 101])
@pytest.mark.parametrize("shares", [{"prior": 1.0}, MIXED, {"translation": 2.0, "prior": 1.0}, {"reconstruction": 0.1}])
def test_split_adds_up(shares: dict[str, float], n: int) -> None:
    counts = Stage(sources=shares).split(n)
    assert sum(counts.values()) == n
    assert set(counts) == set(SOURCES)
    total = sum(shares.values())
    for name, count in counts.items():
        share = n * shares.get(name, 0.0) / total
        assert count >= 0
        assert abs(count - share) < len(shares)
        assert share > 0 or count == 0


@pytest.mark.parametrize("shares", [{}, {"priors": 1.0}])
def test_unknown_sources_are_named(shares: dict[str, float]) -> None:
    with pytest.raises(PhotograftError, match="reconstruction, translation, prior"):
        Stage(sources=shares)


def test_photos_as_a_source_need_an_encoder() -> None:
    with pytest.raises(PhotograftError, match="need an encoder"):
        gan(encoder=None)


def test_generator_must_fit_the_data(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match="32 px, the data are 16 px"):
        fit(folders, tmp_path, 1, resolution=16)


def test_start_from_weights_of_another_shape_is_one_line(folders: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_network(path, SNGANGenerator([4, 4, 4, 4], 16, 3), "generator")
    with pytest.raises(PhotograftError, match=r"other\.safetensors does not fit"):
        fit(folders, tmp_path, 1, module=gan(start=Start(generator=str(path))))


def test_stylegan2_starts_from_a_smaller_one(folders: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    small = StyleGAN2Generator((6, 5, 4), 16, (8,), 3)
    save_network(path, small, "generator")
    network = Network("stylegan2", {"channels": [6, 5, 4, 3], "latent_dim": 16, "mapping": [8]})
    data = ImageDataModule(root=str(folders), resolution=32, batch_size=4)
    data.setup("fit")
    grown = build_generator(network, data, True, str(path))
    assert torch.equal(grown.get_parameter("blocks.2.conv1.weight"), small.get_parameter("blocks.2.conv1.weight"))
    assert not bool(grown.get_parameter("blocks.3.to_rgb.conv.weight").any())
    network.config["latent_dim"] = 8
    with pytest.raises(PhotograftError, match=r"small\.safetensors: .*they differ in latent_dim"):
        build_generator(network, data, True, str(path))


def made_small(num_classes: int = 3) -> SNGANGenerator:
    """An SNGAN of 16 px whose statistics are those of its samples, and whose colours are soft: of a 1x1 convolution."""
    torch.manual_seed(0)
    small = SNGANGenerator([8, 8, 6], 16, num_classes)
    with torch.no_grad():
        small.to_rgb.weight[..., [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
        for _ in range(60):
            small(torch.randn(32, 16), torch.randint(num_classes, (32,)))
    return small.freeze()


def test_sngan_starts_from_a_smaller_one(folders: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    small = made_small()
    save_network(path, small, "generator")
    network = Network("sngan", {"channels": [8, 8, 6, 6], "latent_dim": 16})
    data = ImageDataModule(root=str(folders), resolution=32, batch_size=4)
    data.setup("fit")
    grown = build_generator(network, data, False, str(path)).eval()
    assert grown.grown == ("blocks.2",)
    assert [
        name for name, value in small.state_dict().items() if not torch.equal(value, grown.state_dict()[name])
    ] == []
    z, y = torch.randn(6, 16), torch.arange(6) % 3
    with torch.no_grad():
        expected, made = small(z, y), grown(z, y)
        assert torch.allclose(F.avg_pool2d(made, 2), expected, atol=0.02)
        assert torch.allclose(made, F.interpolate(expected, scale_factor=2.0), atol=0.02)
        before = {name: value.clone() for name, value in grown.named_buffers() if name.startswith("blocks.2.norm1")}
        for _ in range(60):  # its statistics are near what training will find
            grown.train()(torch.randn(32, 16), torch.randint(3, (32,)))
        for name in ("running_mean", "running_var"):
            found = grown.get_buffer(f"blocks.2.norm1.{name}")
            assert torch.allclose(before[f"blocks.2.norm1.{name}"], found, atol=0.3 * float(found.abs().max()))
    wrong: dict[str, dict[str, Any]] = {
        "last width is 6": {"channels": [8, 8, 6, 4]},
        "differ in latent_dim": {"latent_dim": 8},
    }
    for what, changed in wrong.items():
        with pytest.raises(PhotograftError, match=rf"small\.safetensors: a generator of 16 px cannot grow.*{what}"):
            build_generator(Network("sngan", {**network.config, **changed}), data, False, str(path))


def test_what_cannot_grow_says_so(folders: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_network(path, made_small(), "generator")
    data = ImageDataModule(root=str(folders), resolution=32, batch_size=4)
    data.setup("fit")
    style = Network("stylegan2", {"channels": [6, 5, 4, 3], "latent_dim": 16, "mapping": [8]})
    with pytest.raises(PhotograftError, match="it is a SNGANGenerator, this one a StyleGAN2Generator"):
        build_generator(style, data, False, str(path))
    big = Network("biggan", {"channels": [8, 8, 8, 8], "latent_dim": 16, "shared_dim": 4})
    with pytest.raises(PhotograftError, match=r"weights of 16 px cannot become 32 px: BigGANGenerator does not grow"):
        build_generator(big, data, False, str(path))


def test_new_layers_learn_at_their_own_rate(folders: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    small = made_small()
    save_network(path, small, "generator")
    module = gan(
        generator=Network("sngan", {"channels": [8, 8, 6, 6], "latent_dim": 16}),
        stages=[Stage(sources=dict(MIXED))],
        optimizer=OptimizerSettings(learning_rate=0.0, table_learning_rate=0.0, grown_learning_rate=1e-3),
        start=Start(generator=str(path)),
    )
    fit(folders, tmp_path, 2, module=module)
    grown = module.generator
    assert grown is not None
    assert all(torch.equal(p, grown.get_parameter(name)) for name, p in small.named_parameters() if "norm" not in name)
    assert not bool((grown.get_parameter("blocks.2.skip.bias") == 0).all())
    assert not bool((grown.get_parameter("blocks.2.norm2.parametrizations.gamma.original") == 1).all())


# --- class tables ---


def grouped_generator() -> SNGANGenerator:
    generator = SNGANGenerator([8, 8, 4], 6, 3)
    add_group_tables(generator, torch.tensor([0, 0, 1]))
    for parameter in table_parameters(generator):
        torch.nn.init.normal_(parameter)
    return generator


def test_group_tables_change_nothing_at_first() -> None:
    generator = SNGANGenerator([8, 8, 4], 6, 3).eval()
    z, y = torch.randn(3, 6), torch.tensor([0, 1, 2])
    before = generator(z, y)
    add_group_tables(generator, torch.tensor([0, 0, 1]))
    assert torch.equal(generator(z, y), before)


def test_folded_generator_is_ordinary_and_the_same() -> None:
    generator = grouped_generator().eval()
    plain = folded(generator)
    assert set(plain.state_dict()) == set(SNGANGenerator(**plain.config).state_dict())
    z, y = torch.randn(4, 6), torch.tensor([0, 1, 2, 1])
    torch.testing.assert_close(plain(z, y), generator(z, y), rtol=0, atol=0)
    assert any(isinstance(module, GroupedTable) for module in generator.modules())  # the original is left as it was
    torch.testing.assert_close(folded(plain)(z, y), plain(z, y), rtol=0, atol=0)


def test_a_class_lends_its_gradient_to_its_group_only() -> None:
    generator = grouped_generator()
    generator(torch.randn(2, 6), torch.tensor([0, 0])).square().sum().backward()
    tables = [module for module in generator.modules() if isinstance(module, GroupedTable)]
    assert len(tables) == 8
    for table in tables:
        gradient = table.group.grad
        assert gradient is not None
        assert bool(gradient[0].any())
        assert not bool(gradient[1].any())


# --- adversaries ---


def generator_after(folders: Path, folder: Path, observers: float, weight: float) -> dict[str, Tensor]:
    """Generator and encoder after some steps, the second adversary's weights being scaled at first by `observers`."""
    module = gan(adversaries=[*adversaries()[:1], SNProjectionAdversary("snresnet_small", ch=2, weight=weight)])
    second = module._opponents[1]
    build = second.build

    def scaled(num_classes: int, resolution: int) -> None:
        build(num_classes, resolution)
        with torch.no_grad():
            second.network.blocks[0].conv1.bias.add_(observers)  # type: ignore[union-attr,index,operator]

    second.build = scaled  # type: ignore[method-assign]
    fit(folders, folder, 2, module=module)
    return {k: v for k, v in module.state_dict().items() if k.startswith(("generator.", "encoder.", "ema."))}


def test_an_observer_does_not_move_the_generator(folders: Path, tmp_path: Path) -> None:
    first, second = (generator_after(folders, tmp_path, bias, weight=0.0) for bias in (0.0, 1.0))
    assert all(torch.equal(first[key], second[key]) for key in first)
    heard = generator_after(folders, tmp_path, 1.0, weight=0.5)
    assert not all(torch.equal(first[key], heard[key]) for key in first)


@pytest.mark.parametrize("reuse", [True, False])
def test_steps_where_nobody_looks_pass(folders: Path, tmp_path: Path, reuse: bool) -> None:
    rare = [SNProjectionAdversary("snresnet_small", ch=2, every=3)]
    module = gan(encoder=None, stages=[Stage()], adversaries=rare, reuse_fakes=reuse, terms=[], n_dis=1)
    fit(folders, tmp_path, 4, module=module)
    assert int(module.steps) == 4


def test_wrong_labels_are_wrong_and_drawn_as_the_data_are(folders: Path, tmp_path: Path) -> None:
    module = gan(adversaries=adversaries(mismatch=0.5))
    seen: list[tuple[Tensor, Tensor]] = []
    projected = module._opponents[0]
    own_loss = projected.own_loss

    def spy(real: Any, label: Tensor, fake: Any, fake_label: Tensor, wrong: Tensor) -> dict[str, Tensor]:
        seen.append((label, wrong))
        return own_loss(real, label, fake, fake_label, wrong)

    projected.own_loss = spy  # type: ignore[method-assign]
    fit(folders, tmp_path, 3, module=module)
    assert len(seen) == 2  # not in the autoencoder's step
    assert all(bool((label != wrong).all()) for label, wrong in seen)
    label = torch.arange(3).repeat(100)
    wrong = module.prior.wrong_labels(label)
    assert bool((wrong != label).all())
    assert wrong.unique().tolist() == [0, 1, 2]


def test_mismatch_term_is_the_hinge_of_wrong_classes() -> None:
    adversary = ProjectedAdversary(mismatch=0.25, mixed_channels=4, head_channels=4)
    adversary.build(num_classes=3, resolution=SIDE)
    x, y, wrong = torch.rand(2, 3, SIDE, SIDE) * 2 - 1, torch.tensor([0, 1]), torch.tensor([2, 0])
    adversary.network.eval()  # spectral norm stands still
    seen = adversary.look(x)
    terms = adversary.own_loss(seen, y, seen, y, wrong)
    assert terms.keys() == {"real", "fake", "probe", "mismatch"}
    scores = adversary.network.score(adversary.network.heads(seen), wrong)
    torch.testing.assert_close(terms["mismatch"], 0.25 * hinge_discriminator(scores, real=False))
    adversary.mismatch = 0.0
    assert "mismatch" not in adversary.own_loss(seen, y, seen, y, wrong)


def test_frozen_parts_stay_frozen() -> None:
    adversary = ProjectedAdversary(mixed_channels=4, head_channels=4)
    adversary.build(num_classes=3, resolution=SIDE)
    learns = [name for name, p in adversary.named_parameters() if p.requires_grad]
    adversary.set_learning(False)
    assert not any(p.requires_grad for p in adversary.parameters())
    adversary.set_learning(True)
    assert [name for name, p in adversary.named_parameters() if p.requires_grad] == learns
    assert learns
    assert not any(name.startswith(("network.network.", "network.mix")) for name in learns)


def test_unknown_layout_is_named() -> None:
    with pytest.raises(PhotograftError, match="snresnet_small"):
        SNProjectionAdversary("snresnet_32").build(3, SIDE)


# --- augmentation ---


def test_equal_pictures_are_changed_alike() -> None:
    x = torch.rand(6, 3, 16, 16) * 2 - 1
    augmentation = Augmentation.draw(6, "cpu")
    assert torch.equal(augmentation(x), augmentation(x.clone()))
    assert torch.equal(augmentation[1:4](x[1:4]), augmentation(x)[1:4])
    assert not torch.equal(augmentation(x), Augmentation.draw(6, "cpu")(x))


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (5, 3, 16, 16), (2, 3, 32, 24)])
def test_augmentation_keeps_shapes_and_lets_gradients_through(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, requires_grad=True)
    y = Augmentation.draw(len(x), "cpu")(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())
    assert bool((x.grad != 0).flatten(1).any(1).all())


def test_neutral_augmentation_changes_nothing_and_parts_do_what_they_say() -> None:
    x = torch.rand(1, 3, 8, 8)
    one, outside = torch.ones(1, 1, 1, 1), torch.full((1, 2), 2.0)
    neutral = {
        "brightness": 0 * one,
        "saturation": one,
        "contrast": one,
        "shift": torch.zeros(1, 2),
        "cutout": outside,
        "chance": 0 * one,
        "window": torch.tensor([[1.0, 0.5, 0.5]]),
    }
    torch.testing.assert_close(Augmentation(**neutral)(x, PARTS), x)
    torch.testing.assert_close(Augmentation(**{**neutral, "brightness": 0.5 * one})(x), x + 0.5)
    grey = Augmentation(**{**neutral, "saturation": 0 * one})(x)
    torch.testing.assert_close(grey, x.mean(1, keepdim=True).expand_as(x))
    moved = Augmentation(**{**neutral, "shift": torch.tensor([[1 / 8, 0.0]])})(x)
    torch.testing.assert_close(moved[:, :, 1:], x[:, :, :-1])
    torch.testing.assert_close(moved[:, :, 0], x[:, :, 0])
    cut = Augmentation(**{**neutral, "cutout": torch.zeros(1, 2)})(x)
    assert not bool(cut[..., :4, :4].any())
    torch.testing.assert_close(cut[..., 4:, :], x[..., 4:, :])
    corner = Augmentation(**{**neutral, "window": torch.tensor([[0.5, 0.0, 1.0]])})(x, ["zoom"])
    enlarged = F.interpolate(x[..., :4, 4:], scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(corner[..., 1:-1, 1:-1], enlarged[..., 1:-1, 1:-1])  # top right, twice as large


def test_zoom_stays_within_its_bounds_and_looks_everywhere() -> None:
    window = Augmentation.draw(2000, "cpu").window
    assert float(window[:, 0].max()) <= 1 / LEAST_ZOOM
    assert float(window[:, 0].min()) >= 1 / MOST_ZOOM
    x = torch.rand(200, 3, 16, 16, requires_grad=True)
    Augmentation.draw(200, "cpu")(x, ["zoom"]).sum().backward()
    assert x.grad is not None
    assert bool((x.grad.sum(dim=(0, 1)) > 0).all())


# --- weights to start from ---


def test_adversaries_start_from_files(folders: Path, tmp_path: Path) -> None:
    from models.files import save_network

    first = adversaries()
    for adversary, name in zip(first, ("projected", "discriminator"), strict=True):
        adversary.build(3, SIDE)
        save_network(tmp_path / f"{name}.safetensors", adversary.network, "discriminator")
    second = adversaries()
    for adversary, name in zip(second, ("projected", "discriminator"), strict=True):
        adversary.init = str(tmp_path / f"{name}.safetensors")
        adversary.build(3, SIDE)
        adversary.start()
    for ours, theirs in zip(first, second, strict=True):
        state = theirs.network.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in ours.network.state_dict().items())
    second[1].init = str(tmp_path / "projected.safetensors")
    with pytest.raises(PhotograftError, match="does not fit"):
        second[1].start()
