"""BigGAN and BigGAN-deep against ajbrock's, Hugging Face's and TensorFlow Hub's networks, and full-width files."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.base import Configurable, Layer
from models.checkpoints import biggan_ajbrock, biggan_huggingface, formats
from models.checkpoints.biggan_tfhub import find as find_hub
from models.checkpoints.biggan_tfhub import read as read_hub
from models.errors import PhotograftError
from models.generators.biggan import BigGANDeepGenerator, BigGANGenerator
from tests.golden_fixtures import arrays, close, folders, meta, names, shapes, tensors

AJBROCK = folders("biggan/ajbrock_*", "weights.npz", "io.npz")
PORT = folders("biggan/hf_*", "config.json", "io.npz")
HUB = folders("biggan/tfhub_biggan*", "tf_variables.npz", "io.npz")


def weights_of(folder: Path) -> Path:
    """A fixture's file of weights."""
    return next(path for name in ("pytorch_model.bin", "weights.npz") if (path := folder / name).is_file())


@pytest.mark.parametrize("folder", AJBROCK, ids=names(AJBROCK))
def test_ajbrock(folder: Path) -> None:
    io, seen = tensors(folder / "io.npz"), {}

    def tap(layer: Layer, features: Tensor) -> Tensor:
        seen[layer.name] = features
        return features

    generator = formats.read(folder / "weights.npz").networks["generator"]
    close(generator(io["z"], io["y"], tap), io["img"], 1e-5)
    close(generator(io["z"], io["y"]), io["img"], 1e-5)
    per_block = len([name for name in seen if re.fullmatch(r"blocks\.\d+", name)])
    for i in range(per_block):  # behind attention, where there is some
        features = seen.get(f"attention.{i + 1}", seen[f"blocks.{i}"])
        if f"block.{i}" in io:
            close(features, io[f"block.{i}"], 1e-4)
        if f"blockmean.{i}" in io:
            close(features.mean((2, 3)), io[f"blockmean.{i}"], 1e-4)
            close(features.square().mean((2, 3)), io[f"blocksq.{i}"], 1e-3)


@pytest.mark.parametrize("folder", AJBROCK, ids=names(AJBROCK))
def test_ajbrock_mixes_classes_in_their_embedding(folder: Path) -> None:
    """The original interpolates embeddings; weights of classes do the same."""
    io = tensors(folder / "io.npz")
    if "y_mix" not in io:
        pytest.skip("no mixture in this fixture")
    generator = formats.read(folder / "weights.npz").networks["generator"]
    assert isinstance(generator, BigGANGenerator | BigGANDeepGenerator)
    assert generator.shared is not None
    weights = torch.linalg.lstsq(generator.shared.weight.t(), io["y_mix"].t()).solution.t()
    close(generator(io["z"][: len(io["img_mix"])], weights[: len(io["img_mix"])]), io["img_mix"], 1e-3)


@pytest.mark.parametrize("folder", AJBROCK, ids=names(AJBROCK))
def test_discriminator_of_ajbrock(folder: Path) -> None:
    if not (folder / "weights_D.npz").is_file():
        pytest.skip("no discriminator in this fixture")
    io = tensors(folder / "io.npz")
    network = formats.read(folder / "weights_D.npz").networks["discriminator"]
    close(network(io["img"], io["y"]), io["D_out"][:, 0], 1e-4)
    blocks = sorted((name for name in io if name.startswith("D_block.")), key=lambda name: int(name.split(".")[1]))
    if blocks and io[blocks[-1]].ndim == 4:
        close(network.features(io["img"]), io[blocks[-1]].relu(), 1e-4)  # type: ignore[operator]


@pytest.mark.parametrize("folder", PORT, ids=names(PORT))
def test_hugging_face(folder: Path, tmp_path: Path) -> None:
    """Every truncation of the fixture, as the port mixes its statistics."""
    io = tensors(folder / "io.npz")
    generator = formats.read(weights_of(folder)).networks["generator"]
    assert isinstance(generator, BigGANDeepGenerator)
    generator.config["ported_statistics"] = True
    found = [name for name in io if name.startswith("img_t")]
    assert found
    for name in found:
        truncation = float(name.removeprefix("img_t"))
        made = generator.at_truncation(truncation)(io["z"] * truncation, io["class_vector"])
        close(made[: len(io[name])], io[name], 1e-5)


