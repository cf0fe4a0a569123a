"""Models by name and by file: what belongs together is loaded together, what does not fit is refused in one line."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from models import zoo
from models.discriminators.base import Discriminator
from models.discriminators.biggan_deep import BigGANDeepDiscriminator
from models.discriminators.pggan import PGGANDiscriminator
from models.discriminators.sn_projection import SNProjectionDiscriminator
from models.encoder import ResNetEncoder
from models.errors import PhotograftError
from models.files import save_network, sha256
from models.generators.sngan import SNGANGenerator
from models.zoo import DEFAULT, Model, ZooEntry, load_model
from tests.infer.tiny_model import CLASSES, LATENTS, write_tiny_model


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path)


def test_generator_and_neighbours(tiny: Path) -> None:
    for name in (tiny, tiny.with_name("tiny")):
        model = load_model(str(name))
        assert model.class_names == CLASSES
        assert [model.group_names[group] for group in model.groups] == ["cat", "cat", "dog", "big cat"]
        assert (model.discriminator is None, model.encoder is None, model.auxiliary is None) == (False, False, True)
        assert model.stem == "tiny"
        assert Path(model.name).is_absolute()
        assert list(model.hashes) == [f"tiny.{kind}.safetensors" for kind in ("generator", "discriminator", "encoder")]
        assert model.fingerprint == sha256(tiny)
        assert sum(model.distribution) == pytest.approx(1)


def test_generator_alone_under_any_name(tiny: Path) -> None:
    alone = tiny.with_name("other.safetensors")
    tiny.rename(alone)
    for name in (alone, alone.with_suffix("")):
        model = load_model(str(name))
    assert (model.discriminator, model.encoder) == (None, None)
    assert model.fingerprint == sha256(alone)


@pytest.mark.parametrize(
    "discriminator",
    [
        SNProjectionDiscriminator([8] * 7),
        SNProjectionDiscriminator([8] * 6, attention=[5]),
        BigGANDeepDiscriminator([8] * 7, [True] * 6),
        PGGANDiscriminator([8] * 3),
    ],
)
def test_a_discriminator_of_other_pictures(discriminator: Discriminator, tiny: Path) -> None:
    """One that would halve pictures of 32 px to nothing, or was trained on others."""
    save_network(tiny.with_name("tiny.discriminator.safetensors"), discriminator, "discriminator")
    with pytest.raises(PhotograftError, match="is for other pictures than the generator's, which have 32 px"):
        load_model(str(tiny))


@pytest.mark.parametrize(
    ("name", "index"), [("lion", 3), ("Black-Cat", 0), ("brown_tabby cat", 1), ("retriever", 2), ("tabby", 1), ("2", 2)]
)
def test_class_index(tiny: Path, name: str, index: int) -> None:
    assert load_model(str(tiny)).class_index(name) == index


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("loin", "unknown class 'loin': did you mean lion"),
        ("cat", "could be any of: black cat, brown tabby cat"),
        ("4", "unknown class"),
        ("²", "unknown class"),
        ("", "unknown class"),
    ],
)
def test_class_index_of_no_class(tiny: Path, name: str, words: str) -> None:
    with pytest.raises(PhotograftError, match=words) as caught:
        load_model(str(tiny)).class_index(name)
    assert "\n" not in str(caught.value)


def test_unconditional_model_has_no_classes(tmp_path: Path) -> None:
    save_network(tmp_path / "plain.safetensors", SNGANGenerator([4, 4]), "generator")
    model = load_model(str(tmp_path / "plain.safetensors"))
    assert model.class_names == []
    with pytest.raises(PhotograftError, match="unconditional"):
        model.class_index("lion")


def test_classes_get_names_where_the_file_has_none(tmp_path: Path) -> None:
    save_network(tmp_path / "plain.safetensors", SNGANGenerator([4, 4], num_classes=3), "generator")
    model = load_model(str(tmp_path / "plain.safetensors"))
    assert model.class_names == ["class 0", "class 1", "class 2"]
    assert model.class_index("class 2") == 2


def refused(name: object, words: str) -> None:
    with pytest.raises(PhotograftError, match=words) as caught:
        load_model(str(name))
    assert "\n" not in str(caught.value)


def test_unknown_names(tmp_path: Path) -> None:
    refused("sngan-head-128", "did you mean sngan-heads-128")
    refused("", "unknown model")
    refused(tmp_path, "is a folder")
    refused(tmp_path / "missing.generator.safetensors", "no such file")
    refused(tmp_path / "missing", "unknown model")


def test_model_without_weights_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zoo.ZOO, DEFAULT, ZooEntry(tmp_path / DEFAULT, "", ""))
    assert not zoo.is_installed(DEFAULT)
    refused(DEFAULT, r"the weights of model .* are missing .*--model FILE")
    write_tiny_model(tmp_path, DEFAULT)
    assert zoo.is_installed(DEFAULT)
    assert load_model().name == DEFAULT


def test_files_that_do_not_fit(tiny: Path) -> None:
    encoder = tiny.with_name("tiny.encoder.safetensors")
    save_network(encoder, ResNetEncoder([4, 4], latent_dim=LATENTS + 1), "encoder")
    refused(tiny, "9 latents, the generator 8")
    save_network(encoder, ResNetEncoder([4, 4], latent_dim=LATENTS, num_classes=7), "encoder")
    refused(tiny, "7 classes, the generator 4")
    encoder.unlink()
    refused(tiny.with_name("tiny.discriminator.safetensors"), "holds a discriminator, not a generator")


@pytest.mark.parametrize(
    "info", [{"class_names": ["a", "b"]}, {"groups": [0]}, {"groups": [0, 1, 2], "group_names": ["all"]}]
)
def test_damaged_class_lists(tmp_path: Path, info: dict[str, list[object]]) -> None:
    save_network(tmp_path / "x.safetensors", SNGANGenerator([4, 4], num_classes=3), "generator", info)
    refused(tmp_path / "x.safetensors", "is damaged")


def test_weights_that_are_not_numbers(tmp_path: Path) -> None:
    generator, path = SNGANGenerator([4, 4], num_classes=3), tmp_path / "x.safetensors"
    save_network(path, generator, "generator")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(path) | {"to_rgb.weight": torch.full_like(generator.to_rgb.weight, torch.nan)}, path, metadata)
    refused(path, "NaN")
    torch.nn.init.constant_(generator.to_rgb.weight, torch.nan)
    with pytest.raises(PhotograftError, match="NaN or infinite"):
        save_network(tmp_path / "y.safetensors", generator, "generator")
    torch.nn.init.constant_(generator.to_rgb.weight, 1e6)
    with pytest.raises(PhotograftError, match=r"too large for torch\.float16"):
        save_network(tmp_path / "y.safetensors", generator, "generator", dtype=torch.float16)
    assert not (tmp_path / "y.safetensors").exists()


def test_default_is_in_the_zoo() -> None:
    assert DEFAULT in zoo.ZOO
    assert Model("m", SNGANGenerator([4, 4])).fingerprint == ""
