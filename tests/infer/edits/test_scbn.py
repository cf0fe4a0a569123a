"""sCBN: the original's numbers, and what must hold for any generator."""

import pytest
import torch
from torch import Tensor

from infer.edits.scbn import (
    Region,
    check_partition,
    class_modulations,
    layer_weights,
    region_weights,
    resize_weights,
    spatial_mix,
)
from models.base import Layer, Modulation
from models.errors import PhotograftError, UnsupportedEdit
from models.generators.sngan import SNGANGenerator, layout
from tests.collage_fixtures import IMAGE, Fixture, names, network, uses


@pytest.fixture(scope="module")
def generator() -> SNGANGenerator:
    """16 px, three classes that differ."""
    torch.manual_seed(1)
    g = SNGANGenerator((16, 8, 4), latent_dim=8, num_classes=3)
    for module in g.modules():
        for name in ("gamma", "beta"):
            if hasattr(module, name):
                torch.nn.init.normal_(getattr(module, name), std=0.5)
    g.freeze()
    return g


def every_class(g: SNGANGenerator, z: Tensor) -> list[list[Modulation]]:
    return [g.modulations(z, torch.full((len(z),), c)) for c in range(g.num_classes)]


@pytest.mark.parametrize("name", names("scbn_"))
def test_original(name: str) -> None:
    g: SNGANGenerator = network(uses(name), "generator")
    features: dict[str, Tensor] = {}

    def tap(layer: Layer, x: Tensor) -> Tensor:
        features[layer.name] = x
        return x

    with Fixture(name) as fixture, torch.no_grad():
        z = fixture.get("z")
        assert [layer.resolution for layer in g.modulated_layers] == fixture.get("sizes").tolist()
        weights = [w.permute(0, 3, 1, 2) for w in fixture.maps("weights_")]  # [N,K,H,W]
        image = g.synthesize(z, spatial_mix(every_class(g, z), weights), tap)
        for key in fixture.keys("image_"):
            if "unnormalised" not in key:
                fixture.check(key, image, **IMAGE)
        for key in fixture.keys("feat_"):
            fixture.check(key, features[f"blocks.{int(key.split('_')[1][5:]) - 2}"], rtol=1e-4, atol=5e-5)
        scaled = [w * s for w, s in zip(weights, fixture.get("layer_scale").tolist(), strict=True)]
        with pytest.raises(PhotograftError, match="sum to 1"):
            spatial_mix(every_class(g, z), scaled)
        image = g.synthesize(z, spatial_mix(every_class(g, z), scaled, normalise=False))
        fixture.check("image_unnormalised_item0_stride2", image, **IMAGE)


def test_one_hot_maps_are_the_class(generator: SNGANGenerator) -> None:
    z = torch.randn(2, 8)
    for c in range(3):
        maps = [torch.zeros(1, 3, m.resolution, m.resolution) for m in generator.modulated_layers]
        for m in maps:
            m[:, c] = 1
        mixed = generator.synthesize(z, spatial_mix(every_class(generator, z), maps))
        plain = generator(z, torch.full((2,), c), lambda _, x: x)  # with a tap the arithmetic is the same
        assert torch.equal(mixed, plain)
        assert torch.allclose(mixed, generator(z, torch.full((2,), c)), atol=1e-6)


def test_regions(generator: SNGANGenerator) -> None:
    z, y = torch.randn(2, 8), torch.tensor([0, 1])
    mask = torch.zeros(64, 64)
    mask[16:48, 16:48] = 1
    plain = generator(z, y)
    nothing = generator.synthesize(z, class_modulations(generator, z, y, [Region(mask, 2, strength=0.0)]))
    assert torch.allclose(nothing, plain, atol=1e-6)
    everywhere = [Region(torch.ones(5, 7), 2)]
    assert torch.allclose(
        generator.synthesize(z, class_modulations(generator, z, y, everywhere)),
        generator(z, torch.tensor([2, 2])),
        atol=1e-6,
    )
    late = class_modulations(generator, z, y, [Region(mask, 2)], layers={3})
    base = generator.modulations(z, y)
    assert all(torch.equal(a.scale, b.scale) for a, b in zip(late[:3], base[:3], strict=True))
    assert late[3].spatial
    edited = generator.synthesize(z, late)
    assert not torch.allclose(edited, plain)
    assert torch.equal(edited[:, :, 0, 0], generator.synthesize(z, [*base[:3], late[3]])[:, :, 0, 0])
    changed = (late[3].scale - base[3].scale[:, :, None, None]).abs().sum((0, 1)) > 1e-6  # [16,16]
    assert torch.equal(changed, resize_weights(mask[None, None], 16)[0, 0] > 0)


def test_strength_is_continuous(generator: SNGANGenerator) -> None:
    z, y = torch.randn(1, 8), torch.tensor([0])
    mask = torch.ones(16, 16)
    half = class_modulations(generator, z, y, [Region(mask, 2, strength=0.5)])
    ends = [generator.modulations(z, torch.tensor([c])) for c in (0, 2)]
    for m, a, b in zip(half, *ends, strict=True):
        assert torch.allclose(m.scale, ((a.scale + b.scale) / 2)[:, :, None, None].expand_as(m.scale), atol=1e-6)