def table(rows: int = 51) -> BigGANDeepGenerator:
    """A network whose statistics name their row."""
    network = BigGANDeepGenerator([8, 8], [True], latent_dim=2, num_classes=2, shared_dim=2, statistics=rows)
    for name, value in network.named_buffers():
        if "running" in name:
            value.copy_(torch.arange(float(rows))[:, None].expand_as(value))
    return network.freeze()


def test_statistics_between_two_truncations() -> None:
    """Neighbours by their distance; as ported with weights swapped, and a row beside the right one at five numbers."""
    network = table()
    for truncation, right, ported in (
        *((t, 50 * t, 50 * t) for t in (0.0, 0.02, 0.3, 0.5, 1.0)),
        *((0.43, 21.5, 21.5), (0.405, 20.25, 20.75), (0.999, 49.95, 49.05)),
        *((0.14, 7, 8), (0.28, 14, 15), (0.56, 28, 29), (0.58, 29, 28), (0.94, 47, 46)),
    ):
        for as_ported, row in ((False, right), (True, ported)):
            network.config["ported_statistics"] = as_ported
            mean, variance = network.at_truncation(truncation).norm.statistics()
            assert float(mean[0]) == pytest.approx(row, abs=1e-3), (truncation, as_ported)
            assert float(variance[0]) == pytest.approx(row, abs=1e-3)


def test_the_prior_of_statistics_of_several_truncations_is_truncated() -> None:
    network = table()
    network.config["truncation"] = 0.5
    z = network.sample_latent(20_000, torch.Generator().manual_seed(0))
    assert z.abs().max() <= 1
    assert float(z.std()) == pytest.approx(0.5 * 0.8796, abs=0.01)  # of a normal distribution cut at 2
    assert BigGANGenerator([8, 8], 4).sample_latent(1000).abs().max() > 2


@pytest.mark.parametrize("folder", HUB, ids=names(HUB))
def test_tensorflow_hub(folder: Path) -> None:
    io = tensors(folder / "io.npz")
    generator = formats.read(folder / "tf_variables.npz").networks["generator"]
    close(generator(io["z"], io["class_onehot"]), io["img_v1"], 1e-5)


