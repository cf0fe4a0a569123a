"""The corpus of checkpoints: damaged, foreign and diverged ones are refused in one line, and nothing is written."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from models.errors import PhotograftError
from tests.refusals import refused
from tests.train.tiny import CHANNELS, LATENTS, SIDE, write_shards
from train import cli
from train.callbacks import TimedCheckpoint
from train.export import export

Capture = pytest.CaptureFixture[str]
Change = Callable[[dict[str, Any]], object]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
]
W, LAST = "ema.generator.linear.weight", "generator.linear.weight"


def train(folder: Path, *, steps: int = 2, resume: object = None, seed: int = 0, **model: Any) -> int:
    """`train.py fit` of a tiny GAN on `folder/data` into `folder/run`; returns the exit code."""
    network = {"family": "sngan", "config": {"channels": CHANNELS, "latent_dim": LATENTS}}
    adversary = {"class_path": "train.gan.adversaries.SNProjectionAdversary"}
    adversary["init_args"] = {"layout": "snresnet_small", "ch": 2}  # type: ignore[assignment]
    data = {"root": str(folder / "data"), "resolution": SIDE, "batch_size": 4, "num_workers": 0, "cache": "memory"}
    config = {
        "seed_everything": seed,
        "trainer": {
            "accelerator": "cpu",
            "max_steps": 2 * steps,  # of two optimisers
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "limit_val_batches": 0,
            "default_root_dir": str(folder / "run"),
            "callbacks": [{"class_path": f"train.callbacks.{name}"} for name in ("RandomState", "TimedCheckpoint")],
        },
        "model": {
            "class_path": "train.gan.GAN",
            "init_args": {"generator": network, "adversaries": [adversary], **model},
        },
        "data": {"class_path": "data.module.ImageDataModule", "init_args": data},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    arguments = ["fit", "-c", str(folder / "config.yaml")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["train.py", *arguments, *([] if resume is None else ["--ckpt_path", str(resume)])])
        try:
            cli.main()
        except SystemExit as error:
            return int(error.code or 0)
    return 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With data and a training's `run/last.ckpt`."""
    where = tmp_path_factory.mktemp("run")
    write_shards(where / "data")
    assert train(where) == 0
    return where


