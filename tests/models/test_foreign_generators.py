"""Readers of StyleGAN and Progressive GAN files: official pickles, full-width key lists, faults, commands."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from infer.cli.main import app
from models.base import Configurable
from models.checkpoints import formats, gan_zoo, lernapparat, rosinality_stylegan, tf_progan, tf_stylegan
from models.checkpoints.contents import read_content
from models.checkpoints.tflib import TFNetwork
from models.errors import PhotograftError
from models.files import load_network
from models.generators.stylegan import StyleGANGenerator
from tests.golden_fixtures import FOLDER, Arrays, arrays, shapes
from tests.tf_pickles import Network, flat, grown_discriminator, styled, write_pickle

STYLEGAN, PROGAN = FOLDER / "stylegan/tf_stylegan1", FOLDER / "pggan/tf_progan"
PORT, ZOO = FOLDER / "stylegan/ivrl_stylegan1", FOLDER / "pggan/zoo_pgan32"


@pytest.fixture
def dump(tmp_path: Path) -> Callable[[str, Any, int], Path]:
    """Write a pickle whose networks are of a module that this computer does not have."""
    return lambda module, value, protocol: write_pickle(tmp_path / "network.pkl", module, value, protocol)


def style_networks(variables: Arrays, **settings: Any) -> tuple[Network, Network, Network]:
    """(G, D, Gs) as the original pickles them; only Gs has these variables."""

    def part(prefix: str) -> list[tuple[str, Any]]:
        return [(k.removeprefix(prefix), v) for k, v in variables.items() if k.startswith(prefix)]

    def component(name: str) -> Network:
        return Network({"version": 3, "name": name, "static_kwargs": settings, "variables": part(f"{name}/")})

    own = [(name, value) for name, value in variables.items() if "/" not in name]
    components = {"synthesis": component("G_synthesis"), "mapping": component("G_mapping")}
    state = {"version": 3, "name": "Gs", "static_kwargs": settings, "components": components, "variables": own}
    state |= {"build_module_src": "raise SystemExit", "build_func_name": "G_style"}
    empty = Network({"version": 3, "name": "D", "static_kwargs": {}, "components": {}, "variables": []})
    return empty, empty, Network(state)


def same(a: Configurable, b: Configurable) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return a.config == b.config and ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize("protocol", [2, 4])
def test_pickles_of_the_original_stylegan(dump: Callable[..., Path], protocol: int, tmp_path: Path) -> None:
    variables = arrays(STYLEGAN / "tf_variables.npz")
    path = dump("dnnlib.tflib.network", style_networks(variables, mapping_lrmul=0.01), protocol)
    (out,) = formats.convert(path, tmp_path / "x.safetensors")
    loaded, header = load_network(out, "generator")
    assert header.info["layout"] == "StyleGAN of NVIDIA, TensorFlow"
    assert same(loaded, tf_stylegan.read(TFNetwork(variables, {}), path)["generator"])


@pytest.mark.parametrize("names", [("G", "D"), ("G", "D", "Gs")])
@pytest.mark.parametrize("form", [tuple, list, dict])
def test_forms_of_a_pickle_with_its_discriminator(
    dump: Callable[..., Path], names: tuple[str, ...], form: Callable[..., Any]
) -> None:
    generator = styled("G", arrays(STYLEGAN / "tf_variables.npz"), "G_style")
    found = {name: flat("D", grown_discriminator(128), "D_basic") if name == "D" else generator for name in names}
    reading = formats.read(dump("dnnlib.tflib.network", found if form is dict else form(found.values()), 4))
    assert {*reading.networks} == {"generator", "discriminator"}
    assert [line.partition(",")[0] for line in reading.parts] == [repr(name) for name in names]
    assert reading.parts[names.index("D")].endswith(": the discriminator")
    assert reading.parts[-1 if "Gs" in names else 0].endswith(": the generator")


def test_a_discriminator_that_is_not_read_is_not_called_so(dump: Callable[..., Path]) -> None:
    generator = styled("G", arrays(STYLEGAN / "tf_variables.npz"), "G_style")
    reading = formats.read(dump("dnnlib.tflib.network", (generator, generator, generator), 4))
    assert {*reading.networks} == {"generator"}
    assert reading.parts[1].endswith(": not read")


def test_settings_of_a_pickle_are_heeded(dump: Callable[..., Path]) -> None:
    variables = arrays(STYLEGAN / "tf_variables.npz")

    def read(**settings: Any) -> Any:
        path = dump("dnnlib.tflib.network", style_networks(variables, **settings), 4)
        found = tf_stylegan.find(read_content(path))
        assert found is not None
        return tf_stylegan.read(found, path)["generator"]

    plain = read()
    faster = read(mapping_lrmul=0.02)
    assert torch.allclose(faster.dense[0].weight, 2 * plain.dense[0].weight)
    never, always = read(fused_scale=False), read(fused_scale=True)
    kernels = [torch.equal(plain.blocks[i].conv1.weight, never.blocks[i].conv1.weight) for i in range(1, 6)]
    assert kernels == [True] * 4 + [False]
    assert torch.equal(always.blocks[1].conv1.weight, plain.blocks[1].conv1.weight.flip(2, 3))
    for settings in ({"blur_filter": [1, 3, 3, 1]}, {"use_pixel_norm": True}, {"mapping_lrmul": "x"}):
        with pytest.raises(PhotograftError, match=r"supported|no sense"):
            read(**settings)


@pytest.mark.parametrize("protocol", [2, 4])
def test_pickles_of_the_original_progan(dump: Callable[..., Path], protocol: int, tmp_path: Path) -> None:
    variables = arrays(PROGAN / "tf_variables.npz")
    state = {"version": 2, "name": "Gs", "static_kwargs": {"fused_scale": True}, "variables": list(variables.items())}
    path = dump("tfutil", (Network(state), Network(state), Network(state)), protocol)
    (out,) = formats.convert(path, tmp_path / "x.safetensors")
    assert same(load_network(out, "generator")[0], tf_progan.read(TFNetwork(variables, {}), path)["generator"])
    state["static_kwargs"] = {"label_size": 10}
    path = dump("tfutil", (Network(state), Network(state), Network(state)), protocol)
    with pytest.raises(PhotograftError, match="class-conditional"):
        formats.read(path).descriptions()


def test_a_class_conditional_stylegan() -> None:
    """Labels are embedded, put beside z, and normalised with it."""
    variables = dict(arrays(STYLEGAN / "tf_variables.npz"))
    rng = np.random.default_rng(0)
    first = rng.standard_normal((64, 32)).astype(np.float32)
    table = rng.standard_normal((3, 32)).astype(np.float32)
    variables |= {"G_mapping/Dense0/weight": first, "G_mapping/LabelConcat/weight": table}
    generator = tf_stylegan.read(TFNetwork(variables, {}), Path("x"))["generator"]
    assert isinstance(generator, StyleGANGenerator)
    assert (generator.num_classes, generator.latent_dim) == (3, 32)
    z = rng.standard_normal((2, 32)).astype(np.float32)
    x = np.concatenate([z, table[[2, 0]]], axis=1)
    x /= np.sqrt((x**2).mean(1, keepdims=True) + 1e-8)
    for i in range(8):
        weight, bias = variables[f"G_mapping/Dense{i}/weight"], variables[f"G_mapping/Dense{i}/bias"]
        x = x @ weight * np.sqrt(2 / len(weight)) * 0.01 + bias * 0.01
        x = np.maximum(x, 0.2 * x)
    w = generator.mapping(torch.from_numpy(z), torch.tensor([2, 0]))[:, 0]
    assert np.allclose(w, x, atol=1e-5)


# full width


def test_full_width_stylegan() -> None:
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes("keys_tf_stylegan1_1024.txt").items()}
    generator = tf_stylegan.read(TFNetwork(zeros, {}), Path("x"))["generator"]
    assert generator.config["channels"] == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert (generator.config["latent_dim"], generator.config["mapping"]) == (512, [512] * 8)
    names = {str(name) for name, _, _ in json.loads((FOLDER / "tf_sg1_names.json").read_text())}
    assert names == set(arrays(STYLEGAN / "tf_variables.npz"))


def test_full_width_rosinality() -> None:
    zeros = {name: torch.zeros(shape) for name, shape in shapes("keys_rosinality_stylegan1_1024.txt").items()}
    generator = rosinality_stylegan.read(zeros, Path("x"))["generator"]
    assert generator.config["channels"] == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    zeros = {name: value for name, value in zeros.items() if "style." not in name or "adain" in name}
    with pytest.raises(PhotograftError, match=r"'style\.1\.linear\.weight_orig' is missing"):
        rosinality_stylegan.read(zeros, Path("x"))


def test_full_width_zoo() -> None:
    zeros = {name: torch.zeros(shape) for name, shape in shapes("keys_zoo_pgan256.txt").items()}
    network = gan_zoo.find({"avgG": zeros})
    assert network is not None
    generator = gan_zoo.read(network, Path("x"))["generator"]
    assert generator.config == {"channels": [512, 512, 512, 512, 256, 128, 64], "latent_dim": 512, "fade": 0.0}


# rosinality's StyleGAN, of which there is no recorded picture


def rosinality_state(seed: int) -> dict[str, Tensor]:
    """A small network in that layout, with a fused upscaling at 16 px, where its training ended; a file holds more."""
    prng = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def add(name: str, *shape: int) -> None:
        state[name] = torch.randn(*shape, generator=prng)

    for i in (1, 3):
        add(f"style.{i}.linear.weight_orig", 6, 6)
        add(f"style.{i}.linear.bias", 6)
    widths = [5, 4, 3, 2]
    for i, width in enumerate(widths):
        root = f"generator.progression.{i}"
        before = widths[i - 1]
        if i == 0:
            add(f"{root}.conv1.input", 1, width, 4, 4)
        elif i < 2:
            add(f"{root}.conv1.1.conv.weight_orig", width, before, 3, 3)
            add(f"{root}.conv1.1.conv.bias", width)
            add(f"{root}.conv1.2.weight", width, 1, 3, 3)
        else:
            add(f"{root}.conv1.0.weight", before, width, 3, 3)
            add(f"{root}.conv1.0.bias", width)
            add(f"{root}.conv1.1.weight", width, 1, 3, 3)
        add(f"{root}.conv2.conv.weight_orig", width, width, 3, 3)
        add(f"{root}.conv2.conv.bias", width)
        for n in (1, 2):
            add(f"{root}.noise{n}.weight_orig", 1, width, 1, 1)
            add(f"{root}.adain{n}.style.linear.weight_orig", 2 * width, 6)
            add(f"{root}.adain{n}.style.linear.bias", 2 * width)
        add(f"generator.to_rgb.{i}.conv.weight_orig", 3, width, 1, 1)
        add(f"generator.to_rgb.{i}.conv.bias", 3)
    for n in (1, 2):
        state[f"generator.progression.3.noise{n}.weight_orig"].zero_()
    return state


def rosinality_image(state: dict[str, Tensor], z: Tensor, noise: list[Tensor]) -> Tensor:
    """What that code computes at 16 px, written down from its description."""
    f = torch.nn.functional

    def scaled(name: str) -> Tensor:
        weight = state[name]
        return weight * (2 / weight[0].numel()) ** 0.5

    w = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for i in (1, 3):
        w = f.leaky_relu(f.linear(w, scaled(f"style.{i}.linear.weight_orig"), state[f"style.{i}.linear.bias"]), 0.2)
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    x = torch.zeros(0)
    for i in range(3):
        root = f"generator.progression.{i}"
        if i == 0:
            x = state[f"{root}.conv1.input"].repeat(len(z), 1, 1, 1)
        elif i == 1:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = f.conv2d(x, scaled(f"{root}.conv1.1.conv.weight_orig"), state[f"{root}.conv1.1.conv.bias"], padding=1)
        else:
            weight = state[f"{root}.conv1.0.weight"]
            weight = f.pad(weight * (2 / (9 * weight.shape[0])) ** 0.5, [1, 1, 1, 1])
            weight = weight[..., 1:, 1:] + weight[..., :-1, 1:] + weight[..., 1:, :-1] + weight[..., :-1, :-1]
            x = f.conv_transpose2d(x, weight / 4, state[f"{root}.conv1.0.bias"], stride=2, padding=1)
        if i:
            x = f.conv2d(x, kernel.expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])
        for n in (1, 2):
            if n == 2:
                x = f.conv2d(x, scaled(f"{root}.conv2.conv.weight_orig"), state[f"{root}.conv2.conv.bias"], padding=1)
            strength = state[f"{root}.noise{n}.weight_orig"]
            x = f.leaky_relu(x + strength * (2 / strength.shape[1]) ** 0.5 * noise[2 * i + n - 1], 0.2)
            linear = f"{root}.adain{n}.style.linear"
            gamma, beta = f.linear(w, scaled(f"{linear}.weight_orig"), state[f"{linear}.bias"])[..., None, None].chunk(
                2, 1
            )
            x = gamma * f.instance_norm(x, eps=1e-5) + beta
    return f.conv2d(x, scaled("generator.to_rgb.2.conv.weight_orig"), state["generator.to_rgb.2.conv.bias"])


def test_rosinality_stylegan(tmp_path: Path) -> None:
    state = rosinality_state(0)
    path = tmp_path / "train_step-3.model"
    torch.save({"generator": rosinality_state(1), "discriminator": {}, "g_running": state}, path)
    (out,) = formats.convert(path, tmp_path / "x.safetensors")
    generator, _ = load_network(out, "generator")
    z = generator.sample_latent(3)
    noise = [buffer for name, buffer in generator.named_buffers() if name.endswith(".const")]
    assert generator.resolution == 16
    assert torch.allclose(generator(z), rosinality_image(state, z, noise), atol=1e-4)
    mean = generator.mapping(generator.sample_latent(20_000))[:, 0].mean(0)
    assert torch.allclose(generator.w_mean, mean, atol=0.1)
    assert generator.w_mean.abs().max() > 0.1


def test_styles_inside_the_synthesis() -> None:
    """lernapparat's own files have them there, and no mean of w."""
    inside = {}
    for name, value in arrays(PORT / "weights.npz").items():
        if name.startswith("g_style."):
            _, _, layer, *rest = name.split(".")
            size, number = layer.split("_")
            name = f"g_synthesis.blocks.{size}.epi{int(number) + 1}.style_mod.{'.'.join(rest)}"
        if name != "truncation.avg_latent":
            inside[name] = value
    whole = lernapparat.read(arrays(PORT / "weights.npz"), PORT)["generator"]
    other = lernapparat.read(inside, PORT)["generator"]
    assert isinstance(whole, StyleGANGenerator)
    assert isinstance(other, StyleGANGenerator)
    z = whole.sample_latent(1)
    assert torch.equal(whole(z), other(z))
    assert torch.allclose(other.w_mean, other.mapping(other.sample_latent(20_000))[:, 0].mean(0), atol=0.05)


