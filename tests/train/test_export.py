"""Export: from a checkpoint to the files that the editor reads."""

import errno
import os
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.errors import PhotograftError
from models.files import save_network
from models.header import read_header
from models.zoo import load_model
from tests.refusals import snapshot
from tests.train.tiny import fit, gan, read, write_shards
from train.cli import run_export
from train.export import export
from train.gan.module import GAN
from train.gan.optimizers import OptimizerSettings
from train.gan.start import Start
from train.standing import measure_statistics
from train.tables import folded

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[GAN, Path]:
    folder = tmp_path_factory.mktemp("export")
    module = fit(write_shards(folder / "data"), folder, 4)
    return module, folder / "last.ckpt"


@pytest.mark.parametrize("average", [True, False])
def test_round_trip(trained: tuple[GAN, Path], tmp_path: Path, average: bool) -> None:
    module, checkpoint = trained
    written = export(checkpoint, tmp_path / "mine", average=average, standing=0, half=False)
    assert sorted(path.name.removeprefix("mine.") for path in written) == [
        "discriminator.safetensors",
        "encoder.safetensors",
        "generator.safetensors",
        "projected.safetensors",
    ]
    model = load_model(str(tmp_path / "mine"))
    assert model.class_names == ["ape", "monkey", "bee"]
    assert model.groups == [0, 0, 1]
    assert model.group_names == ["primate", "insect"]
    assert sum(model.distribution) == pytest.approx(1)
    assert module.generator is not None
    assert module.encoder is not None
    source = module.averaged_generator if average else module.generator
    z, y, x = torch.randn(3, 16), torch.tensor([0, 1, 2]), torch.rand(3, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(model.generator(z, y), folded(source).eval()(z, y), rtol=0, atol=1e-5)
    encoder = module.averaged_encoder if average else module.encoder
    assert model.encoder is not None
    torch.testing.assert_close(model.encoder.encode(x), encoder.eval().encode(x), rtol=0, atol=1e-5)
    assert model.discriminator is not None
    live = module._opponents[1].network.eval()
    torch.testing.assert_close(model.discriminator(x, y), live(x, y), rtol=0, atol=1e-5)
    encoder.train(not average)
    live.train()


def test_batch_norm_of_the_average_is_measured_anew(trained: tuple[GAN, Path], tmp_path: Path) -> None:
    module, checkpoint = trained
    export(checkpoint, tmp_path / "mine", standing=4, half=False)
    generator = load_model(str(tmp_path / "mine")).generator
    plain = folded(module.averaged_generator)
    changed = {key for key, value in plain.state_dict().items() if not torch.equal(value, generator.state_dict()[key])}
    assert {key for key in changed if "running_" not in key and "num_batches" not in key} == set()
    measure_statistics(plain, module.prior.distribution, batches=4)
    torch.testing.assert_close(generator.norm.running_mean, plain.norm.running_mean, rtol=1e-4, atol=1e-5)
    assert "norm.running_mean" in changed


def test_spread_reaches_generator_and_encoder(trained: tuple[GAN, Path], tmp_path: Path) -> None:
    plain, wide = (
        {path.name: load_file(path) for path in export(trained[1], tmp_path / str(s) / "m", spread=s, half=False)}
        for s in (1.0, 1.25)
    )
    changed = {
        f"{name}/{key}"
        for name in plain
        for key, value in plain[name].items()
        if not torch.equal(value, wide[name][key])
    }
    assert changed == {"m.generator.safetensors/linear.weight", "m.encoder.safetensors/standard.running_var"}
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(PhotograftError, match="--spread"):
            export(trained[1], tmp_path / "m", spread=bad)


def test_command(trained: tuple[GAN, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_export([str(trained[1]), str(tmp_path / "half")])
    assert "half.generator.safetensors" in capsys.readouterr().out
    model = load_model(str(tmp_path / "half"))
    assert all(parameter.dtype == torch.float32 for parameter in model.generator.parameters())


def test_a_new_training_starts_from_an_export(trained: tuple[GAN, Path], tmp_path: Path) -> None:
    module, checkpoint = trained
    export(checkpoint, tmp_path / "mine", half=False)
    generator, encoder = (str(tmp_path / f"mine.{kind}.safetensors") for kind in ("generator", "encoder"))
    start, still = Start(generator, encoder), OptimizerSettings(learning_rate=0.0, table_learning_rate=0.0)
    new = fit(checkpoint.parent / "data", tmp_path, 0, module=gan(start=start, optimizer=still))
    again = fit(checkpoint.parent / "data", tmp_path / "again", 1, module=gan(start=start))
    other = fit(
        checkpoint.parent / "data", tmp_path / "other", 0
    )  # what lies there is not what a resumed run began with
    save_network(Path(generator), folded(other.averaged_generator), "generator", {"images_seen": 999})
    resume = tmp_path / "again" / "last.ckpt"
    again = fit(checkpoint.parent / "data", tmp_path / "again", 2, resume, module=gan(start=start))
    export(tmp_path / "again" / "last.ckpt", tmp_path / "again" / "mine", standing=0)
    seen = read_header(tmp_path / "again" / "mine.generator.safetensors").info["images_seen"]
    assert seen == module.images_seen + again.images_seen > again.images_seen > 0
    expected = folded(module.averaged_generator)
    for name, value in folded(new.averaged_generator).named_parameters():
        assert torch.equal(value, expected.get_parameter(name)), name


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match="not found"):
        export(tmp_path / "none.ckpt", tmp_path / "out")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_truncated(trained: tuple[GAN, Path], tmp_path: Path, part: float) -> None:
    content = trained[1].read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(content[: int(len(content) * part)])
    with pytest.raises(PhotograftError, match="damaged or not a checkpoint"):
        export(tmp_path / "cut.ckpt", tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_foreign(tmp_path: Path) -> None:
    path = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(PhotograftError, match="not written by Photograft"):
        export(path, tmp_path / "out")
    torch.save([1, 2], path)
    with pytest.raises(PhotograftError, match="not written by Photograft"):
        export(path, tmp_path / "out")
    path.write_bytes(b"GIF89a, not a checkpoint at all")
    with pytest.raises(PhotograftError, match="damaged or not a checkpoint"):
        export(path, tmp_path / "out")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(PhotograftError, match="damaged or not a checkpoint"):
        export(path, tmp_path / "out")


class Hostile:
    """Would write a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.mkdir, (str(self.path),)


def test_a_checkpoint_executes_nothing(tmp_path: Path) -> None:
    torch.save({"networks": Hostile(tmp_path / "executed"), "state_dict": {}}, tmp_path / "bad.ckpt")
    with pytest.raises(PhotograftError, match="damaged or not a checkpoint"):
        export(tmp_path / "bad.ckpt", tmp_path / "out")
    assert not (tmp_path / "executed").exists()


def test_weights_that_do_not_fit_are_one_line(trained: tuple[GAN, Path], tmp_path: Path) -> None:
    content = read(trained[1])
    del content["state_dict"]["ema.generator.linear.weight"]
    torch.save(content, tmp_path / "less.ckpt")
    with pytest.raises(PhotograftError, match="does not fit its network") as caught:
        export(tmp_path / "less.ckpt", tmp_path / "out")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("failing", [1, 2, 4])
def test_networks_are_exported_all_or_none(
    trained: tuple[GAN, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    (tmp_path / "mine.encoder.safetensors").write_text("earlier")
    (tmp_path / "mine.encoder.safetensors.part").write_text("a user's")
    before, calls = snapshot(tmp_path), []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PhotograftError, match="No space left"):
        export(trained[1], tmp_path / "mine", standing=0, overwrite=True)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("role", ["a/b", "../x", "generator\x1b"])
def test_a_role_makes_no_path(trained: tuple[GAN, Path], tmp_path: Path, role: str) -> None:
    content = read(trained[1])
    state = content["state_dict"].items()
    content["networks"] = {role: content["networks"]["encoder"]}
    content["state_dict"] = {k.replace("encoder.", f"{role}.", 1): v for k, v in state if k.startswith("encoder.")}
    torch.save(content, tmp_path / "x.ckpt")
    (written,) = export(tmp_path / "x.ckpt", tmp_path / "out" / "mine", average=False, standing=0)
    assert written == tmp_path / "out" / "mine.encoder.safetensors"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "mine.encoder.md",
        written.name,
        "x.ckpt",
    ]


def test_two_networks_of_one_name_are_refused(trained: tuple[GAN, Path], tmp_path: Path) -> None:
    content = read(trained[1])
    encoder = {f"other.{k.split('.', 1)[1]}": v for k, v in content["state_dict"].items() if k.startswith("encoder.")}
    content["networks"] |= {"other": content["networks"]["encoder"]}
    content["state_dict"] |= encoder
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(PhotograftError, match=r"two networks for mine\.encoder"):
        export(tmp_path / "x.ckpt", tmp_path / "mine", average=False, standing=0)
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]
