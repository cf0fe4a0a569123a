"""Every training config runs a few steps through the real command, made small by command line overrides."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.train.tiny import SIDE, read, write_folders, write_scenes, write_shards
from train.cli import run
from train.gan import GAN

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "train"
SNIPPETS = {"logger_wandb.yaml"}  # to be added to another config
LOCATOR = "locator.yaml"  # another module on data of its own
CONFIGS = sorted(path.name for path in FOLDER.glob("*.yaml"))

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
    pytest.mark.filterwarnings("ignore:LightningCLI.s args parameter"),
]


def overrides(config: dict[str, Any], root: Path, folder: Path) -> list[str]:
    """Command line arguments that leave a GAN config's structure as it is and make everything in it small."""
    model = config["model"]["init_args"]
    for adversary in model["adversaries"]:
        small = {"ch": 2} if adversary["class_path"].endswith("SNProjectionAdversary") else {"mixed_channels": 4}
        adversary["init_args"] |= small
        if adversary["init_args"].get("layout") == "snresnet_256":  # halves the resolution once more
            adversary["init_args"]["layout"] = "snresnet_small"
    given = {
        "trainer.accelerator": "cpu",
        "trainer.precision": "32-true",
        "trainer.fast_dev_run": 8,  # steps of all optimisers together
        "trainer.enable_progress_bar": False,
        "trainer.default_root_dir": folder,
        "data.root": root,
        "data.init_args.resolution": SIDE,
        "data.init_args.batch_size": 4,
        "data.init_args.num_workers": 0,
        "data.init_args.images_per_epoch": 16,
        "model.init_args.generator.config": {"channels": [8, 8, 4, 4], "latent_dim": 16},
        "model.init_args.adversaries": model["adversaries"],
        "model.init_args.generator_batch": 4,
    }
    if "stages" in model:  # one step in each
        stages = [{**stage, "images": 4} for stage in model["stages"]]
        given["model.init_args.stages"] = stages
    if "encoder" in model:
        given["model.init_args.encoder.config"] = {"latent_dim": 16, "resolution": 32, "width": 4, "hidden": 8}
    if "classes" in config["data"]["init_args"]:
        given["data.init_args.classes"] = "1-2"
    return [f"--{key}={json.dumps(v) if isinstance(v, list | dict) else v}" for key, v in given.items()]


def arguments(name: str, root: Path, folder: Path, *more: str) -> list[str]:
    config = yaml.safe_load((FOLDER / name).read_text())
    return ["fit", "-c", str(FOLDER / name), *more, *overrides(config, root, folder)]


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in SNIPPETS | {LOCATOR}])
def test_config_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_shards(tmp_path / "data") if "heads" in name else write_folders(tmp_path / "data")
    module = run(arguments(name, root, tmp_path / "run")).model
    assert isinstance(module, GAN)
    assert 4 <= int(module.steps) <= 8  # every stage, and two turns of the generator where n_dis is 5
    assert all(bool(p.isfinite().all()) for p in module.parameters())
    assert int(read(tmp_path / "run" / "last.ckpt")["state_dict"]["steps"]) == int(module.steps)


@pytest.mark.skipif(LOCATOR not in CONFIGS, reason="there is no config for the locator")
def test_locator_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_scenes(tmp_path / "scenes")
    small = ["--trainer.accelerator=cpu", "--trainer.precision=32-true", "--trainer.enable_progress_bar=false"]
    small += ["--trainer.fast_dev_run=1", f"--data.root={root}", "--data.init_args.half_precision=false"]
    module = run(["fit", "-c", str(FOLDER / LOCATOR), *small]).model
    assert all(bool(p.isfinite().all()) for p in module.parameters())


@pytest.mark.parametrize("name", [name for name in CONFIGS if name.startswith("sngan")])
def test_config_is_whole(name: str) -> None:
    """What every training needs to be resumed and looked at; runs do not mix; the schedule ends where it decays to."""
    config = yaml.safe_load((FOLDER / name).read_text())
    trainer, model = config["trainer"], config["model"]["init_args"]
    stem = name.removesuffix(".yaml")
    callbacks = [entry["class_path"] for entry in trainer["callbacks"]]
    assert callbacks[0] == "train.callbacks.RandomState"  # before anything that draws
    assert {"train.callbacks.TimedCheckpoint", "train.callbacks.SampleGrid"} < set(callbacks)
    assert trainer["logger"]["class_path"] == "pytorch_lightning.loggers.CSVLogger"
    assert trainer["logger"]["init_args"]["name"] == stem
    assert trainer["default_root_dir"] == f"runs/{stem}"
    if "decay" in model:
        turn = model["n_dis"] + 1
        images = trainer["max_steps"] / turn * model["n_dis"] * config["data"]["init_args"]["batch_size"]
        assert math.isclose(images, model["decay"][1])


def test_paper_config_is_the_papers() -> None:
    model = yaml.safe_load((FOLDER / "sngan_dogs_cats_256.yaml").read_text())["model"]["init_args"]
    assert model["generator"]["config"]["channels"] == [48 * m for m in (16, 16, 8, 8, 4, 2, 1)]
    assert (model["n_dis"], model["reuse_fakes"], model["generator_batch"]) == (5, False, 16)
    assert model.get("stages") is None
    assert model.get("encoder") is None  # prior samples only


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "runs").mkdir()
    root = write_shards(tmp_path / "data")
    more = ["-c", str(FOLDER / "logger_wandb.yaml")]
    args = [a for a in arguments("sngan_heads128.yaml", root, tmp_path / "runs" / "one", *more) if "fast_dev" not in a]
    changes = ["--trainer.max_steps=4", "--trainer.log_every_n_steps=1"]
    try:
        run([*args, *changes])
    finally:
        import wandb

        wandb.finish()
    assert (tmp_path / "runs" / "one" / "last.ckpt").is_file()
    assert list((tmp_path / "runs" / "one" / "images").glob("samples_*.png"))
    deadline = time.monotonic() + 30  # the writer is a process of its own
    while True:
        written = list((tmp_path / "runs" / "wandb").glob("offline-run-*/run-*.wandb"))
        if (len(written) == 1 and written[0].stat().st_size > 1000) or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert len(written) == 1
    assert written[0].stat().st_size > 1000
