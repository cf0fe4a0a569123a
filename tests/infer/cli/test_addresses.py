"""Commands with models of an address: recipes name exactly that model, caches are told of, shells fetch nothing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from infer.cli.completion import class_names
from infer.cli.main import main
from infer.editor import Editor
from models.errors import PhotograftError
from models.zoo import load_model
from tests.infer.tiny_model import write_tiny_model
from tests.models.hub.server import Server, serving
from tests.refusals import refused

PLAIN = ("--method", "paste", "--finish", "off", "--settle", "0", "--no-recolour-body")  # what takes no time


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    write_tiny_model(folder)
    with serving(folder) as running:
        yield running


@pytest.fixture
def name(server: Server, capfd: pytest.CaptureFixture[str]) -> str:
    """As `models --manifest` says it."""
    assert main(["models", "--manifest", str(server.folder / "tiny")]) == 0
    out, err = capfd.readouterr()
    assert Path(out.strip()) == server.folder / "tiny.json"
    return f"{server.address}/{err.strip().rpartition('/')[2]}"


def test_a_recipe_fetches_its_own_model(
    server: Server,
    name: str,
    cat: Path,
    edit: Callable[..., int],
    tmp_path: Path,
    cache_folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert edit("--to", "lion", "--model", name, *PLAIN, cat) == 0
    recipe = tmp_path / "out" / "cat_to_lion.json"
    assert json.loads(recipe.read_text())["model"] == {"name": name, "sha256": load_model(name).fingerprint}
    assert main(["cache", "info"]) == 0
    assert f"{cache_folder / 'models'}\n1 fetched models, 0.0 MB\n" in capfd.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert "1 fetched models removed" in capfd.readouterr().out
    server.asked.clear()
    command = ["edit", str(cat), "--to", "golden retriever", "--mask", "box", "--recipe", str(recipe), *PLAIN]
    assert main([*command, "--out", str(tmp_path / "again")]) == 0
    assert len(server.asked) == 4
    again = json.loads((tmp_path / "again" / "cat_to_golden-retriever.json").read_text())
    assert again["model"]["name"] == name
    assert "fetched tiny.generator.safetensors" in capfd.readouterr().err


def test_without_network_and_not_kept(
    server: Server, name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.stop()
    out = tmp_path / "out"
    for command in (["classes"], ["sample", "--out", str(out)], ["edit", "x.jpg", "--to", "lion", "--out", str(out)]):
        refused(main([*command, "--model", name]), capfd, "cannot be reached, and it is not kept", out)


def test_a_shell_fetches_nothing(server: Server, name: str) -> None:
    context = SimpleNamespace(params={"model": name})
    assert class_names(context, "l") == []  # type: ignore[arg-type]
    assert server.asked == []
    load_model(name)
    assert class_names(context, "l") == ["lion"]  # type: ignore[arg-type]
    assert class_names(SimpleNamespace(params={"model": "hf:wrong"}), "l") == []  # type: ignore[arg-type]


def test_in_python(server: Server, name: str) -> None:
    assert Editor.from_pretrained(name).model.name == name
    with pytest.raises(PhotograftError, match="by https:// alone"):
        Editor.from_pretrained("http://models.example/tiny.json")


def test_results_are_named_by_the_model(server: Server, name: str, tmp_path: Path) -> None:
    assert main(["sample", "--model", name, "--columns", "1", "--out", str(tmp_path / "out")]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tiny_samples_0.png"]
