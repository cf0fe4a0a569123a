"""The corpus of bad and extreme files of ours: every one is understood or refused in one line, at once.

Weights, recipes, deltas, catalogs and checkpoints with wrong types, sizes, nesting and missing parts; arguments of the
Python interface out of their bounds.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from infer.catalog.catalog import build_catalog, load_catalog
from infer.cli.main import main
from infer.editor.editor import Editor
from infer.editor.recipe_file import read_recipe
from infer.editor.steps import ChangeClass
from infer.photo.box import Box
from infer.pictures.convert import to_pixels
from infer.projection.delta import Delta, load_delta
from infer.projection.options import ProjectionOptions
from models.errors import PhotograftError
from models.generators.sngan import SNGANGenerator
from models.prepared import Networks
from models.zoo import Model, load_model
from tests.infer.conftest import CAT, ellipse
from tests.infer.tiny_model import LATENTS, write_tiny_model
from tests.infer.tiny_styles import write_catalog, write_style_model
from tests.refusals import refused

Json = dict[str, Any]
Capture = pytest.CaptureFixture[str]


def refuses(call: Callable[[], object], words: str = "") -> str:
    """A call ends in one short line within a second or two."""
    started = time.monotonic()
    with pytest.raises(PhotograftError) as caught:
        call()
    line = str(caught.value)
    assert time.monotonic() - started < 5, line
    assert "\n" not in line
    assert len(line) < 1000
    assert words.lower() in line.lower(), line
    return line


# ---------------------------------------------------------------------- weights

CONFIG: Json = {"channels": [8, 4], "latent_dim": 4, "num_classes": 3, "bottom_width": 4}
INFO: Json = {
    "class_names": ["a", "b", "c"],
    "groups": [0, 0, 1],
    "group_names": ["g", "h"],
    "distribution": [0.2, 0.3, 0.5],
}


def state() -> dict[str, torch.Tensor]:
    return {key: value.clone().contiguous() for key, value in SNGANGenerator(**CONFIG).state_dict().items()}


def write(
    folder: Path,
    config: Any = CONFIG,
    info: Any = INFO,
    tensors: dict[str, torch.Tensor] | None = None,
    **metadata: str,
) -> Path:
    """A generator's file; config and info are JSON, or text as it is."""
    path = folder / "x.generator.safetensors"
    texts = {key: v if isinstance(v, str) else json.dumps(v) for key, v in (("config", config), ("info", info))}
    known = {"photograft": "1", "kind": "generator", "family": "sngan", **texts, **metadata}
    save_file(state() if tensors is None else tensors, path, {k: v for k, v in known.items() if v != "absent"})
    return path


CONFIGS: dict[str, tuple[Any, str]] = {
    "a list": ([], "config is []"),
    "null": (None, "config is None"),
    "no JSON": ("{", "Invalid JSON"),
    "nested 100,000 deep": ("[" * 100_000, "recursion limit"),
    "objects nested 100,000 deep": ('{"a":' * 100_000, "recursion limit"),
    "a number of 9,000 digits": ('{"latent_dim": ' + "9" * 9000 + "}", "out of range"),
    "a number of 800 digits": (
        json.dumps(CONFIG).replace('"latent_dim": 4', '"latent_dim": ' + "9" * 800),
        "latent_dim is a number of",
    ),
    "NaN": (json.dumps(CONFIG).replace('"latent_dim": 4', '"latent_dim": NaN'), "latent_dim is nan"),
    "nothing": ({}, "channels is missing"),
    "no channels": ({**CONFIG, "channels": []}, "channels is []"),
    "channels of zero": ({**CONFIG, "channels": [8, 0]}, "channels.1 is 0"),
    "negative channels": ({**CONFIG, "channels": [-8, 4]}, "channels.0 is -8"),
    "2^40 channels": ({**CONFIG, "channels": [2**40, 4]}, "channels.0 is"),
    "a truth value of channels": ({**CONFIG, "channels": [True, 4]}, "channels.0 is True"),
    "half channels": ({**CONFIG, "channels": [8.5, 4]}, "channels.0 is 8.5"),
    "channels as text": ({**CONFIG, "channels": "84"}, "channels is '84'"),
    "channels as an object": ({**CONFIG, "channels": {"8": 4}}, "channels is"),
    "channels up to 64k px": ({**CONFIG, "channels": [8] * 15}, "at most 12"),
    "10^12 latents": ({**CONFIG, "latent_dim": 10**12}, "latent_dim is"),
    "no latents": ({**CONFIG, "latent_dim": 0}, "latent_dim is 0"),
    "latents as text": ({**CONFIG, "latent_dim": "4"}, "latent_dim is '4'"),
    "true latents": ({**CONFIG, "latent_dim": True}, "latent_dim is True"),
    "-1 classes": ({**CONFIG, "num_classes": -1}, "num_classes is -1"),
    "10^9 classes": ({**CONFIG, "num_classes": 10**9}, "num_classes is"),
    "a bottom of a million": ({**CONFIG, "bottom_width": 10**6}, "bottom_width is"),
    "a key name": ({**CONFIG, "name": 1}, "name is not known"),
    "a key self": ({**CONFIG, "self": 1}, "self is not known"),
    "an unknown key": ({**CONFIG, "bogus": 1}, "bogus is not known"),
    "an ugly key": ({**CONFIG, "\x1b[31m\n" * 99: 1}, "is not known"),
    "more than the file holds": ({**CONFIG, "channels": [16384, 16384]}, "does not fit its network"),
    "deeper than the file": ({**CONFIG, "channels": [8, 4, 4]}, "does not fit its network"),
}


