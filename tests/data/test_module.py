"""The data module: batches, caches, and resume to the picture with a real Trainer."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from data import to_float
from data.module import ImageDataModule
from models.errors import PhotograftError

SIDE = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 20, 6 and 3 noise pictures, some square at the resolution, some not."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, count in (("ape", 20), ("bee", 6), ("cow", 3)):
        for number in range(count):
            shape = (SIDE, SIDE, 3) if number % 3 else (40, 31, 3)
            path = root / "train" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
    for name in ("ape", "cow"):
        (root / "val" / name).mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(root / "val" / name / "v.png")
    return root


def make(folder: Path, **changes: Any) -> ImageDataModule:
    settings: dict[str, Any] = {"resolution": SIDE, "batch_size": 4, "steps_per_epoch": 4, "crop": "random", "seed": 3}
    return ImageDataModule(folder, **{**settings, "cache": "memory", "num_workers": 0, **changes})


def take(module: ImageDataModule, count: int) -> list[torch.Tensor]:
    batches: list[torch.Tensor] = []
    loader = module.train_dataloader()
    while len(batches) < count:
        for batch in loader:
            batches.append(batch["image"])
            if len(batches) == count:
                break
    return batches


class Recorder(pl.LightningModule):
    """Trains one number and keeps the pictures that it was given."""

    def __init__(self, save_at: int = -1, path: Path | None = None, fail_at: int = -1) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.save_at, self.path, self.fail_at = save_at, path, fail_at
        self.seen: list[torch.Tensor] = []

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        if len(self.seen) == self.fail_at:
            raise RuntimeError("killed")
        self.seen.append(batch["image"].clone())
        return self.weight * to_float(batch)["image"].mean()

    def on_train_batch_end(self, *_: Any) -> None:
        if self.global_step == self.save_at:
            self.trainer.save_checkpoint(self.path or "")

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        assert batch["image"].shape[1:] == (3, SIDE, SIDE)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveOnException(pl.Callback):
    def __init__(self, path: Path) -> None:
        self.path = path

    def on_exception(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.path)


def fit(model: Recorder, module: ImageDataModule, ckpt: Path | None = None, **settings: Any) -> list[torch.Tensor]:
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="cpu", devices=1, enable_checkpointing=False, **quiet, **settings)
    trainer.fit(model, datamodule=module, ckpt_path=ckpt)
    return model.seen


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_batches_and_facts(folder: Path) -> None:
    module = make(folder)
    assert module.num_classes == 3
    assert module.class_names == ["ape", "bee", "cow"]
    assert module.groups == [0, 0, 0]
    assert module.group_names == ["all"]
    assert module.class_distribution.shape == (3,)
    assert module.class_distribution.sum() == pytest.approx(1.0)
    batch = next(iter(module.train_dataloader()))
    assert batch["image"].dtype == torch.uint8
    assert batch["image"].shape == (4, 3, SIDE, SIDE)
    assert batch["label"].dtype == torch.int64
    floats = to_float(batch)
    assert floats["image"].dtype == torch.float32
    assert floats["image"].min() >= -1
    assert floats["image"].max() <= 1
    assert floats["label"] is batch["label"]


def test_epoch_length(folder: Path) -> None:
    assert len(make(folder).train_dataloader()) == 4
    assert len(make(folder, steps_per_epoch=None).train_dataloader()) == 29 // 4
    assert len(make(folder, steps_per_epoch=None, images_per_epoch=100).train_dataloader()) == 25


@pytest.mark.parametrize("crop", ["center", "random"])
def test_cache_and_workers_do_not_change_the_batches(folder: Path, crop: str) -> None:
    reference = take(make(folder, crop=crop), 10)
    assert same(reference, take(make(folder, crop=crop, cache="none"), 10))
    assert same(reference, take(make(folder, crop=crop, cache="auto"), 10))
    assert same(reference, take(make(folder, crop=crop, cache="device"), 10))  # the accelerator: without one, the host
    assert same(reference, take(make(folder, crop=crop, cache="none", num_workers=2), 10))
    assert not same(reference, take(make(folder, crop=crop, seed=4), 10))


def test_workers_leave_the_random_state_alone_and_survive_a_broken_epoch(folder: Path) -> None:
    reference = take(make(folder), 9)
    loader = make(folder, cache="none", num_workers=1).train_dataloader()
    before = torch.get_rng_state()
    broken = [batch["image"] for batch, _ in zip(loader, range(3), strict=False)]  # takes a 4th and drops it
    assert same(broken, reference[:3])
    assert same([batch["image"] for batch in loader], reference[4:8])
    assert torch.equal(before, torch.get_rng_state())


def test_pictures_at_the_resolution_are_kept_to_the_pixel(folder: Path) -> None:
    originals = set()
    for path in folder.glob("train/*/*.png"):
        with Image.open(path) as image:
            if image.size == (SIDE, SIDE):
                originals.add(np.asarray(image).tobytes())
    for crop in ("center", "random"):
        images = torch.cat(take(make(folder, crop=crop, flip=False), 8)).permute(0, 2, 3, 1).contiguous()
        assert sum(image.numpy().tobytes() in originals for image in images) > len(images) // 3


def test_flip_and_window_vary_between_draws(folder: Path) -> None:
    module = make(folder, classes="cow", batch_size=32)  # three pictures, only the first is larger than the resolution
    distinct = {image.numpy().tobytes() for image in torch.cat(take(module, 8))}
    assert 6 < len(distinct) <= 2 * 2 + 2 * 9


def test_validation_is_fixed_and_complete(folder: Path) -> None:
    loaders = [make(folder, cache=cache).val_dataloader() for cache in ("memory", "none")]
    first, second = (list(loader) for loader in loaders if not isinstance(loader, list))
    assert len(first) == 1
    assert torch.equal(first[0]["image"], second[0]["image"])
    assert first[0]["label"].tolist() == [0, 2]
    assert make(folder, classes="bee").val_dataloader() == []


@pytest.mark.parametrize("save_at", [4, 5], ids=["end of epoch", "middle of epoch"])
@pytest.mark.parametrize("workers", [0, 1])
def test_resume_gives_the_same_pictures(folder: Path, tmp_path: Path, save_at: int, workers: int) -> None:
    options = {"cache": "none", "num_workers": workers} if workers else {}
    path = tmp_path / "state.ckpt"
    whole = fit(Recorder(), make(folder, **options), max_steps=10)
    first = fit(Recorder(save_at, path), make(folder, **options), max_steps=7)  # goes on after saving, then is lost
    assert same(whole[:7], first)
    resumed = fit(Recorder(), make(folder, **options), path, max_steps=10)
    assert same(whole[save_at:], resumed)


def test_resume_when_epochs_are_counted(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "state.ckpt"
    whole = fit(Recorder(5, path), make(folder), max_epochs=3)
    assert len(whole) == 12
    assert same(whole[5:], fit(Recorder(), make(folder), path, max_epochs=3))


def test_resume_at_another_batch_size_continues_the_stream(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "state.ckpt"
    whole = torch.cat(fit(Recorder(6, path), make(folder), max_steps=10))
    resumed = torch.cat(fit(Recorder(), make(folder, batch_size=8, steps_per_epoch=2), path, max_steps=8))
    assert torch.equal(whole[24:40], resumed[:16])


def test_a_batch_that_failed_is_repeated(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "state.ckpt"
    whole = fit(Recorder(), make(folder), max_steps=10)
    with pytest.raises(RuntimeError, match="killed"):
        fit(Recorder(fail_at=6), make(folder), max_steps=10, callbacks=[SaveOnException(path)])
    assert same(whole[6:], fit(Recorder(), make(folder), path, max_steps=10))


def test_a_new_fit_starts_at_the_beginning(folder: Path) -> None:
    module = make(folder)
    assert same(fit(Recorder(), module, max_steps=5), fit(Recorder(), module, max_steps=5))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_look_at_the_stream_moves_nothing(folder: Path, tmp_path: Path, workers: int) -> None:
    class Peeking(Recorder):
        def peek(self) -> None:
            for _, batch in zip(range(3), self.trainer.datamodule.train_dataloader(), strict=False):  # type: ignore[attr-defined]
                assert batch["image"].shape == (4, 3, SIDE, SIDE)

        def on_fit_start(self) -> None:
            self.peek()

        def on_train_batch_end(self, *_: Any) -> None:
            self.peek()
            super().on_train_batch_end()

    path = tmp_path / "state.ckpt"
    options = {"cache": "none" if workers else "memory", "num_workers": workers}
    whole = fit(Recorder(), make(folder), max_steps=8)
    assert same(whole, fit(Peeking(5, path), make(folder, **options), max_steps=8))
    assert same(whole[5:], fit(Peeking(), make(folder, **options), path, max_steps=8))


def test_resume_with_other_data_is_refused(folder: Path) -> None:
    module = make(folder)
    take(module, 3)
    state = module.state_dict()
    assert state["draws"] == 12
    for changes in ({"seed": 9}, {"balance": 1.0}, {"classes": ["ape", "bee"]}):
        with pytest.raises(PhotograftError, match="changed since the checkpoint"):
            make(folder, **changes).load_state_dict(state)


def test_corrupt_picture_is_replaced_in_every_mode(folder: Path, tmp_path: Path) -> None:
    for number in range(4):
        path = tmp_path / "ant" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        data = (folder / "train" / "ape" / f"{number + 1}.png").read_bytes()
        path.write_bytes(data if number != 2 else data[:60])
    results = []
    for options in ({}, {"cache": "none"}, {"cache": "none", "num_workers": 1}):
        module = make(tmp_path, **options, val_fraction=0.0)
        with pytest.warns(UserWarning, match=r"unreadable picture ant/2\.png") as record:
            results.append(take(module, 8))
        assert len([w for w in record if "unreadable" in str(w.message)]) == 1
        assert module.train_pictures.corrupt == ["ant/2.png"]
    assert same(results[0], results[1])
    assert same(results[0], results[2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 0}, "resolution is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"balance": 1.5}, "balance is 1.5"),
        ({"cache": "disk"}, "cache is 'disk'"),
        ({"crop": "left"}, "crop is 'left'"),
        ({"images_per_epoch": 5}, "not both"),
    ],
)
def test_bad_settings_are_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PhotograftError, match=message):
        make(folder, **changes)


@pytest.mark.parametrize("options", [{}, {"cache": "none"}, {"cache": "none", "num_workers": 1}])
def test_values_of_an_unknown_range_end_the_training_in_one_line(tmp_path: Path, options: dict[str, Any]) -> None:
    (tmp_path / "ant").mkdir()
    for number in range(6):
        Image.fromarray(np.full((20, 20), 200, np.float32)).save(tmp_path / "ant" / f"{number}.tiff")
    with pytest.raises(PhotograftError) as error:
        take(make(tmp_path, **options), 1)
    assert "floating-point values from 200 to 200" in str(error.value)
    assert "\n" not in str(error.value)
    stated = take(make(tmp_path, **options, value_range=(0.0, 200.0)), 1)
    assert (stated[0] == 255).all()


# --- damaged pictures, and what is said while a set is read ---


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Forty pictures of two classes, of which thirteen are cut in the middle."""
    rng = np.random.default_rng(0)
    for number in range(40):
        path = tmp_path / ("ape", "bee")[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
        if number % 3 == 0 and number:
            path.write_bytes(path.read_bytes()[:300])
    return tmp_path


@pytest.mark.filterwarnings("ignore:unreadable picture")
@pytest.mark.parametrize("settings", [{"cache": "memory"}, {"cache": "none"}, {"cache": "none", "num_workers": 1}])
def test_more_damaged_pictures_than_allowed_end_a_training(damaged: Path, settings: dict[str, Any]) -> None:
    """Ten are let pass by any share; a higher count trains on."""
    with pytest.raises(
        PhotograftError, match=r"11 of 40 pictures cannot be read .*max_corrupt allows \(0\.05\)"
    ) as error:
        fit(Recorder(), make(damaged, val_fraction=0.0, max_corrupt=0.05, **settings), max_epochs=12)
    assert "\n" not in str(error.value)
    kept = make(damaged, val_fraction=0.0, max_corrupt=13, **settings)
    assert len(fit(Recorder(), kept, max_epochs=12)) == 48
    assert len(kept.train_pictures.corrupt) == 13


@pytest.mark.filterwarnings("ignore:unreadable picture", "ignore:13 of 40 pictures")
def test_damaged_pictures_do_not_move_the_stream(damaged: Path) -> None:
    """Memory, no cache and workers put the same pictures in their places, and a resume goes on with them."""
    ways: list[dict[str, Any]] = [{"cache": "memory"}, {"cache": "none"}, {"cache": "none", "num_workers": 1}]
    first, *others = (take(make(damaged, val_fraction=0.0, max_corrupt=13, **way), 9) for way in ways)
    assert all(same(first, other) for other in others)
    module = make(damaged, val_fraction=0.0, max_corrupt=13)
    take(module, 5)
    later = make(damaged, val_fraction=0.0, max_corrupt=None)
    later.load_state_dict(module.state_dict())
    assert same(take(later, 4), first[5:])


def test_decoding_is_counted(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("models.progress.FIRST", 0.0)
    monkeypatch.setattr("models.progress.EVERY", 0.0)
    make(folder).train_dataloader()
    assert "decoding" not in capsys.readouterr().err  # nobody trains
    fit(Recorder(), make(folder), max_epochs=1, limit_val_batches=0)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("decoding: ")]
    assert (
        len([line for line in lines if re.fullmatch(r"decoding: \d+ of 29 pictures, \S+/s, \d:\d\d left", line)]) == 29
    )
    assert re.fullmatch(r"decoding: 29 pictures in \d:\d\d", lines[-1])
