"""The reader of Chainer snapshots: every layout of the original by its key names, trainer snapshots, and bad files."""

import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from models.auxiliary import AuxiliaryNetworks
from models.checkpoints.formats import convert, read
from models.discriminators.sn_projection import SNProjectionDiscriminator
from models.encoder import ResNetEncoder
from models.errors import PhotograftError
from models.files import load_network
from models.generators.sngan import SNGANGenerator, layout
from models.zoo import model_files

Arrays = dict[str, npt.NDArray[np.generic]]
RNG = np.random.default_rng(0)


def values(*shape: int) -> npt.NDArray[np.generic]:
    return (0.1 * RNG.standard_normal(shape)).astype(np.float32)


def norm(prefix: str, width: int, classes: int) -> Arrays:
    """Keys of a conditional (or, without classes, plain) batch norm."""
    own: Arrays = {"N": np.int64(0), "avg_mean": values(width), "avg_var": values(width) ** 2 + 0.5}
    names = (
        {"gammas/W": (classes, width), "betas/W": (classes, width)}
        if classes
        else {"gamma": (width,), "beta": (width,)}
    )
    return {f"{prefix}/{k}": np.asarray(v) for k, v in own.items()} | {
        f"{prefix}/{k}": values(*s) for k, s in names.items()
    }


def layer(prefix: str, *shape: int, sn: bool = False) -> Arrays:
    arrays = {f"{prefix}/W": values(*shape), f"{prefix}/b": values(shape[0])}
    return arrays | ({f"{prefix}/u": values(1, shape[0])} if sn else {})


def generator(widths: list[int], classes: int, bottom: int = 4, latent: int = 6) -> Arrays:
    arrays = layer("l1", widths[0] * bottom**2, latent)
    for i, (a, b) in enumerate(pairwise(widths), start=2):
        arrays |= layer(f"block{i}/c1", b, a, 3, 3) | layer(f"block{i}/c2", b, b, 3, 3)
        arrays |= layer(f"block{i}/c_sc", b, a, 1, 1)
        arrays |= norm(f"block{i}/b1", a, classes) | norm(f"block{i}/b2", b, classes)
    end = len(widths) + 1
    return arrays | norm(f"b{end}", widths[-1], 0) | layer(f"l{end}", 3, widths[-1], 3, 3)


def discriminator(widths: list[int], classes: int, hidden: str = "in", last_down: bool = False) -> Arrays:
    arrays: Arrays = {}
    for i, (a, b) in enumerate(zip([3, *widths], widths, strict=False), start=1):
        h = a if hidden == "in" and i > 1 else b
        arrays |= layer(f"block{i}/c1", h, a, 3, 3, sn=True) | layer(f"block{i}/c2", b, h, 3, 3, sn=True)
        if i < len(widths) or last_down or a != b:
            arrays |= layer(f"block{i}/c_sc", b, a, 1, 1, sn=True)
    arrays |= layer(f"l{len(widths) + 1}", 1, widths[-1], sn=True)
    return arrays | ({"l_y/W": values(classes, widths[-1]), "l_y/u": values(1, classes)} if classes else {})


def encoder(widths: list[int], classes: int, big: bool, bottom: int = 4, latent: int = 6) -> Arrays:
    arrays = layer("block1" if big else "l1", widths[0], 3, 3, 3)
    for i, (a, b) in enumerate(pairwise(widths), start=2):
        arrays |= layer(f"block{i}/c1", a, a, 3, 3) | layer(f"block{i}/c2", b, a, 3, 3)
        arrays |= layer(f"block{i}/c_sc", b, a, 1, 1)
        arrays |= norm(f"block{i}/b1", a, classes) | norm(f"block{i}/b2", a, classes)
    flat = widths[-1] * bottom**2
    arrays |= layer("l8_enc", latent, flat) if big else layer("l7", latent, flat) | norm("b7", flat, 0)
    return arrays | {"prelu_out/W": values(latent)}


def auxiliary(latent: int = 6) -> Arrays:
    arrays = layer("lA1", 9, latent) | layer("lA2", 14, 9) | layer("lB1", 8, 14) | layer("lB2", latent, 8)
    return arrays | {f"{k}/W": values(n) for k, n in {"preluW": latent, "preluMiddleW": 14, "_fast_alpha": 14}.items()}


def save(path: Path, arrays: Arrays) -> Path:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    return tmp_path / "snapshot.npz"