@pytest.mark.parametrize(("config", "words"), CONFIGS.values(), ids=CONFIGS)
def test_configs(tmp_path: Path, config: Any, words: str) -> None:
    path = write(tmp_path, config)
    refuses(lambda: load_model(str(path)), words)


FAMILIES: dict[str, tuple[str, Json, str]] = {
    "no such": ("x" * 10**6, CONFIG, "unknown generator"),
    "another": ("stylegan", CONFIG, "bottom_width is not known"),
    "no mapping": ("stylegan2", {"channels": [8], "mapping": []}, "mapping is []"),
    "65 layers of mapping": ("stylegan", {"channels": [8], "mapping": [8] * 65}, "at most 64"),
    "one tap": ("stylegan2", {"channels": [8], "taps": [1]}, "taps"),
    "taps of sum 0": ("stylegan2", {"channels": [8], "taps": [1, -1]}, "taps"),
    "architecture": ("stylegan2", {"channels": [8], "architecture": []}, "architecture is []"),
    "epsilon": ("stylegan", {"channels": [8], "norm_eps": 0}, "norm_eps is 0"),
    "a number for a truth value": ("stylegan", {"channels": [8], "bias_before_blur": 1}, "bias_before_blur is 1"),
    "a fade from nothing": ("pggan", {"channels": [8], "fade": 0.5}, "fade must be 0"),
    "a fade above 1": ("pggan", {"channels": [8, 8], "fade": 2}, "fade is 2"),
    "8192 px of noise": ("stylegan2", {"channels": [8] * 12}, "does not fit its network"),
}


@pytest.mark.parametrize(("family", "config", "words"), FAMILIES.values(), ids=FAMILIES)
def test_families(tmp_path: Path, family: str, config: Json, words: str) -> None:
    path = write(tmp_path, config, family=family)
    refuses(lambda: load_model(str(path)), words)


INFOS: dict[str, tuple[Any, str]] = {
    "a list": ([], "info is []"),
    "null": (None, "info is None"),
    "nested": ('{"a":' + "[" * 100_000, "recursion limit"),
    "numbers for names": ({**INFO, "class_names": [1, 2, 3]}, "class_names.0 is 1"),
    "a text of names": ({**INFO, "class_names": "abc"}, "class_names is 'abc'"),
    "an object of names": ({**INFO, "class_names": {"a": 1}}, "class_names is"),
    "too few names": ({**INFO, "class_names": ["a"]}, "1 class names for 3 classes"),
    "an empty name": ({**INFO, "class_names": ["", "b", "c"]}, "class_names.0 is ''"),
    "a name of 100,000": ({**INFO, "class_names": ["x" * 10**5, "b", "c"]}, "class_names.0 is"),
    "a text of 10 MB": ({**INFO, "note": "x" * 10**7}, "too long"),
    "groups as text": ({**INFO, "groups": ["a"] * 3}, "groups.0 is 'a'"),
    "negative groups": ({**INFO, "groups": [-1, 0, 0]}, "groups.0 is -1"),
    "a number for groups": ({**INFO, "groups": 5}, "groups is 5"),
    "groups without a name": ({**INFO, "groups": [0, 0, 9]}, "groups without a name"),
    "negative shares": ({**INFO, "distribution": [-1, 1, 1]}, "distribution.0 is -1"),
    "shares of sum 0": ({**INFO, "distribution": [0, 0, 0]}, "sum to 0"),
    "shares of sum 2": ({**INFO, "distribution": [1, 0.5, 0.5]}, "sum to 2"),
    "shares that are no numbers": ('{"distribution": [NaN, 0, 1]}', "distribution.0 is nan"),
    "pictures as text": ({**INFO, "images_seen": "many"}, "images_seen is 'many'"),
    "a negative rate": ({**INFO, "learning_rate": -1}, "learning_rate is -1"),
}


