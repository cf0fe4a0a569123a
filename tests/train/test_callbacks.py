"""Callbacks: the Fréchet distance while training, grids."""

import csv
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.loggers import CSVLogger

from models.errors import PhotograftError
from tests.train.tiny import fit, read, write_folders
from train.callbacks import FrechetDistance, SampleGrid, run_folder
from train.callbacks.drawing import grid as grid_of
from train.gan.module import GAN

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("data") / "folders")


class Logger(pl.Callback):
    """Gives the trainer a CSV logger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        trainer.loggers = [CSVLogger(self.folder, name="csv", version="")]


def test_frechet_distance_is_logged_cached_and_disturbs_nothing(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = FrechetDistance(every=8, n=6, batch_size=4)
    module = fit(folders, tmp_path / "a", 4, callbacks=(Logger(tmp_path / "a"), measure))
    rows = list(csv.DictReader((tmp_path / "a" / "csv" / "metrics.csv").read_text().splitlines()))
    measured = [row for row in rows if row.get("frechet_squeezenet")]
    assert [row["images"] for row in measured] == ["8.0", "16.0"]
    assert [row["step"] for row in measured] == ["1", "3"]
    assert all(float(row["frechet_squeezenet"]) > 0 for row in measured)
    cache = tmp_path / "a" / "frechet_squeezenet_real.safetensors"
    assert cache.is_file()
    first = measure.real_features(module.trainer, module)
    assert first.shape == (6, 512)

    def fail(*_: object) -> torch.Tensor:
        raise AssertionError("the features were in the cache")

    with monkeypatch.context() as patch:
        patch.setattr(FrechetDistance, "_features", fail)
        assert torch.equal(measure.real_features(module.trainer, module), first)
    measure.n = 4  # another n is another cache
    assert len(measure.real_features(module.trainer, module)) == 4
    assert torch.equal(measure.fake_features(module), measure.fake_features(module))
    fit(folders, tmp_path / "b", 4)
    a, b = (read(tmp_path / name / "last.ckpt")["state_dict"] for name in "ab")
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_frechet_distance_does_not_start_with_a_measurement(folders: Path, tmp_path: Path) -> None:
    measure = FrechetDistance(every=8, n=4)
    measure.fake_features = lambda module: pytest.fail("too early")  # type: ignore[method-assign,assignment]
    fit(folders, tmp_path, 1, callbacks=(measure,))


@pytest.mark.parametrize(("settings", "message"), [({"judge": "squeeznet"}, "squeezenet"), ({"n": 1}, "at least 2")])
def test_bad_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(PhotograftError, match=message):
        FrechetDistance(**settings)  # type: ignore[arg-type]


def test_grids(folders: Path, tmp_path: Path) -> None:
    module: GAN = fit(folders, tmp_path, 3, callbacks=(SampleGrid(every=8, classes=2, columns=3),))
    images = tmp_path / "images"
    assert sorted(path.name for path in images.iterdir()) == [
        f"{name}_{seen:09d}.png" for name in ("photos", "samples") for seen in (4, 8)
    ]
    with Image.open(images / "samples_000000008.png") as grid:
        assert grid.size[0] > 3 * 100  # enlarged from 32 to 96 pixels, after the titles
        assert grid.size[1] == 2 * 100 + 4
        shown = np.asarray(grid)
    rows = SampleGrid(classes=2, columns=3).samples(module)
    assert rows.titles == ["ape", "monkey"]  # the first and the last
    assert rows.images.shape == (6, 3, 32, 32)
    drawn = (rows.images[0] * 127.5 + 127.5).round().clamp(0, 255).permute(1, 2, 0).numpy()
    left = shown.shape[1] - 3 * 100
    assert np.abs(shown[4 : 4 + 96 : 3, left : left + 96 : 3].astype(float) - drawn).max() > 0  # trained on since
    fresh = grid_of(rows.images, rows.titles)
    assert np.array_equal(fresh[4 : 4 + 96 : 3, left : left + 96 : 3], drawn)  # a picture, pixel by pixel
    assert (fresh[:, :left] < 128).any()  # and a title


def test_run_folder(tmp_path: Path) -> None:
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(logger=False, default_root_dir=tmp_path / "x", **quiet)  # type: ignore[arg-type]
    assert run_folder(trainer) == tmp_path / "x"
    assert run_folder(trainer, "y") == Path("y")
    logged = pl.Trainer(logger=CSVLogger(tmp_path, name="z", version=""), **quiet)  # type: ignore[arg-type]
    assert run_folder(logged) == Path(logged.default_root_dir)  # one folder for all that a run writes
