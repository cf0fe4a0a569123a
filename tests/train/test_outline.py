"""`train.py outline`: a model's projected discriminator learns to read outlines, and nothing else of it changes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.discriminators.projected import ProjectedDiscriminator
from models.errors import PhotograftError
from models.files import load_network, save_network
from tests.train.tiny import CLASSES, SIDE, write_model, write_shards
from train import cli
from train.perception.outline import teach_outline


def everything(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """In the place of a segmenter: what features of random weights can learn."""
    return np.ones(pixels.shape[:2], np.float32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "data")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("train.perception.outline.create_segmenter", lambda: everything)
    path = write_model(tmp_path / "model")
    network = ProjectedDiscriminator(len(CLASSES), SIDE, mixed_channels=8, head_channels=4)
    network.calibrate(torch.rand(20, 3, SIDE, SIDE) * 2 - 1)
    info = {"class_names": [name for name, _ in CLASSES], "images_seen": 7}
    save_network(path.with_name("tiny.projected.safetensors"), network, "discriminator", info, torch.float16)
    return path


def test_it_learns_outlines_and_nothing_else(model: Path, root: Path) -> None:
    path = model.with_name("tiny.projected.safetensors")
    before, header = load_network(path, "discriminator")
    written, _ = teach_outline(str(model), root, pictures=20, samples=40, epochs=1)
    assert written == path
    short, _ = load_network(path, "discriminator")
    _, found = teach_outline(str(model), root, pictures=20, samples=40, epochs=60)
    after, described = load_network(path, "discriminator")
    assert not before.outline.fitted
    assert after.outline.fitted
    assert (described.info, described.config) == (header.info, header.config)
    old, new = before.state_dict(), after.state_dict()
    assert all(torch.equal(old[key], new[key]) for key in old if not key.startswith("outline."))
    assert found == {"real": 1.0, "samples": 1.0}
    noise = torch.rand(20, 3, SIDE, SIDE) * 2 - 1
    first, last = (network.outline(network.project(noise).stages).mean() for network in (short, after))
    assert 0.5 < first < 0.75 < last


def test_command_and_its_errors(
    model: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--data", str(root), "--pictures", "10", "--samples", "10", "--epochs", "1"]
    monkeypatch.setattr("sys.argv", ["train.py", "outline", str(model), *given])
    cli.main()
    printed = capsys.readouterr().out
    assert "on samples held out" in printed
    assert "tiny.projected.safetensors" in printed
    with pytest.raises(PhotograftError, match="too few"):
        teach_outline(str(model), root, pictures=3)
    model.with_name("tiny.projected.safetensors").unlink()
    monkeypatch.setattr("sys.argv", ["train.py", "outline", str(model), *given])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "no projected discriminator" in capsys.readouterr().err
