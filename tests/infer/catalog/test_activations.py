"""Maps and contributions against recorded numbers and the formula written out."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from infer.catalog.activations import (
    Moments,
    cluster_maps,
    collect,
    contributions,
    features_at,
    find_layer,
    resize_maps,
)
from models.base import Layer
from models.errors import PhotograftError
from models.samples import draw
from models.zoo import Model, load_model
from tests.infer.catalog.conftest import quadrants

GOLDEN = Path(__file__).parents[2] / "golden" / "stylegan"


def arrays(name: str) -> dict[str, Tensor]:
    with np.load(GOLDEN / name / "io.npz") as found:
        return {key: torch.from_numpy(np.asarray(found[key])) for key in found.files}


def test_recorded_contributions() -> None:
    found, maps = arrays("ivrl_M_from_paper"), arrays("ivrl_factor_catalog")["heatmaps_named"]
    compared = 0
    for key, activations in found.items():
        if key.startswith("act."):
            moments = Moments()
            for part in (slice(0, 1), slice(1, 4)):  # in batches, as they stream in
                features = activations[part]
                moments.add(features, resize_maps(maps[part], features.shape[-1], "nearest"))
            expected = found[key.replace("act", "M")]
            assert torch.allclose(moments.contributions(), expected, rtol=1e-4, atol=1e-6), key
            compared += 1
    assert compared == 5


def test_recorded_maps() -> None:
    found = arrays("ivrl_factor_catalog")
    k = len(found["centers"])
    zero, one = torch.zeros(16), torch.ones(16)
    maps = cluster_maps(found["X"], found["centers"], zero, one)
    assert torch.equal(maps.argmax(1).int(), found["labels"])
    assert torch.equal(maps, found["heatmaps_raw"])
    assert maps.shape[1] == k
    named = torch.stack([maps[:, ids].sum(1) for ids in ([0, 1], [2], [3, 4], [5])], dim=1)
    assert torch.equal(named, found["heatmaps_named"])
    assert torch.equal(resize_maps(named, 8, "nearest"), found["heatmaps_named_res8"])
    assert torch.equal(resize_maps(named[:1], 128, "nearest"), found["heatmaps_named_res128"])


def test_bilinear_maps_still_sum_to_one() -> None:
    maps = F.one_hot(torch.randint(5, (2, 16, 16)), 5).permute(0, 3, 1, 2).float()
    for size in (4, 8, 16, 64):
        assert torch.allclose(resize_maps(maps, size).sum(1), torch.ones(2, size, size), atol=1e-6)
    assert resize_maps(maps, 64).frac().abs().max() > 0  # soft edges, unlike nearest
    with pytest.raises(PhotograftError, match="unknown resizing"):
        resize_maps(maps, 8, "cubic")  # type: ignore[arg-type]


def test_contributions_of_a_partition_sum_to_one() -> None:
    a = 3 + 2 * torch.randn(2, 6, 8, 8)
    u = F.one_hot(torch.randint(3, (2, 8, 8)), 3).permute(0, 3, 1, 2).float()
    moments = Moments()
    moments.add(a, u)
    m = moments.contributions()
    normal = (a - a.mean((0, 2, 3), keepdim=True)) / a.std((0, 2, 3), keepdim=True, correction=0)
    expected = torch.einsum("nchw,nkhw->kc", normal.square(), u) / (2 * 64)
    assert torch.allclose(m, expected, atol=1e-5)
    assert torch.allclose(m.sum(0), torch.ones(6), atol=1e-5)


def test_a_constant_channel_contributes_nothing() -> None:
    moments = Moments()
    moments.add(torch.full((1, 2, 4, 4), 7.0), torch.ones(1, 1, 4, 4))
    assert moments.contributions().abs().max() < 1e-3


@pytest.fixture(scope="module")
def tiny_model(tiny: Path) -> Model:
    return load_model(str(tiny))


def test_collected_vectors_are_standardised(tiny_model: Model) -> None:
    samples = draw(tiny_model, 40, seed=3)  # more than one batch
    layer = tiny_model.generator.layers[2]
    found = collect(tiny_model.generator, layer, samples)
    assert found.vectors.shape == (40 * layer.resolution**2, layer.channels)
    features = features_at(tiny_model.generator, layer, samples)
    rows = features.permute(0, 2, 3, 1).reshape(-1, layer.channels)
    assert torch.allclose(found.mean, rows.mean(0), atol=1e-5)
    assert torch.allclose(found.std, rows.std(0, correction=0), rtol=1e-4, atol=1e-4)
    assert torch.allclose(found.vectors * found.std + found.mean, rows, atol=1e-5)
    half = collect(tiny_model.generator, layer, samples, dtype=torch.float16)
    assert half.vectors.dtype == torch.float16
    assert torch.allclose(half.vectors.float(), found.vectors, atol=2e-2)


def test_a_part_of_the_positions(tiny_model: Model) -> None:
    samples = draw(tiny_model, 5)
    layer = tiny_model.generator.layers[2]
    found, again, other = (
        collect(tiny_model.generator, layer, samples, max_vectors=50, seed=seed) for seed in (1, 1, 2)
    )
    assert len(found.vectors) == 50
    assert torch.equal(found.vectors, again.vectors)
    assert not torch.equal(found.vectors, other.vectors)
    every = collect(tiny_model.generator, layer, samples)
    assert (
        torch.cdist(found.vectors, every.vectors, compute_mode="donot_use_mm_for_euclid_dist").min(1).values.max()
        < 1e-5
    )
    assert torch.equal(found.mean, every.mean)


def test_contributions_of_a_generator_by_hand(model: Model) -> None:
    samples = draw(model, 6, seed=1)
    low = model.generator.layers[0]
    found = collect(model.generator, low, samples)
    centres = F.normalize(torch.eye(4) - 0.25, dim=1)  # each quadrant's direction
    m, maps = contributions(model.generator, low, samples, centres, found.mean, found.std)
    assert torch.equal(maps[None].round(), quadrants(8))
    for layer in m:  # a channel is active in its quadrant: mean 1/4, variance 3/16 -> (3/4)^2 / (3/16) / 4 = 3/4
        assert torch.allclose(layer.diag(), torch.full((4,), 0.75), atol=0.06)
        assert torch.allclose(layer.sum(0), torch.ones(4), atol=1e-4)


def test_layers_are_found() -> None:
    layers = [Layer("a", 4, 1, modulated=False), Layer("b", 16, 1, modulated=True), Layer("c", 32, 1, modulated=True)]
    layers += [Layer("d", 32, 1, modulated=True), Layer("e", 64, 1, modulated=True)]
    assert find_layer(layers).name == "c"
    assert find_layer(layers[:2]).name == "b"
    assert find_layer([layers[0]]).name == "a"
    assert find_layer([layers[4]]).name == "e"
    assert find_layer(layers, "d").name == find_layer(layers, "3").name == "d"
    with pytest.raises(PhotograftError, match="no layer 'x'"):
        find_layer(layers, "x")