@pytest.mark.parametrize(
    ("name", "classes", "resolution"),
    [("resnet_64", 0, 64), ("resnet_128", 5, 128), ("resnet_small", 5, 128), ("resnet_256", 5, 256)],
)
def test_generator_layouts(npz: Path, name: str, classes: int, resolution: int) -> None:
    arrays = generator(list(layout(name, 2)), classes)
    (found,) = read(save(npz, arrays)).descriptions()
    assert (found.kind, found.layout, found.classes, found.resolution) == (
        "generator",
        f"{name}, ch 2",
        classes,
        resolution,
    )
    assert found.parameters == sum(a.size for k, a in arrays.items() if not k.endswith(("N", "avg_mean", "avg_var")))
    assert str(found).startswith(f"generator (sngan), {name}, ch 2, {f'{classes} classes' if classes else 'uncond'}")
    g = read(npz).networks["generator"]
    assert isinstance(g, SNGANGenerator)
    assert torch.equal(g.blocks[1].norm2.running_var, torch.from_numpy(arrays["block3/b2/avg_var"]))
    with torch.no_grad():
        image = g(torch.randn(1, 6), torch.tensor([1]) if classes else None)
    assert image.shape == (1, 3, resolution, resolution)


def test_other_widths(npz: Path) -> None:
    """Channels that halve in every block, and another bottom width."""
    (found,) = read(save(npz, generator([24, 12, 6, 3], 4, bottom=6))).descriptions()
    assert found.layout == "widths 24, 12, 6, 3"
    assert (found.resolution, found.config["bottom_width"], found.latent_dim) == (48, 6, 6)


