"""StyleGAN2 against the original implementations: styles, activations, images, gradients, scores; real key lists.

Runs over whatever fixtures tests/golden/stylegan holds: a folder with `weights.npz` (or a `network.pkl`) whose
meta.json names one of the implementations.
"""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.base import Configurable
from models.checkpoints import nvidia, rosinality_stylegan2
from models.checkpoints.formats import convert
from models.checkpoints.pickles import read_pickle
from models.checkpoints.stylegan2 import build_discriminator, build_generator
from models.discriminators.stylegan2 import StyleGAN2Discriminator
from models.files import load_network
from models.generators.stylegan2 import StyleGAN2Generator

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
ATOL = 1e-4  # of images and activations, which reach +-13; they agree to 1e-5


def meta(folder: Path) -> dict[str, Any]:
    path = folder / "meta.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def folders(belongs: Callable[[dict[str, Any]], bool]) -> list[Path]:
    return sorted(f for f in (GOLDEN / "stylegan").iterdir() if (f / "io.npz").exists() and belongs(meta(f)))


def is_nvidia(about: dict[str, Any]) -> bool:
    return bool(re.search(r"stylegan2-ada-pytorch|networks_stylegan2|stylegan3", json.dumps(about)))


NVIDIA = folders(is_nvidia)
ROSINALITY = folders(lambda about: {"n_mlp", "channel_multiplier"} <= about.keys())


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


@cache
def recorded(folder: Path) -> dict[str, Tensor]:
    return {k: torch.from_numpy(np.asarray(v)) for k, v in arrays(folder / "io.npz").items() if v.dtype.kind in "fiu"}


def keyword(about: Any, name: str, default: Any) -> Any:
    """The value of a keyword, wherever it stands among those of parts."""
    if isinstance(about, dict):
        if name in about:
            return about[name]
        for value in about.values():
            if (found := keyword(value, name, default)) != default:
                return found
    return default


def network(folder: Path, kind: str) -> Any:
    """From bare weights and the settings of meta.json; from the pickle where the folder has nothing else."""
    about = meta(folder)
    weights = folder / ("weights.npz" if kind == "generator" else "weights_D.npz")
    if not weights.exists() and (folder / "network.pkl").exists():
        found = nvidia.find(read_pickle(folder / "network.pkl"))
        return nvidia.read(found or {}, folder / "network.pkl").get(kind)
    if not weights.exists():
        return None
    keywords = about.get("kwargs" if kind == "generator" else "D_kwargs", {})
    clamp = keyword(keywords, "conv_clamp", 256 if "stylegan3" in str(about.get("cls")) else None)
    if kind == "generator":
        return build_generator(arrays(weights), weights, conv_clamp=clamp)
    return build_discriminator(
        arrays(weights), weights, conv_clamp=clamp, group_size=keyword(keywords, "mbstd_group_size", 4)
    )


def label_of(c: Tensor | None) -> Tensor | None:
    """Class weights [N,K], None if there are no classes."""
    return c if c is not None and c.shape[1] else None


def near(value: Tensor, expected: Tensor, what: str, atol: float = ATOL) -> None:
    error = (value.detach().reshape(expected.shape) - expected).abs().max().item()
    assert error <= atol, f"{what}: off by {error:.3g}"


def traced(generator: StyleGAN2Generator, latent: Tensor) -> dict[str, Tensor]:
    """Outputs of every convolution and ToRGB, by the original's name."""
    outputs: dict[str, Tensor] = {}
    handles = []
    for name, module in generator.named_modules():
        if match := re.fullmatch(r"blocks\.(\d+)\.(conv0|conv1|to_rgb)", name):
            key = f"b{4 << int(match[1])}.{match[2].replace('_', '')}"
            handles.append(module.register_forward_hook(lambda _m, _x, y, key=key: outputs.update({key: y})))
    with torch.no_grad():
        generator(latent)
    for handle in handles:
        handle.remove()
    return outputs


def named_styles(generator: StyleGAN2Generator, ws: Tensor) -> dict[str, Tensor]:
    """Styles by the original's names."""
    names = [re.sub(r"blocks\.(\d+)", lambda m: f"b{4 << int(m[1])}", x.name) for x in generator.modulated_layers]
    return {n.replace("to_rgb", "torgb"): m.scale for n, m in zip(names, generator.styles(ws), strict=True)}


