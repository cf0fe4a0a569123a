"""What a training tells Weights & Biases: read back from the files of offline runs. And TensorBoard."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.train.tiny import read, write_model
from tests.train.trainings import Train
from tests.train.wandb_file import Written, read_run

Capture = pytest.CaptureFixture[str]
WANDB = "pytorch_lightning.loggers.WandbLogger"
GRID = "train.callbacks.SampleGrid"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B without a network, with nothing of it in the user's folders."""
    for name in ("WANDB_SILENT", "WANDB_QUIET", "WANDB_DATA_DIR"):  # what a training sets ends with the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))


def parts(run: Path) -> list[Written]:
    """Of a run, by age."""
    return [read_run(folder) for folder in sorted((run / "wandb").glob("offline-run-*"))]


def test_a_run_and_its_resume(offline: None, tmp_path: Path, capsys: Capture) -> None:
    train = Train(tmp_path, WANDB)
    grids = f"--trainer.callbacks+={{class_path: {GRID}, init_args: {{every: 8, columns: 3}}}}"
    frechet = "--trainer.callbacks+={class_path: train.callbacks.FrechetDistance, init_args: {every: 8, n: 6}}"
    more = (grids, frechet, "--trainer.logger.init_args.project=mine")
    assert train(*more, steps=3) == 0
    told = capsys.readouterr()
    assert "wandb:" not in told.err + told.out  # what it says itself is not of use here
    assert f"`wandb sync {train.base}/wandb/offline-run-*` uploads it" in told.err
    (first,) = parts(train.base)
    assert (first.name, first.project) == ("tiny", "mine")
    check_config(first.config, train)
    assert {"frechet_*", "loss", "val/*"} <= set(first.lowest)
    last = first.history[-1]
    for name in ("images", "gradient_norm/generator", "gradient_norm/snprojection", "learning_rate/generator"):
        assert name in last, name
    assert last["images"] == 12
    assert any("frechet_squeezenet" in row for row in first.history)
    assert {"tiny/config.yaml", "tiny/card.md"} <= set(first.files)
    check_pictures(train.base, first)

    assert train(*more, "--ckpt_path", "last", steps=5) == 0
    assert f"Weights & Biases: run {first.id} goes on (offline;" in capsys.readouterr().err
    assert [part.id for part in parts(train.base)] == [first.id, first.id]
    assert "tiny/config.yaml" in parts(train.base)[1].files
    assert read(train.base / "last.ckpt")["callbacks"]["Tracking"] == {"wandb_id": first.id}

    assert train(*more, steps=1) == 0  # another run
    (other,) = parts(train.base / "v002")
    assert other.id != first.id
    assert other.name == "tiny/v002"


def check_config(config: dict[str, Any], train: Train) -> None:
    assert config["model.class_path"] == "train.gan.GAN"
    assert config["model.init_args.adversaries.0.init_args.ch"] == 2
    assert config["trainer.max_steps"] == 6
    assert config["data.init_args.batch_size"] == 4
    assert config["dataset.class_names"] == ["ape", "monkey", "bee"]
    assert (config["dataset.num_classes"], config["dataset.training_pictures"]) == (3, 24)
    assert config["dataset.validation_pictures"] == 6
    assert len(config["dataset.hash"]) == 16
    assert config["device.type"] == "cpu"
    assert config["versions.torch"]
    assert config["parameters.generator"] > 1000
    assert config["folder"] == str(train.base)


def check_pictures(run: Path, told: Written) -> None:
    """The logged file holds the grid of the run's folder, pixel by pixel: neither black nor scaled twice."""
    (folder,) = (run / "wandb").glob("offline-run-*")
    for name in ("samples", "photos"):
        row = next(row for row in told.history if f"{name}.filenames" in row or name in row)
        (file,) = row[f"{name}.filenames"] if f"{name}.filenames" in row else row[name]["filenames"]
        logged = np.asarray(Image.open(folder / "files" / file).convert("RGB"))
        ours = [np.asarray(Image.open(path)) for path in (run / "images").glob(f"{name}_*.png")]
        assert any(np.array_equal(logged, picture) for picture in ours)
        assert logged[:, 100:].std() > 20
    tables = [row for row in told.history if any(key.startswith("photos_table") for key in row)]
    assert tables
    waiting = list((run / "wandb" / "waiting").rglob("*"))
    assert any(path.is_file() and path.read_bytes()[:4] == b"\x89PNG" for path in waiting)  # a table's pictures


