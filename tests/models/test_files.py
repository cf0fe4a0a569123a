"""Our weights format: what is written is what is read, whole or not at all, and bad files get one clear line."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.errors import PhotograftError
from models.files import load_network, read_tensors, save_network, sha256
from models.generators.sngan import SNGANGenerator
from models.header import read_header


@pytest.fixture
def network() -> SNGANGenerator:
    return SNGANGenerator((8, 4), latent_dim=4, num_classes=2).freeze()


@pytest.fixture
def path(tmp_path: Path, network: SNGANGenerator) -> Path:
    where = tmp_path / "network.safetensors"
    save_network(where, network, "generator", {"classes": ["cat", "Hund ä"]})
    return where


def refused(path: Path, words: str, kind: str = "generator") -> None:
    with pytest.raises(PhotograftError, match=words) as caught:
        load_network(path, kind)
    assert "\n" not in str(caught.value)


def rewrite(path: Path, **metadata: str) -> None:
    """The same tensors under other metadata."""
    known = {"photograft": "1", "kind": "generator", "family": "sngan", "info": "{}"}
    config = {"channels": [8, 4], "latent_dim": 4, "num_classes": 2}
    save_file(read_tensors(path), path, {**known, "config": json.dumps(config), **metadata})


def test_header(path: Path) -> None:
    header = read_header(path)
    assert (header.kind, header.family, header.path) == ("generator", "sngan", path)
    assert header.config == {"channels": [8, 4], "latent_dim": 4, "num_classes": 2, "bottom_width": 4}
    assert header.info == {"classes": ["cat", "Hund ä"]}
    assert len(sha256(path)) == 64


def test_network_comes_back_frozen(path: Path, network: SNGANGenerator) -> None:
    loaded, _ = load_network(path, "generator")
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_half_precision_and_memory_order(tmp_path: Path, network: SNGANGenerator) -> None:
    path = tmp_path / "half.safetensors"
    save_network(path, network.to(memory_format=torch.channels_last), "generator", dtype=torch.float16)
    loaded, _ = load_network(path, "generator")
    assert loaded.linear.weight.dtype == torch.float32
    assert torch.allclose(loaded.linear.weight, network.linear.weight, atol=1e-3)
    assert path.stat().st_size < 0.7 * sum(4 * p.numel() for p in network.state_dict().values()) + 4000


def test_missing_damaged_and_foreign_files(tmp_path: Path, path: Path) -> None:
    refused(tmp_path / "none.safetensors", "not found")
    refused(path, "holds a generator, not a encoder|holds a generator", kind="encoder")
    data = path.read_bytes()
    for name, content in {"empty": b"", "text": b"no weights " * 99, "cut": data[: len(data) // 2]}.items():
        broken = tmp_path / name
        broken.write_bytes(content)
        refused(broken, "damaged")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(2)}, foreign)
    refused(foreign, "holds no Photograft network")


def test_config_that_does_not_fit(path: Path) -> None:
    rewrite(path, family="sngun")
    refused(path, "did you mean sngan")
    rewrite(path, config=json.dumps({"width": 3}))
    refused(path, "config does not fit")
    rewrite(path, config=json.dumps({"channels": [8, 4], "latent_dim": 4, "num_classes": 3}))
    refused(path, "does not fit its network")
    rewrite(path, kind="oracle")
    refused(path, "holds no Photograft network")


def test_missing_and_unknown_tensors(path: Path) -> None:
    tensors = read_tensors(path)
    metadata = {
        "photograft": "1",
        "kind": "generator",
        "family": "sngan",
        "config": json.dumps({"channels": [8, 4], "latent_dim": 4, "num_classes": 2}),
        "info": "{}",
    }
    save_file({k: v for k, v in tensors.items() if k != "linear.bias"}, path, metadata)
    refused(path, "linear.bias")
    save_file({**tensors, "extra": torch.zeros(1)}, path, metadata)
    refused(path, "extra")
    save_file({**tensors, "linear.bias": torch.full_like(tensors["linear.bias"], torch.inf)}, path, metadata)
    refused(path, "NaN or infinite")


def test_writing_is_whole_or_not_at_all(path: Path, network: SNGANGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PhotograftError, match="cannot be written"):
        save_network(path, network, "generator")
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_broken_description_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    metadata = {"photograft": "1", "kind": "generator", "family": "sngan", "config": "{", "info": "{}"}
    save_file({"x": torch.zeros(1)}, path, metadata)
    with pytest.raises(PhotograftError, match="is damaged: config: Invalid JSON"):
        read_header(path)