def image(generator: StyleGAN2Generator, latent: Tensor, label: Tensor | None = None, noise: str = "const") -> Tensor:
    """With this kind of noise."""
    generator.noise = noise  # type: ignore[assignment]
    with torch.no_grad():
        made: Tensor = generator(latent, label)
    generator.noise = "const"
    return made


@pytest.mark.parametrize("folder", NVIDIA, ids=lambda f: f.name)
def test_nvidia_mapping_styles_and_activations(folder: Path) -> None:
    generator, io = network(folder, "generator"), recorded(folder)
    label = label_of(io.get("c"))
    with torch.no_grad():
        ws = generator.mapping(io["z"], label)
        if "ws" in io:
            near(ws, io["ws"], "ws", 1e-5)
        for key in (key for key in io if key.startswith("ws_psi")):
            match = re.fullmatch(r"ws_psi([\d.]+?)(?:_cut(\d+))?", key)
            assert match, key
            cutoff = int(match[2]) if match[2] else None
            near(generator.mapping(io["z"], label, float(match[1]), cutoff), io[key], key, 1e-5)
        styles = named_styles(generator, ws)
        outputs = traced(generator, ws)
    for key, expected in io.items():
        kind, _, layer = key.partition(".")
        if kind == "style":
            near(styles[layer], expected, key, 1e-5)
        elif kind == "act":
            near(outputs[layer], expected, key)
        elif kind == "actmean":
            near(outputs[layer].mean((2, 3)), expected, key)
        elif kind == "actsq":
            assert torch.allclose(outputs[layer].square().mean((2, 3)), expected, rtol=1e-4, atol=ATOL), key


@pytest.mark.parametrize("folder", NVIDIA, ids=lambda f: f.name)
def test_nvidia_images(folder: Path) -> None:
    generator, io = network(folder, "generator"), recorded(folder)
    label = label_of(io.get("c"))
    compared = 0
    for key, expected in io.items():
        match = re.fullmatch(r"img(?:_(const|none))?(?:_psi([\d.]+)(?:_cut(\d+))?)?(_wplus)?(_nonfused)?(_fp32)?", key)
        if match is None:
            continue
        n = len(expected)
        with torch.no_grad():
            psi, cutoff = float(match[2] or 1), int(match[3]) if match[3] else None
            latent = io["wplus"] if match[4] else generator.mapping(io["z"], label, psi, cutoff)
        near(image(generator, latent[:n], noise=match[1] or "const"), expected, key)
        if not match[2] and not match[4]:
            direct = image(generator, io["z"][:n], None if label is None else label[:n], match[1] or "const")
            near(direct, expected, key)
        compared += 1
    assert compared


@pytest.mark.parametrize("folder", NVIDIA, ids=lambda f: f.name)
def test_nvidia_gradient(folder: Path) -> None:
    generator, io = network(folder, "generator"), recorded(folder)
    if "grad_ws0_of_mean_sq" not in io:
        pytest.skip("none recorded")
    with torch.no_grad():
        ws = generator.mapping(io["z"], label_of(io.get("c")))[:1]
    ws.requires_grad_()
    loss = generator(ws).square().mean()
    (gradient,) = torch.autograd.grad(loss, ws)
    near(loss, io["loss0"], "loss")
    near(gradient, io["grad_ws0_of_mean_sq"], "gradient")


@pytest.mark.parametrize("folder", NVIDIA, ids=lambda f: f.name)
def test_nvidia_scores(folder: Path) -> None:
    discriminator, io = network(folder, "discriminator"), recorded(folder)
    if discriminator is None or "D_logits" not in io:
        pytest.skip("none recorded")
    assert isinstance(discriminator, StyleGAN2Discriminator)
    label = label_of(io.get("c"))
    pictures = image(network(folder, "generator"), io["z"], label)
    with torch.no_grad():
        near(discriminator(pictures, label), io["D_logits"], "scores", 1e-5)


