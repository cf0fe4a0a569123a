"""Models of the Hugging Face Hub: the library's own requests go to a server on this computer."""

import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from models.errors import PhotograftError
from models.hub import huggingface, kept
from models.reading import sha256
from models.zoo import load_model, model_stem
from tests.infer.tiny_model import write_tiny_model
from tests.models.hub.server import COMMIT, REPOSITORY, Server, serving

NAME = f"hf:{REPOSITORY}"
PINNED = f"{NAME}@{COMMIT}"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A repository with the tiny model, among files that are none of ours."""
    folder = tmp_path / "repository"
    (folder / "samples").mkdir(parents=True)
    write_tiny_model(folder)
    (folder / "tiny.names.csv").write_text("cat one\ncat two\ndog\nlion\n")
    for other in ("README.md", "pytorch_model.bin", "samples/x.generator.safetensors", "tiny.py"):
        (folder / other).write_text("not ours")
    with serving(folder) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)  # as HF_ENDPOINT does when the library is imported
        template = f"{server.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        huggingface._listing.cache_clear()
        yield server


def refused(name: str, words: str) -> None:
    with pytest.raises(PhotograftError, match=words) as caught:
        load_model(name)
    assert "\n" not in str(caught.value)


def again() -> None:
    """As in another process."""
    huggingface._listing.cache_clear()
    huggingface._tell_once.cache_clear()


@pytest.mark.parametrize("large", [True, False])
def test_fetched_at_a_commit_and_found_again(
    large: bool, hub: Server, cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.large = large
    model = load_model(NAME)
    assert model.class_names == ["cat one", "cat two", "dog", "lion"]
    assert (model.name, model.stem) == (PINNED, "heads")
    assert model.fingerprint == sha256(hub.folder / "tiny.generator.safetensors")
    folder = model_stem(PINNED).parent
    parts = [f"tiny.{part}.safetensors" for part in ("discriminator", "encoder", "generator")]
    assert sorted(path.name for path in folder.iterdir()) == sorted(["photograft.json", *parts, "tiny.names.csv"])
    assert f"sha256 {model.fingerprint}\n" in capsys.readouterr().err
    hub.asked.clear()
    again()
    load_model(PINNED)
    assert hub.asked == []  # a commit's files never change
    load_model(NAME)
    assert hub.asked == [f"GET /api/models/{REPOSITORY}/revision/main"]
    hub.stop()
    again()
    capsys.readouterr()
    assert load_model(NAME).name == PINNED
    err = capsys.readouterr().err
    assert err.count(f"{PINNED} is used, as it was fetched before\n") == 1


def test_a_branch_that_moves_on(hub: Server) -> None:
    load_model(NAME)
    hub.commit = "f" * 40
    write_tiny_model(hub.folder, seed=2)
    again()
    moved = load_model(NAME)
    assert moved.name == f"{NAME}@{'f' * 40}"
    hub.asked.clear()
    assert load_model(PINNED).fingerprint != moved.fingerprint
    assert hub.asked == []


def test_not_reached_and_not_kept(hub: Server) -> None:
    hub.stop()
    refused(NAME, "the hub cannot be reached")
    again()
    refused(PINNED, "the hub cannot be reached")


def test_offline_as_the_library_knows_it(hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    load_model(NAME)
    hub.asked.clear()
    again()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()  # which it decides for at the first request
    try:
        assert load_model(NAME).name == PINNED
        assert hub.asked == []
        refused("hf:somebody/else", "the hub cannot be reached")
    finally:
        huggingface_hub.close_session()


def test_what_is_not_there(hub: Server) -> None:
    refused("hf:nobody/nothing", "no such repository")
    refused(f"{NAME}@v9", "no such revision")
    (hub.folder / "tiny.generator.safetensors").unlink()
    again()
    refused(NAME, "a model has one NAME.generator.safetensors, and here is none")
    for name in ("a", "b"):
        (hub.folder / f"{name}.generator.safetensors").write_text("x")
    again()
    refused(NAME, "and here is 2: 'a.generator.safetensors', 'b.generator.safetensors'")


@pytest.mark.parametrize("large", [True, False])
def test_another_file_than_the_hub_says(large: bool, hub: Server, cache_folder: Path) -> None:
    hub.large = large
    path = f"/{REPOSITORY}/resolve/{COMMIT}/tiny.encoder.safetensors"
    status, headers, content = hub.answer(path)
    hub.answers[path] = (status, headers, content[:-1] + bytes([content[-1] ^ 1]))
    refused(NAME, "tiny.encoder.safetensors of .* is not what the hub says: nothing of it is kept")
    assert not list(cache_folder.rglob("tiny.encoder.safetensors"))
    hub.answers.clear()
    assert load_model(NAME).encoder is not None


def test_sizes_are_bounded(hub: Server, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "most_bytes", lambda name: 1000)
    refused(NAME, "is too large: .* at most 1,000 are fetched")
    assert not list(cache_folder.rglob("*.safetensors"))
    assert [asked for asked in hub.asked if "resolve" in asked] == []


@pytest.mark.parametrize(
    "name", ["hf:", "hf:alone", "hf:a/b/c", "hf:a/b@", "hf:a/b@x/y", "hf:../b", "hf:a/b@..", "hf:a b/c", "hf:a/b@c\n"]
)
def test_names_that_are_refused(name: str) -> None:
    refused(name, "a model of the hub is hf:OWNER/NAME")


def test_an_endpoint_that_others_listen_to(hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.example")
    refused(NAME, "HF_ENDPOINT is http://hub.example: models are fetched by https:// alone")


def test_without_the_extra(hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    load_model(NAME)
    again()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused(NAME, r"which is not installed: pip install 'photograft\[hub\]'")
    assert load_model(PINNED).class_names  # what is kept needs nothing


def test_clearing(hub: Server, cache_folder: Path) -> None:
    other = cache_folder / "models" / "mine"
    other.mkdir(parents=True)
    load_model(NAME)
    assert [size > 1000 for _, size in kept.fetched()] == [True]
    assert kept.clear() == 1
    assert sorted(path.name for path in (cache_folder / "models").iterdir()) == ["mine"]
