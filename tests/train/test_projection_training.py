"""What the trainings of E and of A and B share: validation, grids, distances, export, and classes by name."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor

from data import images_to_float
from data.splits import open_pictures
from models.errors import PhotograftError
from models.files import save_network, sha256
from models.generators.sngan import SNGANGenerator
from models.header import read_header
from models.projection.objective import Objective
from models.zoo import Model, load_model
from tests.train.tiny import (
    CLASSES,
    Training,
    auxiliary_training,
    encoder_training,
    fit,
    gan,
    read,
    write_folders,
    write_model,
    write_shards,
)
from train.callbacks import FrechetDistance, ReconstructionGrid, SampleGrid
from train.callbacks.run import some_photos
from train.checkpoint import check_classes
from train.cli import run_export
from train.export import export
from train.projection.auxiliary import AuxiliaryTraining
from train.projection.base import ProjectionTraining
from train.projection.classes import generator_labels

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
]

MAKE: dict[str, Callable[..., ProjectionTraining]] = {
    "encoder": lambda model, **changes: encoder_training(model, **{"ema": 0.5, "pixel_weight": 0.1, **changes}),
    "auxiliary": lambda model, **changes: auxiliary_training(model, random_starts=0.5, **changes),
}
KINDS = pytest.mark.parametrize("kind", list(MAKE))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("data") / "shards")


def train(kind: str, model: Path, root: Path, folder: Path, *callbacks: pl.Callback, **settings: Any) -> Training:
    """Four steps; `trainer` are the trainer's settings, the others the module's."""
    trainer = settings.pop("trainer", {})
    return fit(root, folder, 4, make=lambda: MAKE[kind](model, **settings), callbacks=callbacks, trainer=trainer)


@pytest.mark.parametrize(("kind", "changes"), [("encoder", {}), ("encoder", {"ema": None}), ("auxiliary", {})])
def test_looking_changes_nothing(kind: str, changes: dict[str, Any], model: Path, shards: Path, tmp_path: Path) -> None:
    """Validation, grids and distances, and what they write."""
    logger = CSVLogger(tmp_path / "a", name="csv", version="")
    watch = (ReconstructionGrid(every=8, steps=(1, 3), columns=4), FrechetDistance(every=8, n=5, batch_size=2))
    settings = {"logger": logger, "limit_val_batches": 2, "val_check_interval": 2, "log_every_n_steps": 1}
    module = train(kind, model, shards, tmp_path / "a", *watch, trainer=settings, **changes)
    plain = train(kind, model, shards, tmp_path / "b", **changes)
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in module.state_dict().items())
    a, b = (read(tmp_path / name / "last.ckpt") for name in "ab")
    assert torch.equal(a["callbacks"]["RandomState"]["torch"], b["callbacks"]["RandomState"]["torch"])

    run = tmp_path / "a"
    rows = list(csv.DictReader((run / "csv" / "metrics.csv").read_text().splitlines()))
    measured = ["val/feature", "val/pixel", "frechet_squeezenet"]
    if kind == "auxiliary":
        measured += ["val/feature_10", "val/pixel_10"]
    for name in measured:
        values = [float(row[name]) for row in rows if row[name]]
        assert len(values) == 2, name
        assert all(value > 0 for value in values)
    assert {"loss", "gradient_norm", "learning_rate", "images"} < set(rows[0])
    names = sorted(path.name for path in (run / "images").iterdir())
    assert names == ["reconstructions_000000004.png", "reconstructions_000000008.png", "reconstructions_000000016.png"]
    with Image.open(run / "images" / names[0]) as grid:
        # photos, start, after 1 and 3 steps, as each of three classes; enlarged from 32 to 96 pixels, after titles
        assert grid.size[0] > 4 * 100
        assert grid.size[1] == 7 * 100 + 4


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_half_precision_only_where_the_processor_has_it(
    native: bool, expected: torch.dtype, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.projection.base.computes_bfloat16", lambda: native)
    frozen = MAKE["encoder"](model, half_precision=True).frozen
    assert {p.dtype for p in (*frozen.generator.parameters(), *frozen.discriminator.parameters())} == {expected}


@KINDS
def test_grid_and_validation_show_projection(kind: str, model: Path, shards: Path, tmp_path: Path) -> None:
    module = train(kind, model, shards, tmp_path)
    assert isinstance(module, ProjectionTraining)
    data: Any = module.trainer.datamodule  # type: ignore[attr-defined]
    rows = ReconstructionGrid(steps=(2, 20), columns=3).grids(data, module)["reconstructions"]
    assert rows.titles == ["photo", "start", "after 2 steps", "after 20 steps", *(f"start, as {n}" for n, _ in CLASSES)]
    photos, start, few, many, *translations = (rows.images * 0.5 + 0.5).split(3)
    real, label = some_photos(data, 3)
    torch.testing.assert_close(photos, real * 0.5 + 0.5)
    losses = {steps: module.project(real, module.labels(label), steps) for steps in (0, 2, 20)}
    for row, steps in ((start, 0), (few, 2), (many, 20)):
        torch.testing.assert_close(row, losses[steps].image * 0.5 + 0.5)
        expected = (row - photos).square().mean(dim=(1, 2, 3)) * 4
        torch.testing.assert_close(losses[steps].pixel, expected, rtol=1e-4, atol=1e-6)
    assert rows.classes == [data.class_names[number] for number in label]
    for column, number in enumerate(module.labels(label)):  # a photo as its own class is its start
        torch.testing.assert_close(translations[number][column], start[column], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(translations[(number + 1) % 3][column], start[column], atol=1e-3)
    assert losses[20].total.sum() < losses[2].total.sum() < losses[0].total.sum()
    assert all(p.grad is None for p in module.model.generator.parameters())


@KINDS
def test_distance_is_of_reconstructions_of_validation_photos(
    kind: str, model: Path, shards: Path, tmp_path: Path
) -> None:
    measure = FrechetDistance(n=100, batch_size=4)
    module = train(kind, model, shards, tmp_path)
    seen: list[Tensor] = []
    features = measure._features
    measure._features = lambda x, device: (seen.append(x), features(x, device))[1]  # type: ignore[method-assign,func-returns-value]
    assert measure.real_features(module.trainer, module).shape == (6, 512)  # there are no more
    real = torch.cat(seen)
    seen.clear()
    assert measure.fake_features(module).shape == (6, 512)
    assert isinstance(module, ProjectionTraining)
    label = torch.tensor([0, 1, 2] * 2)
    torch.testing.assert_close(torch.cat(seen), module.refine(real, label, 0), rtol=1e-4, atol=1e-5)


def test_grids_are_for_their_trainings(model: Path, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match="SampleGrid does not suit EncoderTraining"):
        train("encoder", model, shards, tmp_path, SampleGrid())
    with pytest.raises(PhotograftError, match="ReconstructionGrid does not suit GAN"):
        fit(shards, tmp_path, 1, make=gan, callbacks=(ReconstructionGrid(),))


# --- export ---


@KINDS
@pytest.mark.parametrize("average", [True, False])
def test_export(kind: str, average: bool, model: Path, shards: Path, tmp_path: Path) -> None:
    module = train(kind, model, shards, tmp_path)
    write_model(tmp_path / "out", "mine")  # the generator, and an encoder that is replaced
    settings = {"average": average, "half": False}
    if kind == "encoder":
        with pytest.raises(
            PhotograftError, match=r"has mine\.encoder\.safetensors: choose another name, or --overwrite"
        ):
            export(tmp_path / "last.ckpt", tmp_path / "out" / "mine", **settings)
    (path,) = export(tmp_path / "last.ckpt", tmp_path / "out" / "mine", **settings, overwrite=True)
    assert path.name == f"mine.{kind}.safetensors"
    info = read_header(path).info
    assert info["generator"] == sha256(model)
    assert (info["images_seen"], info["steps"]) == (16, 4)
    assert info.get("learning_rate") == (0.015 if kind == "auxiliary" else None)  # of projection in zeta
    found = getattr(load_model(str(tmp_path / "out" / "mine")), kind)
    prefix = "ema.encoder" if kind == "encoder" and average else kind
    source = module.get_submodule(prefix).state_dict()
    assert all(torch.equal(value, source[name]) for name, value in found.state_dict().items())


def test_export_keeps_the_learning_rate(model: Path, shards: Path, tmp_path: Path) -> None:
    train("auxiliary", model, shards, tmp_path)
    out = tmp_path / "mine"
    run_export([str(tmp_path / "last.ckpt"), str(out), "--learning-rate", "0.03"])
    assert read_header(out.with_name("mine.auxiliary.safetensors")).info["learning_rate"] == 0.03
    with pytest.raises(PhotograftError, match=r"--learning-rate is -1.0: give a positive number"):
        export(tmp_path / "last.ckpt", out, learning_rate=-1.0)
    train("encoder", model, shards, tmp_path)
    with pytest.raises(PhotograftError, match="--learning-rate is kept with auxiliary networks"):
        export(tmp_path / "last.ckpt", out, learning_rate=0.1)


# --- classes ---

WORDNET = ("n02123045-tabby", "n02123159-tiger_cat", "n02127052-lynx")


def named(model: Path, *names: str) -> Model:
    loaded = load_model(str(model))
    loaded.class_names[:] = names
    return loaded


@pytest.mark.parametrize(
    ("names", "choice", "expected"),
    [
        (("lynx", "tabby", "tiger cat"), None, [1, 2, 0]),
        (("lynx", "tabby", "tiger cat"), ["n02127052", "tabby"], [0, 1]),
        (("lynx", "tabby", "tiger cat"), "position:1-2", [2, 0]),
        (("n02127052", "n02123045", "n02123159"), "position:0,n02127052", [1, 0]),
        (("class 0", "class 1", "class 2"), "position:0-2", [0, 1, 2]),
    ],
)
def test_imagenet_classes_find_the_generators(
    names: tuple[str, ...],
    choice: Any,
    expected: list[int],
    model: Path,
    tmp_path: Path,
) -> None:
    pictures = open_pictures(write_folders(tmp_path / "imagenet", 2, WORDNET), classes=choice)
    assert generator_labels(named(model, *names), pictures.class_names).tolist() == expected


def test_bare_ids_of_earlier_weights_and_english_names_are_one(model: Path, tmp_path: Path) -> None:
    """Folders of bare WordNet ids have English names now; generators may name ids, names or both."""
    root = write_folders(tmp_path / "imagenet", 2, ("n02123045", "n02123159", "n03126707"))
    pictures = open_pictures(root)
    assert pictures.class_names == ["tabby", "tiger cat", "crane"]
    for known in (
        ("n03126707", "n02123159", "n02123045"),
        ("crane", "tiger cat", "tabby"),
        ("n03126707-machine", "n02123159", "tabby"),
    ):
        labels = generator_labels(named(model, *known), pictures.class_names, pictures.class_ids)
        assert labels.tolist() == [2, 1, 0]
    with pytest.raises(PhotograftError, match="'crane'"):  # the bird of the same name
        generator_labels(named(model, "n02012849-crane", "tabby", "tiger cat"), ["crane"], ["n03126707"])
    check_classes({"classes": {"class_names": ["n02123045", "n02123159", "crane"]}}, pictures.class_names)
    with pytest.raises(PhotograftError, match="another order"):
        check_classes({"classes": {"class_names": ["n02123159", "n02123045", "crane"]}}, pictures.class_names)


def test_assumed_names_of_a_generator(tmp_path: Path) -> None:
    """A file of 143 classes without names has those of the published set: by name where the data know them, else the
    data's classes are as many in the same order, as they were before the names were assumed."""
    file = tmp_path / "m.generator.safetensors"
    save_network(file, SNGANGenerator([4, 4], num_classes=143), "generator")
    model = load_model(str(file))
    root = write_folders(tmp_path / "imagenet", 1, ("n02123045", "n02085620"))
    pictures = open_pictures(root, val_fraction=0.0)
    assert generator_labels(model, pictures.class_names, pictures.class_ids).tolist() == [0, 130]
    assert generator_labels(model, [f"{i:03d}" for i in range(143)]).tolist() == list(range(143))
    with pytest.raises(PhotograftError, match="the data have 2 classes and the generator 143 without names"):
        generator_labels(model, ["ape", "bee"])
    with pytest.raises(PhotograftError, match="does not know the data's class 'ape'"):
        generator_labels(model, ["tabby", "ape"])