def hub_names(state: dict[str, np.ndarray[Any, Any]], config: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """A Hugging Face file's arrays under the names of the module that it was converted from."""
    found: dict[str, np.ndarray[Any, Any]] = {"linear/w/ema_0.9999": state["embeddings.weight"].T}
    stacks: list[np.ndarray[Any, Any]] = []

    def layer(theirs: str, ours: str, bias: bool = True) -> None:
        weight = state[f"{ours}.weight_orig"]
        found[f"{theirs}/w/ema_0.9999"] = weight.T if weight.ndim == 2 else weight.transpose(2, 3, 1, 0)
        found[f"{theirs}/u0"] = state[f"{ours}.weight_u"][None]
        if bias:
            found[f"{theirs}/b/ema_0.9999"] = state[f"{ours}.bias"]

    layer("Generator/GenZ/G_linear", "generator.gen_z")
    attention = config["attention_layer_position"]
    for i in range(len(config["layers"])):
        name, own = f"Generator/GBlock{f'_{i}' if i else ''}", f"generator.layers.{i + (i >= attention)}"
        for k in range(4):
            norm = f"{name}/BatchNorm{f'_{k}' if k else ''}"
            layer(f"{name}/conv{k}", f"{own}.conv_{k}")
            layer(f"{norm}/scale", f"{own}.bn_{k}.scale", bias=False)
            layer(f"{norm}/offset", f"{own}.bn_{k}.offset", bias=False)
            stacks += [state[f"{own}.bn_{k}.running_means"], state[f"{own}.bn_{k}.running_vars"]]
    for name in ("g", "o_conv", "phi", "theta"):
        layer(f"Generator/attention/{name}", f"generator.layers.{attention}.snconv1x1_{name}", bias=False)
    found["Generator/attention/gamma/ema_0.9999"] = state[f"generator.layers.{attention}.gamma"][0]
    for theirs, own in (("scale", "weight"), ("offset", "bias")):
        found[f"Generator/BatchNorm/{theirs}/ema_0.9999"] = state[f"generator.bn.{own}"]
    layer("Generator/conv_to_rgb", "generator.conv_to_rgb")
    stacks += [state["generator.bn.running_means"], state["generator.bn.running_vars"]]
    numbers = [10 * i + k for i in range(len(stacks)) for k in (1, 3, 6, 8)]
    return found | {f"stack_{number}": value for number, value in zip(numbers, stacks, strict=False)}


def hub_module(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """`hub_names` of a fixture, whose stored u are moved by a step as the conversion does it."""
    state = arrays(weights_of(folder))
    return hub_names(state, meta(folder)["config"])


@pytest.mark.parametrize("folder", PORT, ids=names(PORT))
def test_deep_of_tensorflow_hub_is_what_it_was_converted_to(folder: Path) -> None:
    """Up to sigma: the conversion moved u by a step of the power iteration."""
    state = arrays(weights_of(folder))
    for name in [n for n in state if n.endswith("weight_u")]:
        weight = torch.from_numpy(state[name.replace("weight_u", "weight_orig")]).flatten(1)
        u = torch.from_numpy(state[name])
        v = torch.nn.functional.normalize(weight.T @ u, dim=0)
        state[name.replace("weight_u", "weight_v")] = v.numpy()
        state[name + "_moved"] = torch.nn.functional.normalize(weight @ v, dim=0).numpy()
    moved = {n.removesuffix("_moved"): v for n, v in state.items() if n.endswith("_moved")}
    port = {n: torch.from_numpy(v) for n, v in (state | moved).items() if not n.endswith("_moved")}
    converted = biggan_huggingface.read(port, weights_of(folder))["generator"]
    found = find_hub(hub_names(state, meta(folder)["config"]))
    assert found is not None
    ours = read_hub(found, folder)["generator"]
    assert ours.config | {"up": None} == converted.config | {"up": None}
    theirs = converted.state_dict()
    for name, value in ours.state_dict().items():
        close(value, theirs[name], 1e-5)


def test_deep_of_tensorflow_hub_without_its_graph(tmp_path: Path) -> None:
    if not PORT:
        pytest.skip("no fixture")
    variables = {n: v for n, v in hub_module(PORT[0]).items() if not n.startswith("stack")}
    np.savez(tmp_path / "x.npz", **variables)  # type: ignore[arg-type]
    with pytest.raises(PhotograftError, match="give the folder of the whole module"):
        formats.read(tmp_path / "x.npz")


def random_state(file: str) -> dict[str, Tensor]:
    return {name: torch.randn(shape).abs() for name, shape in shapes(file).items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "channels", "attention"),
    [
        ("keys_ajbrock_biggan256.txt", (16, 16, 8, 8, 4, 2, 1), [5]),
        ("keys_ajbrock_biggandeep256.txt", (16, 16, 16, 16, 8, 8, 8, 8, 4, 4, 2, 2, 1), [8]),
        ("keys_hf_biggan_deep256.txt", (16, 16, 16, 16, 8, 8, 8, 8, 4, 4, 2, 2, 1), [8]),
    ],
)
def test_full_width(file: str, channels: tuple[int, ...], attention: list[int]) -> None:
    state = random_state(file)
    reader = biggan_huggingface if "hf" in file else biggan_ajbrock
    found = reader.find(state)
    assert found is not None
    network = reader.read(found, Path(file))["generator"]  # type: ignore[arg-type]
    assert isinstance(network, BigGANGenerator | BigGANDeepGenerator)
    ch = network.channels[-1]
    assert network.channels == tuple(ch * m for m in channels)
    assert (network.resolution, network.num_classes, network.config["attention"]) == (256, 1000, attention)
    if isinstance(network, BigGANDeepGenerator):
        assert network.config["up"] == [False, True] * 6


def small(**changes: Any) -> dict[str, Tensor]:
    """State dict of ajbrock's layout, of a 16 px generator with 3 classes."""
    sizes: dict[str, tuple[int, ...]] = {
        "linear.weight": (8 * 16, 2),
        "linear.bias": (8 * 16,),
        "shared.weight": (3, 5),
    }
    for i in range(2):
        for name, size in (("conv1", (8, 8, 3, 3)), ("conv2", (8, 8, 3, 3)), ("conv_sc", (8, 8, 1, 1))):
            sizes |= {f"blocks.{i}.0.{name}.weight": size, f"blocks.{i}.0.{name}.bias": (8,)}
        for norm in ("bn1", "bn2"):
            sizes |= {f"blocks.{i}.0.{norm}.{part}.weight": (8, 7) for part in ("gain", "bias")}
            sizes |= {f"blocks.{i}.0.{norm}.{part}": (8,) for part in ("stored_mean", "stored_var")}
    sizes |= {f"output_layer.0.{part}": (8,) for part in ("gain", "bias", "stored_mean", "stored_var")}
    sizes |= {"output_layer.2.weight": (3, 8, 3, 3), "output_layer.2.bias": (3,)}
    random = torch.Generator().manual_seed(0)
    return {name: torch.rand(size, generator=random) + 0.1 for name, size in sizes.items()}


def generator_of(state: dict[str, Tensor]) -> BigGANGenerator:
    found = biggan_ajbrock.find(state)
    assert found is not None
    network = biggan_ajbrock.read(found, Path("G.pth"))["generator"]
    assert isinstance(network, BigGANGenerator)
    return network


def test_other_batch_norms_of_ajbrock() -> None:
    """His own norm, which may hold sums and their number, and the one over several devices, are the same network."""
    plain = generator_of(small()).state_dict()
    for mean, variance, factor in (
        ("bn.stored_mean", "bn.stored_var", 4.0),
        ("bn.running_mean", "bn.running_var", 1.0),
    ):
        state: dict[str, Tensor] = {}
        for name, value in small().items():
            if "stored_" not in name:
                state[name] = value
                continue
            root = name.rpartition(".")[0]
            state[f"{root}.{mean if name.endswith('mean') else variance}"] = value * factor
            if factor != 1:
                state[f"{root}.bn.accumulation_counter"] = torch.tensor([factor])
        for name, value in generator_of(state).state_dict().items():
            close(value, plain[name], 1e-6)


def test_a_table_for_each_layer_instead_of_a_shared_embedding() -> None:
    """ajbrock's CIFAR networks: neither shared embedding nor hierarchical z."""
    state = {name: value for name, value in small().items() if name != "shared.weight"}
    for name in [n for n in state if ".gain.weight" in n or ".bias.weight" in n]:
        state[name] = torch.rand(3, 8)
    network = generator_of(state)
    assert (network.num_classes, network.latent_dim, network.config["hierarchical"]) == (3, 2, False)
    found = network.modulations(torch.randn(2, 2), torch.tensor([2, 0]))[1]
    close(found.scale, 1 + state["blocks.0.0.bn2.gain.weight"][[2, 0]], 1e-6)


def test_faults_are_named() -> None:
    state = small()
    with pytest.raises(PhotograftError, match=r"'blocks\.1\.0\.bn2\.stored_var' is missing"):
        generator_of({n: v for n, v in state.items() if n != "blocks.1.0.bn2.stored_var"})
    with pytest.raises(PhotograftError, match=r"unknown arrays: 'blocks\.0\.0\.extra'"):
        generator_of({**state, "blocks.0.0.extra": torch.ones(1)})
    with pytest.raises(PhotograftError, match=r"linear\.weight"):
        generator_of({**state, "linear.weight": torch.ones(128, 3)})
    with pytest.raises(PhotograftError, match="negative variances"):
        generator_of({**state, "blocks.0.0.bn1.stored_var": -state["blocks.0.0.bn1.stored_var"]})
    with pytest.raises(PhotograftError, match="NaN"):
        generator_of({**state, "linear.bias": torch.full((128,), float("nan"))})


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("blocks.0.0.conv1.weight", lambda t: torch.tensor(1.0), "not an array of 4 dimensions"),
        ("blocks.0.0.bn1.bias.weight", lambda t: torch.tensor(1.0), "does not fit"),
        ("blocks.0.0.conv1.u0", torch.zeros_like, "'blocks.0.0.conv1.weight' cannot be divided by its sigma"),
    ],
)
def test_weights_that_would_become_nan(name: str, change: Any, words: str) -> None:
    state = small()
    state |= {f"{n.removesuffix('.weight')}.u0": torch.ones(1, len(state[n])) for n in state if "conv1.weight" in n}
    with pytest.raises(PhotograftError, match=re.escape(words)):
        generator_of({**state, name: change(state[name])})
    zeros = generator_of({**state, "blocks.0.0.conv1.weight": torch.zeros(8, 8, 3, 3)})
    assert not zeros.state_dict()["blocks.0.conv1.weight"].any()


