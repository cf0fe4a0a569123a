"""The Generator contract, held against every registered family by a tiny network with random weights."""

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import models.generators
from infer.edits.scbn import spatial_mix
from models.base import Generator, Layer, Modulation, StyleGenerator
from models.errors import PhotograftError
from models.files import load_network, save_network
from models.registry import create_generator, generators, list_generators

for module in pkgutil.iter_modules(models.generators.__path__):
    importlib.import_module(f"models.generators.{module.name}")

# Small networks per family, of every shape that takes another way through its code.
TINY: dict[str, dict[str, dict[str, Any]]] = {
    "sngan": {
        "conditional": {"channels": (16, 8, 4), "latent_dim": 8, "num_classes": 3},
        "unconditional": {"channels": (8, 4), "latent_dim": 6, "num_classes": 0, "bottom_width": 2},
    },
    "biggan": {
        "conditional": {
            "channels": (16, 16, 8),
            "latent_dim": 9,
            "num_classes": 3,
            "shared_dim": 4,
            "attention": (0, 1),
        },
        "flat": {"channels": (8, 6), "latent_dim": 5, "num_classes": 3, "shared_dim": 4, "hierarchical": False},
        "unconditional": {"channels": (8, 6), "latent_dim": 6, "bottom_width": 2, "statistics": 3, "truncation": 0.7},
        "learning": {"channels": (8, 8), "latent_dim": 6, "num_classes": 3, "spectral_norm": True, "attention": (1,)},
    },
    "biggan_deep": {
        "conditional": {
            "channels": (16, 16, 8),
            "up": (False, True),
            "latent_dim": 5,
            "num_classes": 3,
            "shared_dim": 4,
            "attention": (2,),
            "statistics": 51,
            "truncation": 0.43,
        },
        "unconditional": {"channels": (8, 8, 4), "up": (True, True), "latent_dim": 5},
    },
    "stylegan": {
        "unconditional": {"channels": (8, 6, 4), "latent_dim": 6, "mapping": (5, 7)},
        "conditional": {
            "channels": (4, 3),
            "latent_dim": 6,
            "mapping": (5,),
            "num_classes": 3,
            "bias_before_blur": True,
        },
    },
    "stylegan2": {
        "skip": {"channels": (8, 6, 4), "latent_dim": 6, "mapping": (5, 7)},
        "resnet": {"channels": (6, 4, 5), "latent_dim": 6, "mapping": (5, 7), "architecture": "resnet"},
        "conditional": {"channels": (6, 4), "latent_dim": 6, "mapping": (7,), "num_classes": 3, "embedding": 4},
        "clamp": {"channels": (6, 4), "latent_dim": 6, "mapping": (7,), "architecture": "orig", "conv_clamp": 1.0},
    },
    "pggan": {
        "finished": {"channels": (8, 6, 4), "latent_dim": 6},
        "fading": {"channels": (6, 4), "latent_dim": 5, "fade": 0.3},
    },
}
# Layers may be named after functions rather than modules where the family says so.
FUNCTION_LAYERS: dict[str, tuple[str, ...]] = {}
# Layers whose modulation varies over space without an edit.
SPATIAL_LAYERS = ("class_map",)

# Families whose output is linear: their images may leave the nominal [-1,1].
LINEAR_OUTPUT = ("pggan", "stylegan", "stylegan2")

CASES = [(family, name) for family in list_generators() for name in TINY.get(family, {})]


def build(family: str, name: str) -> Generator:
    """A frozen network whose parameters and statistics are all random, none at a value that hides a mistake."""
    generator = torch.Generator().manual_seed(5)
    network = create_generator(family, **TINY[family][name])
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                noise = torch.randn(value.shape, generator=generator)
                share = 0.02 if family == "biggan" else 0.2  # a sharp softmax enlarges rounding
                value.copy_(noise.abs() + 0.5 if "var" in key else value + share * noise)
    return network.freeze()


@pytest.fixture(params=CASES, ids=["-".join(case) for case in CASES])
def case(request: pytest.FixtureRequest) -> tuple[Generator, Tensor, Tensor | None]:
    """Network, latents [3,D], labels [3]."""
    network = build(*request.param)
    latent = network.sample_latent(3, torch.Generator().manual_seed(1))
    label = torch.arange(3) % network.num_classes if network.num_classes else None
    return network, latent, label


Case = tuple[Generator, Tensor, Tensor | None]


def identity(_: Layer, x: Tensor) -> Tensor:
    return x


def test_every_family_has_a_tiny_network() -> None:
    missing = [family for family in list_generators() if not TINY.get(family)]
    assert not missing, f"give these families a tiny config in {Path(__file__).name}: {missing}"


def test_families_are_distinct() -> None:
    for family, name in CASES:
        assert generators.name_of(build(family, name)) == family