def test_later_regions_lie_over_earlier_ones() -> None:
    a, b = torch.zeros(4, 4), torch.zeros(4, 4)
    a[:, :3], b[:, 2:] = 1, 1
    w = region_weights([a, b], [1.0, 0.75])
    assert w.shape == (1, 3, 4, 4)
    assert w[0, :, 0, 0].tolist() == [0, 1, 0]
    assert w[0, :, 0, 2].tolist() == [0, 0.25, 0.75]  # where they overlap
    assert w[0, :, 0, 3].tolist() == [0.25, 0, 0.75]
    per_picture = region_weights([a, torch.rand(2, 4, 4)])
    assert per_picture.shape == (2, 3, 4, 4)
    check_partition(per_picture, "W")


def test_resizing_averages_over_area() -> None:
    w = region_weights([torch.rand(96, 96)])
    small = resize_weights(w, 8)
    assert torch.allclose(small, w.unflatten(3, (8, 12)).unflatten(2, (8, 12)).mean((3, 5)), atol=1e-6)
    for mode in ("area", "nearest"):
        for resolution in (1, 7, 96, 200):
            check_partition(resize_weights(w, resolution, mode), "W")
    assert set(resize_weights((w > 0.5).float(), 8, "nearest").unique().tolist()) <= {0.0, 1.0}
    with pytest.raises(PhotograftError, match="unknown resizing"):
        resize_weights(w, 8, "cubic")


@pytest.mark.parametrize("size", [(497, 497), (1500, 1500), (2400, 3000), (4000, 60), (30, 3000)])
@pytest.mark.parametrize("strengths", [(1.0, 1.0), (0.7, 0.3)])
def test_sums_are_one_however_large_the_masks(size: tuple[int, int], strengths: tuple[float, float]) -> None:
    random = torch.Generator().manual_seed(0)
    weights = region_weights([torch.rand(*size, generator=random), torch.rand(*size, generator=random)], strengths)
    for resolution in (1, 4, 7, 64, 128):
        small = resize_weights(weights, resolution)
        assert (small.sum(1) - 1).abs().max() < 1e-6
        assert small.min() >= 0
        assert small.max() <= 1


def test_an_axis_that_shrinks_is_averaged_where_the_other_grows() -> None:
    stripes = (torch.arange(4000) % 2).float().expand(20, -1)
    assert (resize_weights(stripes[None, None], 64) - 0.5).abs().max() < 0.01


def test_spatial_modulations_can_be_mixed_again(generator: SNGANGenerator) -> None:
    z = torch.randn(2, 8)
    maps = layer_weights(region_weights([torch.rand(16, 16)]), generator.modulated_layers)
    flat = every_class(generator, z)[:2]
    spatial = [[m.map(lambda t: t[:, :, None, None].expand(-1, -1, 16, 16)) for m in flat[0][3:]], flat[1][3:]]
    (expected,) = spatial_mix([flat[0][3:], flat[1][3:]], maps[3:])
    (mixed,) = spatial_mix(spatial, maps[3:])
    assert torch.allclose(mixed.scale, expected.scale, atol=1e-6)


def test_styles_without_shift() -> None:
    styles = [[Modulation(torch.full((1, 4), float(k)))] for k in range(2)]
    (mixed,) = spatial_mix(styles, [torch.full((1, 2, 3, 3), 0.5)])
    assert mixed.shift is None
    assert torch.equal(mixed.scale, torch.full((1, 4, 3, 3), 0.5))


def test_bad_input_is_refused(generator: SNGANGenerator) -> None:
    z, y, one = torch.randn(1, 8), torch.tensor([0]), torch.ones(4, 4)
    for w, words in (
        (torch.full((1, 3, 4, 4), 0.5), "sum to 1"),
        (torch.tensor([1.5, -0.5, 0.0]).view(1, 3, 1, 1).expand(-1, -1, 4, 4), "negative"),
        (torch.full((1, 3, 4, 4), torch.nan), "negative"),
        (torch.full((1, 2, 4, 4), 0.5), r"must be \[N,3,H,W\]"),
    ):
        with pytest.raises(PhotograftError, match=words):
            spatial_mix(every_class(generator, z), [w, None, None, None])
    for regions, words in (
        ([], "no region"),
        ([Region(one * 255, 1)], "0..1"),
        ([Region(one * torch.nan, 1)], "0..1"),
        ([Region(one, 1, strength=1.5)], "strength"),
        ([Region(one, 7)], "class indices"),
        ([Region(one, 1), Region(torch.ones(5, 5), 1)], "one size"),
    ):
        with pytest.raises(PhotograftError, match=words):
            class_modulations(generator, z, y, regions)
    with pytest.raises(PhotograftError, match="no modulated layer 4"):
        class_modulations(generator, z, y, [Region(one, 1)], layers=[4])
    unconditional = SNGANGenerator(layout("resnet_32", 2), latent_dim=8)
    with pytest.raises(UnsupportedEdit):
        class_modulations(unconditional, z, y, [Region(one, 1)])