def test_a_hugging_face_weight_without_dimensions() -> None:
    if not PORT:
        pytest.skip("no fixture")
    state = {name: torch.from_numpy(value) for name, value in arrays(weights_of(PORT[0])).items()}
    state["generator.layers.0.bn_0.scale.weight_orig"] = torch.tensor(1.0)
    with pytest.raises(PhotograftError, match=r"'generator\.layers\.0\.bn_0\.scale\.weight_orig' is \[\]"):
        biggan_huggingface.read(state, Path("x.bin"))


@pytest.mark.parametrize("names", [("generator", "discriminator"), ("netG", "netD"), ("G_ema", "D")])
@pytest.mark.parametrize("dotted", [False, True], ids=["dictionaries", "names with dots"])
def test_generator_and_discriminator_in_one_file(names: tuple[str, str], dotted: bool, tmp_path: Path) -> None:
    states = dict(zip(names, (small(), small_discriminator()), strict=True))
    if dotted:  # as Lightning writes them, and a generator of another moment beside
        states["G"] = small()
        content: Any = {f"{part}.module.{n}": v for part, state in states.items() for n, v in state.items()}
        torch.save({"state_dict": content}, tmp_path / "x.ckpt")
    else:
        torch.save(states, tmp_path / "x.ckpt")
    reading = formats.read(tmp_path / "x.ckpt")
    assert {*reading.networks} == {"generator", "discriminator"}
    assert len(reading.parts) == len(states)
    assert reading.parts[0].startswith(repr("G" if dotted and names[0] != "G_ema" else names[0]))


