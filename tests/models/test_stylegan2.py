"""StyleGAN2: styles over space against loops, training, the discriminator, and its pickles, which are built here."""

import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Modulation
from models.checkpoints.formats import convert
from models.checkpoints.stylegan2 import DISCRIMINATOR, GENERATOR, _foreign
from models.discriminators.stylegan2 import StyleGAN2Discriminator
from models.errors import PhotograftError
from models.files import load_network
from models.generators.stylegan2 import ModulatedConv, StyleGAN2Generator
from models.layers.fir import Fir

TINY: dict[str, Any] = {"channels": (6, 4, 5), "latent_dim": 6, "mapping": (5, 7)}


def shaken(network: Any) -> Any:
    """The network with all of its weights random, frozen."""
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(torch.randn(value.shape), alpha=0.3)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("up", [False, True])
def test_spatial_style_against_loops(up: bool) -> None:
    size = 6 if up else 3
    layer = shaken(ModulatedConv(4, 5, size, 7, Fir((1, 3, 3, 1)) if up else None, None))
    x, s = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    plain = layer.fir.up_conv(x * s, layer.weight.transpose(0, 1)) if up else F.conv2d(x * s, layer.weight, padding=1)
    expected = torch.empty(2, 5, size, size)
    for n in range(2):
        for row in range(size):
            for column in range(size):
                style = s[n, :, row * 3 // size, column * 3 // size]
                for o in range(5):
                    power = sum(float((layer.weight[o, i] * style[i]).square().sum()) for i in range(4))
                    value = plain[n, o, row, column] / (power + 1e-8) ** 0.5
                    value = value + layer.strength * layer.const[row, column] + layer.bias[o]
                    expected[n, o, row, column] = max(value, 0.2 * value) * 2**0.5
    assert torch.allclose(layer(x, Modulation(s), "const"), expected, atol=1e-5)


def test_grows_from_a_smaller_one() -> None:
    small = shaken(StyleGAN2Generator(**TINY))
    large = StyleGAN2Generator(**TINY | {"channels": (6, 4, 5, 3, 2)})
    large.grow_from(small)
    z = small.sample_latent(3)
    expected = small.fir.up(small.fir.up(small(small.mapping(z))))
    assert torch.allclose(large(large.mapping(z)), expected, atol=1e-5)
    assert torch.equal(large.w_mean, small.w_mean)
    large(large.mapping(z)).square().sum().backward()
    grown = large.get_submodule("blocks.4.to_rgb.conv").weight.grad
    assert grown is not None
    assert bool((grown != 0).all())  # it will learn to add detail


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"channels": (6, 5, 5, 3)}, "differ in channels"),
        ({"channels": (6, 4, 5, 3), "mapping": (7, 7)}, "differ in mapping"),
        ({"channels": (6, 4, 5, 3), "architecture": "resnet"}, "differ in architecture"),
        ({"channels": (6, 4, 5)}, "as many blocks"),
    ],
)
def test_does_not_grow_from_another(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(PhotograftError, match=f"16 px cannot grow into this one: .*{reason}"):
        StyleGAN2Generator(**TINY | change).grow_from(StyleGAN2Generator(**TINY))


def test_only_skip_architectures_grow() -> None:
    plain = TINY | {"architecture": "resnet"}
    with pytest.raises(PhotograftError, match="only skip grows, not resnet"):
        StyleGAN2Generator(**plain | {"channels": (6, 4, 5, 3)}).grow_from(StyleGAN2Generator(**plain))


def test_kinds_of_noise() -> None:
    network = shaken(StyleGAN2Generator(**TINY))
    z = network.sample_latent(1).repeat(2, 1)
    network.noise = "random"
    a, b = network(z)
    assert not torch.equal(a, b)
    network.noise = "none"
    without = network(z)
    for block in network.blocks:
        for name in ("conv0", "conv1"):
            if hasattr(block, name):
                getattr(block, name).strength.zero_()
    network.noise = "const"
    assert torch.equal(network(z), without)


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_path_length_and_r1_reach_the_weights(architecture: str) -> None:
    generator: Any = StyleGAN2Generator(**TINY, architecture=architecture)
    discriminator: Any = StyleGAN2Discriminator((6, 4, 5), architecture=architecture)
    ws = generator.mapping(torch.randn(4, 6))
    image = generator(ws)
    (gradient,) = torch.autograd.grad((image * torch.randn_like(image)).sum(), ws, create_graph=True)
    gradient.square().sum().backward()
    assert all(block.conv1.weight.grad.abs().sum() > 0 for block in generator.blocks)
    picture = image.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(picture).sum(), picture, create_graph=True)
    gradient.square().sum().backward()
    assert all(block.conv0.weight.grad.abs().sum() > 0 for block in discriminator.blocks)


