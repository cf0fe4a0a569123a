"""StyleGAN against its originals: w, styles, images, activations at the AdaIN layers, edited images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.base import Layer, Modulation
from models.checkpoints import lernapparat, rosinality_stylegan, tf_stylegan
from models.checkpoints.tflib import TFNetwork
from models.generators.stylegan import AdaIN, StyleGANGenerator
from tests.golden_fixtures import arrays, close, folders, meta, names, tensors

TENSORFLOW = folders("stylegan/tf_stylegan1*", "tf_variables.npz", "io.npz")
PORT = folders("stylegan/ivrl_stylegan1*", "weights.npz", "io.npz")
# Images reach 16 to 28: twice the float32 noise of either side
IMAGE, FLOAT32 = 1e-4, 3e-4


@pytest.mark.parametrize("folder", TENSORFLOW, ids=names(TENSORFLOW))
def test_original(folder: Path) -> None:
    network = TFNetwork(arrays(folder / "tf_variables.npz"), meta(folder)["kwargs"])
    generator = tf_stylegan.read(network, folder)["generator"]
    assert isinstance(generator, StyleGANGenerator)
    io = tensors(folder / "io.npz")
    label = next((io[key] for key in ("labels", "label", "y", "c") if key in io), None)
    close(generator.mapping(io["z"], label), io["dlatents"], 1e-5)
    exact = generator.double()
    compared = 0
    for key in io:
        if not key.startswith("image"):
            continue
        psi, _, cutoff = key.removeprefix("image_psi").partition("_cut")
        n = len(io[key])
        ws = exact.mapping(io["z"], label, float(psi or 1), int(cutoff) if cutoff else None)[:n]
        close(exact(ws), io[key], IMAGE)
        generator.float()
        close(generator(ws.float()), io[key], FLOAT32)
        exact = generator.double()
        compared += 1
    assert compared


def port(folder: Path) -> tuple[StyleGANGenerator, dict[str, Tensor]]:
    """Generator of Editing in Style's own code with the noise that the fixture was computed with, and the fixture."""
    io = tensors(folder / "io.npz")
    generator = lernapparat.read(arrays(folder / "weights.npz"), folder)["generator"]
    assert isinstance(generator, StyleGANGenerator)
    noise = [value for key, value in io.items() if key.startswith("noise.")]
    buffers = [value for key, value in generator.named_buffers() if key.endswith(".const")]
    for buffer, value in zip(buffers, noise, strict=True):
        buffer.copy_(value)
    return generator, io


def modulation(ys: Tensor) -> Modulation:  # [N,2,C]
    """Of the port's style: its rows are scale - 1 and shift."""
    return Modulation(ys[:, 0] + 1, ys[:, 1])


@pytest.mark.parametrize("folder", PORT, ids=names(PORT))
def test_port(folder: Path) -> None:
    generator, io = port(folder)
    z = io["z"]
    close(generator.mapping(z)[:, 0], io["w"], 1e-6)
    close(generator.mapping(z, truncation=0.7)[:, -1], io["w_trunc0.7"], 1e-6)
    for i, own in enumerate(generator.modulations(z)):
        expected = modulation(io[f"ys.{i}"])
        assert expected.shift is not None
        assert own.shift is not None
        close(own.scale, expected.scale, 1e-5)
        close(own.shift, expected.shift, 1e-5)
    seen: list[Tensor] = []

    def tap(layer: Layer, x: Tensor) -> Tensor:
        if layer.modulated:
            seen.append(x)
        return x

    image = generator(z, tap=tap)
    close(image[: len(io["image"])], io["image"], IMAGE)
    truncated = generator(generator.mapping(z, truncation=0.7))
    close(truncated[: len(io["image_trunc0.7"])], io["image_trunc0.7"], IMAGE)
    for i, x in enumerate(seen):
        close(x.mean((2, 3)), io[f"adain_in_mean.{i}"], 1e-5)
        close(x.square().mean((2, 3)), io[f"adain_in_sq.{i}"], 1e-4)
        if f"adain_act.{i}" in io:
            close(x[: len(io[f"adain_act.{i}"])], io[f"adain_act.{i}"], 1e-4)