@pytest.mark.parametrize(("info", "words"), INFOS.values(), ids=INFOS)
def test_infos(tmp_path: Path, info: Any, words: str) -> None:
    path = write(tmp_path, info=info)
    refuses(lambda: load_model(str(path)), words)


@pytest.mark.parametrize("key", ["photograft", "kind", "family", "config", "info"])
def test_missing_descriptions(tmp_path: Path, key: str) -> None:
    path = write(tmp_path, **{key: "absent"})
    refuses(lambda: load_model(str(path)))


W = "linear.weight"
TENSORS: dict[str, tuple[Callable[[dict[str, torch.Tensor]], object], str]] = {
    "one more": (lambda s: s.update(q=torch.zeros(1)), "Unexpected key"),
    "a name of a million": (lambda s: s.update({"q" * 10**6: torch.zeros(1)}), "Unexpected key"),
    "one less": (lambda s: s.pop(W), "Missing key"),
    "none": (lambda s: s.clear(), "Missing key"),
    "another shape": (lambda s: s.update({W: torch.zeros(3, 3)}), "size mismatch"),
    "no shape": (lambda s: s.update({W: torch.zeros(())}), "size mismatch"),
    "8-bit floats": (lambda s: s.update({W: s[W].to(torch.float8_e4m3fn)}), "F8_E4M3"),
    "complex numbers": (lambda s: s.update({W: s[W].to(torch.complex64)}), "C64"),
    "integers": (lambda s: s.update({W: s[W].int()}), "torch.int32"),
    "NaN": (lambda s: s[W].fill_(torch.nan), "NaN"),
    "beyond float32": (lambda s: s.update({W: s[W].double() + 1e300}), "NaN or infinite"),
}


@pytest.mark.parametrize(("change", "words"), TENSORS.values(), ids=TENSORS)
def test_tensors(tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object], words: str) -> None:
    tensors = state()
    change(tensors)
    path = write(tmp_path, tensors=tensors)
    refuses(lambda: load_model(str(path)), words)


def test_inspect_refuses_alike(tmp_path: Path, capsys: Capture) -> None:
    for config in ({**CONFIG, "channels": []}, {**CONFIG, "latent_dim": 10**12}, []):
        refused(main(["inspect", str(write(tmp_path, config))]), capsys, "config")
    refused(main(["inspect", str(write(tmp_path, info={"class_names": 5}))]), capsys, "class_names is 5")


def test_a_good_file_is_read(tmp_path: Path) -> None:
    model = load_model(str(write(tmp_path)))
    assert (model.class_names, model.groups, model.distribution) == (["a", "b", "c"], [0, 0, 1], [0.2, 0.3, 0.5])


def test_two_classes_of_a_name_are_told_apart_by_number(tmp_path: Path) -> None:
    model = load_model(str(write(tmp_path, info={"class_names": ["crane", "lion", "crane"]})))
    refuses(lambda: model.class_index("crane"), "crane (0), crane (2)")
    assert model.class_index("2") == 2


@pytest.mark.parametrize("name", ["-1", "-2", "1.0", "9" * 5000, "", "³", "x" * 10**6, 5, None, True, ["a"]])
def test_no_classes(tmp_path: Path, name: Any) -> None:
    model = load_model(str(write(tmp_path)))
    refuses(lambda: model.class_index(name), "class")


@pytest.mark.parametrize("name", [5, None, ["a"], "a\0b", "x" * 300, "x" * 5000, "x" * 300 + ".safetensors"])
def test_no_models(name: Any) -> None:
    refuses(lambda: load_model(name))


def test_a_part_under_another_name(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path)
    path.with_name("tiny.discriminator.safetensors").rename(path.with_name("tiny.projected.safetensors"))
    refuses(lambda: load_model(str(path)), "rename the file")


# ---------------------------------------------------------------------- no files