def test_low_precision_and_channels_last() -> None:
    generator = shaken(StyleGAN2Generator(**TINY))
    z = generator.sample_latent(2)
    plain = generator(z)
    with torch.autocast("cpu", torch.bfloat16):
        rough = generator(z)
    assert rough.dtype == torch.float32
    assert (rough - plain).abs().max() < 0.1 * plain.abs().max()
    assert torch.allclose(generator.to(memory_format=torch.channels_last)(z), plain, atol=1e-5)


def test_features_do_not_depend_on_the_batch() -> None:
    network = shaken(StyleGAN2Discriminator((6, 4, 5), num_classes=3, mapping=(7,), group_size=2))
    x = torch.randn(4, 3, 16, 16)
    assert network.features(x).shape == (4, 6)
    assert torch.allclose(network.features(x)[1:2], network.features(x[1:2]), atol=1e-6)
    label = torch.tensor([0, 1, 2, 0])
    assert torch.allclose(network(x, label), network(x, F.one_hot(label, 3).float()), atol=1e-6)
    assert not torch.allclose(network(x, label), network(x, label.roll(1)))
    for pictures, classes, message in (
        (x[:3], label[:3], "does not divide"),
        (x[..., :8], label, "16 px"),
        (x, None, "3 classes"),
    ):
        with pytest.raises(PhotograftError, match=message):
            network(pictures, classes)


@pytest.mark.parametrize("bad", [{"architecture": "none"}, {"taps": (1.0, 2.0, 1.0)}])
def test_bad_configs_are_refused(bad: dict[str, Any]) -> None:
    for network in (StyleGAN2Generator, StyleGAN2Discriminator):
        with pytest.raises(PhotograftError):
            network((4, 4), **bad)


# pickles as the originals write them: objects of classes that this project does not have