def test_layers_tell_the_truth(case: Case) -> None:
    network, latent, label = case
    seen: list[tuple[str, int, int, int]] = []

    def tap(layer: Layer, x: Tensor) -> Tensor:
        assert layer in network.layers
        assert x.shape[0] == len(latent)
        seen.append((layer.name, x.shape[1], x.shape[2], x.shape[3]))
        return x

    image = network(latent, label, tap)
    described = [(layer.name, layer.channels, layer.resolution, layer.resolution) for layer in network.layers]
    assert seen == described
    assert len({layer.name for layer in network.layers}) == len(network.layers)
    modules = dict(network.named_modules())
    for layer in network.layers:
        assert layer.name in modules or layer.name in FUNCTION_LAYERS.get(generators.name_of(network), ())
    r = network.resolution
    assert image.shape == (3, 3, r, r)
    assert image.dtype == torch.float32
    assert image.abs().max() <= 1 or generators.name_of(network) in LINEAR_OUTPUT
    assert image.std() > 0.01
    mapped = network.modulations(latent, label)
    network.check_modulations(mapped)
    for layer, modulation in zip(network.modulated_layers, mapped, strict=True):
        size = (layer.resolution, layer.resolution) if layer.name in SPATIAL_LAYERS else ()
        assert modulation.scale.shape == (3, layer.channels, *size)


def test_tap(case: Case) -> None:
    network, latent, label = case
    plain = network(latent, label)
    assert torch.allclose(network(latent, label, identity), plain, atol=1e-5)
    for chosen in network.layers:  # what a tap gives back is what the network goes on with
        changed = network(latent, label, lambda layer, x, chosen=chosen: x * 0 if layer == chosen else x)
        assert not torch.allclose(changed, plain, atol=1e-5), chosen


def test_one_hot_maps_are_the_class(case: Case) -> None:
    network, latent, _ = case
    if not network.num_classes or not network.modulated_layers:
        pytest.skip("unconditional")
    classes = [network.modulations(latent, torch.full((3,), c)) for c in range(network.num_classes)]
    for c in range(network.num_classes):
        maps = []
        for layer in network.modulated_layers:
            w = torch.zeros(1, network.num_classes, layer.resolution, layer.resolution)
            w[:, c] = 1
            maps.append(w)
        mixed = network.synthesize(latent, spatial_mix(classes, maps))
        assert torch.allclose(mixed, network(latent, torch.full((3,), c)), atol=1e-5)
    weights = torch.nn.functional.one_hot(torch.tensor([0, 1, 2]) % network.num_classes, network.num_classes).float()
    assert torch.allclose(network(latent, weights), network(latent, weights.argmax(1)), atol=1e-5)


def test_spatial_modulations_equal_flat_ones(case: Case) -> None:
    network, latent, label = case
    spatial = [
        m.map(lambda t, r=layer.resolution: t if t.ndim == 4 else t[:, :, None, None].expand(-1, -1, r, r))
        for layer, m in zip(network.modulated_layers, network.modulations(latent, label), strict=True)
    ]
    assert torch.allclose(network.synthesize(latent, spatial), network(latent, label), atol=1e-5)


def test_modulations_mix_by_channel(case: Case) -> None:
    network, latent, label = case
    other = latent.flip(0)
    a = network.modulations(latent, label)
    b = network.modulations(other, None if label is None else label.flip(0))
    assert not network.modulated_layers or label is None or not torch.equal(a[-1].scale, b[-1].scale)

    def mixed(q: float) -> list[Modulation]:
        return [
            Modulation(
                torch.lerp(m.scale, n.scale, torch.full_like(m.scale[:1], q)),
                None if m.shift is None or n.shift is None else torch.lerp(m.shift, n.shift, q),
            )
            for m, n in zip(a, b, strict=True)
        ]

    for q, end in ((0.0, a), (1.0, b)):
        image = network.synthesize(latent, mixed(q))
        assert torch.allclose(image, network.synthesize(latent, end), atol=1e-5)


def test_batch_of_one_is_a_slice(case: Case) -> None:
    network, latent, label = case
    image = network(latent, label)
    for i in range(3):
        alone = network(latent[i : i + 1], None if label is None else label[i : i + 1])
        assert torch.allclose(alone, image[i : i + 1], atol=1e-5)


def test_gradients_reach_the_latent(case: Case) -> None:
    network, latent, label = case
    latent = latent.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(latent, label).square().sum(), latent)
    assert torch.isfinite(gradient).all()
    assert (gradient.abs().sum(1) > 0).all()
    mapped = network.modulations(latent, label)
    leaves = [m.scale.detach().clone().requires_grad_() for m in mapped]
    edited = [Modulation(s, None if m.shift is None else m.shift.detach()) for s, m in zip(leaves, mapped, strict=True)]
    image = network.synthesize(latent.detach(), edited)
    if leaves:
        assert all(g.abs().sum() > 0 for g in torch.autograd.grad(image.square().sum(), leaves))