@pytest.fixture(params=["fifo", "zero", "folder", "missing", "long", "giant"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What is no file that can be read whole."""
    path = tmp_path / "special.safetensors"
    if request.param == "fifo":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "giant":
        with path.open("wb") as file:
            file.truncate(2**39)
    special = {"zero": Path("/dev/zero"), "long": tmp_path / ("x" * 300)}
    return special.get(request.param, path)


def test_special_files(no_file: Path, tiny: Path) -> None:
    from models.header import read_header
    from train.checkpoint import read_checkpoint

    model = load_model(str(tiny))
    refuses(lambda: read_header(no_file))
    refuses(lambda: read_recipe(no_file))
    refuses(lambda: load_delta(no_file, ""))
    refuses(lambda: load_catalog(no_file, model))
    refuses(lambda: read_checkpoint(no_file))


# ---------------------------------------------------------------------- recipes


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def written(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of an edit."""
    editor = new_editor(tiny)
    editor.project("black cat", steps=0)
    editor.edit("lion", mask="box", settle=0)
    return editor.save(tmp_path_factory.mktemp("recipe"))[0].with_suffix(".json")


def new_editor(tiny: Path) -> Editor:
    editor = Editor.from_pretrained(str(tiny), segmenter=ellipse)
    return editor.set_photo(np.array(CAT), Box(120, 30, 160, 160))


def changed(path: str, value: Any) -> Callable[[Json], object]:
    """Sets what lies at a dotted path; the value absent takes it away."""
    *way, last = path.split("/")

    def change(content: Any) -> None:
        for key in way:
            content = content[int(key) if isinstance(content, list) else key]
        if value == "absent":
            del content[last]
        else:
            content[last] = value

    return change


RECIPES: list[tuple[str, Any]] = [
    *((key, value) for key in ("model", "source", "references", "catalog", "edit", "files") for value in ("absent", 5)),
    *((f"source/{key}", value) for key in ("photo", "box", "located_by", "projection") for value in ("absent", 5)),
    ("model/name", 5),
    ("model/sha256", None),
    ("source/photo/path", 5),
    ("source/photo/path", "a\0b"),
    ("source/photo/size", [1]),
    ("source/photo/size", [1.5, 2]),
    ("source/photo/size", [10**12, 10**12]),
    ("source/photo/size", "ab"),
    ("source/box", "1,2,3,9999999999"),
    ("source/box", "x" * 10**5),
    ("source/projection/z", None),
    ("source/projection/z", {}),
    ("source/projection/z", []),
    ("source/projection/z", [[1.0] * LATENTS]),
    ("source/projection/z", [True] * LATENTS),
    ("source/projection/z", ["1"] * LATENTS),
    ("source/projection/z", [1e300] * LATENTS),
    ("source/projection/z", [float("nan")] * LATENTS),
    ("source/projection/z", ["a"] * 10**5),
    ("source/projection/w+", [[1.0]]),
    ("source/projection/origin", 5),
    ("source/projection/iterations", 1e300),
    ("source/projection/iterations", -1),
    ("source/projection/iterations", 10**12),
    ("source/projection/loss", "small"),
    ("source/projection/loss", float("nan")),
    ("source/projection/source", 5),
    ("source/projection/settings", []),
    ("source/projection/settings", {"preset": []}),
    ("edit/settle", 10**9),
    ("edit/settle", 1e300),
    ("edit/settle", -1),
    ("edit/settle", True),
    ("edit/steps/0/layers", "all"),
    ("edit/steps/0/layers", [-1]),
    ("edit/steps/0/layers", [0.5]),
    ("edit/steps/0/layers", [10**9]),
    ("edit/method", []),
    ("edit/segmenter", 5),
    ("edit/lossless", "yes"),
    ("edit/steps", {}),
    ("edit/steps", [5]),
    ("edit/steps/0/to", 5),
    ("edit/steps/0/region", 5),
    ("edit/steps/0/region", "/etc/hostname"),
    ("edit/steps/0/region", "../mask.png"),
    ("edit/steps/0/region", "a/b.png"),
    ("edit/steps/0/region", ".."),
    ("edit/steps/0/strength", None),
    ("edit/steps/0/strength", True),
    ("edit/steps/0/strength", -0.1),
    ("edit/steps/0/strenght", 0.5),
    ("edit/steps", []),
    ("edit/steps/0/step", "absent"),
    ("edit/steps/0/step", "paint"),
    ("source/sample", {"seed": 1, "class": None, "truncation": 1.0}),
    ("source", {"sample": {"seed": -1, "class": None, "truncation": 1.0}}),
    ("source", {"sample": {"seed": 1, "class": 5, "truncation": 1.0}}),
    ("source", {"sample": {"seed": 1, "truncation": 1.0}}),
    ("source", {"sample": {"seed": 1, "class": None, "truncation": float("nan")}}),
    ("source", {}),
    ("references", [{}]),
    ("references", [{"sample": {"seed": 1, "class": "lion", "truncation": 1.0}, "box": "1,2,3,4"}]),
    ("catalog", {"file": "a\0b", "sha256": "x", "parts": {}}),
    ("catalog", {"file": "x", "sha256": "x", "parts": {"a": []}}),
    ("catalog", {"file": "x", "sha256": "x", "parts": {"a": [-1]}}),
    ("files", {"delta": "../x.safetensors"}),
    ("files", {"delta": "/x.safetensors"}),
    ("files", {"delta": 5}),
    ("source/photograft_recipe", None),
    ("source/photograft_recipe", [1]),
    ("source/photograft_recipe", 2),
]


@pytest.mark.parametrize(("path", "value"), RECIPES, ids=[f"{path}={str(value)[:20]}" for path, value in RECIPES])
def test_recipes(written: Path, tmp_path: Path, path: str, value: Any) -> None:
    content = json.loads(written.read_text())
    changed(path, value)(content)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(content))
    refuses(lambda: read_recipe(bad), "recipe")


BLEND = {"step": "blend", "reference": 0, "region": "box", "part": None, "move": [0.0, 0.0]} | {
    "strength": 1.0,
    "layers": None,
    "name": "box",
}
TRANSFER = {"step": "transfer", "reference": 0, "part": "a", "mode": "sequential", "epsilon": None, "rho": 0.1} | {
    "lam": 1.0,
    "per_layer": False,
    "released": False,
    "shift": False,
}
STEPS: list[Json] = [
    BLEND | {"reference": 1},
    BLEND | {"reference": -1},
    BLEND | {"reference": "0"},
    BLEND | {"region": None},
    BLEND | {"part": "a"},
    BLEND | {"region": None, "part": "b"},
    BLEND | {"region": "../x.png"},
    BLEND | {"move": [0.0]},
    BLEND | {"move": [float("inf"), 0.0]},
    BLEND | {"name": 5},
    BLEND | {"to": "lion"},
    TRANSFER | {"part": "b"},
    TRANSFER | {"reference": 1},
    TRANSFER | {"mode": "best"},
    TRANSFER | {"mode": "global", "lam": 2.0},
    TRANSFER | {"rho": -1.0},
    TRANSFER | {"epsilon": "1"},
    TRANSFER | {"shift": 1},
]


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_steps_of_recipes(written: Path, tmp_path: Path, step: Json) -> None:
    content = json.loads(written.read_text())
    content["references"] = [{"sample": {"seed": 1, "class": "lion", "truncation": 1.0}}]
    content["catalog"] = {"file": "x", "sha256": "x", "parts": {"a": [0]}}
    path = tmp_path / "recipe.json"
    for whole in (BLEND, TRANSFER):
        content["edit"]["steps"] = [whole]
        path.write_text(json.dumps(content))
        assert read_recipe(path).steps[0].to_json() == whole
    content["edit"]["steps"] = [step]
    path.write_text(json.dumps(content))
    refuses(lambda: read_recipe(path), "recipe")


# Of the versions before, when each command had a format of its own.
BEFORE = Path(__file__).parents[1] / "golden" / "recipes"
OLD: list[tuple[str, str, Any]] = [
    *(("blend", key, "absent") for key in ("source", "regions", "catalog", "mask_invert", "layers", "truncation")),
    ("blend", "photograft_blend", 2),
    ("blend", "photograft_recipe", 1),
    ("blend", "source", {}),
    ("blend", "source/seed", 3),
    ("blend", "regions", []),
    ("blend", "regions/0/mask", "absent"),
    ("blend", "regions/0/mask", "a\0b"),
    ("blend", "regions/0/part", "eyes"),
    ("blend", "regions/0/strength", 2),
    ("blend", "regions/0/reference", {"seed": -1, "class": None}),
    ("blend", "files", {"delta": "../x"}),
    *(("transfer", key, "absent") for key in ("source", "parts", "catalog", "query", "shift", "method", "files")),
    ("transfer", "parts/0/clusters", []),
    ("transfer", "query/rho", float("nan")),
    ("transfer", "query/mode", "best"),
]


@pytest.mark.parametrize(("kind", "key", "value"), OLD, ids=[f"{k} {p}={str(v)[:20]}" for k, p, v in OLD])
def test_damaged_recipes_of_versions_before(tmp_path: Path, kind: str, key: str, value: Any) -> None:
    (whole,) = (BEFORE / kind).glob("*.json")
    read_recipe(whole)
    content = json.loads(whole.read_text())
    changed(key, value)(content)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(content))
    refuses(lambda: read_recipe(bad), "recipe")