def test_training_on_some_of_the_generators_classes(model: Path, tmp_path: Path) -> None:
    root = write_folders(tmp_path / "data", names=tuple(f"n0000000{i}-{name}" for i, (name, _) in enumerate(CLASSES)))
    module = fit(root, tmp_path, 1, make=lambda: MAKE["encoder"](model), classes=["n00000002", "monkey"])
    assert isinstance(module, ProjectionTraining)
    labels = module.labels(torch.tensor([0, 1]))
    assert labels is not None
    assert labels.tolist() == [2, 1]


def test_classes_that_do_not_fit_are_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match="the generator does not know the data's class 'lynx'"):
        generator_labels(named(model, "tabby", "tiger cat", "lion"), ["tabby", "lynx"])
    with pytest.raises(PhotograftError, match="does not know the data's class 'lion'"):
        generator_labels(named(model, "mountain lion", "tabby", "lynx"), ["lion"])
    with pytest.raises(PhotograftError, match=r"'n03126707-crane'.*n02012849"):  # the bird is not the machine
        generator_labels(named(model, "n02012849-crane", "tabby", "lynx"), ["n03126707-crane"])
    with pytest.raises(PhotograftError, match=r"'crane' could be any of the generator's classes \[0, 1\]"):
        generator_labels(named(model, "n02012849-crane", "n03126707-crane", "lynx"), ["crane"])
    with pytest.raises(PhotograftError, match="data have 2 classes and the generator 3 without names"):
        generator_labels(named(model, "class 0", "class 1", "class 2"), ["tabby", "lynx"])
    root = write_folders(tmp_path / "data", names=("ape", "bees"))
    with pytest.raises(PhotograftError, match="does not know the data's class 'bees'"):
        fit(root, tmp_path, 1, make=lambda: MAKE["encoder"](model))
    with pytest.raises(PhotograftError, match=r"32 px, the data are 16 px: give --data\.resolution 32"):
        fit(root, tmp_path, 1, make=lambda: MAKE["encoder"](model), resolution=16)


