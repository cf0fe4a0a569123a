"""Feature blending: the original's numbers and demo recipes, and what must hold for any generator."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from infer.edits.feature_blending import Stream, blend, blend_regions, record_features, shift_features
from infer.edits.scbn import spatial_mix
from models.base import Layer, Modulation
from models.errors import PhotograftError
from models.generators.sngan import SNGANGenerator
from tests.collage_fixtures import IMAGE, Fixture, names, network, uses


@pytest.fixture(scope="module")
def generator() -> SNGANGenerator:
    """32 px, three classes that differ; feature layers of 4, 8, 16, 32."""
    torch.manual_seed(1)
    g = SNGANGenerator((16, 8, 8, 4), latent_dim=8, num_classes=3)
    for module in g.modules():
        for name in ("gamma", "beta"):
            if hasattr(module, name):
                torch.nn.init.normal_(getattr(module, name), std=0.5)
    g.freeze()
    return g


def streams(g: SNGANGenerator, labels: list[int], n: int = 2) -> list[Stream]:
    latents = [torch.randn(n, g.latent_dim) for _ in labels]
    return [Stream(z, g.modulations(z, torch.full((n,), c))) for z, c in zip(latents, labels, strict=True)]


def original_blends(g: SNGANGenerator, zs: Tensor, m: list[Modulation], blends: list[Tensor]) -> Tensor:
    """The original's recipe: its extra stream is the base here, its source one more reference; one class map for all.

    Its blends are [N,H,W,streams] with the extra stream last. That one begins as zeros, so its weight at level 0 counts
    for nothing.
    """
    all_streams = [Stream(z[None], m) for z in zs]
    weights = {}
    for level, b in enumerate(blends):
        w = b.permute(0, 3, 1, 2).roll(1, dims=1).clone()
        if level == 0:
            w[:, 0] = 0
        weights[level] = w
    return blend(g, all_streams[0], all_streams, weights, normalise=False)


@pytest.mark.parametrize("name", names("blend_"))
def test_original(name: str) -> None:
    g: SNGANGenerator = network(uses(name), "generator")
    with Fixture(name) as fixture, torch.no_grad():
        zs = fixture.get("zs")
        assert [layer.resolution for layer in g.feature_layers] == fixture.get("blend_sizes").tolist()
        assert [layer.resolution for layer in g.modulated_layers] == fixture.get("sizes").tolist()
        classes = [g.modulations(zs[:1], torch.tensor([c])) for c in range(g.num_classes)]
        m = spatial_mix(classes, [w.permute(0, 3, 1, 2) for w in fixture.maps("weights_")])
        blends = fixture.maps("blends_")
        image = original_blends(g, zs, m, blends)
        fixture.check("image", image, **IMAGE)
        check_targets(fixture, g, zs, m, blends)
        quirk = original_blends(g, zs, m, [fixture.get("quirk_blends_00"), *blends[1:]])
        fixture.check("quirk_image_stride2", quirk, **IMAGE)


def check_targets(fixture: Fixture, g: SNGANGenerator, zs: Tensor, m: list[Modulation], blends: list[Tensor]) -> None:
    """The blended features after each level, seen by a generator whose synthesis reports what its tap gave back."""
    seen: dict[str, Tensor] = {}

    class Watched(SNGANGenerator):
        def _touch(self, name: str, x: Tensor, tap: object) -> Tensor:
            out = super()._touch(name, x, tap)  # type: ignore[arg-type]
            seen[name] = out
            return out

    watched = Watched(**g.config)
    watched.load_state_dict(g.state_dict())
    original_blends(watched.eval(), zs, m, blends)
    for key in fixture.keys("target_"):
        link = key.split("_")[1]
        layer = "linear" if link == "l1" else f"blocks.{int(link[5:]) - 2}"
        fixture.check(key, seen[layer], rtol=1e-4, atol=5e-5)


@pytest.mark.parametrize("name", names("demo_recipes_"))
def test_demo_recipes(name: str) -> None:
    g: SNGANGenerator = network(uses(name), "generator")
    with Fixture(name) as fixture, torch.no_grad():
        frames = int(fixture.get("interpolation"))
        masks = {int(key[5:]): fixture.get(key) for key in fixture.keys("mask_")}
        source, reference, c = fixture.get("z_src"), fixture.get("z_ref"), fixture.get("c").view(1)
        m = g.modulations(source, c)
        levels = dict(enumerate(fixture.get("lmds").tolist()))  # one slider for each of the first levels
        images = []
        for t in torch.linspace(0, 1, frames):
            weights = {}
            for level, strength in levels.items():
                share = strength * t * masks[g.feature_layers[level].resolution][None]
                weights[level] = torch.stack([1 - share, share], dim=1)
            images.append(blend(g, Stream(source, m), [Stream(reference, m)], weights))
        fixture.check("blend_images_stride2", torch.cat(images), **IMAGE)
        palette = fixture.get("palette").tolist()
        base = int(fixture.get("base_class"))
        classes = [g.modulations(source, torch.tensor([k])) for k in (base, *palette)]
        images = []
        for t in torch.linspace(0, 1, frames):
            maps = []
            for layer in g.modulated_layers:
                mask = masks[layer.resolution]
                shares = [t * mask, t * (1 - mask) * 0.5]
                maps.append(torch.stack([1 - shares[0] - shares[1], *shares])[None])
            images.append(g.synthesize(source, spatial_mix(classes, maps)))
        fixture.check("translation_images_stride2", torch.cat(images), **IMAGE)


def test_weights_at_the_ends(generator: SNGANGenerator) -> None:
    base, other = streams(generator, [0, 2])
    plain = [generator.synthesize(s.latent, s.modulations, lambda _, x: x) for s in (base, other)]
    full = torch.ones(32, 32)
    assert torch.allclose(blend_regions(generator, base, [other], [full], strengths=[0.0]), plain[0], atol=1e-6)
    last = blend_regions(generator, base, [other], [full], layers=[3])
    assert torch.allclose(last, plain[1], atol=1e-6)  # the last features are the reference's, under its own class
    assert torch.allclose(blend(generator, base, [], {}), plain[0], atol=1e-6)


def test_batch_of_references_is_one_by_one(generator: SNGANGenerator) -> None:
    base, *others = streams(generator, [0, 1, 2])
    masks = [torch.rand(32, 32) for _ in others]
    together = blend_regions(generator, base, others, masks)
    for i in range(2):
        alone = [Stream(s.latent[i : i + 1], [m.map(lambda t, i=i: t[i : i + 1]) for m in s.modulations])
                 for s in (base, *others)]  # fmt: skip
        assert torch.allclose(together[i : i + 1], blend_regions(generator, alone[0], alone[1:], masks), atol=1e-5)


def test_a_reference_goes_through_its_own_generator(generator: SNGANGenerator) -> None:
    tuned = copy.deepcopy(generator)
    with torch.no_grad():
        for weight in tuned.parameters():
            weight.mul_(1.1)
    base, other, third = streams(generator, [0, 1, 2])
    own = replace(other, generator=tuned)
    full = torch.ones(32, 32)
    expected = blend_regions(tuned, other, [other], [full], layers=[0])  # the whole picture, by the copy
    recorded = record_features(generator, [third, own, other], ["linear", "blocks.2"])
    alone = {g: record_features(g, [other], ["blocks.2"])["blocks.2"][0] for g in (generator, tuned)}
    assert torch.equal(recorded["blocks.2"][1], alone[tuned])
    assert torch.allclose(recorded["blocks.2"][2], alone[generator], atol=1e-5)
    assert not torch.allclose(alone[tuned], alone[generator], atol=1e-2)
    last = blend_regions(tuned, replace(base, generator=generator), [own], [full], layers=[3])
    assert torch.allclose(last, expected, atol=1e-5)


def test_blending_is_local_and_recursive(generator: SNGANGenerator) -> None:
    base, other = streams(generator, [0, 0], n=1)
    mask = torch.zeros(32, 32)
    mask[:16, :16] = 1
    plain = generator.synthesize(base.latent, base.modulations)
    edited = blend_regions(generator, base, [other], [mask], layers=[3])
    changed = (edited - plain).abs().amax((0, 1)) > 1e-5
    assert changed[:15, :15].all()
    assert not changed[18:, 18:].any()
    # recursive: what a later layer blends into is the result of the earlier ones
    both = blend_regions(generator, base, [other], [mask], strengths=[0.5], layers=[0, 1])
    seen: list[Tensor] = []

    def tap(layer: Layer, x: Tensor) -> Tensor:
        if layer.name in ("linear", "blocks.0"):
            reference = record_features(generator, [other], [layer.name])[layer.name][0]
            w = 0.5 * torch.nn.functional.interpolate(mask[None, None], x.shape[-2:], mode="area")
            x = (1 - w) * x + w * reference
            seen.append(x)
        return x

    assert torch.allclose(both, generator.synthesize(base.latent, base.modulations, tap), atol=1e-5)
    assert len(seen) == 2


def test_references_that_vary_over_space(generator: SNGANGenerator) -> None:
    base, other = streams(generator, [0, 1])
    sizes = [layer.resolution for layer in generator.modulated_layers]
    spatial = [
        m.map(lambda t, r=r: t[:, :, None, None].expand(-1, -1, r, r))
        for m, r in zip(other.modulations, sizes, strict=True)
    ]
    mask = [torch.rand(32, 32)] * 2
    expected = blend_regions(generator, base, [base, other], mask)
    assert torch.allclose(
        blend_regions(generator, base, [base, Stream(other.latent, spatial)], mask), expected, atol=1e-5
    )


def test_shift() -> None:
    x = torch.randn(1, 2, 5, 6)
    assert torch.equal(shift_features(x, 0, 0), x)
    moved = shift_features(x, 2, -1)
    assert torch.equal(moved[..., :-1, 2:], x[..., 1:, :-2])
    assert torch.equal(moved[..., :-1, 0], x[..., 1:, 0])  # what moves in repeats the border
    half = shift_features(x, 0.5, 0)
    assert torch.allclose(half[..., 1:], (x[..., 1:] + x[..., :-1]) / 2)
    assert torch.allclose(shift_features(x, -0.25, 0)[..., :-1], 0.75 * x[..., :-1] + 0.25 * x[..., 1:])
    assert torch.equal(shift_features(x, 100, 0)[..., -1], x[..., 0])


def test_shift_is_in_pixels_of_the_image(generator: SNGANGenerator) -> None:
    base, other = streams(generator, [0, 1], n=1)
    (features,) = record_features(generator, [other], ["blocks.1"])["blocks.1"]  # 16 px
    weights = {2: torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(-1, -1, 16, 16)}
    image = blend(generator, base, [other], weights, shifts=[(6.0, 4.0)])

    def tap(layer: Layer, x: Tensor) -> Tensor:
        return shift_features(features, 3, 2) if layer.name == "blocks.1" else x

    assert torch.allclose(image, generator.synthesize(base.latent, base.modulations, tap), atol=1e-5)


def test_channels_can_be_weighted_too(generator: SNGANGenerator) -> None:
    base, other = streams(generator, [0, 1])
    flat = torch.rand(1, 1, 8, 8)
    m = torch.cat([1 - flat, flat], dim=1)
    expected = blend(generator, base, [other], {1: m})
    per_channel = blend(generator, base, [other], {1: m[:, :, None].expand(-1, -1, 8, -1, -1)})
    assert torch.allclose(expected, per_channel, atol=1e-6)


def test_bad_input_is_refused(generator: SNGANGenerator) -> None:
    base, other = streams(generator, [0, 1])
    half, full = torch.full((1, 2, 8, 8), 0.5), torch.ones(32, 32)
    for weights, words in (
        ({1: 0.9 * half}, "sum to 1"),
        ({1: half * torch.tensor([-1.0, 3.0]).view(1, 2, 1, 1)}, "negative"),
        ({0: half}, r"must be \[N,2,4,4\]"),
        ({1: half[:, :1]}, r"must be \[N,2,8,8\]"),
        ({4: half}, "no feature layer 4"),
    ):
        with pytest.raises(PhotograftError, match=words):
            blend(generator, base, [other], weights)
    blend(generator, base, [other], {1: 0.9 * half}, normalise=False)
    with pytest.raises(PhotograftError, match="shifts"):
        blend(generator, base, [other], {1: half}, shifts=[])
    with pytest.raises(PhotograftError, match="masks for"):
        blend_regions(generator, base, [other], [full, full])
    with pytest.raises(PhotograftError, match="no feature layer 9"):
        blend_regions(generator, base, [other], [full], layers=[9])