def test_an_old_recipe_is_read(tmp_path: Path) -> None:
    whole = BEFORE / "edit" / "photo_to_lion_black-cat.json"
    content = json.loads(whole.read_text())
    assert read_recipe(whole).method == "limited"
    for key in ("settle", "method"):
        del content["edit"][key]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(content))
    recipe = read_recipe(old)
    assert (recipe.settle, recipe.method) == (0, "poisson"), "what there was at that time"
    assert recipe.source == read_recipe(str(whole)).source


# ---------------------------------------------------------------------- deltas


@pytest.fixture
def generator(tmp_path: Path) -> SNGANGenerator:
    return SNGANGenerator(**CONFIG).freeze()


DELTAS: dict[str, dict[str, torch.Tensor]] = {
    "factors of terabytes": {f"{W}:left": torch.zeros(10**6, 1).half(), f"{W}:right": torch.zeros(1, 10**6).half()},
    "factors of another size": {f"{W}:left": torch.zeros(128, 1).half(), f"{W}:right": torch.zeros(1, 5).half()},
    "factors that do not meet": {f"{W}:left": torch.zeros(128, 2).half(), f"{W}:right": torch.zeros(1, 4).half()},
    "one factor": {f"{W}:left": torch.zeros(128, 2).half()},
    "the other factor": {f"{W}:right": torch.zeros(2, 4).half()},
    "a vector as a factor": {f"{W}:left": torch.zeros(128).half(), f"{W}:right": torch.zeros(1, 4).half()},
    "an unknown name": {"nobody": torch.zeros(3).half()},
    "another size": {W: torch.zeros(7).half()},
    "NaN": {W: torch.full((128, 4), torch.nan).half()},
    "8-bit floats": {W: torch.zeros(128, 4).to(torch.float8_e5m2)},
    "a counter": {"norm.num_batches_tracked": torch.zeros(()).half()},
}


