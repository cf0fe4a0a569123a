"""Catalogs: built, named, written and read again."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from infer.catalog.catalog import Catalog, build_catalog, default_path, load_catalog
from models.errors import PhotograftError
from models.samples import draw
from models.zoo import Model, load_model
from tests.infer.tiny_model import write_tiny_model
from tests.infer.tiny_styles import write_catalog


@pytest.fixture(scope="module")
def tiny_model(tiny: Path) -> Model:
    return load_model(str(tiny))


@pytest.fixture(scope="module")
def catalog(tiny_model: Model) -> Catalog:
    built = build_catalog(tiny_model, clusters=5, samples=20)
    return replace(built, names={"top": (0, 2), "none of it": (4,)})


def test_quadrants_are_found(model: Model) -> None:
    catalog = build_catalog(model, layer="low", clusters=4, samples=8)
    assert catalog.settings.layer == "low"
    shares = catalog.maps.amax((1, 2)), catalog.maps.mean((1, 2))
    assert torch.allclose(shares[0], torch.ones(4))
    assert torch.allclose(shares[1], torch.full((4,), 0.25))
    assert list(catalog.contributions) == ["low", "high"]
    for m in catalog.contributions.values():  # each quadrant has its own channel, in every layer
        assert sorted(m.argmax(1).tolist()) == [0, 1, 2, 3]


def test_built_from_what_was_asked(catalog: Catalog, tiny_model: Model) -> None:
    layers = tiny_model.generator.modulated_layers
    assert list(catalog.contributions) == [layer.name for layer in layers]
    for layer, m in zip(layers, catalog.contributions.values(), strict=True):
        assert m.shape == (5, layer.channels)
        assert ((m >= 0) & (m <= 1.0001)).all()
        assert torch.allclose(m.sum(0), torch.ones(layer.channels), atol=1e-3)
    maps = catalog.cluster_maps(tiny_model.generator, draw(tiny_model, 20, seed=0))
    assert torch.allclose(maps.mean(0), catalog.maps, atol=1e-6)


def test_seed_decides(catalog: Catalog, tiny_model: Model) -> None:
    again = build_catalog(tiny_model, clusters=5, samples=20)
    assert torch.equal(again.centres, catalog.centres)
    assert not torch.equal(build_catalog(tiny_model, clusters=5, samples=20, seed=1).centres, catalog.centres)


def test_parts_are_sums_of_clusters(catalog: Catalog) -> None:
    for whole, m in zip(catalog.part("top"), catalog.contributions.values(), strict=True):
        assert torch.equal(whole, m[0] + m[2])
    assert catalog.clusters("0, 2") == catalog.clusters("top")
    assert catalog.clusters("3") == (3,)
    maps = torch.rand(2, 5, 4, 4)
    assert torch.allclose(catalog.part_map("top", maps), maps[:, 0] + maps[:, 2])
    for bad, words in (("tpo", "did you mean|top"), ("5", "no cluster 5"), ("", "unknown part")):
        with pytest.raises(PhotograftError, match=words):
            catalog.clusters(bad)


def test_written_and_read(catalog: Catalog, tiny_model: Model, tmp_path: Path) -> None:
    path = tmp_path / "tiny.catalog.safetensors"
    assert write_catalog(catalog, path) == [path, tmp_path / "tiny.catalog.yaml"]
    read = load_catalog(path, tiny_model)
    assert read.settings == catalog.settings
    assert read.names == catalog.names
    assert list(read.contributions) == list(catalog.contributions)
    for key in ("centres", "mean", "std", "maps"):
        assert torch.equal(getattr(read, key), getattr(catalog, key))
    for a, b in zip(read.part("top"), catalog.part("top"), strict=True):
        assert torch.equal(a, b)
    assert default_path(tiny_model, tmp_path) == path
    assert default_path(tiny_model, tmp_path / "other").parent == Path(tiny_model.name).parent
    (tmp_path / "tiny.catalog.yaml").unlink()
    assert load_catalog(path, tiny_model).names == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("eyes: [0, 9]", "no cluster 9"),
        ("eyes: []", "without clusters"),
        ("eyes: 3", "list of numbers"),
        ("eyes: [true]", "list of numbers"),
        ("3: [1]", "list of numbers"),
        ("- eyes", "lines such as"),
        ("eyes: [1", "not YAML"),
    ],
)
def test_bad_names(catalog: Catalog, tiny_model: Model, tmp_path: Path, text: str, words: str) -> None:
    path, names = write_catalog(catalog, tmp_path / "tiny.catalog.safetensors")
    names.write_text(text)
    with pytest.raises(PhotograftError, match=words):
        load_catalog(path, tiny_model)


def test_bad_files(catalog: Catalog, tiny_model: Model, tmp_path: Path) -> None:
    path = tmp_path / "tiny.catalog.safetensors"
    with pytest.raises(PhotograftError, match="no catalog at"):
        load_catalog(path, tiny_model)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(PhotograftError, match="damaged"):
        load_catalog(path, tiny_model)
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(PhotograftError, match="not a catalog"):
        load_catalog(path, tiny_model)
    save_file({"centres": torch.ones(2, 3)}, path, {"photograft_catalog": "1", "settings": '{"layers": []}'})
    with pytest.raises(PhotograftError, match="damaged"):
        load_catalog(path, tiny_model)
    write_catalog(replace(catalog, mean=catalog.mean[:-1]), path)
    with pytest.raises(PhotograftError, match="do not fit"):
        load_catalog(path, tiny_model)
    write_catalog(replace(catalog, mean=catalog.mean * float("nan")), path)
    with pytest.raises(PhotograftError, match="NaN"):
        load_catalog(path, tiny_model)
    with pytest.raises(PhotograftError, match="named NAME"):
        write_catalog(catalog, tmp_path / "tiny.safetensors")


def test_another_model_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    path, _ = write_catalog(catalog, tmp_path / "tiny.catalog.safetensors")
    other = load_model(str(write_tiny_model(tmp_path, "other", seed=2)))
    with pytest.raises(PhotograftError, match="other weights"):
        load_catalog(path, other)


def test_embedded_catalog_fits_the_embedded_model(tmp_path: Path) -> None:
    model = load_model()
    found = load_catalog(default_path(model, tmp_path), model)
    assert {"eyes", "muzzle", "background"} <= found.names.keys()
    assert all(torch.isfinite(m).all() for m in found.part("eyes"))
