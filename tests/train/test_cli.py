"""The command line of a training: help that is true, mistakes in one line."""

import re
from pathlib import Path

import pytest
import yaml

from tests.train.tiny import write_folders, write_model
from tests.train.trainings import Train, call
from train.cli import COMMANDS, HELP

Capture = pytest.CaptureFixture[str]


def refused(code: int, capsys: Capture) -> str:
    """The one line of an error."""
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith("error")]
    assert code == 2
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


def test_help_names_every_command(capsys: Capture) -> None:
    assert call(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown == HELP + "\n"
    for name in COMMANDS:
        assert f"\n  {name}" in shown
        assert call([name, "--help"]) == 0
        assert capsys.readouterr().out
    assert "--ckpt_path last" in shown
    assert not any(word in shown for word in (" test ", " predict "))


@pytest.mark.parametrize("command", ["test", "predict", "ft", "tune"])
def test_what_it_cannot_do_is_not_offered(command: str, capsys: Capture) -> None:
    line = refused(call([command]), capsys)
    assert line == f"error: unknown command '{command}': choose from {', '.join(COMMANDS)}"


MISTAKES = {
    ("--trainer.max_stepz=3",): "max_stepz",
    ("--data.init_args.resolutoin=32",): "resolutoin",
    ("--ckpt_path=none.ckpt",): "checkpoint not found: none.ckpt",
    ("--model.init_args.optimizer.learning_rate=null",): "learning_rate",
    ("--model.init_args.encoder.config.latent_dim=8",): "the encoder has 8 latents, the generator 16: leave the",
    ("--model.init_args.encoder.family=resnet", "--model.init_args.encoder.config={latent_dim: 7}"): "7 latents",
    ("--trainer.devices=0",): "devices='0'",
    ("--trainer.gradient_clip_val=1.0",): "the trainer: Automatic gradient clipping is not supported",
}


@pytest.mark.parametrize("more", MISTAKES)
def test_mistakes(more: tuple[str, ...], train: Train, capsys: Capture) -> None:
    assert MISTAKES[more] in refused(train(*more, steps=1), capsys)
    assert not train.base.exists() or not list(train.base.iterdir())


def test_other_classes_at_a_resume(train: Train, capsys: Capture) -> None:
    train(steps=1)
    write_folders(train.folder / "two", names=("ape", "bee"))
    capsys.readouterr()
    root = f"--data.init_args.root={train.folder / 'two'}"
    line = refused(train("--ckpt_path", "last", root, steps=2), capsys)
    assert "3 classes and the data have 2 (only in the checkpoint: " in line


def test_wordnet_folders_are_chosen_by_english_names(train: Train, capsys: Capture) -> None:
    """As the issue's user writes it: a list in the shell's quotes; what is trained is called by the English name."""
    write_folders(train.folder / "imagenet", names=("n02123045", "n02123159", "n02085620"))
    root = f"--data.init_args.root={train.folder / 'imagenet'}"
    for option in ("--data.classes", "--data.init_args.classes"):
        for choice, names in (('["tabby"]', ["tabby"]), ('["chihuahua", "n02123045"]', ["Chihuahua", "tabby"])):
            assert train(root, f"{option}={choice}", "--overwrite", steps=1) == 0
            table = re.findall(r"^ +\d+ +\d+ +\d+  (.+)$", capsys.readouterr().err, re.MULTILINE)
            assert table == names
    line = refused(train(root, '--data.classes=["tabbby"]', "--overwrite", steps=1), capsys)
    assert "did you mean 'tabby'" in line


def test_encoder_inherits_the_generators_latents(train: Train) -> None:
    assert "latent_dim" not in train.config["model"]["init_args"]["encoder"]["config"]
    assert train(steps=1) == 0


def test_validate_measures_a_gan(train: Train, capsys: Capture) -> None:
    train(steps=2)
    capsys.readouterr()
    frechet = "--trainer.callbacks+={class_path: train.callbacks.FrechetDistance, init_args: {n: 6}}"
    assert train("--ckpt_path", "last", frechet, command="validate") == 0
    lines = capsys.readouterr().out.splitlines()
    values = {name: float(value) for name, value in (line.split() for line in lines)}
    assert set(values) == {"val/pixel", "frechet_squeezenet"}
    assert values["frechet_squeezenet"] > 100
    assert 0 < values["val/pixel"] < 4
    assert sorted(path.name for path in train.base.glob("v*")) == []


def test_validate_measures_an_encoder(train: Train, capsys: Capture) -> None:
    network = {"family": "feature", "config": {"resolution": 32, "width": 4, "hidden": 8}}
    settings = {"generator": str(write_model(train.folder)), "network": network, "learning_rate": 1e-3}
    model = {"class_path": "train.projection.encoder.EncoderTraining", "init_args": settings}
    (train.folder / "tiny.yaml").write_text(yaml.safe_dump({**train.config, "model": model}))
    assert train(steps=1) == 0
    capsys.readouterr()
    assert train("--ckpt_path", "last", command="validate") == 0
    values = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert set(values) == {"val/feature", "val/pixel"}


def test_validate_needs_a_checkpoint_and_pictures(train: Train, capsys: Capture) -> None:
    assert "give --ckpt_path FILE, or last" in refused(train(command="validate"), capsys)
    train(steps=1)
    root = write_folders(train.folder / "folders", names=("ape", "monkey", "bee"))
    more = (f"--data.init_args.root={root}", "--data.init_args.val_fraction=0")
    line = refused(train("--ckpt_path", "last", *more, command="validate"), capsys)
    assert "no validation pictures" in line


def test_a_checkpoint_for_the_editor_is_named(train: Train, capsys: Capture) -> None:
    from infer.cli.main import main

    train(steps=1)
    capsys.readouterr()
    checkpoint = str(train.base / "last.ckpt")
    for arguments in (["inspect", checkpoint], ["sample", "--model", checkpoint]):
        assert main(arguments) == 2
        assert f"`train.py export {checkpoint} OUT`" in capsys.readouterr().err


def test_default_folder_is_called_after_the_config(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    del train.config["trainer"]["default_root_dir"]
    (train.folder / "small.yaml").write_text(yaml.safe_dump(train.config))
    monkeypatch.chdir(train.folder)
    assert train(config=Path("small.yaml"), steps=1) == 0
    assert (train.folder / "runs" / "small" / "last.ckpt").is_file()
    assert (train.folder / "runs" / "small" / "metrics.csv").is_file()


def test_rates_and_ends_that_are_none(train: Train, capsys: Capture) -> None:
    for more, expected in {
        "--model.init_args.optimizer.learning_rate=-1": "learning_rate is -1: give 0 or more",
        "--model.init_args.optimizer.decay=[480, 400]": "decay is [480.0, 400.0]: give [FROM, TO] in pictures",
        "--trainer.accelerator=xpu": "the trainer: You selected an invalid accelerator name",
    }.items():
        code = train(more, steps=1)
        assert expected in refused(code, capsys)
    assert not train.base.exists()


def test_an_error_is_not_announced_as_a_run(train: Train, capsys: Capture) -> None:
    assert train("--data.init_args.root=none", steps=1) == 2
    assert "new run" not in capsys.readouterr().err


def test_nothing_left_to_train_is_said(train: Train, capsys: Capture) -> None:
    train(steps=2)
    capsys.readouterr()
    assert train("--ckpt_path", "last", steps=2) == 0
    assert "nothing was left to train: raise trainer.max_steps" in capsys.readouterr().err


def test_no_config_and_no_target(train: Train, capsys: Capture) -> None:
    assert "give -c configs/train/NAME.yaml" in refused(call(["fit", "--data.root=data"]), capsys)
    assert "required: out (train.py export --help)" in refused(call(["export", "last.ckpt"]), capsys)
