"""The extra [tfhub]: modules of TensorFlow Hub and segmentation graphs, written by TensorFlow itself.

Without TensorFlow these tests are skipped, and say so (tests/conftest.py); where the extra was asked for they fail.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from infer.cli.main import app
from models.checkpoints import formats
from models.errors import PhotograftError
from models.perception.segmentation import create_segmenter
from models.perception.tensorflow_segmenter import TensorFlowSegmenter
from models.tf import process
from tests.golden_fixtures import close, names, tensors
from tests.models.test_golden_biggan import HUB, PORT, hub_module

HANDLE = "https://tfhub.dev/deepmind/biggan-256/2"
WRITER = Path(__file__).parents[1] / "tensorflow_files.py"

with_tensorflow = pytest.mark.tfhub
pytestmark = pytest.mark.slow


def written(*arguments: str | Path) -> Path:
    """What the program writes; its last argument but for options is where."""
    subprocess.run(
        [sys.executable, str(WRITER), *map(str, arguments)],
        env=process.environment(),
        check=True,
        capture_output=True,
    )
    return next(Path(a) for a in reversed(arguments) if isinstance(a, Path))


@with_tensorflow
@pytest.mark.parametrize("folder", HUB, ids=names(HUB))
def test_module(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder, and its address where it is kept already."""
    module = written("module", folder / "tf_variables.npz", tmp_path / "module")
    io = tensors(folder / "io.npz")
    close(formats.read(module).networks["generator"](io["z"], io["class_onehot"]), io["img_v1"], 1e-5)
    kept = tmp_path / "cache" / hashlib.sha1(HANDLE.encode()).hexdigest()
    shutil.copytree(module, kept)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(kept.parent))
    runner = CliRunner()
    for name in (HANDLE, "deepmind/biggan-256/2"):
        shown = runner.invoke(app, ["inspect", name])
        assert shown.exit_code == 0, shown.output
        assert "generator (biggan), BigGAN of TensorFlow Hub, 20 classes, 256 px" in shown.output
    made = runner.invoke(app, ["convert", HANDLE, str(tmp_path / "big.safetensors")])
    assert made.exit_code == 0, made.output
    assert (tmp_path / "big.safetensors").is_file()


@with_tensorflow
@pytest.mark.parametrize("folder", PORT, ids=names(PORT))
def test_deep_module(folder: Path, tmp_path: Path) -> None:
    """Its tables of statistics are constants of the graph."""
    variables = hub_module(folder)
    np.savez(tmp_path / "arrays.npz", **variables)  # type: ignore[arg-type]
    module = written("module", tmp_path / "arrays.npz", tmp_path / "module")
    (tmp_path / "arrays.npz").unlink()
    np.savez(tmp_path / "arrays.npz", **variables)  # type: ignore[arg-type]
    expected = formats.read(tmp_path / "arrays.npz").networks["generator"]
    got = formats.read(module).networks["generator"]
    assert got.config == expected.config
    for name, value in expected.state_dict().items():
        close(got.state_dict()[name], value, 1e-6)


@with_tensorflow
def test_a_damaged_module(tmp_path: Path) -> None:
    if not HUB:
        pytest.skip("no fixture")
    module = written("module", HUB[0] / "tf_variables.npz", tmp_path / "module")
    data = next(module.joinpath("variables").glob("*.data*"))
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(PhotograftError, match="is damaged, or no module with variables"):
        formats.read(module)


@with_tensorflow
def test_a_module_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    with pytest.raises(PhotograftError, match="cannot fetch https://localhost:1/nothing/1"):
        formats.read(Path("https://localhost:1/nothing/1"))


@pytest.fixture
def half_red() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    picture = np.zeros((300, 900, 3), np.uint8)
    picture[:, 450:, 0] = 255
    return picture


@with_tensorflow
def test_frozen_graph(tmp_path: Path, half_red: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    graph = written("frozen", tmp_path / "frozen_inference_graph.pb")
    animal = create_segmenter(f"tensorflow:{graph}")(half_red)
    assert (animal.shape, animal.dtype) == ((300, 900), np.float32)
    assert animal[:, :440].max() == 0
    assert animal[:, 460:].min() == 1
    assert create_segmenter(f"tensorflow-coco:{graph}")(half_red).max() == 0  # label 8 is a truck there


@with_tensorflow
def test_saved_model(tmp_path: Path, half_red: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    animal = create_segmenter(f"tensorflow:{written('saved', tmp_path / 'saved')}")(half_red)
    assert animal[:, :440].max() < 0.5
    assert animal[:, 460:].min() > 0.99


@with_tensorflow
def test_graphs_that_are_not_run(tmp_path: Path) -> None:
    reads = written("frozen", tmp_path / "reads.pb", "ReadFile")
    (tmp_path / "text.pb").write_text("no graph")
    (tmp_path / "empty").mkdir()
    for path, words in (
        (reads, "operations that no segmenter needs: ReadFile"),
        (tmp_path / "text.pb", "no frozen graph, or damaged"),
        (tmp_path / "empty", "no SavedModel"),
    ):
        with pytest.raises(PhotograftError, match=words):
            create_segmenter(f"tensorflow:{path}")


@with_tensorflow
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("classifier", r"is no segmenter: it answers a picture with \[1001\]"),
        ("two", "knows 2 classes: its labels are others"),
        ("fails", r"fails on a picture of \[171, 513, 3\]"),
    ],
)
def test_graphs_that_are_no_segmenters(
    kind: str, words: str, tmp_path: Path, half_red: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> None:
    graph = written("odd", tmp_path / "odd", kind)
    with pytest.raises(PhotograftError, match=words):
        create_segmenter(f"tensorflow:{graph}")(half_red)


@with_tensorflow
def test_a_segmenter_that_ends(tmp_path: Path, half_red: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    segmenter = TensorFlowSegmenter(written("frozen", tmp_path / "graph.pb"))
    segmenter._process.kill()
    segmenter._process.wait()
    for _ in range(2):
        with pytest.raises(PhotograftError, match="TensorFlow failed"):
            segmenter(half_red)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says how to install it."""
    monkeypatch.setattr(process, "NEEDED", ("a_library_that_is_not_there",))
    (tmp_path / "graph.pb").write_bytes(b"x")
    for act in (
        lambda: formats.read(Path(HANDLE)),
        lambda: create_segmenter(f"tensorflow:{tmp_path / 'graph.pb'}"),
    ):
        with pytest.raises(PhotograftError, match=r"pip install 'photograft\[tfhub\]'"):
            act()
    with pytest.raises(PhotograftError, match="segmentation graph not found"):
        create_segmenter(f"tensorflow:{tmp_path / 'none.pb'}")