def test_encoder_tells_losses_and_reconstructions(offline: None, tmp_path: Path) -> None:
    train = Train(tmp_path, WANDB)
    grid = {"class_path": "train.callbacks.ReconstructionGrid", "init_args": {"every": 8, "steps": [1], "columns": 2}}
    config = yaml.safe_load((tmp_path / "tiny.yaml").read_text())
    config["trainer"]["callbacks"].append(grid)
    network = {"family": "feature", "config": {"resolution": 32, "width": 4, "hidden": 8}}
    settings = {"generator": str(write_model(tmp_path)), "network": network, "learning_rate": 1e-3}
    config["model"] = {"class_path": "train.projection.encoder.EncoderTraining", "init_args": settings}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    assert train("--trainer.limit_val_batches=1", "--trainer.val_check_interval=2", steps=1) == 0  # two of its steps
    (told,) = parts(train.base)
    assert told.summary["loss"]["min"] == min(row["loss"] for row in told.history if "loss" in row)
    assert any("val/feature" in row for row in told.history)
    assert "val/*" in told.lowest
    assert any(key.startswith("reconstructions_table") for row in told.history for key in row)


def test_a_copied_checkpoint_keeps_the_run_and_an_earlier_one_does_not(offline: None, tmp_path: Path) -> None:
    train = Train(tmp_path, WANDB)
    train(steps=1)
    (tmp_path / "half.ckpt").write_bytes((train.base / "last.ckpt").read_bytes())
    (train.base / "images_000000004.ckpt").write_bytes((train.base / "last.ckpt").read_bytes())
    train("--ckpt_path", str(tmp_path / "half.ckpt"), steps=2)
    train("--ckpt_path", str(train.base / "images_000000004.ckpt"), steps=2)
    first, copied, branched = (parts(folder)[0].id for folder in (train.base, *sorted(train.base.glob("v*"))))
    assert copied == first != branched


def test_disabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("WANDB_QUIET", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))
    train = Train(tmp_path, WANDB)
    assert train(steps=1) == 0
    assert (train.base / "last.ckpt").is_file()
    assert not list(train.base.glob("wandb/*run-*"))


def test_a_training_that_does_not_begin_leaves_no_run(offline: None, tmp_path: Path) -> None:
    train = Train(tmp_path, WANDB)
    assert train("--data.init_args.root=none", steps=1) == 2
    assert not list(tmp_path.rglob("offline-run-*"))


def test_without_an_account_it_is_one_line(
    offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert Train(tmp_path, WANDB)(steps=1) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert line.startswith("error: Weights & Biases: ")
    assert line.endswith("(WANDB_MODE=offline needs neither account nor network)")


def test_card(tmp_path: Path) -> None:
    train = Train(tmp_path)
    train(steps=2)
    text = (train.base / "card.md").read_text()
    for expected in ("of 3 classes: ape, monkey, bee", "Real pictures seen in training: 8.", "| images | 8 |", "ch: 2"):
        assert expected in text
    assert "**Licence:** TO BE STATED" in text


def test_missing_logger_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    for name in ("tensorboard", "tensorboardX", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("pytorch_lightning.loggers.tensorboard._TENSORBOARD_AVAILABLE", False)
    monkeypatch.setattr("lightning_fabric.loggers.tensorboard._TENSORBOARD_AVAILABLE", False)
    monkeypatch.setattr("lightning_fabric.loggers.tensorboard._TENSORBOARDX_AVAILABLE", False)
    logger = "pytorch_lightning.loggers.TensorBoardLogger"
    train = Train(tmp_path, logger)
    assert train("--trainer.logger.init_args.save_dir=runs", steps=1) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert "pip install 'photograft[tensorboard]'" in line


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train = Train(tmp_path, "pytorch_lightning.loggers.TensorBoardLogger")
    grid = f"--trainer.callbacks+={{class_path: {GRID}, init_args: {{every: 8, columns: 3}}}}"
    assert train("--trainer.logger.init_args.save_dir=runs", grid, steps=2) == 0
    events = EventAccumulator(str(train.base), size_guidance={"images": 0}).Reload()
    assert {"images", "gradient_norm/generator"} <= set(events.Tags()["scalars"])
    encoded = events.Images("samples")[-1].encoded_image_string
    (path,) = (train.base / "images").glob("samples_000000008.png")
    import io

    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encoded))), np.asarray(Image.open(path)))
