"""Training of the pose network: views are turned as they say, the config runs, losses fall."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.errors import PhotograftError
from models.files import load_network
from models.perception.pose import PoseNetwork
from tests.train.tiny import write_scenes, write_shards
from train.export import export
from train.fit import run
from train.perception.pose import PoseTraining, TurnedHeads, around, read_around, turned, unit_vectors

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "train" / "pose.yaml"


def _arrow() -> Tensor:
    """A picture with a bright spot above its middle."""
    picture = torch.full((1, 3, 128, 128), -1.0)
    picture[..., 26:34, 60:68] = 1
    return picture


@pytest.mark.parametrize("degrees", [0.0, 35.0, 90.0, -120.0])
def test_views_are_turned_clockwise(degrees: float) -> None:
    rng = torch.Generator().manual_seed(0)
    for _ in range(10):
        view = turned(_arrow(), torch.tensor([degrees]), rng, harder=False)[0, 0]
        assert view.shape == (128, 128)
        # Wherever the window lies: the spot's own shape is a square that turned with it, so its place tells the angle
        # only to as much as the window may be shifted.
        y, x = (torch.nonzero(view > 0).float().mean(0) - 63.5).tolist()
        found = float(np.degrees(np.arctan2(x, -y)))
        assert abs((found - degrees + 180) % 360 - 180) < 45


def test_mirrored_views_keep_their_roll() -> None:
    rng = torch.Generator().manual_seed(0)
    views = turned(_arrow().expand(64, -1, -1, -1), torch.full((64,), 90.0), rng, harder=True)
    columns = [float(torch.nonzero(v.mean(0) > v.mean(0).amax() - 0.3).float().mean(0)[1]) for v in views]
    assert np.median(columns) > 75  # to the right, mirrored or not


def test_the_config_runs_and_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    heads = write_shards(tmp_path / "heads", 1)
    small = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.max_epochs=1"]
    small += [
        f"--data.root={heads}",
        f"--data.scenes={write_scenes(tmp_path / 'scenes')}",
        "--data.init_args.half_precision=false",
    ]
    small += ["--data.init_args.views=1", "--data.init_args.batch_size=4", "--model.init_args.width=8"]
    run(["fit", "-c", str(CONFIG), *small])
    (path,) = export(tmp_path / "runs" / "pose" / "last.ckpt", tmp_path / "out")
    network = load_network(path, "pose")[0]
    assert isinstance(network, PoseNetwork)
    assert network.config["width"] == 8


def test_losses_fall_and_the_same_seed_repeats() -> None:
    def train(steps: int) -> list[float]:
        torch.manual_seed(0)
        module = PoseTraining(width=8, dropout=0.0)
        rng = torch.Generator().manual_seed(0)
        degrees = around(16, rng)
        fine, coarse = torch.randn(16, 96, 8, 8, generator=rng), torch.randn(16, 320, 4, 4, generator=rng)
        optimizer = torch.optim.Adam([p for p in module.pose.parameters() if p.requires_grad], 2e-3)
        losses = []
        for _ in range(steps):
            loss = (module.pose(fine, coarse) - unit_vectors(degrees)).square().sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    losses = train(30)
    assert losses[-1] < 0.3 * losses[0]
    assert train(3) == losses[:3]


def test_scenes_show_what_is_around_heads(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "scenes")
    assert read_around(scenes, "train", 0).shape == (3, 128, 128, 3)
    with pytest.raises(PhotograftError, match="no pictures in shards"):
        TurnedHeads(tmp_path / "nothing").setup()