@pytest.mark.parametrize("tensors", DELTAS.values(), ids=DELTAS)
def test_deltas(tmp_path: Path, generator: SNGANGenerator, tensors: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "d.safetensors"
    save_file(tensors, path, {"photograft_delta": "1", "generator": "abc"})
    refuses(lambda: load_delta(path, "abc").applied(generator))


def test_a_delta_of_another_or_of_none(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    Delta({W: torch.zeros(128, 4).half()}).save(path, "abc")
    refuses(lambda: load_delta(path, "abd"), "other weights")
    path.write_bytes(path.read_bytes()[:-3])
    refuses(lambda: load_delta(path, "abc"), "damaged")


# ---------------------------------------------------------------------- catalogs


@pytest.fixture(scope="module")
def styles(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(str(write_style_model(tmp_path_factory.mktemp("style"))))


@pytest.fixture(scope="module")
def catalog(styles: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalog") / "style.catalog.safetensors"
    write_catalog(build_catalog(styles, clusters=3, samples=4, restarts=1), path)
    return path


def recatalogued(catalog: Path, folder: Path, settings: Any = None, **tensors: torch.Tensor) -> Path:
    """The catalog with other settings (JSON, or text as it is) and tensors."""
    with safe_open(catalog, "pt") as file:
        known = json.loads(file.metadata()["settings"])
    settings = known if settings is None else {**known, **settings} if isinstance(settings, dict) else settings
    path = folder / "bad.catalog.safetensors"
    text = settings if isinstance(settings, str) else json.dumps(settings)
    save_file({**load_file(catalog), **tensors}, path, {"photograft_catalog": "1", "settings": text})
    return path


@pytest.mark.parametrize(
    "settings",
    [
        [],
        "[" * 10**5,
        "",
        "5",
        {"layers": 5},
        {"layers": ["nobody"]},
        {"layers": [5]},
        {"clusters": -1},
        {"clusters": 2},
        {"clusters": "3"},
        {"samples": 10**12},
        {"seed": 2**70},
        {"seed": -1},
        {"truncation": float("nan")},
        {"resize": "cubic"},
        {"model": 5},
        {"weights": "0" * 64},
        {"bogus": 1},
    ],
    ids=lambda value: str(value)[:24],
)
def test_settings_of_catalogs(catalog: Path, styles: Model, tmp_path: Path, settings: Any) -> None:
    path = recatalogued(catalog, tmp_path, settings)
    refuses(lambda: load_catalog(path, styles))


@pytest.mark.parametrize(
    "tensors",
    [
        {"centres": torch.zeros(3)},
        {"centres": torch.zeros(0, 8)},
        {"mean": torch.zeros(2)},
        {"std": torch.full((8,), torch.nan)},
        {"std": torch.full((6,), -1.0)},
        {"maps": torch.full((3, 4, 4), 5.0)},
        {"maps": torch.full((3, 4, 4), -0.5)},
        {"maps": torch.zeros(3, 0, 0)},
        {"maps": torch.zeros(2, 4, 4)},
        {"more": torch.zeros(1)},
        {"mean": torch.zeros(8, dtype=torch.int32)},
    ],
    ids=lambda tensors: f"{next(iter(tensors))} {list(next(iter(tensors.values())).shape)}",
)
def test_tensors_of_catalogs(catalog: Path, styles: Model, tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path = recatalogued(catalog, tmp_path, **tensors)
    refuses(lambda: load_catalog(path, styles))


BOMB = "a: &a [1]\n" + "\n".join(f"{k}: &{k} [{', '.join([f'*{chr(ord(k) - 1)}'] * 9)}]" for k in "bcdefghijk")
NAMES = {
    "a date": "eyes: 2020-01-01",
    "a date that there is not": "eyes: 2020-99-99",
    "a bomb of anchors": BOMB,
    "itself": "&a eyes: [*a]",
    "a truth value": "eyes: [true]",
    "a number": "5",
    "a list": "[1, 2]",
    "a number as a name": "5: [1]",
    "out of range": "eyes: [3]",
    "negative": "eyes: [-1]",
    "10^30": "eyes: [1" + "0" * 30 + "]",
    "9,000 digits": "eyes: [" + "9" * 9000 + "]",
    "no clusters": "eyes: []",
    "text": "eyes: many",
    "an object of Python's": "eyes: !!python/object/apply:os.getpid []",
    **{
        f"a tag, {text}": f"eyes: {text}"
        for text in (
            '!!int ""',
            "!!bool xyz",
            "!!map [a, b]",
            "!!float []",
            "!!set 1",
            "!!omap [1]",
            "!!pairs [1]",
            "!!binary 5",
            "!!timestamp x",
            "!!null {}",
            "! 5",
            "!own 5",
        )
    },
    "an open bracket": "eyes: [1",
    "nested": "[" * 5000,
    "a part twice": "eyes: [0]\neyes: [1]",
    "numbers as a name": '"1, 2": [0]',
    "blanks as a name": '" ": [0]',
}


@pytest.mark.parametrize("text", NAMES.values(), ids=NAMES)
def test_names_of_parts(catalog: Path, styles: Model, tmp_path: Path, text: str) -> None:
    path = recatalogued(catalog, tmp_path)
    path.with_suffix(".yaml").write_text(text)
    refuses(lambda: load_catalog(path, styles))


def test_a_good_catalog_is_read(catalog: Path, styles: Model, tmp_path: Path) -> None:
    path = recatalogued(catalog, tmp_path)
    path.with_suffix(".yaml").write_text(yaml.safe_dump({"eyes": [0, 2]}))
    assert load_catalog(path, styles).names == {"eyes": (0, 2)}
    refuses(lambda: load_catalog(path, styles).clusters("9" * 5000), "unknown part")


# ---------------------------------------------------------------------- arguments

OPTIONS: list[tuple[str, Any]] = [
    ("steps", -1),
    ("steps", 10**9),
    ("steps", True),
    ("steps", 1.5),
    ("steps", "1"),
    ("restarts", -1),
    ("restarts", 10**9),
    ("tuning", -1),
    ("tuning", 10**9),
    ("tuning", "yes"),
    ("seed", 2**70),
    ("seed", -1),
    ("seed", 0.5),
    ("learning_rate", float("nan")),
    ("learning_rate", -1.0),
    ("learning_rate", 0.0),
    ("learning_rate", "fast"),
    ("pixel_weight", float("inf")),
    ("max_norm", float("nan")),
    ("space", "q"),
    ("space", ["z"]),
    ("space", "w"),
    ("space", "zeta"),
    ("keep", 5),
    ("keep", "x"),
    ("noise", "yes"),
    ("patience", 0),
]


@pytest.mark.parametrize("preset", ["fast", "balanced"])
@pytest.mark.parametrize(("name", "value"), OPTIONS, ids=[f"{name}={value}" for name, value in OPTIONS])
def test_options_of_projection(tiny: Path, preset: str, name: str, value: Any) -> None:
    editor = new_editor(tiny)
    refuses(lambda: editor.project("lion", preset=preset, options=ProjectionOptions(**{name: value})), name)
    assert editor.projection is None


def test_tuning_is_said_to_be_a_number() -> None:
    refuses(lambda: ProjectionOptions(tuning=-1), "tuning is -1: must be greater than or equal to 0")
    refuses(lambda: ProjectionOptions(tuning="yes"), "tuning is 'yes': must be a valid integer")  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["tpu", "", 5, None, ["cpu"]])
def test_devices(tiny: Path, device: Any) -> None:
    refuses(lambda: Editor.from_pretrained(str(tiny), device=device), "device")


@pytest.mark.parametrize("psi", ["nobody", "projected", []])
def test_psi(tiny: Path, psi: Any) -> None:
    refuses(lambda: Networks.of(load_model(str(tiny)), "cpu", psi=psi), "psi" if psi == [] else "no")


@pytest.mark.parametrize("preset", ["slow", 5, None, [], "x" * 10**6])
def test_presets(tiny: Path, preset: Any) -> None:
    refuses(lambda: new_editor(tiny).project("lion", preset=preset), "preset")


EDITS: dict[str, Json] = {
    "strength NaN": {"strength": float("nan")},
    "strength as text": {"strength": "1"},
    "strength true": {"strength": True},
    "strength 2": {"strength": 2},
    "mask 5": {"mask": 5},
    "layers as text": {"layers": "all"},
    "layers 5": {"layers": 5},
    "half a layer": {"layers": [0.5]},
    "layer -1": {"layers": [-1]},
    "layer true": {"layers": [True]},
    "layer 99": {"layers": [99]},
    "settle -1": {"settle": -1},
    "settle 10^9": {"settle": 10**9},
    "settle true": {"settle": True},
    "method": {"method": "glue"},
    "class 5": {"to": 5},
    "class -1": {"to": [ChangeClass("-1")]},
}


@pytest.mark.parametrize("options", EDITS.values(), ids=EDITS)
def test_edits(tiny: Path, options: Json) -> None:
    editor = new_editor(tiny).project("black cat", steps=0)
    refuses(lambda: editor.edit(**{"to": "lion", "mask": "box", **options}))
    assert editor.edits == []


@pytest.mark.parametrize(
    "options",
    [{"label": -1}, {"label": 4}, {"label": "lion"}, {"label": True}, {"label": 0, "iterations": -1}],
    ids=str,
)
def test_known_projections(tiny: Path, options: Json) -> None:
    refuses(lambda: new_editor(tiny).set_projection(torch.zeros(1, LATENTS), **options))


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "generator", "--samples", "1000000000"],
        ["catalog", "build", "--samples", "1000000000"],
        ["catalog", "build", "--seed", "99999999999999999999"],
        ["catalog", "build", "--max-vectors", "1000000000000"],
        ["edit", "x.png", "--to", "lion", "--settle", "1000000000"],
        ["edit", "x.png", "--to", "lion", "--steps", "1000000000"],
        ["transfer", "--part", "eyes", "--rho", "1e300"],
    ],
    ids=" ".join,
)
def test_numbers_of_commands(arguments: list[str], capsys: Capture) -> None:
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


# ---------------------------------------------------------------------- understood by one command, refused by another


def test_a_key_twice(tmp_path: Path, written: Path) -> None:
    text = json.dumps(CONFIG)
    path = write(tmp_path, text[:-1] + ', "latent_dim": 4}')
    refuses(lambda: load_model(str(path)), "'latent_dim' is there twice")
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"photograft_recipe": 1,' + written.read_text()[1:])
    refuses(lambda: read_recipe(recipe))


@pytest.mark.parametrize("info", [{"class_names": ["a"]}, {"groups": [0]}, {"groups": [9, 0, 0]}], ids=str)
def test_inspect_refuses_classes_as_loading_does(tmp_path: Path, info: Json, capsys: Capture) -> None:
    path = write(tmp_path, info={**INFO, **info})
    refuses(lambda: load_model(str(path)), "is damaged")
    assert main(["inspect", str(path)]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_negative_variances(tmp_path: Path) -> None:
    tensors = state()
    name = next(key for key in tensors if key.endswith("running_var"))
    tensors[name] = -tensors[name]
    path = write(tmp_path, tensors=tensors)
    refuses(lambda: load_model(str(path)), "negative variances")


def test_a_picture_that_is_not_of_numbers() -> None:
    refuses(lambda: to_pixels(torch.full((1, 3, 4, 4), float("nan"))), "drew NaN or infinite values")


@pytest.mark.parametrize("parts", [("eyes=0", "eyes=1"), ("3=0",), ("1, 2=0",)], ids=str)
def test_parts_named_by_command(
    catalog: Path, styles: Model, tmp_path: Path, capsys: Capture, parts: tuple[str, ...]
) -> None:
    path = recatalogued(catalog, tmp_path)
    refused(main(["catalog", "name", *parts, "--catalog", str(path), "--model", styles.name]), capsys, "part")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
