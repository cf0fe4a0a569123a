"""Networks of the original TensorFlow code against ours: discriminators of every family, generators of StyleGAN2.

Each folder holds random weights under the original's names, pictures, and what that code made of them. Features are of
batches of one picture.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.checkpoints import formats, tf_discriminator, tf_stylegan2
from models.checkpoints.grey import GREY
from models.checkpoints.tflib import TFNetwork
from models.discriminators.base import Discriminator
from models.errors import PhotograftError
from tests.golden_fixtures import FOLDER, arrays, close, folders, meta, names, tensors

DISCRIMINATORS = folders("tensorflow/tf_*_D*", "tf_variables.npz", "io.npz")
GENERATORS = folders("tensorflow/tf_*_G*", "tf_variables.npz", "io.npz")
READERS = {
    "D_paper": tf_discriminator.read_progan,
    "D_basic": tf_discriminator.read_stylegan,
    "D_stylegan": tf_stylegan2.read_discriminator,
    "D_stylegan2": tf_stylegan2.read_discriminator,
    "D_main": tf_stylegan2.read_discriminator,
}
ATOL = 2e-5  # of scores and features, which reach 3


def network(folder: Path, **changed: Any) -> TFNetwork:
    about = meta(folder)
    return TFNetwork(arrays(folder / "tf_variables.npz") | changed, about["kwargs"], about["function"])


def read(folder: Path, **changed: Any) -> Any:
    return READERS[meta(folder)["function"]](network(folder, **changed), folder)


def shown(pictures: Tensor, resolution: int) -> Tensor:
    """As a network of that resolution is given them: in colour, averaged over what it does not see."""
    pictures = pictures.expand(-1, 3, -1, -1)
    return torch.nn.functional.avg_pool2d(pictures, pictures.shape[-1] // resolution)


@pytest.mark.parametrize("folder", DISCRIMINATORS, ids=names(DISCRIMINATORS))
def test_discriminators(folder: Path) -> None:
    io = tensors(folder / "io.npz")
    for key in (key for key in io if key.startswith("scores")):
        lod = key.removeprefix("scores").removeprefix("_lod")
        discriminator = read(folder, **({"lod": np.float32(lod)} if lod else {}))
        assert isinstance(discriminator, Discriminator)
        pictures = shown(io["images"], discriminator.resolution)
        label = io.get("labels") if discriminator.num_classes else None
        close(discriminator(pictures, label), io[key], ATOL)
        features = io[key.replace("scores", "features")]
        close(discriminator.features(pictures), features, ATOL)
        close(discriminator.features(pictures[1:3]), features[1:3], ATOL)  # whatever the batch


@pytest.mark.parametrize("folder", DISCRIMINATORS, ids=names(DISCRIMINATORS))
def test_scores_of_all_classes(folder: Path) -> None:
    """One picture is its own group, so a score alone and a score of all classes are the same."""
    discriminator = read(folder)
    pictures = shown(tensors(folder / "io.npz")["images"], discriminator.resolution)[:2]
    scores = discriminator.class_scores(pictures)
    assert scores.shape == (2, discriminator.num_classes)
    for label in range(discriminator.num_classes):
        for i in range(2):
            alone = discriminator(pictures[i : i + 1], torch.tensor([label]))
            close(scores[i : i + 1, label], alone, 1e-5)


def test_of_several_scores_the_first_counts() -> None:
    """Rotations were scored beside it in one of ADA's comparisons."""
    folder = FOLDER / "tensorflow/tf_ada_D_grey"
    one = read(folder)
    values = arrays(folder / "tf_variables.npz")
    more = {
        name: np.concatenate([values[name]] + [values[name] + 1] * 3, axis=-1) for name in values if "Output" in name
    }
    about = meta(folder)
    several = TFNetwork(values | more, about["kwargs"] | {"score_max": 4}, about["function"])
    same = tf_stylegan2.read_discriminator(several, folder)
    assert same.config == one.config
    pictures = torch.rand(2, 3, 8, 8)
    assert torch.equal(same(pictures), one(pictures))