@pytest.mark.parametrize(
    ("widths", "options"),
    [
        ([2, 4, 8, 16, 32], {"last_down": True}),
        ([2, 4, 8, 16, 32, 32], {}),
        ([2, 4, 8, 16, 16, 32, 32], {"hidden": "out"}),
    ],
)
@pytest.mark.parametrize("classes", [0, 5])
def test_discriminator_layouts(npz: Path, widths: list[int], options: dict[str, str], classes: int) -> None:
    d = read(save(npz, discriminator(widths, classes, **options))).networks["discriminator"]  # type: ignore[arg-type]
    assert isinstance(d, SNProjectionDiscriminator)
    assert d.config == {"channels": widths, "num_classes": classes, "hidden": "in", "last_down": False} | options
    x = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        assert d.features(x).shape[1:] == (32, *[128 // 2 ** (len(widths) - 1 + ("last_down" in options))] * 2)
        assert d(x, torch.tensor([0, 4]) if classes else None).shape == (2,)


@pytest.mark.parametrize(("widths", "big"), [([2, 4, 8, 8, 16, 16], False), ([2, 4, 8, 16, 16, 32, 32], True)])
def test_encoder_layouts(npz: Path, widths: list[int], big: bool) -> None:
    e = read(save(npz, encoder(widths, 5, big, bottom=2))).networks["encoder"]
    assert isinstance(e, ResNetEncoder)
    assert e.resolution == 2 ** len(widths)
    with torch.no_grad():
        assert e(torch.randn(1, 3, e.resolution, e.resolution), torch.tensor([3])).shape == (1, 6)


def test_auxiliary(npz: Path) -> None:
    found = read(save(npz, generator([8, 4], 3) | auxiliary())).networks
    assert list(found) == ["generator", "auxiliary"]
    a = found["auxiliary"]
    assert isinstance(a, AuxiliaryNetworks)
    assert a.config == {"latent_dim": 6, "zeta_dim": 14, "hidden_a": 9, "hidden_b": 8}


def test_leading_slash_and_order_do_not_matter(npz: Path) -> None:
    arrays = generator([8, 4], 3)
    expected = read(save(npz, arrays)).networks["generator"].state_dict()
    shuffled = {f"/{key}": arrays[key] for key in sorted(arrays, reverse=True)}
    with zipfile.ZipFile(npz, "w") as archive:
        for key, value in shuffled.items():
            with archive.open(f"{key}.npy", "w") as file:
                np.save(file, value)
    found = read(npz).networks["generator"].state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_trainer_snapshot_and_conversion(npz: Path, tmp_path: Path) -> None:
    models = {
        "opt_gen": generator([8, 4], 3),
        "opt_dis": discriminator([4, 8], 3),
        "opt_enc": encoder([2, 4, 8, 8, 8, 8], 3, False),
    }
    arrays = {f"updater/model:{name}/{key}": value for name, own in models.items() for key, value in own.items()}
    arrays |= {
        "updater/optimizer:opt_gen/t": np.int64(3),
        "updater/iteration": np.int64(9),
        "_snapshot_elapsed_time": np.float64(1),
    }
    found = read(save(npz, arrays)).networks
    assert sorted(found) == ["discriminator", "encoder", "generator"]
    written = convert(npz, tmp_path / "out.generator.safetensors")
    assert sorted(p.name for p in written) == [f"out.{kind}.safetensors" for kind in sorted(found)]
    assert set(model_files(tmp_path / "out")) == set(found)  # one model
    for path, kind in zip(written, found, strict=True):
        network, header = load_network(path, kind)
        assert header.info["source"] == "snapshot.npz"
        assert all(torch.equal(v, network.state_dict()[k]) for k, v in found[kind].state_dict().items())
    assert convert(save(npz, generator([8, 4], 3)), tmp_path / "one.safetensors") == [tmp_path / "one.safetensors"]


def refused(path: Path, words: str) -> None:
    with pytest.raises(PhotograftError, match=words) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_missing_unknown_and_unfitting_arrays(npz: Path) -> None:
    good = generator([8, 4], 3)
    for key in ("block2/c2/b", "l1/b", "b3/avg_var", "block2/b1/gammas/W", "block2/c_sc/W", "l3/W"):
        refused(save(npz, {k: v for k, v in good.items() if k != key}), f"'{key}'")
    refused(save(npz, good | {"block2/c3/W": values(2)}), "unknown arrays in the generator: 'block2/c3/W'")
    refused(save(npz, good | {f"x{i}": values(1) for i in range(7)}), "and 3 more")
    refused(save(npz, good | {"block2/c2/W": values(4, 5, 3, 3)}), "does not fit")
    refused(save(npz, good | {"l1/W": values(127, 6)}), "square map")
    refused(save(npz, good | {"l1/W": values(0, 6)}), "not an array of 2")
    refused(save(npz, good | {"l1/W": values(6)}), "not an array of 2")
    refused(save(npz, {k: v for k, v in (good | auxiliary()).items() if k != "lB1/b"}), "'lB1/b' of the auxiliary")
    refused(
        save(npz, encoder([2, 4, 8, 8, 8, 8, 8], 3, True) | {"b7/gamma": values(3)}), "unknown arrays in the encoder"
    )


def test_bad_values(npz: Path) -> None:
    good = generator([8, 4], 3)
    refused(save(npz, good | {"l1/b": np.full(128, np.nan, np.float32)}), "NaN")
    refused(save(npz, good | {"l1/b": np.array(["a"] * 128)}), "not an array of numbers")
    refused(save(npz, good | {"l1/b": np.array([{}] * 128, dtype=object)}), "not an array of numbers, but of object")


def test_concat_discriminator_is_refused(npz: Path) -> None:
    arrays = discriminator([4, 8, 8], 3) | {"l_y/W": values(3, 5)}
    refused(save(npz, arrays), "concatenation discriminator")
    refused(save(npz, arrays | {"block3/c1/W": values(8, 13, 3, 3)}), "concatenation discriminator")


def test_foreign_and_damaged_files(npz: Path, tmp_path: Path) -> None:
    refused(tmp_path / "none.npz", "not found")
    refused(save(npz, {}), "holds nothing")
    refused(save(npz, {"a": values(1), "b": values(1)}), "holds no network that can be read")
    np.save(tmp_path / "single.npy", values(3))
    refused(tmp_path / "single.npy", "single numpy array")
    npz.write_bytes(b"")
    refused(npz, "is empty")
    data = save(npz, generator([8, 4], 3)).read_bytes()
    npz.write_bytes(data[: len(data) // 2])
    refused(npz, "damaged")
    middle = bytearray(data)
    middle[200:260] = bytes(60)
    npz.write_bytes(bytes(middle))
    refused(npz, "damaged")


def test_hostile_sizes(npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(npz, "w") as archive:  # a header that promises what is not there
        header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
        text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000), }".ljust(117) + "\n"
        archive.writestr("l1/W.npy", header + text.encode())
    refused(npz, "damaged")
    monkeypatch.setattr("models.checkpoints.archives.MAX_BYTES", 1000)
    refused(save(npz, generator([8, 4], 3)), "unpacks to more")
