"""Reconstructions are the editor's, measures are what they are called, references and encoders are the right ones."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from infer.cli.main import main
from infer.evaluate.curves import Photos, validation_photos
from infer.evaluate.distances import mean_interval
from infer.evaluate.reconstruction import Judge, classmates, evaluate_reconstruction, find_codes, preset_pictures
from infer.evaluate.reconstruction_report import difference_rows, mean_error, table_rows
from infer.projection.model import project_pictures
from infer.projection.options import ProjectionOptions
from models.encoder import ResNetEncoder
from models.errors import PhotograftError
from models.files import save_network, sha256
from models.perception.judges import SqueezeNetFeatures, frechet, to_uint8
from models.zoo import Model, load_model, with_encoder
from tests.infer.evaluate.conftest import COLOURS
from tests.infer.projection.helpers import exact


@pytest.fixture(scope="module")
def model(tiny_zeta: Path) -> Model:
    return load_model(str(tiny_zeta))


@pytest.fixture(scope="module")
def photos(pictures: Path, model: Model) -> Photos:
    return validation_photos(pictures, exact(model), 6, seed=0)


@pytest.fixture(scope="module")
def judge(model: Model, photos: Photos) -> Judge:
    return Judge(exact(model), photos)


def write_encoder(path: Path, seed: int, latent_dim: int = 8) -> Path:
    torch.manual_seed(seed)
    save_network(path, ResNetEncoder([4, 8, 8, 8], latent_dim=latent_dim, num_classes=4), "encoder")
    return path


def quiet(n: int) -> None:
    """No progress."""


# --- codes ---


@pytest.mark.parametrize("steps", [0, 3])
def test_codes_are_the_editors(steps: int, model: Model, photos: Photos) -> None:
    z = find_codes(exact(model), photos, steps, quiet)
    assert photos.label is not None
    for i in (1, 5):  # a second photo of a class, and the last one
        name = model.class_names[photos.label[i]]
        (row,) = project_pictures(exact(model), photos.target[i : i + 1], name, options=ProjectionOptions(steps=steps))
        assert (row.zeta is None) == (steps == 0), "A and B take part"
        assert torch.allclose(z[i], row.latent[0], atol=1e-3)


def test_updates_lower_what_projection_optimises(model: Model, photos: Photos, judge: Judge) -> None:
    first, last = (judge.of_codes("e", steps, find_codes(exact(model), photos, steps, quiet)) for steps in (0, 5))
    assert last.total.mean() < first.total.mean()
    (row,) = project_pictures(exact(model), photos.target[:1], model.class_names[0], options=ProjectionOptions(steps=5))
    assert last.total[0] == pytest.approx(float(row.loss[0]), abs=1e-4)


# --- measures ---


def test_measures_of_the_photos_themselves(judge: Judge, photos: Photos) -> None:
    same = judge.of_pictures("same", photos.target)
    assert same.judge.abs().max() < 1e-5
    assert same.frechet == pytest.approx(0, abs=1e-2)
    assert same.pixel.max() == 0
    assert same.psnr.min() == math.inf
    assert same.feature.abs().max() < 1e-5


def test_measures_by_their_formulas(judge: Judge, photos: Photos) -> None:
    found = judge.of_pictures("darker", photos.target * 0.5 - 0.5)
    network = SqueezeNetFeatures()
    a, b = (network(to_uint8(images)).double() for images in (photos.target, photos.target * 0.5 - 0.5))
    cosine = (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1)
    assert torch.allclose(found.judge.double(), 1 - cosine, atol=1e-5)
    assert found.judge.min() > 1e-3
    assert found.frechet == pytest.approx(frechet(a, b), rel=1e-3)
    squares = (photos.target * 0.5 + 0.5).square().mean(dim=(1, 2, 3))
    assert torch.allclose(found.pixel, squares)
    assert torch.allclose(found.psnr, 10 * torch.log10(2.0**2 / squares))
    assert torch.allclose(found.total, found.feature + 0.2 * squares)


def test_pictures_of_codes_are_of_the_photos_classes(model: Model, photos: Photos, judge: Judge) -> None:
    z = torch.randn(6, 8)
    found = judge.of_codes("random", 7, z)
    with torch.no_grad():
        right = model.generator(z, photos.label)
    assert torch.allclose(found.pixel, (right - photos.target).square().mean(dim=(1, 2, 3)), atol=1e-4)
    assert found.norm is not None
    assert torch.allclose(found.norm, z.norm(dim=1))
    assert found.steps == 7
    assert (found.shown.int() - to_uint8(right).int()).abs().max() <= 1


# --- references ---


def test_classmates_are_training_photos_of_the_class(pictures: Path, model: Model, photos: Photos) -> None:
    assert photos.label is not None
    found = classmates(pictures, model, photos.label, seed=0)
    colours = (found.mean(dim=(2, 3)) + 1) * 127.5
    expected = torch.tensor(list(COLOURS.values())).float()[photos.label]
    assert (colours - expected).abs().max() < 10
    assert not any(torch.equal(a, b) for a, b in zip(found, photos.target, strict=True))
    assert torch.equal(found, classmates(pictures, model, photos.label, seed=0))
    assert not torch.equal(found, classmates(pictures, model, photos.label, seed=1))


def test_rows_are_encoders_by_updates_then_references(pictures: Path, model: Model, tmp_path: Path) -> None:
    other = with_encoder(model, write_encoder(tmp_path / "other.encoder.safetensors", 5))
    said: list[tuple[str, int, int]] = []
    options = {"photos": 6, "steps": [0, 2], "progress": lambda *a: said.append(a)}
    found = evaluate_reconstruction({"own": exact(model), "other": exact(other)}, pictures, **options)  # type: ignore[arg-type]
    rows = [(answer.name, answer.steps) for answer in found.answers]
    assert rows[:4] == [("own", 0), ("own", 2), ("other", 0), ("other", 2)]
    assert [name for name, _ in rows[4:]] == ["mean code, z = 0", "another photo of the class"]
    assert found.answers[4].norm is not None
    assert found.answers[4].norm.max() == 0
    assert found.answers[5].norm is None
    assert not torch.allclose(found.answers[0].pixel, found.answers[2].pixel)
    assert said[-1][1] == said[-1][2] == 2 * 6 * (1 + 2)
    assert found.hashes["other.encoder.safetensors"] == sha256(tmp_path / "other.encoder.safetensors")
    assert "tiny.encoder.safetensors" in found.hashes


def test_difference_is_photo_by_photo(pictures: Path, model: Model) -> None:
    found = evaluate_reconstruction({"own": exact(model)}, pictures, photos=6, steps=[0])
    first = found.answers[0]
    shifted = replace(first, judge=first.judge + torch.tensor([0.1, 0.2] * 3))
    rows = table_rows(replace(found, answers=[first, shifted]))
    assert rows[1][3] == "-"
    assert rows[2][3] == f"+0.1500 ± {0.05 * math.sqrt(6 / 5) / math.sqrt(6):.4f}"
    assert rows[1][2] == mean_error(first.judge)
    assert "optimised by projection" in rows[0][-2]


# --- presets ---


def test_presets_are_as_the_editor_projects(pictures: Path, model: Model, photos: Photos, tmp_path: Path) -> None:
    found = evaluate_reconstruction(
        {"own": exact(model)}, pictures, photos=6, steps=[0], presets=["fast", "balanced"], folder=tmp_path
    )
    assert [answer.name for answer in found.answers[:3]] == ["own", "fast", "balanced"]
    first, fast, balanced = found.answers[:3]
    assert torch.allclose(fast.pixel, first.pixel, atol=1e-4), "fast is E's answer"
    assert balanced.total.mean() < fast.total.mean()
    assert photos.label is not None
    (row,) = project_pictures(exact(model), photos.target[4:5], model.class_names[photos.label[4]], preset="balanced")
    assert float(balanced.total[4]) == pytest.approx(float(row.loss[0]), abs=1e-3)
    rows = difference_rows(found.answers[1:3])
    assert rows[0] == ("reconstruction", "less", "SqueezeNet", "EfficientNet", "MSE", "MS-SSIM")
    assert rows[1][:2] == ("balanced", "fast")
    low, high = mean_interval(balanced.pixel - fast.pixel)
    assert rows[1][4] == f"{float((balanced.pixel - fast.pixel).mean()):+.4f} ({low:+.4f} to {high:+.4f})"
    assert len(list(tmp_path.iterdir())) == 12  # kept as they are made


def test_a_preset_adds_the_tuned_weights(pictures: Path, model: Model, photos: Photos) -> None:
    (plain,), (tuned,) = (
        [preset_pictures(exact(model), Photos(photos.target[:1], photos.label[:1], {}), name, quiet)]  # type: ignore[index]
        for name in ("balanced", "best")
    )
    target = photos.target[:1]
    assert float((tuned - target).square().mean()) < float((plain - target).square().mean())


# --- encoders from files ---


def test_an_encoder_that_does_not_fit_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match="latents"):
        with_encoder(model, write_encoder(tmp_path / "e.safetensors", 5, latent_dim=9))
    with pytest.raises(PhotograftError, match="not found"):
        with_encoder(model, tmp_path / "none.safetensors")


def test_models_that_cannot_be_measured_are_refused(model: Model, pictures: Path) -> None:
    for part, text in (("encoder", "no encoder"), ("discriminator", "no discriminator"), ("class_names", "uncond")):
        lacking = replace(model, **{part: [] if part == "class_names" else None})  # type: ignore[arg-type]
        with pytest.raises(PhotograftError, match=text):
            evaluate_reconstruction({"own": exact(lacking)}, pictures, photos=4, steps=[0])


# --- the command ---


def read(path: Path) -> list[list[str]]:
    with path.open() as file:
        return list(csv.reader(file))


def test_command_writes_table_and_sheet(
    tiny: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [write_encoder(tmp_path / f"{name}.encoder.safetensors", seed) for seed, name in enumerate(["a", "b"])]
    command = ["evaluate", "reconstruction", str(tiny), "--data", str(pictures), "--photos", "6", "--steps", "0, 1"]
    given = [argument for file in files for argument in ("--encoder", str(file))]
    assert main([*command, *given, "--out", str(tmp_path / "out")]) == 0
    stem = tmp_path / "out" / "tiny_reconstruction"
    assert str(stem.with_suffix(".md")) in capsys.readouterr().out.replace("\n", "")
    rows, text = read(stem.with_suffix(".csv")), stem.with_suffix(".md").read_text()
    assert [row[:2] for row in rows[1:5]] == [["a", "0"], ["a", "1"], ["b", "0"], ["b", "1"]]
    assert all("| " + " | ".join(row) + " |" in text for row in rows)
    assert "6 validation photos" in text
    assert "seed 0" in text
    for file in (tiny, *files):
        assert sha256(file)[:12] in text
    assert sha256(tiny.with_name("tiny.encoder.safetensors"))[:12] not in text
    pixels = np.array(Image.open(stem.with_suffix(".png")))
    assert pixels.shape[0] == 7 * 100 - 4  # photos and six rows
    first = read_photo(pictures)
    left = pixels.shape[1] - 6 * 100 + 4
    tile = torch.tensor(pixels[:96, left : left + 96]).float().mean(dim=(0, 1))
    assert torch.allclose(tile, first, atol=2)


def read_photo(pictures: Path) -> Tensor:  # -> [3], mean colour
    photo = np.array(Image.open(pictures / "val" / "black cat" / "0.png"))
    return torch.tensor(photo).float().mean(dim=(0, 1))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--steps", "0;20"], "--steps"),
        (["--steps", "-1"], "--steps"),
        (["--preset", "bestest"], "did you mean best"),
        (["--lpips", "squeze"], "did you mean squeeze"),
        (["--encoder", "a.safetensors", "--encoder", "x/a.encoder.safetensors"], "differ"),
        (["--encoder", "none.safetensors"], "not found"),
    ],
)
def test_command_refuses(
    arguments: list[str],
    text: str,
    tiny: Path,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["evaluate", "reconstruction", str(tiny), "--data", str(pictures), "--out", str(tmp_path / "out")]
    assert main([*command, *arguments]) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