# faults

SOURCES = {
    "tf_stylegan": (STYLEGAN / "tf_variables.npz", "G_synthesis/8x8/Conv1/bias"),
    "tf_progan": (PROGAN / "tf_variables.npz", "8x8/Conv1/bias"),
    "lernapparat": (PORT / "weights.npz", "g_synthesis.blocks.8x8.epi1.top_epi.noise.weight"),
    "zoo": (ZOO / "weights.npz", "scaleLayers.0.0.module.bias"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_faults_are_named(name: str, tmp_path: Path) -> None:
    source, key = SOURCES[name]
    good = arrays(source)
    path = tmp_path / "x.npz"

    def refused(changed: dict[str, Any], match: str) -> None:
        np.savez(path, **changed)
        with pytest.raises(PhotograftError, match=match) as error:
            formats.read(path).descriptions()
        assert "\n" not in str(error.value)

    np.savez(path, **good)  # type: ignore[arg-type]
    assert formats.read(path).descriptions()[0].kind == "generator"
    refused({k: v for k, v in good.items() if k != key}, "missing|fit")
    refused(good | {"extra/thing": np.zeros(3, np.float32)}, "unknown array")
    refused(good | {key: good[key] * np.nan}, "NaN")
    refused(good | {key: good[key][:-1]}, "fit")
    refused(good | {key: good[key].astype(str)}, "not an array of numbers")


def test_growing_and_odd_networks(tmp_path: Path) -> None:
    variables = arrays(STYLEGAN / "tf_variables.npz")
    with pytest.raises(PhotograftError, match="while it grew"):
        tf_stylegan.read(TFNetwork(variables | {"lod": np.float32(1)}, {}), tmp_path)


@pytest.mark.parametrize("source", [STYLEGAN / "tf_variables.npz", ZOO / "model.pt"], ids=["npz", "pt"])
def test_commands(source: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["inspect", str(source)])
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith("generator (")
    out = tmp_path / "x.safetensors"
    made = runner.invoke(app, ["convert", str(source), str(out)])
    assert made.exit_code == 0, made.output
    written = [line for line in made.stdout.splitlines() if line.endswith(".safetensors")]
    assert len(written) == shown.output.count("parameters\n")
    for path in written:
        assert runner.invoke(app, ["inspect", path]).exit_code == 0


def test_unknown_files(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"something": torch.ones(1)}, path)
    with pytest.raises(PhotograftError, match="no network that can be read"):
        formats.read(path).descriptions()
    for data in (b"", b"PK\x03\x04", b"text"):
        path.write_bytes(data)
        with pytest.raises(PhotograftError):
            formats.read(path).descriptions()
    with pytest.raises(PhotograftError, match="not found"):
        formats.convert(tmp_path / "none", tmp_path / "x.safetensors")


def test_rosinality_brings_its_discriminator_along(tmp_path: Path) -> None:
    """At the resolution that the generator's training reached; what cannot be read is said."""
    folder = FOLDER / "stylegan/rosinality_stylegan1_D"
    weights = {name: torch.from_numpy(value) for name, value in arrays(folder / "weights_plain.npz").items()}
    state = rosinality_state(0)
    path = tmp_path / "train_step-4.model"
    content = {"generator": rosinality_state(1), "discriminator": weights, "g_running": state}
    torch.save(content, path)
    reading = formats.read(path)
    assert list(reading.networks) == ["generator", "discriminator"]
    discriminator: Any = reading.networks["discriminator"]
    assert discriminator.resolution == 16
    io = arrays(folder / "io.npz")
    scores = discriminator(torch.from_numpy(io["images_plain"]))
    assert torch.allclose(scores, torch.from_numpy(io["scores_plain"]), atol=1e-5)
    said = {line.split(",")[0]: line.rpartition(": ")[2] for line in reading.parts}
    assert said["'g_running'"] == "the generator"
    assert said["'discriminator'"] == "the discriminator"
    assert said["'generator'"].startswith("not read")
    torch.save(content | {"discriminator": weights | {"extra.weight": torch.ones(1)}}, path)
    reading = formats.read(path)
    assert list(reading.networks) == ["generator"]
    assert any("discriminator is not read" in line and "extra.weight" in line for line in reading.remarks)
