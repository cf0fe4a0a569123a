"""Published TensorFlow files from the pickle to the edited photo, through the command line: small random networks."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infer.cli.main import main
from models.zoo import load_model
from tests.golden_fixtures import FOLDER, arrays
from tests.tf_pickles import flat, grown_discriminator, styled, write_pickle

PHOTOS = FOLDER / "recipes"
BOX = ("--box", "20,20,120,120")
Capture = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return main(list(map(str, arguments)))


def converted(kind: str, folder: Path, capture: Capture) -> Path:
    """The model of a pickle (G, D, Gs), written by `convert` after `inspect` told of all three."""
    source = pickled(kind, folder)
    assert run("inspect", source) == 0
    shown = capture.readouterr().out.splitlines()
    shown = [line for line in shown if not line.startswith("class names: ")]
    assert [line.partition(" ")[0] for line in shown[:2]] == ["generator", "discriminator"]
    for line, name, use in zip(
        shown[2:], ("G", "D", "Gs"), ("not read, for Gs is", "the discriminator", "the generator"), strict=True
    ):
        assert line.startswith(f"{name!r}, ")
        assert use in line
    assert run("convert", source, folder / f"{kind}.safetensors") == 0
    written = capture.readouterr().out.split()
    assert [Path(path).name for path in written] == [
        f"{kind}.{part}.safetensors" for part in ("generator", "discriminator")
    ]
    return folder / kind


def pickled(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.pkl"
    if kind == "progan":
        variables = arrays(FOLDER / "pggan/tf_progan/tf_variables.npz")
        d = flat("D", grown_discriminator(64), "D_paper", num_channels=3)
        g, gs = (flat(name, variables, "G_paper", num_channels=3) for name in ("G", "Gs"))
        return write_pickle(path, "tfutil", (g, d, gs), 2)
    if kind == "stylegan":
        variables = arrays(FOLDER / "stylegan/tf_stylegan1/tf_variables.npz")
        d = flat("D", grown_discriminator(128), "D_basic", label_size=0)
        g, gs = (styled(name, variables, "G_style", label_size=0) for name in ("G", "Gs"))
    else:
        trained = FOLDER / "tensorflow"
        settings = json.loads((trained / "tf_stylegan2_D_classes/meta.json").read_text())["kwargs"]
        d = flat("D", arrays(trained / "tf_stylegan2_D_classes/tf_variables.npz"), "D_stylegan2", **settings)
        variables = arrays(trained / "tf_stylegan2_G_classes/tf_variables.npz")
        g, gs = (styled(name, variables, "G_main", label_size=3) for name in ("G", "Gs"))
    return write_pickle(path, "dnnlib.tflib.network", (g, d, gs), 2)


def outside_is_untouched(photo: Path, edited: Path) -> None:
    """Around the square of `BOX` no pixel differs, within it some do."""
    before, after = (np.asarray(Image.open(path).convert("RGB")) for path in (photo, edited))
    changed = (before != after).any(axis=2)
    assert changed[20:140, 20:140].any()
    changed[20:140, 20:140] = False
    assert not changed.any()


@pytest.mark.parametrize("kind", ["stylegan", "stylegan2", "progan"])
def test_a_photo_is_projected_and_blended(kind: str, tmp_path: Path, capsys: Capture) -> None:
    model, out, photo = converted(kind, tmp_path, capsys), tmp_path / "out", PHOTOS / "photo.png"
    common: tuple[Any, ...] = ("--model", model, "--out", out)
    place = (photo, *BOX)
    source = ("--from", "class 1") if kind == "stylegan2" else ()
    assert run("project", *place, *source, "--steps", 2, *common) == 0
    found = json.loads((out / "photo.projection.json").read_text())["source"]["projection"]
    assert np.isfinite(found["loss"])
    assert found["settings"]["init"] == "samples"
    blending = ("--mask", "box", "--reference-seed", 3, *(("--class", "class 1") if kind == "stylegan2" else ()))
    assert run("blend", *place, *blending, "--preset", "fast", *common) == 0
    outside_is_untouched(photo, out / "photo_blend_box.png")


def test_a_photo_is_edited_in_its_class(tmp_path: Path, capsys: Capture) -> None:
    """The class that it has is found by the discriminator's scores."""
    model, out, photo = converted("stylegan2", tmp_path, capsys), tmp_path / "out", PHOTOS / "photo.png"
    asked = ("--to", "class 2", "--mask", "box", "--preset", "fast")
    assert run("edit", photo, *BOX, *asked, "--model", model, "--out", out) == 0
    outside_is_untouched(photo, out / "photo_to_class-2.png")
    networks = load_model(str(model))
    recipe = json.loads((out / "photo_to_class-2.json").read_text())
    assert recipe["source"]["projection"]["source"] in networks.class_names


