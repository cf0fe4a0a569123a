"""Every training config runs a few steps through the real command, made small by command line overrides."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.train.tiny import ENCODERS, SIDE, read, write_folders, write_model, write_scenes, write_shards
from train.cli import main
from train.fit import run
from train.gan.module import GAN
from train.projection.base import ProjectionTraining

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "train"
SNIPPETS = {"ddp.yaml", "logger_wandb.yaml", "logger_tensorboard.yaml"}  # to be added to another config
LOCATORS = ("locator.yaml", "locator_more.yaml")  # another module on data of its own
OTHERS = {*LOCATORS, "finisher.yaml", "pose.yaml"}  # the last two have tests of their own
CONFIGS = sorted(path.name for path in FOLDER.glob("*.yaml"))

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
    pytest.mark.filterwarnings("ignore:LightningCLI.s args parameter"),
]


def overrides(config: dict[str, Any], root: Path, folder: Path) -> list[str]:
    """Command line arguments that leave a config's structure as it is and make everything in it small."""
    kind = config["model"]["class_path"].rpartition(".")[2]
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
        "data.init_args.val_fraction": 0.3,
        **SMALL[kind](config["model"]["init_args"], folder),
    }
    if "classes" in config["data"]["init_args"]:
        given["data.init_args.classes"] = "position:1-2"
    return [f"--{key}={json.dumps(v) if isinstance(v, list | dict) else v}" for key, v in given.items()]


SMALL_ADVERSARIES = {
    "SNProjectionAdversary": {"ch": 8},
    "ProjectedAdversary": {"mixed_channels": 4},
    "StyleGAN2Adversary": {"channels": [8, 8, 4, 4], "mapping": [8]},
}
SMALL_GENERATORS: dict[str, dict[str, Any]] = {
    "sngan": {"channels": [8, 8, 4, 4], "latent_dim": 16},
    "biggan": {"channels": [8, 8, 8, 8], "latent_dim": 16, "shared_dim": 4, "attention": [3], "spectral_norm": True},
    "stylegan2": {"channels": [8, 8, 4, 4], "latent_dim": 16, "mapping": [16]},
}


def small_gan(model: dict[str, Any], folder: Path) -> dict[str, Any]:
    for adversary in model["adversaries"]:
        adversary["init_args"] |= {**SMALL_ADVERSARIES[adversary["class_path"].rpartition(".")[2]], "init": None}
        if adversary["init_args"].get("layout") == "snresnet_256":  # halves the resolution once more
            adversary["init_args"]["layout"] = "snresnet_small"
    given = {
        "model.init_args.generator.config": SMALL_GENERATORS[model["generator"]["family"]],
        "model.init_args.adversaries": model["adversaries"],
        "model.init_args.generator_batch": 4,
        "model.init_args.start": {"generator": None, "encoder": None},
    }
    if "stages" in model:  # one step in each
        given["model.init_args.stages"] = [{**stage, "images": 4} for stage in model["stages"]]
    if "encoder" in model:
        given["model.init_args.encoder.config"] = {"latent_dim": 16, "resolution": 32, "width": 4, "hidden": 8}
    return given


def small_encoder(model: dict[str, Any], folder: Path) -> dict[str, Any]:
    network = ENCODERS[model["network"]["family"]]
    return {"generator": write_model(folder / "model"), "model.init_args.network.config": network.config}


def small_auxiliary(model: dict[str, Any], folder: Path) -> dict[str, Any]:
    sizes = {f"model.init_args.{name}": 32 for name in ("zeta_dim", "hidden_a", "hidden_b")}
    return {"generator": write_model(folder / "model"), **sizes, "model.init_args.warm_up": 2}


SMALL = {"GAN": small_gan, "EncoderTraining": small_encoder, "AuxiliaryTraining": small_auxiliary}


def arguments(name: str, root: Path, folder: Path, *more: str) -> list[str]:
    config = yaml.safe_load((FOLDER / name).read_text())
    return ["fit", "-c", str(FOLDER / name), *more, *overrides(config, root, folder)]


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in SNIPPETS | OTHERS])
def test_config_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_shards(tmp_path / "data") if "heads" in name else write_folders(tmp_path / "data")
    module = run(arguments(name, root, tmp_path / "run")).model
    assert isinstance(module, GAN | ProjectionTraining)
    assert 3 <= int(module.steps) <= 8  # every stage, and two turns of the generator where n_dis is 5
    assert all(bool(p.isfinite().all()) for p in module.parameters())
    assert int(read(tmp_path / "run" / "last.ckpt")["state_dict"]["steps"]) == int(module.steps)
    if isinstance(module, ProjectionTraining):
        assert list((tmp_path / "run" / "images").glob("reconstructions_*.png"))
        assert {"val/feature", "val/pixel"} < set(module.trainer.callback_metrics)


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_bfloat16_only_where_the_processor_has_it(
    native: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("train.fit.computes_bfloat16", lambda: native)
    root = write_folders(tmp_path / "data")
    small = arguments("sngan_flowers_128.yaml", root, tmp_path / "run")
    assert run([*small, "--trainer.precision=bf16-mixed", "--trainer.fast_dev_run=1"]).trainer.precision == expected
    assert ("no instructions for bfloat16" in capsys.readouterr().err) is not native


@pytest.mark.parametrize("name", LOCATORS)
def test_locator_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_scenes(tmp_path / "scenes")
    small = ["--trainer.accelerator=cpu", "--trainer.precision=32-true", "--trainer.enable_progress_bar=false"]
    small += ["--trainer.fast_dev_run=1", f"--data.root={root}", "--data.init_args.half_precision=false"]
    module = run(["fit", "-c", str(FOLDER / name), *small]).model
    assert all(bool(p.isfinite().all()) for p in module.parameters())


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in SNIPPETS | OTHERS])
def test_config_is_whole(name: str) -> None:
    """What every training needs to be resumed and looked at; runs do not mix; the schedule ends where it decays to."""
    config = yaml.safe_load((FOLDER / name).read_text())
    trainer, model = config["trainer"], config["model"]["init_args"]
    stem = name.removesuffix(".yaml")
    callbacks = [entry["class_path"] for entry in trainer["callbacks"]]
    assert callbacks[0] == "train.callbacks.RandomState"  # before anything that draws
    grid = "SampleGrid" if "adversaries" in model else "ReconstructionGrid"
    assert {"train.callbacks.TimedCheckpoint", f"train.callbacks.{grid}"} < set(callbacks)
    assert trainer["logger"] == {"class_path": "train.loggers.CSVLog"}
    assert trainer["default_root_dir"] == f"runs/{stem}"
    decay = model.get("optimizer", model).get("decay")
    if decay and ("max_steps" in trainer or "adversaries" not in model):  # a GAN ends there by itself
        assert math.isclose(decay[1], images_at_the_end(config))