@pytest.mark.parametrize("folder", GENERATORS, ids=names(GENERATORS))
def test_generators(folder: Path) -> None:
    io = tensors(folder / "io.npz")
    generator: Any = tf_stylegan2.read(network(folder), folder)["generator"]
    close(generator.mapping(io["z"], io.get("labels"))[:, 0], io["ws"], 1e-5)
    grey = "grey" in folder.name
    assert formats._tensorflow_notes(network(folder)) == ([GREY] if grey else [])
    image = generator(io["z"], io.get("labels"))
    close(image, io["image"].expand(-1, 3, -1, -1), 1e-4)


@pytest.mark.skipif(not DISCRIMINATORS, reason="no fixture")
def test_what_cannot_be_read() -> None:
    folder = FOLDER / "tensorflow/tf_stylegan2_D_grown"
    with pytest.raises(PhotograftError, match="while it grew"):
        read(folder, lod=np.float32(1.5))
    with pytest.raises(PhotograftError, match="'lod' is 99"):
        read(FOLDER / "tensorflow/tf_progan_D", lod=np.float32(99))
    with pytest.raises(PhotograftError, match="unknown arrays: '4x4/Conv/weight_sn'"):
        read(folder, **{"4x4/Conv/weight_sn": np.zeros((1, 8), np.float32)})
    about = meta(folder)
    for settings, message in (
        ({"nonlinearity": "swish"}, "nonlinearity='swish'"),
        ({"mbstd_group_size": "all"}, "mbstd_group_size='all' makes no sense"),
        ({"resample_kernel": "box"}, "resample_kernel='box': it must be a list"),
        ({"resample_kernel": [1, float("nan")]}, "it must be a list of numbers"),
        ({"num_channels": 4}, "have 4 channels"),
    ):
        odd = TFNetwork(arrays(folder / "tf_variables.npz"), about["kwargs"] | settings, about["function"])
        with pytest.raises(PhotograftError, match=message):
            tf_stylegan2.read_discriminator(odd, folder)
    for name, message in (("4x4/Dense0/bias", "not an array of 1 dim"), ("FromRGB_lod0/weight", "not an array of 4")):
        with pytest.raises(PhotograftError, match=message):
            read(FOLDER / "tensorflow/tf_stylegan_D", **{name: np.float32(1)})
    with pytest.raises(PhotograftError, match="FromRGB_lod0/weight"):
        read(folder, **{"FromRGB_lod0/weight": np.float32(1)})
    grown = network(FOLDER / "tensorflow/tf_stylegan_D")
    for settings, message in (({"blur_filter": [1, 3, 3, 1]}, "blur_filter"), ({"use_wscale": False}, "use_wscale")):
        with pytest.raises(PhotograftError, match=message):
            tf_discriminator.read_stylegan(TFNetwork(grown.variables, settings), folder)


def test_full_width() -> None:
    """The published discriminator of 1024 px: its widths follow from names and shapes."""

    def width(stage: int) -> int:
        return min(8192 >> stage, 512)

    shapes: dict[str, tuple[int, ...]] = {}
    for log in range(2, 11):
        size, c = 2**log, width(log - 1)
        shapes[f"FromRGB_lod{10 - log}/weight"] = (1, 1, 3, c)
        if log > 2:
            shapes[f"{size}x{size}/Conv0/weight"] = (3, 3, c, c)
            shapes[f"{size}x{size}/Conv1_down/weight"] = (3, 3, c, width(log - 2))
    shapes |= {"4x4/Conv/weight": (3, 3, 513, 512), "4x4/Dense0/weight": (8192, 512), "4x4/Dense1/weight": (512, 1)}
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    zeros |= {name.replace("weight", "bias"): np.zeros(shape[-1], np.float32) for name, shape in shapes.items()}
    assert sum(value.size for value in zeros.values()) == 23_087_249
    discriminator = tf_discriminator.read_stylegan(TFNetwork(zeros | {"lod": np.float32(0)}, {}), Path("x"))
    assert discriminator.config["channels"] == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert (discriminator.resolution, discriminator.config["blurs"]) == (1024, True)