def test_a_part_of_a_photo_is_transferred(tmp_path: Path, capsys: Capture) -> None:
    """Without classes: the look of a cluster, from a sample."""
    model, out, photo = converted("stylegan", tmp_path, capsys), tmp_path / "out", PHOTOS / "photo.png"
    assert run("catalog", "build", "--model", model, "-k", 2, "--samples", 4, "--out", tmp_path) == 0
    asked = ("--part", "0", "--reference-seed", 2, "--preset", "fast", "--catalog", f"{model}.catalog.safetensors")
    assert run("transfer", photo, *BOX, *asked, "--model", model, "--out", out) == 0
    outside_is_untouched(photo, out / "photo_0.png")


def test_an_unconditional_one_says_what_edits_photos(tmp_path: Path, capsys: Capture) -> None:
    model = converted("progan", tmp_path, capsys)
    photo = PHOTOS / "photo.png"
    assert run("edit", photo, *BOX, "--to", "lion", "--model", model, "--out", tmp_path) == 2
    assert "is unconditional: it has no classes (blend edits photos without)" in capsys.readouterr().err
    assert run("transfer", photo, *BOX, "--part", "x", "--reference-seed", 1, "--model", model, "--out", tmp_path) == 2
    assert "has no modulated layers" in capsys.readouterr().err


def test_what_is_not_read_is_said(tmp_path: Path, capsys: Capture) -> None:
    """A generator is written without a discriminator that cannot be read, and the line says why."""
    variables = arrays(FOLDER / "pggan/tf_progan/tf_variables.npz")
    odd = flat("D", grown_discriminator(64) | {"4x4/Attention/weight": np.zeros(3, np.float32)}, "D_paper")
    g, gs = (flat(name, variables, "G_paper") for name in ("G", "Gs"))
    source = write_pickle(tmp_path / "x.pkl", "tfutil", (g, odd, gs))
    assert run("convert", source, tmp_path / "x.safetensors") == 0
    captured = capsys.readouterr()
    assert captured.out.split() == [str(tmp_path / "x.safetensors")]
    line = next(line for line in captured.err.splitlines() if line.startswith("the discriminator is not read: "))
    assert "unknown arrays: '4x4/Attention/weight'" in line


@pytest.mark.parametrize("name", ["ajbrock_biggan64", "ajbrock_biggandeep64"])
def test_a_biggan_edits_photos(name: str, tmp_path: Path, capsys: Capture) -> None:
    """Two files become one model; a class is changed by sCBN, a sample's region blended, a part transferred."""
    model, out, photo = tmp_path / "big", tmp_path / "out", PHOTOS / "photo.png"
    for file, kind in (("weights.npz", "generator"), ("weights_D.npz", "discriminator")):
        assert run("convert", FOLDER / "biggan" / name / file, f"{model}.{kind}.safetensors") == 0
    common: tuple[Any, ...] = ("--model", model, "--out", out)
    assert run("edit", photo, *BOX, "--to", "class 2", "--mask", "box", "--preset", "fast", *common) == 0
    outside_is_untouched(photo, out / "photo_to_class-2.png")
    recipe = ("--recipe", out / "photo_to_class-2.json", "--reference-seed", 3)
    assert run("blend", photo, *recipe, "--mask", "box", *common) == 0
    assert run("catalog", "build", "--model", model, "-k", 2, "--samples", 8, "--out", tmp_path) == 0
    assert run("transfer", photo, *recipe, "--part", "0", *common) == 0
    assert run("sample", "--model", model, "--out", tmp_path / "samples.png") == 0


def test_truncation_of_a_converted_biggan(tmp_path: Path, capsys: Capture) -> None:
    """Its statistics are chosen when it is converted, or for samples; a file without such says so."""
    source, out = FOLDER / "biggan/hf_biggan_deep128/weights.npz", tmp_path / "x.safetensors"
    shutil.copy(source, tmp_path / "w.npz")
    assert run("convert", tmp_path / "w.npz", out, "--truncation", 0.5, "--ported-statistics") == 0
    config = load_model(str(out)).generator.config
    assert (config["truncation"], config["ported_statistics"], config["statistics"]) == (0.5, True, 51)
    assert "not written: a discriminator" in capsys.readouterr().err
    assert run("sample", "--model", out, "--out", tmp_path / "half.png", "--truncation", 0.5) == 0
    other = FOLDER / "biggan/ajbrock_biggan64/weights.npz"
    assert run("convert", other, out, "--bn-eps", 1e-4) == 0
    norms = load_model(str(out)).generator
    assert (norms.blocks[0].norm1.eps, norms.norm.eps) == (1e-4, 1e-5)  # type: ignore[union-attr, index]
    assert run("convert", tmp_path / "w.npz", out, "--bn-eps", 1e-4) == 2
    assert "leave --bn-eps out" in capsys.readouterr().err
    assert run("convert", other, tmp_path / "y.safetensors", "--truncation", 0.5) == 2
    assert "holds no statistics of several truncations" in capsys.readouterr().err