def images_at_the_end(config: dict[str, Any]) -> float:
    """Pictures that a training of so many steps has seen: the optimisers of a GAN are counted together."""
    steps, model = config["trainer"]["max_steps"], config["model"]["init_args"]
    batch_size = config["data"]["init_args"]["batch_size"]
    if "adversaries" not in model:
        return float(steps * batch_size)
    seen, count = 0.0, len(model["adversaries"])
    for stage in model.get("stages", [])[:-1]:
        generator, adversaries = stage.get("train_generator", True), count if stage.get("adversarial", 1) else 0
        steps -= stage["images"] / batch_size * (generator + adversaries)
        seen += stage["images"]
    return float(seen + steps / (count + 1 / model.get("n_dis", 1)) * batch_size)


def test_paper_config_is_the_papers() -> None:
    model = yaml.safe_load((FOLDER / "sngan_dogs_cats_256.yaml").read_text())["model"]["init_args"]
    assert model["generator"]["config"]["channels"] == [48 * m for m in (16, 16, 8, 8, 4, 2, 1)]
    assert (model["n_dis"], model["reuse_fakes"], model["generator_batch"]) == (5, False, 16)
    assert model.get("stages") is None
    assert model.get("encoder") is None  # prior samples only


def test_paper_configs_of_encoder_and_auxiliary_networks_are_the_papers() -> None:
    configs = {
        kind: yaml.safe_load((FOLDER / f"{kind}_dogs_cats_256.yaml").read_text()) for kind in ("encoder", "auxiliary")
    }
    encoder, auxiliary = (configs[kind]["model"]["init_args"] for kind in ("encoder", "auxiliary"))
    assert encoder["network"]["config"]["channels"] == [64 * m for m in (1, 2, 4, 4, 8, 8)]
    assert encoder["learning_rate"] == auxiliary["learning_rate"] == 5e-5
    assert configs["encoder"]["trainer"]["max_steps"] == 450_000
    assert [n / 16 for n in encoder["decay"]] == [400_000, 450_000]
    assert [auxiliary[name] for name in ("hidden_a", "zeta_dim", "hidden_b")] == [1000, 10000, 1000]
    assert auxiliary["weights"] == [20, 2, 1]  # two inner steps
    assert (auxiliary["reconstruction_weight"], auxiliary["weight_decay"]) == (100, 1e-4)
    assert auxiliary["pixel_weight"] * configs["auxiliary"]["data"]["init_args"]["batch_size"] == 0.05
    assert auxiliary["count_generator"]
    assert configs["auxiliary"]["trainer"]["max_steps"] == 75_000
    assert configs["auxiliary"]["trainer"]["gradient_clip_val"] == 100


ERRORS = {  # config, arguments -> what the one line says
    ("encoder_dogs_cats_256.yaml", ()): "no generator to train for: give --generator",
    ("auxiliary_dogs_cats_256.yaml", ()): "no generator to train for: give --generator",
    ("encoder_heads128.yaml", ("--generator", "sngan-heads-129")): "did you mean sngan-heads-128",
    ("encoder_heads128.yaml", ("--generator=none.safetensors",)): "no such file",
    ("encoder_heads128.yaml", ("--discriminator", "none.safetensors")): "weights file not found: none.safetensors",
    ("encoder_heads128.yaml", ("--encoder", "x.safetensors")): "--encoder is not for EncoderTraining",
    ("sngan_heads128.yaml", ("--generator", "sngan-heads-128")): "--generator is not for GAN: leave it out",
    ("encoder_heads128.yaml", ("--data.root", "none")): "none",
    ("encoder_heads128.yaml", ("--model.init_args.network.family", "resnet50")): "unknown encoder 'resnet50'",
    ("sngan_heads128.yaml", ("--model.init_args.outline_weight", "4.0")): "outline_weight",  # no such option
    ("sngan_heads128.yaml", ("--model.init_args.terms+={class_path: train.gan.terms.Outlines}",)): "Outlines",
}


@pytest.mark.parametrize(("name", "more"), ERRORS)
def test_mistakes_are_one_line(
    name: str,
    more: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    quiet = ["--trainer.fast_dev_run=1", "--trainer.accelerator=cpu", "--trainer.precision=32-true"]
    monkeypatch.setattr("sys.argv", ["train.py", "fit", "-c", str(FOLDER / name), *quiet, *more])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert ERRORS[name, more] in line


def test_help_shows_the_short_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["fit", "--help"])
    shown = capsys.readouterr().out
    assert all(f"--{name}" in shown for name in ("generator", "discriminator", "encoder"))