def test_linear_start_lies_along_the_gradients(model: Path, shards: Path, tmp_path: Path) -> None:
    """Half of B's coordinates are z's axes; the others are orthonormal, the last with the largest gradients."""
    kept: list[Tensor] = []

    class Look(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            assert isinstance(pl_module, AuxiliaryTraining)
            networks, z = pl_module.auxiliary, torch.randn(4, 16)
            assert torch.allclose(networks(z), z, atol=1e-5)
            kept.append(networks.to_z(torch.eye(32)).detach() * 2**0.5)  # B's columns
            batch = next(iter(trainer.datamodule.train_dataloader()))  # type: ignore[attr-defined]
            x, y = images_to_float(batch["image"]), pl_module.labels(batch["label"])
            frozen = pl_module.frozen
            assert frozen.encoder is not None
            objective = Objective(frozen.generator, frozen.discriminator, x, y)
            kept.append(objective.gradient(frozen.encoder.encode(x, y), torch.arange(len(x)))[1])

    wide = {"zeta_dim": 32, "hidden_a": 32, "hidden_b": 40, "start": "linear", "start_photos": 16}
    fit(shards, tmp_path, 1, make=lambda: auxiliary_training(model, **wide), callbacks=(Look(),))
    columns, gradient = kept
    assert torch.allclose(columns[:16], torch.eye(16), atol=1e-5)
    axes = columns[16:]
    assert torch.allclose(axes @ axes.mT, torch.eye(16), atol=1e-4)
    size = (gradient @ axes.mT).square().mean(0)
    assert size[-4:].sum() > 10 * size[:4].sum()
    with pytest.raises(PhotograftError, match="multiple of the 16 latents"):
        auxiliary_training(model, **{**wide, "zeta_dim": 40})  # before photos are looked at
