"""The first training of `train.py demo`, in a very short form: its commands run in this process."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from data import open_splits
from infer.cli.main import main as infer_main
from models.errors import PhotograftError
from models.names.wordnet import imagenet
from train import demo
from train.cli import main as train_main
from train.demo_pictures import CLASSES, draw_photo, write_pictures

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
]


def test_the_folder_is_like_imagenets(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "a", 64)
    assert len(paths) == len(set(paths)) == 64
    train, val = open_splits(tmp_path / "a", say=lambda _: None)
    assert train.class_names == ["basketball", "soccer ball", "tennis ball", "orange"]
    assert (train.counts.tolist(), val.counts.tolist()) == ([14] * 4, [2] * 4)
    assert set(CLASSES) <= set(imagenet())
    assert train[0][0].shape == (96, 96, 3)
    first = paths[0].read_bytes()
    paths[1].write_bytes(b"mine")
    paths[0].unlink()
    assert write_pictures(tmp_path / "a", 64) == paths
    assert paths[0].read_bytes() == first  # a picture depends on its number alone
    assert paths[1].read_bytes() == b"mine"  # and is not drawn again


def test_pictures_of_a_class_are_of_its_colour(tmp_path: Path) -> None:
    """Seen in the middle: orange things have little blue, tennis balls are greener than red, soccer balls are grey."""
    write_pictures(tmp_path, 80)
    means = {
        name: np.mean(
            [np.asarray(Image.open(p))[32:64, 32:64].mean((0, 1)) for p in (tmp_path / "train" / name).iterdir()],
            axis=0,
        )
        for name in CLASSES
    }
    (red, green, blue), ball, tennis, fruit = means.values()
    assert red > 1.5 * green > 1.5 * blue
    assert np.ptp(ball) < 12
    assert tennis[1] > tennis[0] > 1.5 * tennis[2]
    assert fruit[0] > 1.2 * fruit[1] > 2 * fruit[2]


def test_the_photo_and_its_mask_fit() -> None:
    photo, mask, (x, y, width, height) = draw_photo()
    assert photo.size == mask.size == (600, 400)
    left, top, right, bottom = mask.getbbox() or (0, 0, 0, 0)
    assert x <= left < right <= x + width
    assert y <= top < bottom <= y + height


@pytest.mark.slow
def test_demo_trains_edits_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def run(script: str, arguments: Sequence[str]) -> None:
        done.append(f"{script} {arguments[0]}")
        if script == "infer.py":
            assert infer_main(arguments) == 0, capsys.readouterr().err
            return
        short = {"fit": ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]}
        monkeypatch.setattr(sys, "argv", [script, *arguments, *short.get(arguments[0], [])])
        train_main()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "_run", run)
    edited = demo.run_demo(Path("out"), pictures=64, images=320)
    assert done == [*["train.py fit", "train.py export"] * 3, "infer.py edit"]
    photo = np.asarray(Image.open(edited / "photo.jpg")).astype(int)
    mask = np.asarray(Image.open(edited / "mask.png")) > 0
    for target in ("soccer-ball", "basketball", "tennis-ball"):
        made = np.asarray(Image.open(edited / f"photo_to_{target}.jpg")).astype(int)
        changed = np.abs(made - photo).max(axis=2)
        assert changed[mask].mean() > 2 * changed[~mask].mean()
        assert changed[:200, :300].max() <= 16  # the cup: written as JPEG once more, and else untouched
    said = capsys.readouterr()
    assert str(edited / "photo_to_soccer-ball.panel.png") in said.out
    assert Path("out/tiny/images").is_dir()
    done.clear()
    (Path("out") / "tiny_auxiliary" / "balls.auxiliary.safetensors").unlink()
    demo.run_demo(Path("out"), pictures=64, images=320)
    assert done == ["train.py fit", "train.py export", "infer.py edit"]  # from its checkpoint
    assert "going on in out/tiny_auxiliary from out/tiny_auxiliary/last.ckpt" in capsys.readouterr().err


def test_too_few_pictures_and_commands_that_fail_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match="give 64 at least"):
        demo.run_demo(tmp_path, pictures=8)
    with pytest.raises(PhotograftError, match=r"train\.py fit ended with exit code 2, see above"):
        demo._run("train.py", ["fit", "-c", str(tmp_path / "gone.yaml")])


def test_the_length_is_the_configs() -> None:
    config = yaml.safe_load((demo.CONFIGS / "tiny.yaml").read_text())
    assert config["model"]["init_args"]["optimizer"]["decay"][1] == demo.GAN_IMAGES