def small_discriminator(*, thin: bool = False) -> dict[str, Tensor]:
    """State dict of ajbrock's layout, of a discriminator of two blocks and 3 classes."""
    sizes: dict[str, tuple[int, ...]] = {"linear": (1, 16), "embed": (3, 16)}
    for i, (c_in, c_out) in enumerate(((3, 8), (8, 16))):
        hidden = c_in if thin else c_out
        sizes |= {f"blocks.{i}.0.conv1": (hidden, c_in, 3, 3), f"blocks.{i}.0.conv2": (c_out, hidden, 3, 3)}
        sizes |= {f"blocks.{i}.0.conv_sc": (c_out, c_in, 1, 1)}
    state = {f"{name}.weight": torch.rand(size) for name, size in sizes.items()}
    state |= {f"{name}.u0": torch.rand(1, size[0]) for name, size in sizes.items()}
    return state | {f"{name}.bias": torch.rand(size[0]) for name, size in sizes.items() if name != "embed"}


def discriminator_of(state: dict[str, Tensor]) -> Configurable:
    found = biggan_ajbrock.find(state)
    assert found is not None
    return biggan_ajbrock.read(found, Path("D.pth"))["discriminator"]


def test_a_thin_discriminator_of_ajbrock() -> None:
    """His D_thin: between a block's two convolutions it is as wide as what comes in, in the first block too."""
    network = discriminator_of(small_discriminator(thin=True))
    assert network.config["hidden"] == "all_in"
    assert discriminator_of(small_discriminator()).config["hidden"] == "out"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BigGANDeepGenerator([16, 32], [True]), "must not widen"),
        (lambda: BigGANGenerator([16, 8], 2, bottom_width=1, attention=[0]), "a map of 2 px or more"),
        (lambda: BigGANGenerator([8] * 14, 14), "height of pictures is 32768"),
    ],
)
def test_sizes_that_no_network_has(make: Any, words: str) -> None:
    with pytest.raises(PhotograftError, match=words):
        make()


def test_norms_over_several_devices_are_remarked() -> None:
    state = {n.replace("stored_", "bn.running_"): v for n, v in small().items()}
    lines = biggan_ajbrock.remarks({"generator": state})
    assert "gamma multiplies" in lines[-1]
    assert len(biggan_ajbrock.remarks({"generator": small()})) == len(lines) - 1


def test_other_stacks_of_a_module_are_left_out(tmp_path: Path) -> None:
    """Numbers 5 k + 1 and 5 k + 3 are statistics; a graph may hold other tables between them."""
    if not PORT:
        pytest.skip("no fixture")
    module = hub_module(PORT[0])
    module |= {f"stack_{10 * i + k}": np.ones((2, 2), np.float32) for i in range(3) for k in (2, 5, 9)}
    states = []
    for content in (module, hub_module(PORT[0])):
        found = find_hub(content)
        assert found is not None
        states.append(read_hub(found, tmp_path)["generator"].state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])


def test_config_beside_a_hugging_face_file(tmp_path: Path) -> None:
    """It says which blocks double the resolution; a wrong one is one line."""
    if not PORT:
        pytest.skip("no fixture")
    weights = tmp_path / weights_of(PORT[0]).name
    shutil.copy(weights_of(PORT[0]), weights)
    config = meta(PORT[0])["config"]
    config["layers"] = [[i > 7, a, b] for i, (_, a, b) in enumerate(config["layers"])]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert formats.read(weights).networks["generator"].config["up"] == [False] * 8 + [True] * 2
    for text in ('{"layers": 3}', '{"layers": [[true, 4, 4]]}', "{"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(PhotograftError, match=r"config\.json"):
            formats.read(weights)