def query(m: Tensor, rho: float, eps: float) -> Tensor:  # [C] -> [C]
    """Editing in Style's sequential query, as its code has it: most relevant channels first, within a budget."""
    order = m.argsort(descending=True)
    chosen = torch.zeros_like(m)
    chosen[order] = ((1 - m[order]).cumsum(0) < eps).float()
    return chosen * (m > rho)


EDITS = [folder for folder in PORT if (folder / "edits.npz").is_file()]


@pytest.mark.parametrize("folder", EDITS, ids=names(EDITS))
def test_edited_modulations(folder: Path) -> None:
    generator, io = port(folder)
    expected, about = tensors(folder / "edits.npz"), meta(folder)
    queries = tensors(folder.parent / "ivrl_style_interpolator" / "io.npz")
    layers = range(len(generator.modulated_layers))
    labels = {"a": 0, "b": 1, "c": 2, "d": 3}
    left = set(expected)

    def edited(qs: list[Tensor], rows: int = 1) -> list[Modulation]:
        """Source 0 with its references' scales (and shifts, of two rows) as far as q says."""
        result = []
        for i in layers:
            ys = io[f"ys.{i}"]
            mixed = ys[:1].repeat(2, 1, 1)
            mixed[:, :rows] = torch.lerp(mixed[:, :rows], ys[1:3, :rows], qs[i])
            result.append(modulation(mixed))
        return result

    def check(name: str, modulations: list[Modulation]) -> None:
        for i in layers:
            if f"{name}.ys.{i}" in left:
                left.discard(f"{name}.ys.{i}")
                close(modulations[i].scale, expected[f"{name}.ys.{i}"][:, 0] + 1, 1e-5)
        if f"{name}.image" in left:
            left.discard(f"{name}.image")
            image = generator.synthesize(io["z"][:2], modulations)
            close(image[: len(expected[f"{name}.image"])], expected[f"{name}.image"], IMAGE)

    for case in about["edit"]:
        qs = [query(queries[f"M.{i}"][labels[case["label"]]], case["rho"], case["eps"]) for i in layers]
        check(f"edit.{case['k']}", edited(qs))
        check(f"edit_bias.{case['k']}", edited(qs, rows=2))
    several = about["edit_list"]
    settings = zip(several["rho"], several["eps"], strict=True)
    ms = [queries[f"M.{i}"][labels[several["label"]]] for i in layers]
    check("edit.list", edited([query(m, rho, eps) for m, (rho, eps) in zip(ms, settings, strict=True)]))
    for k, factor in enumerate(about["simul"]["lambdas"]):
        ms = [queries[f"M.{i}"][labels[about["simul"]["label"]]] for i in layers]
        check(f"simul.{k}", edited([(factor * m).clamp(max=1) for m in ms]))
    assert not left, f"never compared: {sorted(left)}"


ROSINALITY = folders("stylegan/rosinality_stylegan1_D*", "weights.npz", "io.npz")


@pytest.mark.parametrize("part", ["", "_plain"])
@pytest.mark.parametrize("folder", ROSINALITY, ids=names(ROSINALITY))
def test_rosinality_discriminator(folder: Path, part: str) -> None:
    """At 128 px, where it halves by fused convolutions, and at 16 px without an activation after the first layer."""
    io, weights = tensors(folder / "io.npz"), arrays(folder / f"weights{part}.npz")
    discriminator = rosinality_stylegan.read_discriminator(weights, folder, meta(folder)[f"resolutions{part}"])
    close(discriminator(io[f"images{part}"]), io[f"scores{part}"], 1e-5)
    close(discriminator.features(io[f"images{part}"]), io[f"features{part}"], 1e-5)


def test_epsilon_matters() -> None:
    """The port's larger epsilon is a difference that these tolerances see."""
    if not TENSORFLOW:
        pytest.skip("no fixture")
    folder = TENSORFLOW[0]
    generator = tf_stylegan.read(TFNetwork(arrays(folder / "tf_variables.npz"), {}), folder)["generator"]
    assert isinstance(generator, StyleGANGenerator)
    ws = generator.mapping(torch.from_numpy(np.asarray(arrays(folder / "io.npz")["z"][:1])))
    image = generator(ws)
    for module in generator.modules():
        if isinstance(module, AdaIN):
            module.eps = 1e-5
    assert (generator(ws) - image).abs().max() > 10 * IMAGE
