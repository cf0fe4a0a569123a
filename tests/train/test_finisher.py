"""Training of the finishing network: its data, its steps, resume and export; the teacher's shards."""

import json
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from models.errors import PhotograftError
from models.files import load_network
from models.finisher import Finisher
from models.teacher import Teacher
from tests.train.tiny import add, picture, read, write_model
from train.export import export
from train.finisher import FinisherTraining, PatchDiscriminator
from train.fit import run
from train.sharp_pictures import SharpPictures, Source, degraded, read_pairs
from train.taught import write_taught

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "train" / "finisher.yaml"
SHARP, SMALL = Source("sharp", 64, 16), Source("small", 32, 16, least=20, without="cat")

pytestmark = [pytest.mark.filterwarnings("ignore:LightningCLI.s args parameter")]


def write_sharp(root: Path) -> Path:
    """Four pictures of 64 px, and three of 32 px of which one is a cat and one was enlarged."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, side, facts in (
        ("sharp", 64, [{}, {}, {}, {}]),
        ("small", 32, [{"px": 40, "species": "dog"}, {"px": 10, "species": "dog"}, {"px": 40, "species": "cat"}]),
    ):
        for part in ("train", "val"):
            with tarfile.open(root / f"{name}-{part}.tar", "w") as tar:
                for k, said in enumerate(facts):
                    buffer = BytesIO()
                    picture(rng, side).save(buffer, "png")
                    add(tar, f"{k}.png", buffer.getvalue())
                    add(tar, f"{k}.json", json.dumps(said).encode())
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sharp(tmp_path_factory.mktemp("data") / "sharp")


def test_sources_choose_what_they_say(root: Path) -> None:
    assert read_pairs([root], SHARP, "train").high.shape == (4, 3, 64, 64)
    assert len(read_pairs([root], SMALL, "train").high) == 1
    assert len(read_pairs([root], Source("small", 32, 16), "train").high) == 3
    with pytest.raises(PhotograftError, match="no shards"):
        read_pairs([root], Source("other", 64, 16), "train")
    with pytest.raises(PhotograftError, match="no picture of the kind"):
        read_pairs([root], Source("small", 64, 16), "train")


@pytest.mark.parametrize("sources", [[], [SMALL], [SHARP, Source("small", 32, 10)]])
def test_sizes_that_cannot_be_compared(root: Path, sources: list[Source]) -> None:
    with pytest.raises(PhotograftError, match=r"times|even"):
        SharpPictures(root, sources)


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "sharp-train.tar", "w") as tar:
        add(tar, "7.png", b"no picture")
    with pytest.raises(PhotograftError, match=r"sharp-train\.tar/7"):
        read_pairs([tmp_path], SHARP, "train")


def test_degraded_pictures_stay_near(root: Path) -> None:
    """Colours and pictures stay; another draw is another picture, the same one is the same."""
    small = F.avg_pool2d(read_pairs([root], SHARP, "train").high.float() / 127.5 - 1, 4)
    first, again, other = (degraded(small, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert abs(float((first - small).mean())) * 127.5 < 1
    assert 0.3 < float((first - small).abs().mean()) * 127.5 < 25


def test_batches_depend_on_their_number_alone(root: Path) -> None:
    data = SharpPictures(root, [SHARP, SMALL], batch_size=2, window=8, steps_per_epoch=5)
    data.setup()
    batches = list(data.train_dataloader())
    assert len(batches) == 5
    for part, again in zip(batches[3], list(data.train_dataloader())[3], strict=True):
        assert torch.equal(part["low"], again["low"])
        assert torch.equal(part["high"], again["high"])
    assert batches[0][0]["low"].shape == (2, 3, 8, 8)
    assert batches[0][0]["high"].shape == (2, 3, 32, 32)
    assert {part["high"].shape[-1] for batch in batches for part in batch} == {16, 32}, "both sources are drawn"
    off = F.avg_pool2d(batches[0][0]["high"], 4) - batches[0][0]["low"]
    assert float(off.abs().mean()) * 127.5 < 25, "the small picture is of the same place"


def test_the_discriminator_sees_patches() -> None:
    network, picture = PatchDiscriminator(8).eval(), torch.rand(1, 3, 96, 96)
    first = network(picture, picture)
    assert first.shape == (1, 1, 24, 24)
    picture = picture.clone()
    picture[..., 80:] = 0
    assert torch.allclose(network(picture, picture)[..., :14], first[..., :14], atol=1e-5)


def arguments(root: Path, *more: str) -> list[str]:
    small = {
        "trainer.accelerator": "cpu",
        "trainer.precision": "32-true",
        "trainer.enable_progress_bar": "false",
        "data.root": str(root),
        "data.init_args.batch_size": 2,
        "data.init_args.window": 8,
        "data.init_args.steps_per_epoch": 2,
        "model.init_args.width": 8,
        "model.init_args.blocks": 1,
        "model.init_args.total_steps": 6,
        "model.init_args.adversary": 0.05,
        "model.init_args.adversary_from": 0.3,
    }
    sources = [{"shards": "sharp", "side": 64, "low": 16}, {"shards": "small", "side": 32, "low": 16}]
    given = [f"--{key}={value}" for key, value in small.items()]
    return ["fit", "-c", str(CONFIG), *given, f"--data.init_args.sources={json.dumps(sources)}", *more]


def test_config_trains_resumes_and_exports(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = run(arguments(root, "--trainer.max_epochs=3")).model
    assert isinstance(module, FinisherTraining)
    assert (module.steps, module.images_seen) == (6, 24)
    assert {"val/sharp", "val/sharp_cubic", "train/adversary", "train/discriminator"} < set(
        module.trainer.callback_metrics
    )
    whole = read(tmp_path / "runs" / "finisher" / "last.ckpt")
    written = export(tmp_path / "runs" / "finisher" / "last.ckpt", tmp_path / "my", half=False)
    assert written == [tmp_path / "my.finisher.safetensors"]
    network, header = load_network(written[0], "finisher")
    assert isinstance(network, Finisher)
    assert header.info["steps"] == 6
    for key, value in module.averaged.state_dict().items():
        assert torch.equal(network.state_dict()[key], value), key

    monkeypatch.chdir(tmp_path / "runs")
    run(arguments(root, "--trainer.max_epochs=1"))
    run(arguments(root, "--trainer.max_epochs=3", "--ckpt_path=runs/finisher/last.ckpt"))
    again = read(tmp_path / "runs" / "runs" / "finisher" / "last.ckpt")
    for key, value in whole["state_dict"].items():
        assert torch.equal(value, again["state_dict"][key]), key


def test_training_approaches_the_truth() -> None:
    """Forty steps on one batch bring what is drawn nearer to it, without an adversary."""
    torch.manual_seed(0)
    high = F.interpolate(torch.rand(2, 3, 24, 24), 48, mode="bicubic") * 1.6 - 0.8
    part = {"low": F.avg_pool2d(high, 4), "high": high}
    module = FinisherTraining(8, 1)
    optimizer = module.configure_optimizers()[0]
    errors = []
    for _ in range(40):
        drawn, wanted = module._compared(part)
        loss = (drawn - wanted).abs().mean()
        errors.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert errors[-1] < 0.9 * errors[0]


def test_taught_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr("train.taught.load_teacher", lambda: Teacher(groups=1).eval())
    written = write_taught(str(write_model(tmp_path / "model")), tmp_path / "out", pictures=3, seed=1)
    assert sorted(path.name for path in written) == ["taught-train-000.tar", "taught-val-000.tar"]
    pairs = read_pairs([tmp_path / "out"], Source("taught", 128, 32), "train")
    assert pairs.low is not None
    assert (pairs.high.shape, pairs.low.shape) == ((2, 3, 128, 128), (2, 3, 32, 32))
    with tarfile.open(tmp_path / "out" / "taught-val-000.tar") as tar:
        names = tar.getnames()
    assert names == ["00000.low.png", "00000.png"]
    with pytest.raises(PhotograftError, match="at least 2"):
        write_taught("sngan-heads-128", tmp_path, pictures=1)


def test_a_teachers_pictures_are_not_degraded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    low, high = (rng.integers(0, 256, (side, side, 3), np.uint8) for side in (16, 64))
    for part in ("train", "val"):
        with tarfile.open(tmp_path / f"sharp-{part}.tar", "w") as tar:
            for suffix, pixels in ((".low.png", low), (".png", high)):
                buffer = BytesIO()
                Image.fromarray(pixels).save(buffer, "png")
                add(tar, f"0{suffix}", buffer.getvalue())
    data = SharpPictures(tmp_path, [SHARP], batch_size=1, window=16, steps_per_epoch=1)
    data.setup()
    ((name, part),) = data.val_dataloader()
    assert name == "sharp"
    assert np.array_equal(((part["low"][0] + 1) * 127.5).round().permute(1, 2, 0).numpy(), low)
