"""Unusual StyleGAN2 files of NVIDIA's torch code: other filters, without noise, grey, other activations; its relatives.

The fixtures are random weights with what the original code made of them, and what its layers note about themselves.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.checkpoints import grey, nvidia
from models.checkpoints.formats import UnknownNetwork, read
from models.checkpoints.modules import StateDict
from models.errors import PhotograftError
from tests.golden_fixtures import arrays, close, folders, meta, names, tensors

VARIANTS = folders("stylegan/sg2var*", "weights.npz", "weights_D.npz", "io.npz")


def found(folder: Path, **notes: Any) -> dict[str, Any]:
    """G_ema and D as they come out of a pickle."""
    content: dict[str, Any] = {}
    for name, file in (("G_ema", "weights.npz"), ("D", "weights_D.npz")):
        state = StateDict()
        state.update({key: torch.from_numpy(np.asarray(value)) for key, value in arrays(folder / file).items()})
        state.notes.update(meta(folder)["notes"] | notes)
        content[name] = state
    result = nvidia.find(content)
    assert result is not None
    return result


def colours(x: Tensor) -> Tensor:
    return x.expand(-1, 3, -1, -1)


@pytest.mark.parametrize("folder", VARIANTS, ids=names(VARIANTS))
def test_variants(folder: Path) -> None:
    io, states = tensors(folder / "io.npz"), found(folder)
    networks: dict[str, Any] = nvidia.read(states, folder)
    close(networks["generator"](io["z"]), colours(io["image"]), 2e-5)
    discriminator = networks["discriminator"]
    close(discriminator(colours(io["pictures"])), io["scores"], 2e-5)
    close(discriminator.features(colours(io["pictures"])), io["features"], 2e-5)
    assert nvidia.remarks(states) == ([grey.GREY] if io["image"].shape[1] == 1 else [])


def test_colours_are_seen_as_their_mean() -> None:
    for folder in (f for f in VARIANTS if "grey" in f.name):
        discriminator: Any = nvidia.read(found(folder), folder)["discriminator"]
        picture = torch.rand(2, 3, 16, 16)
        close(discriminator.features(picture), discriminator.features(colours(picture.mean(1, keepdim=True))), 2e-5)


def test_unused_filters_alone_may_differ() -> None:
    folder = next(f for f in VARIANTS if "relu" in f.name)
    for kind, name in (
        ("generator", "synthesis.b8.conv0"),
        ("discriminator", "b8.conv1"),
        ("discriminator", "b8.skip"),
    ):
        states = found(folder)
        states[kind][f"{name}.resample_filter"] = torch.ones(4, 4) / 16
        with pytest.raises(PhotograftError, match="filters that differ"):
            nvidia.read(states, folder)
    states = found(folder)
    states["generator"] |= {k: torch.eye(3) / 3 for k in states["generator"] if k.endswith("resample_filter")}
    with pytest.raises(PhotograftError, match="not separable"):
        nvidia.read(states, folder)


def test_one_line_for_what_cannot_be_read() -> None:
    folder = VARIANTS[0]
    for notes, message in (
        ({"synthesis.b4.conv1.activation": "swish"}, "activation 'swish': only lrelu, relu, linear can be read"),
        ({"mapping.fc0.activation": "tanh"}, "activation 'tanh'"),
        ({"b4.conv.activation": 3}, "activation 3"),
    ):
        with pytest.raises(PhotograftError, match=message):
            nvidia.read(found(folder, **notes), folder)
    states = found(folder)
    for key in [key for key in states["generator"] if ".torgb." in key and ".affine." not in key]:
        value = states["generator"][key]
        states["generator"][key] = value.repeat(4, *[1] * (value.ndim - 1))[:4]
    with pytest.raises(PhotograftError, match="have 4 channels: only 3 or 1"):
        nvidia.read(states, folder)
    folder = next(f for f in VARIANTS if "noiseless" in f.name)
    states = found(folder)  # noise in one layer alone
    states["generator"]["synthesis.b8.conv1.noise_strength"] = torch.zeros(())
    with pytest.raises(PhotograftError, match="noise_"):
        nvidia.read(states, folder)


def test_all_networks_of_a_file_are_listed(tmp_path: Path) -> None:
    folder = VARIANTS[0]
    g, d = (dict(tensors(folder / file)) for file in ("weights.npz", "weights_D.npz"))
    torch.save({"G": g, "D": d, "G_ema": {name: value + 0 for name, value in g.items()}}, tmp_path / "x.pt")
    lines = {line.split(",")[0]: line.rpartition(": ")[2] for line in read(tmp_path / "x.pt").parts}
    unread = "not read, for another state of the network is"
    assert lines == {"'G_ema'": "the generator", "'G'": unread, "'D'": "the discriminator"}


STYLEGAN3 = ("synthesis.input.weight", "synthesis.L0_36_16.weight", "mapping.fc0.weight", "mapping.w_avg")


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (STYLEGAN3, "holds a StyleGAN3 (alias-free, from Fourier features), for which there is no reader"),
        (
            (*STYLEGAN3, "mapping.embed.weight", "mapping.embed_proj.weight"),
            "holds a StyleGAN-XL (a StyleGAN3 that grew",
        ),
    ],
    ids=["3", "xl"],
)
def test_relatives_are_named(names: tuple[str, ...], line: str, tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    torch.save({"G_ema": dict.fromkeys(names, torch.zeros(4, 4))}, path)
    with pytest.raises(PhotograftError) as caught:
        read(path)
    assert line in str(caught.value)
    assert not isinstance(caught.value, UnknownNetwork)
    assert "\n" not in str(caught.value)
