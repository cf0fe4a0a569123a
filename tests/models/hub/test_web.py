"""Models of an address: fetched with their hash, kept, found again; what is not what it should be is refused."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import PhotograftError
from models.hub import kept, web
from models.hub.address import WebFile, parse
from models.hub.manifest import write_manifest
from models.reading import sha256
from models.zoo import load_model, model_stem, read_classes
from tests.infer.tiny_model import CLASSES, write_tiny_model
from tests.models.hub.server import Server, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """It has the tiny model and its manifest."""
    folder = tmp_path / "served"
    folder.mkdir()
    write_manifest(model_stem(str(write_tiny_model(folder))))
    (folder / "tiny.md").write_text("a card, which is not fetched")
    with serving(folder) as running:
        yield running


def address_of(server: Server, file: str = "tiny.json") -> str:
    return f"{server.address}/{file}#sha256={sha256(server.folder / file)}"


def refused(name: str, words: str) -> str:
    with pytest.raises(PhotograftError, match=words) as caught:
        load_model(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left(cache_folder: Path) -> list[str]:
    """Files below the folder of fetched models."""
    return sorted(path.name for path in cache_folder.rglob("*") if path.is_file())


def test_fetched_with_all_its_files_and_found_again_without_network(
    server: Server, cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = address_of(server)
    model = load_model(name)
    assert model.class_names == CLASSES
    assert (model.discriminator is None, model.encoder is None) == (False, False)
    assert (model.name, model.stem) == (name, "tiny")
    assert model.fingerprint == sha256(server.folder / "tiny.generator.safetensors")
    parts = [f"tiny.{part}.safetensors" for part in ("discriminator", "encoder", "generator")]
    assert left(cache_folder) == sorted(["photograft.json", "tiny.json", *parts])
    assert len(server.asked) == 4  # each once, however often a command looks for the model
    err = capsys.readouterr().err
    assert f"fetched tiny.generator.safetensors: 0.02 MB, sha256 {model.fingerprint}\n" in err
    server.stop()
    assert load_model(name).fingerprint == model.fingerprint
    assert read_classes(name).class_names == CLASSES
    assert capsys.readouterr().err == ""


def test_a_generator_alone(server: Server) -> None:
    model = load_model(address_of(server, "tiny.generator.safetensors"))
    assert (model.class_names, model.stem, model.encoder) == (CLASSES, "tiny", None)
    shutil.copy(server.folder / "tiny.generator.safetensors", server.folder / "plain.safetensors")
    assert load_model(address_of(server, "plain.safetensors")).stem == "plain"


def test_another_file_than_the_hash_says(server: Server, cache_folder: Path) -> None:
    wrong = "0" * 64
    refused(f"{server.address}/tiny.json#sha256={wrong}", f"is not the file with sha256 {wrong}.*nothing of it is kept")
    assert left(cache_folder) == []
    name = address_of(server)
    encoder = server.folder / "tiny.encoder.safetensors"
    before = encoder.read_bytes()
    encoder.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    refused(name, "tiny.encoder.safetensors is not the file with sha256")
    assert "tiny.encoder.safetensors" not in left(cache_folder)
    assert "photograft.json" not in left(cache_folder)
    encoder.write_bytes(before)
    server.asked.clear()
    assert load_model(name).encoder is not None
    assert server.asked == ["GET /tiny.encoder.safetensors", "GET /tiny.generator.safetensors"]  # the rest was there


def test_damaged_in_the_cache(server: Server, cache_folder: Path) -> None:
    name = address_of(server)
    load_model(name)
    (path,) = cache_folder.rglob("tiny.generator.safetensors")
    path.write_bytes(path.read_bytes()[:-5])
    assert kept.kept(parse(name)) is None
    server.asked.clear()
    assert load_model(name).class_names == CLASSES
    assert server.asked == ["GET /tiny.generator.safetensors"]


def test_no_such_file_and_no_server(server: Server, cache_folder: Path) -> None:
    name = address_of(server)
    refused(name.replace("tiny.json", "other.json"), "other.json: the server answers 404 Not Found")
    (server.folder / "tiny.encoder.safetensors").unlink()
    refused(name, "tiny.encoder.safetensors: the server answers 404 Not Found")
    server.stop()
    refused(name, "cannot be reached, and it is not kept: Connection refused")


def test_a_cut_download(server: Server, cache_folder: Path) -> None:
    name, content = address_of(server), (server.folder / "tiny.generator.safetensors").read_bytes()
    headers = {"Content-Length": str(len(content)), "Connection": "close"}
    server.answers["/tiny.generator.safetensors"] = (200, headers, content[:1000])
    refused(name, "tiny.generator.safetensors: the download was cut off")
    assert left(cache_folder) == ["tiny.discriminator.safetensors", "tiny.encoder.safetensors", "tiny.json"]
    server.answers.clear()
    assert load_model(name).class_names == CLASSES


def test_sizes_are_bounded(server: Server, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = address_of(server)
    server.answers["/tiny.json"] = (200, {"Content-Length": str(2**30)}, b"")
    refused(name, "is too large: 1,073,741,824 bytes, and at most 65,536 are fetched")
    server.answers["/tiny.json"] = (200, {"Content-Length": ""}, b"{}")
    refused(name, "does not say how large the file is")
    server.answers["/tiny.json"] = (200, {"Content-Encoding": "gzip"}, b"{}")
    refused(name, "does not say how large the file is")
    server.answers.clear()
    monkeypatch.setattr(web, "most_bytes", lambda file: 1000)
    refused(name, "safetensors is too large: .* at most 1,000 are fetched")
    assert left(cache_folder) == ["tiny.json"]


def test_redirects_lead_to_safe_addresses_alone(server: Server) -> None:
    name = address_of(server)
    server.answers["/tiny.json"] = (302, {"Location": "http://models.example/tiny.json"}, b"")
    refused(name, "leads to http://models.example/tiny.json: models are fetched by https:// alone")
    server.answers["/tiny.json"] = (302, {"Location": "/moved.json"}, b"")
    shutil.copy(server.folder / "tiny.json", server.folder / "moved.json")
    assert load_model(name).class_names == CLASSES


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"tiny.generator.safetensors": "0" * 64, "other.encoder.safetensors": "0" * 64}, "does not belong to a model"),
        ({"tiny.generator.safetensors": "0" * 64, "tiny.sh": "0" * 64}, "'tiny.sh' does not belong"),
        ({"../tiny.generator.safetensors": "0" * 64}, "tiny.json: .*match pattern"),
        ({"tiny.generator.safetensors": "abc"}, "must match pattern"),
        ({"tiny.encoder.safetensors": "0" * 64}, "a model has one NAME.generator.safetensors, and here is none"),
        ({"a.generator.safetensors": "0" * 64, "b.generator.safetensors": "0" * 64}, "and here is 2: 'a.gen"),
        ({}, "at least 1 item"),
    ],
)
def test_manifests_of_no_model(files: dict[str, str], words: str, server: Server) -> None:
    (server.folder / "tiny.json").write_text(json.dumps({"photograft_model": 1, "files": files}))
    refused(address_of(server), words)
    assert server.asked == ["GET /tiny.json"]


HASH = "#sha256=" + "0" * 64


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("http://models.example/x.json" + HASH, "by https:// alone"),
        ("ftp://models.example/x.json" + HASH, "by https:// alone"),
        ("file:///tmp/x.json" + HASH, "by https:// alone"),
        ("https://models.example/x.json", "does not say the file's hash: end it in #sha256=… .*--manifest MODEL"),
        ("https://models.example/x.json#sha256=abc", "does not say the file's hash"),
        ("https://models.example/x.json#md5=" + "0" * 32, "does not say the file's hash"),
        ("https://me:secret@models.example/x.json" + HASH, "no user and no query"),
        ("https://models.example/x.json?token=1" + HASH, "no user and no query"),
        ("https://models.example/a/../x.json" + HASH, "a plain path"),
        ("https://models.example/a%2fx.json" + HASH, "a plain path"),
        ("https://models.example/x.json/" + HASH, "a plain path"),
        ("https:///x.json" + HASH, "has a host"),
        ("https://models.example/x.pkl" + HASH, r"name a STEM.json .* or a \.safetensors"),
        ("https://[::1/x.json" + HASH, "is no address"),
        ("https://models.example:port/x.json" + HASH, "is no address"),
    ],
)
def test_addresses_that_are_refused(name: str, words: str) -> None:
    refused(name, words)


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost", "[::1]:8080"])
def test_this_computer_needs_no_https(host: str) -> None:
    found = parse(f"http://{host}/models/x.generator.safetensors{HASH}")
    assert isinstance(found, WebFile)
    assert (found.title, found.beside("y")) == ("x", f"http://{host}/models/y")


def test_without_the_extra(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    name = address_of(server)
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    refused(name, r"fetched by pooch, which is not installed: pip install 'photograft\[hub\]'")


def test_a_manifest_is_not_written_over_something_else(tmp_path: Path) -> None:
    stem = model_stem(str(write_tiny_model(tmp_path)))
    path, first = write_manifest(stem)
    assert write_manifest(stem) == (path, first)
    write_tiny_model(tmp_path, seed=2)
    assert write_manifest(stem)[1] != first
    path.write_text("{}")
    with pytest.raises(PhotograftError, match="is no manifest"):
        write_manifest(stem)
    assert path.read_text() == "{}"