def test_no_hidden_state(case: Case) -> None:
    network, latent, label = case
    before = {key: value.clone() for key, value in network.state_dict().items()}
    first = network(latent, label)
    torch.manual_seed(77)
    assert torch.equal(network(latent, label), first)
    after = network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_wrong_labels_and_modulations_are_refused(case: Case) -> None:
    network, latent, label = case
    k = network.num_classes
    wrong: list[Tensor | None] = [torch.zeros(3, dtype=torch.int64)]
    if k:
        wrong = [None, torch.tensor([0, 1, k]), torch.tensor([0, -1, 0]), torch.tensor([0]), torch.zeros(3, k + 1)]
    for bad in wrong:
        with pytest.raises(PhotograftError):
            network(latent, bad)
    mapped = network.modulations(latent, label)
    if mapped:
        with pytest.raises(ValueError, match="modulations for"):
            network.synthesize(latent, mapped[:-1])
        with pytest.raises(ValueError, match="does not fit"):
            network.synthesize(latent, [*mapped[:-1], mapped[-1].map(lambda t: t[:, :-1])])


def test_file_round_trip(case: Case, tmp_path: Path) -> None:
    network, latent, label = case
    path = tmp_path / "network.safetensors"
    save_network(path, network, "generator", {"made": "here"})
    loaded, header = load_network(path, "generator")
    assert header.info == {"made": "here"}
    assert loaded.config == network.config
    assert loaded.layers == network.layers
    assert torch.equal(loaded(latent, label), network(latent, label))
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = torch.nan
    with pytest.raises(PhotograftError, match="NaN"):
        save_network(path, network, "generator")
    assert load_network(path, "generator")[0].config == network.config, "the earlier file stays"


# generators that map z to w


def style(case: Case) -> tuple[StyleGenerator, Tensor, Tensor | None]:
    """The case, if it is of a style generator."""
    network, latent, label = case
    if not isinstance(network, StyleGenerator):
        pytest.skip("no style generator")
    return network, latent, label


def test_w_plus_stands_for_z(case: Case) -> None:
    network, z, label = style(case)
    ws = network.mapping(z, label)
    assert ws.shape == (3, network.num_ws, network.w_dim)
    image = network(z, label)
    assert torch.allclose(network(ws), image, atol=1e-5)
    assert torch.equal(network(ws, torch.full((3,), 99)), network(ws))  # the class is in w already
    (gradient,) = torch.autograd.grad(network(ws.requires_grad_()).square().sum(), ws)
    assert (gradient.abs().sum(2) > 0).all()  # every layer's w matters


def test_each_style_layer_has_its_own_w(case: Case) -> None:
    network, z, label = style(case)
    a = network.mapping(z, label)
    b = a.flip(0) + 0.5
    own = {"a": network.styles(a), "b": network.styles(b)}
    for cut in range(network.num_ws + 1):
        mixed = network.styles(torch.cat([b[:, :cut], a[:, cut:]], dim=1))
        source = [
            "".join(name for name, m in own.items() if torch.allclose(m[i].scale, modulation.scale, atol=1e-6))
            for i, modulation in enumerate(mixed)
        ]
        assert source == sorted(source, reverse=True), "earlier layers take the earlier w"
        assert set(source) == {"a", "b"} - ({"b"} if cut == 0 else {"a"} if cut == network.num_ws else set())


def test_truncation(case: Case) -> None:
    network, z, label = style(case)
    ws, mean = network.mapping(z, label), network.w_mean
    assert torch.equal(network.mapping(z, label, truncation=1.0, cutoff=1), ws)
    assert torch.allclose(network.mapping(z, label, truncation=0.0), mean.expand_as(ws), atol=1e-6)
    assert torch.allclose(network.mapping(z, label, truncation=0.25), mean + 0.25 * (ws - mean), atol=1e-5)
    part = network.mapping(z, label, truncation=0.0, cutoff=1)
    assert torch.allclose(part[:, :1], mean.expand_as(part[:, :1]), atol=1e-6)
    assert torch.equal(part[:, 1:], ws[:, 1:])
    images = network(network.mapping(z, label, truncation=0.0))
    assert torch.allclose(images, images[:1].expand_as(images), atol=1e-5)


def test_noise(case: Case) -> None:
    network, z, label = style(case)
    images = {}
    for mode in ("const", "none", "random"):
        network.noise = mode
        torch.manual_seed(1)
        images[mode] = network(z[:1].expand(2, -1), None if label is None else label[:1].expand(2))
    assert not torch.allclose(images["const"], images["none"], atol=1e-4)
    assert torch.allclose(images["const"][0], images["const"][1], atol=1e-5)
    assert not torch.allclose(images["random"][0], images["random"][1], atol=1e-4)
    torch.manual_seed(1)
    again = network(z[:1].expand(2, -1), None if label is None else label[:1].expand(2))
    assert torch.equal(again, images["random"])
