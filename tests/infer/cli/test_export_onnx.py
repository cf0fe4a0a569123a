"""`export-onnx`: files that say what they are, kept where they compute the same; nothing is overwritten unasked."""

import json
from pathlib import Path

import onnx
import pytest

from infer.cli.main import main
from models.encoder import ResNetEncoder
from models.files import save_network, sha256
from models.generators.sngan import SNGANGenerator
from models.onnx import writing
from tests.infer.tiny_model import CLASSES
from tests.refusals import refused

PARTS = ("encoder", "generator-maps", "generator")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A generator's file, of 8 px, with its encoder beside it: what has few layers is traced soon."""
    networks = {
        "generator": SNGANGenerator([4, 4], latent_dim=8, num_classes=len(CLASSES)),
        "encoder": ResNetEncoder([4, 4], latent_dim=8),
    }
    for kind, network in networks.items():
        save_network(tmp_path / "model" / f"tiny.{kind}.safetensors", network, kind, {"class_names": CLASSES})
    return tmp_path / "model" / "tiny.generator.safetensors"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is made, and all that are asked for are right."""
    monkeypatch.setattr(writing, "onnx_bytes", lambda graph, says: graph.part.encode())
    monkeypatch.setattr(writing, "difference", lambda graph, content: 1e-6)


@pytest.mark.slow
def test_written(small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["export-onnx", str(small), "--out", str(out)]) == 0
    printed = capfd.readouterr()
    assert sorted(path.name for path in out.iterdir()) == [f"tiny.{part}.onnx" for part in PARTS]
    assert all(str(out / f"tiny.{part}.onnx") in printed.out for part in PARTS)
    assert "E1129" not in printed.err
    file = onnx.load(out / "tiny.generator-maps.onnx")
    onnx.checker.check_model(file, full_check=True)
    said = {entry.key: entry.value for entry in file.metadata_props}
    assert (said["model"], said["part"], json.loads(said["class_names"])) == ("tiny", "generator-maps", CLASSES)
    assert json.loads(said["sha256"])["tiny.generator.safetensors"] == sha256(small)
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*file.graph.input, *file.graph.output]
    }
    assert shapes == {"z": ["N", 8], "maps": ["N", 4, 8, 8], "image": ["N", 3, 8, 8]}
    for path in out.iterdir():  # whoever gets the file learns nothing of this computer
        content = path.read_bytes()
        assert str(small.parent).encode() not in content
        assert b".py" not in content


@pytest.mark.usefixtures("quick")
def test_nothing_is_overwritten_unasked(tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["export-onnx", str(tiny), "--out", str(tmp_path)]
    kept = tmp_path / "tiny.encoder.onnx"
    kept.write_bytes(b"mine")
    refused(main(command), capfd, "has tiny.encoder.onnx: choose another --out, or --overwrite")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.encoder.onnx"]
    assert kept.read_bytes() == b"mine"
    assert main([*command, "--overwrite"]) == 0
    assert kept.read_bytes() == b"encoder"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("found", "words"), [(2e-3, "by 2.0e-03"), (float("nan"), "by nan")])
def test_a_file_that_differs_is_not_kept(
    found: float,
    words: str,
    tiny: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writing, "difference", lambda graph, content: found if graph.part == "encoder" else 1e-3)
    line = refused(main(["export-onnx", str(tiny), "--out", str(tmp_path)]), capfd, words)
    assert "encoder: onnxruntime's answers differ from torch's" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.generator-maps.onnx", "tiny.generator.onnx"]


@pytest.mark.usefixtures("quick")
def test_what_a_model_has_no_file_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_network(tmp_path / "plain.safetensors", SNGANGenerator([4, 4]), "generator")
    out = tmp_path / "out"
    assert main(["export-onnx", str(tmp_path / "plain"), "--out", str(out)]) == 0
    err = capfd.readouterr().err
    assert "no generator-maps: the model is unconditional, so there are no classes to mix\n" in err
    assert "no encoder: the model has none\n" in err
    assert [path.name for path in out.iterdir()] == ["plain.generator.onnx"]


def test_without_the_extra(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "NEEDED", ("onnx", "no_such_package"))
    out = tmp_path / "out"
    refused(main(["export-onnx", str(tiny), "--out", str(out)]), capfd, "no_such_package, which is not installed", out)