def stub(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> Any:
    """Make `module.name` importable for pickling: a function or class that does nothing."""
    parts = module.split(".")
    for i in range(len(parts)):
        part = ".".join(parts[: i + 1])
        monkeypatch.setitem(sys.modules, part, sys.modules.get(part) or ModuleType(part))
    made = type(name, (), {"__module__": module, "__qualname__": name, "__init__": lambda self, *a: None})
    monkeypatch.setattr(sys.modules[module], name, made, raising=False)
    return made


class Persistent:
    """Pickled as a call of NVIDIA's function that rebuilds a module from its source."""

    function: Any = None

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {"type": "class", "version": 6, "module_src": "raise SystemExit", "class_name": "X", "state": self.state}
        return self.function, (meta,)


def tree(arrays: dict[str, Tensor], notes: dict[str, dict[str, Any]], prefix: str = "") -> Persistent:
    """Weights by name as modules within modules; notes: attributes by module."""
    own: OrderedDict[str, Any] = OrderedDict()
    children: dict[str, dict[str, Tensor]] = {}
    for name, value in arrays.items():
        head, _, rest = name.partition(".")
        if rest:
            children.setdefault(head, {})[rest] = value
        else:
            own[head] = nn.Parameter(value)
    modules = OrderedDict((name, tree(inner, notes, f"{prefix}{name}.")) for name, inner in children.items())
    state = {"_parameters": own, "_buffers": OrderedDict(), "_modules": modules, "training": False}
    return Persistent({**state, **notes.get(prefix.rstrip("."), {})})


@pytest.mark.parametrize("noted", [True, False], ids=["notes", "keywords"])
def test_nvidia_pickle(noted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Persistent, "function", stub(monkeypatch, "torch_utils.persistence", "_reconstruct_persistent_obj")
    )
    config = {**TINY, "num_classes": 3, "embedding": 4, "architecture": "resnet", "conv_clamp": 1.5}
    generator = shaken(StyleGAN2Generator(**config, mapping_rate=0.1))
    discriminator = shaken(StyleGAN2Discriminator((6, 4, 5), group_size=2, conv_clamp=1.5))
    g = {_foreign(k, GENERATOR, [4, 8, 16]): v for k, v in generator.state_dict().items()}
    d = {_foreign(k, DISCRIMINATOR, [16, 8, 4]): v for k, v in discriminator.state_dict().items()}
    g_notes: dict[str, dict[str, Any]]
    d_notes: dict[str, dict[str, Any]]
    if noted:
        g_notes = {"synthesis.b4.conv1": {"conv_clamp": 1.5}, "mapping.fc0": {"bias_gain": 0.1}}
        d_notes = {"b4.conv": {"conv_clamp": 1.5}, "b4.mbstd": {"group_size": 2}}
        d["b4.mbstd.unused"] = torch.zeros(0)  # a module without weights, made one by this
    else:
        synthesis = {"synthesis_kwargs": {"conv_clamp": 1.5}, "mapping_kwargs": {"lr_multiplier": 0.1}}
        g_notes = {"": {"_init_kwargs": synthesis}}
        d_notes = {"": {"_init_kwargs": {"conv_clamp": 1.5, "epilogue_kwargs": {"mbstd_group_size": 2}}}}
    content: dict[str, Any] = {"G": None, "D": tree(d, d_notes), "G_ema": tree(g, g_notes), "augment_pipe": None}
    if noted:
        content["D"].state["_modules"]["b4"].state["_modules"]["mbstd"].state["_parameters"].clear()
    file = tmp_path / "network.pkl"
    file.write_bytes(pickle.dumps(content))
    read = {p.name: p for p in convert(file, tmp_path / "x.safetensors")}
    ours, _ = load_network(read["x.generator.safetensors"], "generator")
    assert ours.config == generator.config | {"taps": ours.config["taps"]}
    z, label = generator.sample_latent(2), torch.tensor([0, 2])
    assert torch.equal(ours(z, label), generator(z, label))
    theirs, _ = load_network(read["x.discriminator.safetensors"], "discriminator")
    assert torch.equal(theirs(ours(z, label)), discriminator(ours(z, label)))


def tf_variables(generator: StyleGAN2Generator) -> dict[str, list[tuple[str, Any]]]:
    """The variables of each network of the TensorFlow version, in its names, layouts and order."""
    found: dict[str, list[tuple[str, Any]]] = {"G": [], "G_mapping": [], "G_synthesis": []}
    found["G"].append(("dlatent_avg", generator.w_avg.numpy()))
    for i, dense in enumerate(generator.map_latent.layers):
        weight: Any = dense.weight
        found["G_mapping"] += [(f"Dense{i}/weight", weight.numpy().T), (f"Dense{i}/bias", dense.bias.numpy())]  # type: ignore[operator]
    add = found["G_synthesis"].append
    for i, block in enumerate(generator._blocks()):
        r, k = 4 << i, 2 * i
        if i == 0:
            add(("4x4/Const/const", block.const.numpy()[None]))
        for name, layer in block.modulated():
            scope = {"conv0": "Conv0_up", "conv1": "Conv1" if i else "Conv", "to_rgb": "ToRGB"}[name]
            conv: Any = layer if isinstance(layer, ModulatedConv) else layer.conv
            kernel = conv.weight.numpy().transpose(2, 3, 1, 0)
            add((f"{r}x{r}/{scope}/weight", kernel[::-1, ::-1] if name == "conv0" else kernel))
            add((f"{r}x{r}/{scope}/bias", conv.bias.numpy()))
            add((f"{r}x{r}/{scope}/mod_weight", layer.affine.weight.numpy().T))
            add((f"{r}x{r}/{scope}/mod_bias", layer.affine.bias.numpy() - 1))
            if isinstance(layer, ModulatedConv):
                add((f"{r}x{r}/{scope}/noise_strength", layer.strength.numpy()))
                add((f"noise{k - (name == 'conv0')}", layer.const.numpy()[None, None]))
    return found


def test_tensorflow_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network_class = stub(monkeypatch, "dnnlib.tflib.network", "Network")
    generator = shaken(StyleGAN2Generator(**TINY))
    variables = tf_variables(generator)

    def network(name: str, components: dict[str, Any]) -> Any:
        made = network_class()
        arrays = [(key, np.ascontiguousarray(value).reshape(np.shape(value))) for key, value in variables[name]]
        made.__dict__.update(version=4, name=name, static_kwargs={}, components=components, variables=arrays)
        return made

    parts = {"synthesis": network("G_synthesis", {}), "mapping": network("G_mapping", {})}
    file = tmp_path / "stylegan2.pkl"
    file.write_bytes(pickle.dumps((None, None, network("G", parts))))
    (path,) = convert(file, tmp_path / "x.safetensors")
    ours, _ = load_network(path, "generator")
    z = generator.sample_latent(2)
    assert torch.allclose(ours(z), generator(z), atol=1e-5)
    assert torch.equal(ours.w_mean, generator.w_mean)