def packed(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def repacked(content: bytes, data: bytes, way: int = zipfile.ZIP_STORED) -> bytes:
    """A checkpoint whose pickle is another one (b"" for its own), packed in another way."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", way) as new:
        for name in old.namelist():
            new.writestr(name, data if data and name.endswith("data.pkl") else old.read(name))
    return buffer.getvalue()


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"a text\n" * 99,
    "a tenth": lambda c: c[: len(c) // 10],
    "half": lambda c: c[: len(c) // 2],
    "all but a byte": lambda c: c[:-1],
    "one flipped bit": lambda c: c[: len(c) // 2] + bytes([c[len(c) // 2] ^ 1]) + c[len(c) // 2 + 1 :],
    "compressed": lambda c: repacked(c, b"", zipfile.ZIP_DEFLATED),
    "a bare pickle": lambda _: pickle.dumps({"networks": {}}),
    "stack underflow": lambda c: repacked(c, b"\x80\x02a."),
    "an unknown memo": lambda c: repacked(c, b"\x80\x02h\x05."),
    "a pickle without end": lambda c: repacked(c, b"\x80\x02}q\x00"),
    "1000 marks": lambda c: repacked(c, b"\x80\x02" + b"(" * 1000 + b"."),
    "a name of a function": lambda c: repacked(c, b"\x80\x02cos\ngetpid\nq\x00."),
    "another zip": lambda c: repacked(packed([1]), b"\x80\x02K\x01."),
    "a list": lambda _: packed([1, 2]),
    "of another framework": lambda _: packed({"state_dict": {}, "epoch": 1}),
}


def state(value: Callable[[torch.Tensor], Any], key: str = W) -> Change:
    return lambda content: content["state_dict"].update({key: value(content["state_dict"][key])})


def network(**changes: Any) -> Change:
    return lambda content: content["networks"]["generator"].update(changes)


def config(**changes: Any) -> Change:
    return lambda content: content["networks"]["generator"]["config"].update(changes)


def classes(**changes: Any) -> Change:
    return lambda content: content["classes"].update(changes)


EXPORTS: dict[str, Change] = {
    "no networks": lambda c: c.pop("networks"),
    "networks null": lambda c: c.update(networks=None),
    "no network": lambda c: c.update(networks={}),
    "a network without a kind": lambda c: c.update(networks={"a": {}}),
    "no weights": lambda c: c.update(state_dict={}),
    "weights as text": lambda c: c.update(state_dict={"a": "x"}),
    "a key that is a number": lambda c: c.update({1: 2}),
    "an unknown kind": network(kind="a/b"),
    "another kind": network(kind="encoder"),
    "an unknown family": network(family="nope"),
    "config a list": network(config=[]),
    "10^12 latents": config(latent_dim=10**12),
    "2^28 weights": config(channels=[16384] * 4),
    "more classes": config(num_classes=5),
    "a key name": config(name=3),
    "NaN": state(lambda w: w * torch.nan),
    "infinite": state(lambda w: w / 0),
    "one value for 10^10": state(lambda w: torch.zeros(1).expand(10**5, 10**5)),
    "one value for all": state(lambda w: torch.zeros(1).expand(w.shape)),
    "sparse": state(lambda w: w.to_sparse()),
    "without memory": state(lambda w: w.to("meta")),
    "complex": state(lambda w: w.to(torch.complex64)),
    "8-bit": state(lambda w: w.to(torch.float8_e4m3fn)),
    "whole numbers": state(lambda w: w.int()),
    "another shape": state(lambda w: torch.zeros(3)),
    "a weight less": lambda c: c["state_dict"].pop(W),
    "steps NaN": state(lambda _: torch.tensor(torch.nan), "steps"),
    "steps in a row": state(lambda _: torch.zeros(4, dtype=torch.int64), "steps"),
    "-5 pictures": state(lambda _: torch.tensor(-5), "images_seen"),
    "classes null": lambda c: c.update(classes=None),
    "no classes": lambda c: c.pop("classes"),
    "names as numbers": classes(class_names=[1, 2, 3]),
    "names too few": classes(class_names=["a"]),
    "a giant group": classes(groups=[10**9] * 3),
    "shares NaN": classes(distribution=[torch.nan] * 3),
    "a negative rate": lambda c: c.update(projection_rate=-1.0),
    "two generators": lambda c: c["networks"].update(ema=c["networks"]["generator"]),
}


@pytest.mark.parametrize("change", BYTES.values(), ids=BYTES)
def test_export_of_damaged_files(folder: Path, tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    bad = tmp_path / "bad.ckpt"
    bad.write_bytes(change((folder / "run" / "last.ckpt").read_bytes()))
    with pytest.raises(PhotograftError) as caught:
        export(bad, tmp_path / "out" / "x", standing=1)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value), "never how to execute what a file carries"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", EXPORTS.values(), ids=EXPORTS)
def test_export_of_damaged_contents(folder: Path, tmp_path: Path, change: Change) -> None:
    content = torch.load(folder / "run" / "last.ckpt", weights_only=True)
    change(content)
    bad = tmp_path / "bad.ckpt"
    bad.write_bytes(packed(content))
    with pytest.raises(PhotograftError) as caught:
        export(bad, tmp_path / "out" / "x", standing=1)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert not (tmp_path / "out").exists()


def test_export_is_all_or_nothing(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "x.discriminator.safetensors").mkdir()
    with pytest.raises(PhotograftError, match="a folder has this name"):
        export(folder / "run" / "last.ckpt", tmp_path / "x", standing=0)
    assert [path.name for path in tmp_path.iterdir()] == ["x.discriminator.safetensors"]


@pytest.mark.parametrize("name", ["..", "x/..", "a\0b"], ids=repr)
def test_export_under_no_name(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(PhotograftError, match="the stem of the files"):
        export(folder / "run" / "last.ckpt", tmp_path / name, standing=0)
    assert not list(tmp_path.iterdir())


def test_export_beyond_float16(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match=r"too large for torch\.float16"):
        export(folder / "run" / "last.ckpt", tmp_path / "x", standing=0, spread=1e30)
    assert not list(tmp_path.iterdir())


def random_state(**changes: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        next(value for key, value in content["callbacks"].items() if "RandomState" in key).update(changes)

    return change


RESUMES: dict[str, Change] = {
    "no optimisers": lambda c: c.pop("optimizer_states"),
    "an optimiser less": lambda c: c["optimizer_states"].pop(),
    "a number for an optimiser": lambda c: c.update(optimizer_states=[5, 5]),
    "moments of another shape": lambda c: c["optimizer_states"][0]["state"][0].update(exp_avg=torch.zeros(3)),
    "no loops": lambda c: c.pop("loops"),
    "a number for loops": lambda c: c.update(loops=5),
    "loops of nothing": lambda c: c.update(loops={"fit_loop": {}}),
    "a number for callbacks": lambda c: c.update(callbacks=5),
    "-5 steps": lambda c: c.update(global_step=-5),
    "an epoch as text": lambda c: c.update(epoch="x"),
    "a random stream of three": random_state(torch=torch.zeros(3)),
    "a random stream of NumPy's": random_state(numpy=5),
    "a random stream of Python's": random_state(python=[1]),
    "other data": lambda c: c.update(ImageDataModule={"a": 1}),
    "no position in the data": lambda c: c.pop("ImageDataModule"),
    "a negative position": lambda c: c["ImageDataModule"].update(draws=-5),
    "a position as text": lambda c: c["ImageDataModule"].update(draws="5"),
    "a giant position": lambda c: c["ImageDataModule"].update(draws=2**62),
    "a number for data": lambda c: c.update(ImageDataModule=5),
    "other classes": classes(class_names=["x", "y", "z"]),
    "NaN": state(lambda w: w * torch.nan, LAST),
    "another shape": state(lambda w: torch.zeros(3), LAST),
    "a weight less": lambda c: c["state_dict"].pop(LAST),
    "of another framework": lambda c: [c.pop(key) for key in list(c) if key != "state_dict"],
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was stopped within an epoch, as they are."""
    where = tmp_path_factory.mktemp("stopped")
    write_shards(where / "data")
    assert train(where, steps=3) == 0
    return where


@pytest.mark.parametrize("change", RESUMES.values(), ids=RESUMES)
def test_resume_from_damaged_contents(stopped: Path, tmp_path: Path, capsys: Capture, change: Change) -> None:
    last = stopped / "run" / "last.ckpt"
    config = stopped / "run" / "config.yaml"
    before, settings = last.read_bytes(), config.stat().st_mtime_ns
    content = torch.load(last, weights_only=True)
    change(content)
    (tmp_path / "bad.ckpt").write_bytes(packed(content))
    line = refused(train(stopped, steps=5, resume=tmp_path / "bad.ckpt"), capsys)
    assert last.read_bytes() == before
    if "diverged" not in line:  # it has not begun
        assert config.stat().st_mtime_ns == settings
    assert not list((stopped / "run").glob(".photograft-*"))


@pytest.mark.parametrize("name", ["empty", "text", "half", "stack underflow", "a name of a function"])
def test_resume_from_damaged_files(stopped: Path, tmp_path: Path, capsys: Capture, name: str) -> None:
    bad = tmp_path / "bad.ckpt"
    bad.write_bytes(BYTES[name]((stopped / "run" / "last.ckpt").read_bytes()))
    refused(train(stopped, steps=5, resume=bad), capsys, "damaged or not a checkpoint")


def test_resume_from_no_file(stopped: Path, tmp_path: Path, capsys: Capture) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing.ckpt", tmp_path, tmp_path / "pipe", "/dev/zero"):
        refused(train(stopped, steps=5, resume=path), capsys, "checkpoint")


def test_resume_with_another_network(stopped: Path, capsys: Capture) -> None:
    other = {"family": "sngan", "config": {"channels": [8, 8, 4, 4], "latent_dim": LATENTS}}
    line = refused(train(stopped, steps=5, resume=stopped / "run" / "last.ckpt", generator=other), capsys)
    assert "does not fit this training" in line


@pytest.mark.parametrize(
    "changes", [{"channels": []}, {"latent_dim": 10**12}, {"bogus": 1}, {"channels": "8"}], ids=json.dumps
)
def test_networks_of_a_config(folder: Path, capsys: Capture, changes: dict[str, Any]) -> None:
    plain = {"channels": CHANNELS, "latent_dim": LATENTS}
    refused(train(folder, generator={"family": "sngan", "config": plain | changes}), capsys, "config does not fit")


@pytest.mark.parametrize("rate", [1e30, float("nan")])
def test_divergence_stops_and_keeps_the_last_good_one(folder: Path, capsys: Capture, rate: float) -> None:
    before = (folder / "run" / "last.ckpt").read_bytes()
    refused(train(folder, steps=20, optimizer={"learning_rate": rate}), capsys, "the training diverged")
    assert (folder / "run" / "last.ckpt").read_bytes() == before


def test_a_folder_that_is_a_file(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "data").symlink_to(folder / "data")
    (tmp_path / "run").write_text("a file")
    refused(train(tmp_path), capsys)


def test_a_full_disk_leaves_no_part(tmp_path: Path) -> None:
    class Full:
        """A trainer whose disk is full after some bytes."""

        loggers: tuple[()] = ()
        default_root_dir = str(tmp_path)
        is_global_zero = True
        lightning_module = torch.nn.Linear(2, 2)

        def save_checkpoint(self, path: Path) -> None:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    (tmp_path / "last.ckpt").write_bytes(b"good")
    with pytest.raises(PhotograftError, match=r"last\.ckpt: cannot be written \(No space left"):
        TimedCheckpoint()._save(Full(), "last")  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"last.ckpt": b"good"}