@pytest.mark.parametrize("folder", ROSINALITY, ids=lambda f: f.name)
def test_rosinality(folder: Path, tmp_path: Path) -> None:
    io, about = recorded(folder), meta(folder)
    values = {**arrays(folder / "weights.npz"), "latent_avg": arrays(folder / "io.npz")["latent_avg"]}
    networks = rosinality_stylegan2.read({"generator": values}, folder)
    generator: Any = networks["generator"]
    assert generator.num_ws == about["n_latent"]
    with torch.no_grad():
        ws = generator.mapping(io["z"])
        near(ws[:, 0], io["w"], "w", 1e-5)
        near(ws, io["latents"], "latents", 1e-5)
        styles = named_styles(generator, ws)
        for key in (key for key in io if key.startswith("style.")):
            layer = rosinality_stylegan2._generator_name(f"{key.removeprefix('style.')}.weight")
            name = layer.removeprefix("synthesis.").removesuffix(".weight")
            near(styles[name], io[key], key, 1e-5)
        outputs = traced(generator, ws)
        for key in (key for key in io if key.startswith("act.")):
            layer = rosinality_stylegan2._generator_name(f"{key.removeprefix('act.')}.conv.weight")
            near(outputs[layer.removeprefix("synthesis.").removesuffix(".weight")][: len(io[key])], io[key], key)
        near(generator(io["z"])[: len(io["img"])], io["img"], "img")
        near(generator(io["wplus"]), io["img_wplus"], "img_wplus")
        for key in (key for key in io if key.startswith("img_trunc")):
            truncated = generator.mapping(io["z"], truncation=float(key.removeprefix("img_trunc")))
            near(generator(truncated)[: len(io[key])], io[key], key)
        for key in (key for key in io if key.startswith("img_mix_inject")):
            n, at = len(io[key]), int(key.removeprefix("img_mix_inject"))
            mixed = torch.cat([ws[:n, :at], ws[n : 2 * n, at:]], dim=1)
            near(generator(mixed), io[key], key)
        if (folder / "weights_D.npz").exists():
            found = {"discriminator": arrays(folder / "weights_D.npz")}
            discriminator: Any = rosinality_stylegan2.read(found, folder)["discriminator"]
            near(discriminator(generator(io["z"])), io["D"], "D", 1e-5)


@pytest.mark.parametrize("file", [f for folder in ROSINALITY for f in folder.glob("*.pt")], ids=lambda f: f.name)
def test_rosinality_files(file: Path, tmp_path: Path) -> None:
    io = recorded(file.parent)
    for path in convert(file, tmp_path / "x.safetensors"):
        kind = "discriminator" if ".discriminator." in path.name else "generator"
        loaded, _ = load_network(path, kind)
        if kind == "discriminator":
            assert isinstance(loaded, StyleGAN2Discriminator)
            continue
        with torch.no_grad():
            near(loaded(io["z"])[: len(io["img"])], io["img"], "img")
        if "converted" in file.name:
            near(loaded.w_mean, io["latent_avg"], "latent_avg", 0.0)
        else:  # a training keeps none: measured
            sample = loaded.mapping(loaded.sample_latent(4096, torch.Generator().manual_seed(9)))[:, 0]
            assert ((sample.mean(0) - loaded.w_mean).abs() < 5 * sample.std(0) / 4096**0.5).all()


def listed(name: str) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of the names and shapes of a file, all of one value; filters as they are."""
    found: dict[str, np.ndarray[Any, Any]] = {}
    line = np.array([1, 3, 3, 1], np.float32) / 8
    for entry in (GOLDEN / name).read_text().splitlines():
        key, shape = re.fullmatch(r"(\S+) \(([\d, ]*)\)", entry.strip()).groups()  # type: ignore[union-attr]
        shape = tuple(int(n) for n in shape.split(",") if n.strip())
        small = np.outer(line, line) if key.endswith((".kernel", "filter")) else np.zeros((), np.float32)
        found[key] = np.broadcast_to(small, shape)
    return found


@pytest.mark.parametrize(
    ("name", "reader"), [("keys_sg2ada_256.txt", nvidia), ("keys_rosinality_256.txt", rosinality_stylegan2)]
)
def test_real_key_lists_load_strictly(name: str, reader: Any) -> None:
    networks: dict[str, Configurable] = reader.read(reader.find(listed(name)), Path(name))
    generator: Any = networks["generator"]
    assert (generator.resolution, generator.latent_dim, generator.w_dim, generator.num_ws) == (256, 512, 512, 14)
    widths = {layer.resolution: layer.channels for layer in generator.feature_layers}
    ours = [widths[4 << i] for i in range(7)]
    assert ours == generator.config["channels"]
    assert ours == [512, 512, 512, 512, *([256, 128, 64] if reader is nvidia else [512, 256, 128])]
