"""Progressive GAN against its original and pytorch_GAN_zoo's: images, also while the last block fades in, features."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from infer.edits.feature_blending import Stream, blend
from infer.edits.scbn import class_modulations
from models.checkpoints import gan_zoo, tf_progan
from models.checkpoints.pickles import read_torch
from models.checkpoints.tflib import TFNetwork
from models.errors import PhotograftError, UnsupportedEdit
from models.generators.pggan import PGGANGenerator
from tests.golden_fixtures import arrays, close, folders, meta, names, tensors

TENSORFLOW = folders("pggan/tf_progan*", "tf_variables.npz", "io.npz")
ZOO = folders("pggan/zoo_pgan*", "weights.npz", "io.npz")


@pytest.mark.parametrize("folder", TENSORFLOW, ids=names(TENSORFLOW))
def test_original(folder: Path) -> None:
    variables, io = arrays(folder / "tf_variables.npz"), tensors(folder / "io.npz")
    for key in (key for key in io if key.startswith("image")):
        variables["lod"] = np.asarray(key.removeprefix("image").removeprefix("_lod") or 0, np.float32)
        generator = tf_progan.read(TFNetwork(variables, meta(folder)["kwargs"]), folder)["generator"]
        close(generator(io["z"]), io[key], 1e-4)


@pytest.mark.skipif(not TENSORFLOW, reason="no fixture")
def test_a_network_that_had_not_grown_to_its_end() -> None:
    """At level of detail 1 the picture is that of the resolution before the last."""
    folder = TENSORFLOW[0]
    variables, z = arrays(folder / "tf_variables.npz"), tensors(folder / "io.npz")["z"]
    made: dict[float, Tensor] = {}
    for lod in (1.0, 1 - 1e-6):
        network = TFNetwork(variables | {"lod": np.float32(lod)}, {})
        made[lod] = tf_progan.read(network, folder)["generator"](z)
    larger = torch.nn.functional.interpolate(made[1.0], scale_factor=2.0)
    close(made[1 - 1e-6], larger, 1e-4)
    for lod in (-1, 99):
        with pytest.raises(PhotograftError, match="'lod' is"):
            tf_progan.read(TFNetwork(variables | {"lod": np.float32(lod)}, {}), folder)


def test_upscaling_that_is_not_fused() -> None:
    """Nearest neighbour, then an ordinary convolution (`Conv0`), against the same written down from its description."""
    rng = np.random.default_rng(0)
    sizes = {
        "4x4/Dense/weight": (5, 64),
        "4x4/Dense/bias": (4,),
        "4x4/Conv/weight": (3, 3, 4, 4),
        "4x4/Conv/bias": (4,),
    }
    sizes |= {"8x8/Conv0/weight": (3, 3, 4, 3), "8x8/Conv0/bias": (3,), "8x8/Conv1/weight": (3, 3, 3, 3)}
    sizes |= {"8x8/Conv1/bias": (3,), "ToRGB_lod0/weight": (1, 1, 3, 3), "ToRGB_lod0/bias": (3,), "lod": ()}
    variables = {name: np.asarray(rng.standard_normal(size), np.float32) for name, size in sizes.items()}
    variables["lod"] = np.zeros((), np.float32)
    generator = tf_progan.read(TFNetwork(variables, {"fused_scale": False}), Path("x"))["generator"]
    v = {name: torch.from_numpy(value) for name, value in variables.items()}

    def norm(x: Tensor) -> Tensor:
        return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()

    def layer(x: Tensor, name: str) -> Tensor:
        weight = v[f"{name}/weight"].permute(3, 2, 0, 1)
        x = torch.nn.functional.conv2d(x, weight * (2 / weight[0].numel()) ** 0.5, v[f"{name}/bias"], padding=1)
        return norm(torch.where(x < 0, 0.2 * x, x))

    z = generator.sample_latent(2)
    x = norm(z) @ v["4x4/Dense/weight"] * (2**0.5 / 4 / 5**0.5)
    x = x.view(2, 4, 4, 4) + v["4x4/Dense/bias"][:, None, None]
    x = layer(norm(torch.where(x < 0, 0.2 * x, x)), "4x4/Conv")
    x = layer(layer(x.repeat_interleave(2, 2).repeat_interleave(2, 3), "8x8/Conv0"), "8x8/Conv1")
    rgb = torch.einsum("nchw,cd->ndhw", x, v["ToRGB_lod0/weight"][0, 0] / 3**0.5)
    close(generator(z), rgb + v["ToRGB_lod0/bias"][:, None, None], 1e-5)


@pytest.mark.parametrize("folder", ZOO, ids=names(ZOO))
def test_zoo(folder: Path) -> None:
    io = tensors(folder / "io.npz")
    contents = [arrays(folder / "weights.npz")]
    contents += [read_torch(path) for path in sorted(folder.glob("*.pt"))]
    for content in contents:
        network = gan_zoo.find(content)
        assert network is not None
        generator = gan_zoo.read(network, folder)["generator"]
        assert isinstance(generator, PGGANGenerator)
        before_activation: list[Tensor] = []
        for block in generator.blocks[1:]:
            seen = before_activation.append
            block.conv2.register_forward_hook(lambda _m, _x, y, seen=seen: seen(y))  # type: ignore[union-attr]
        close(generator(io["z"]), io["img"], 1e-4)
        for i, features in enumerate(before_activation):
            close(features, io[f"preact_scale.{i}"], 1e-4)
        for key in (key for key in io if key.startswith("img_alpha")):
            fading = gan_zoo.read(network._replace(alpha=float(key.removeprefix("img_alpha"))), folder)["generator"]
            close(fading(io["z"]), io[key], 1e-4)


ZOO_DISCRIMINATORS = folders("pggan/zoo_pgan*", "weights_D.npz", "io_D.npz")


@pytest.mark.parametrize("folder", ZOO_DISCRIMINATORS, ids=names(ZOO_DISCRIMINATORS))
def test_zoo_discriminator(folder: Path) -> None:
    """Batches that divide into groups of four and one that does not; also while a block fades in."""
    io, weights = tensors(folder / "io_D.npz"), arrays(folder / "weights_D.npz")
    image = tensors(folder / "io.npz")["img"]
    x = torch.cat([image, image.flip(3) * 0.7, image.flip(2) * 0.5])
    x = torch.cat([x, x.flip(0)[:2] * 0.3])
    discriminator = gan_zoo.read_discriminator(weights, folder)
    for key in (key for key in io if key.startswith("scores")):
        count, _, alpha = key.removeprefix("scores").partition("_alpha")
        network = gan_zoo.read_discriminator(weights, folder, float(alpha or 0))
        close(network(x[: int(count)]), io[key], 1e-5)
    close(discriminator.features(x[:6]), io["features"], 1e-5)
    close(discriminator(image), tensors(folder / "io.npz")["D"][:, 0], 1e-5)
    found = gan_zoo.find(read_torch(folder / "model.pt"))
    assert found is not None
    beside = gan_zoo.read(found, folder)["discriminator"]
    close(beside(image), tensors(folder / "io.npz")["D"][:, 0], 1e-5)


def test_edits() -> None:
    """Features can be blended, modulations are not there to be changed."""
    generator = PGGANGenerator((4, 3), 5).freeze()
    z = generator.sample_latent(2)
    with pytest.raises(UnsupportedEdit):
        class_modulations(generator, z, torch.zeros(2, dtype=torch.int64), [])
    base, other = Stream(z[:1], []), Stream(z[1:], [])
    weights = torch.tensor([0.0, 1.0])[None, :, None, None]
    for i, layer in enumerate(generator.feature_layers):
        m = weights.expand(1, 2, layer.resolution, layer.resolution)
        close(blend(generator, base, [other], {i: m}), generator(z[1:]), 1e-6)
