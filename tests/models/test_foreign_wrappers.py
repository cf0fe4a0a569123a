"""Known networks in other people's wrappers: each is read as the bare network is, and what lies beside it is said."""

import importlib.util
import io
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from infer.cli.main import main
from models.base import Configurable
from models.checkpoints import basicsr, formats
from tests.golden_fixtures import FOLDER, arrays, shapes, tensors

State = dict[str, Tensor]
ROSINALITY, NVIDIA = FOLDER / "stylegan/rosinality_64", FOLDER / "stylegan/sg2ada_64"
MEAN = torch.from_numpy(arrays(ROSINALITY / "io.npz")["latent_avg"])
ENCODER = {"input_layer.0.weight": torch.ones(4, 3, 3, 3), "body.0.res_layer.0.weight": torch.ones(4)}
ENCODER |= {"input_layer.1.weight": torch.ones(4), "styles.0.linear.weight": torch.ones(4, 4)}


def rosinality() -> State:
    return tensors(ROSINALITY / "weights.npz")


def nvidia() -> State:
    return tensors(NVIDIA / "weights.npz")


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def psp() -> dict[str, Any]:
    """As pSp and e4e save it: the mean of w once per layer."""
    state = under("encoder.", ENCODER) | under("decoder.", rosinality())
    return {"state_dict": state, "latent_avg": MEAN.repeat(10, 1), "opts": {"output_size": 64}}


def same(a: Configurable, b: Configurable, leave: str = "") -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours if k != leave)


def saved(value: Any, path: Path, *, legacy: bool = False) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


WRAPPERS: dict[str, Callable[[State], Any]] = {
    "bare": lambda s: s,
    "params_ema": lambda s: {"params_ema": s, "params": under("", {k: v * 0 for k, v in s.items()})},
    "ema": lambda s: {"epoch": 3, "ema": s, "model": {k: v * 0 for k, v in s.items()}},
    "generator_ema": lambda s: {"generator_ema": s, "generator": {k: v * 0 for k, v in s.items()}},
    "any name": lambda s: {"cats": s},
    "nested": lambda s: {"checkpoint": {"model": {"state_dict": s}}, "optimizer": {"state": {0: {"step": 1}}}},
    "data parallel": lambda s: under("module.", s),
    "data parallel in g_ema": lambda s: {"g_ema": under("module.", s)},
    "compiled": lambda s: {"G_ema": under("module._orig_mod.", s)},
    "averaged": lambda s: {"n_averaged": torch.tensor(5), **under("module.", s)},
    "lightning": lambda s: {
        "state_dict": under("G_ema.", s) | under("G.", {k: v * 0 for k, v in s.items()}),
        "pytorch-lightning_version": "2.0",
        "optimizer_states": [{"state": {}}],
    },
    "list": lambda s: [s, None, s],
    "ordered": lambda s: OrderedDict(net=OrderedDict(s)),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("state", [rosinality, nvidia])
def test_wrappers(state: Callable[[], State], wrapper: str, legacy: bool, tmp_path: Path) -> None:
    bare = formats.read(saved(state(), tmp_path / "bare.pt"))
    read = formats.read(saved(WRAPPERS[wrapper](state()), tmp_path / "x.pt", legacy=legacy))
    assert same(read.networks["generator"], bare.networks["generator"])
    assert read.layouts == bare.layouts


def test_psp(tmp_path: Path) -> None:
    bare = formats.read(saved({"g_ema": rosinality(), "latent_avg": MEAN}, tmp_path / "bare.pt"))
    for wrapped in (psp(), psp() | {"state_dict": under("module.", psp()["state_dict"])}):
        read = formats.read(saved(wrapped, tmp_path / "x.pt"))
        assert same(read.networks["generator"], bare.networks["generator"])
        assert torch.equal(read.networks["generator"].state_dict()["w_avg"], MEAN)
        assert read.remarks == [
            "not read: 'encoder', 4 entries: an encoder of pSp or e4e (photo to w+), for which there is no reader"
        ]


def test_means_of_layers(tmp_path: Path) -> None:
    """One that differs from layer to layer cannot be kept: it is measured, and said."""
    bare = formats.read(saved({"g_ema": rosinality()}, tmp_path / "bare.pt"))
    prng = torch.Generator().manual_seed(0)
    for mean in (torch.rand(10, 32, generator=prng), None):
        read = formats.read(saved({"g_ema": rosinality(), "latent_avg": mean}, tmp_path / "x.pt"))
        assert same(read.networks["generator"], bare.networks["generator"])
        assert [remark for remark in read.remarks if "latent_avg differs" in remark] == read.remarks
        assert len(read.remarks) == (mean is not None)


@pytest.mark.parametrize("wrapped", [psp, lambda: {"g_ema": under("module.", rosinality())}], ids=["psp", "parallel"])
def test_from_file_to_samples(wrapped: Callable[[], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a user does: look, convert, draw."""
    path, out = saved(wrapped(), tmp_path / "x.pt"), tmp_path / "x.safetensors"
    assert main(["inspect", str(path)]) == 0
    assert capsys.readouterr().out.startswith("generator (stylegan2), StyleGAN2 of rosinality")
    assert main(["convert", str(path), str(out)]) == 0
    assert main(["sample", "--model", str(out), "--columns", "2", "--out", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_basicsr(tmp_path: Path) -> None:
    """The same arrays under BasicSR's names, as its conversion of rosinality's files pairs them."""
    bare = formats.read(saved({"g_ema": rosinality(), "latent_avg": MEAN}, tmp_path / "bare.pt"))
    theirs = {basicsr._theirs(name): value for name, value in rosinality().items()}
    for ours, name in {
        "style.1.weight": "style_mlp.1.weight",
        "input.input": "constant_input.weight",
        "conv1.noise.weight": "style_conv1.weight",
        "conv1.conv.modulation.bias": "style_conv1.modulated_conv.modulation.bias",
        "convs.3.activate.bias": "style_convs.3.activate.bias",
        "convs.2.noise.weight": "style_convs.2.weight",
        "to_rgbs.0.conv.weight": "to_rgbs.0.modulated_conv.weight",
        "noises.noise_4": "noises.noise4",
    }.items():
        assert torch.equal(theirs[name], rosinality()[ours])
    theirs = {name: value for name, value in theirs.items() if not name.endswith("kernel")}  # which its files lack
    read = formats.read(saved({"params_ema": theirs, "latent_avg": MEAN}, tmp_path / "x.pth"))
    assert same(read.networks["generator"], bare.networks["generator"])
    assert read.layouts["generator"] == "StyleGAN2 of BasicSR"
    names = {name.replace("convs.", "conv_body."): v for name, v in tensors(ROSINALITY / "weights_D.npz").items()}
    assert list(formats.read(saved({"params": names}, tmp_path / "d.pth")).networks) == ["discriminator"]


def test_generators_without_noise(tmp_path: Path) -> None:
    """Saved before noise maps were: zeros, and said."""
    state = {name: value for name, value in rosinality().items() if not name.startswith("noises.")}
    read = formats.read(saved({"g_ema": state}, tmp_path / "x.pt"))
    (remark,) = read.remarks
    assert "no noise maps" in remark
    generator: Any = read.networks["generator"]
    assert not any(bool(value.any()) for name, value in generator.named_buffers() if name.endswith(".const"))
    silenced = rosinality()
    silenced |= {name: value * 0 for name, value in silenced.items() if name.endswith("noise.weight")}
    quiet: Any = formats.read(saved({"g_ema": silenced}, tmp_path / "y.pt")).networks["generator"]
    z = generator.sample_latent(2)
    assert torch.equal(generator(z), quiet(z))


# whole modules


class Part(nn.Module):
    """A module that holds what a state dict says, as a module tree."""

    def __init__(self, state: State) -> None:
        super().__init__()
        children: dict[str, State] = {}
        for name, value in state.items():
            first, dot, rest = name.partition(".")
            if dot:
                children.setdefault(first, {})[rest] = value
            else:
                self.register_parameter(name, nn.Parameter(value))
        for name, own in children.items():
            self.add_module(name, Part(own))


def persistent(meta: Any) -> Any:
    """Stands for NVIDIA's function of that place, which a pickle asks for."""
    return meta


class Persistent(Part):
    """A module that pickles as NVIDIA's do."""

    def __reduce__(self) -> Any:
        state = {**self.__dict__, "conv_clamp": 256, "_init_kwargs": {}}
        meta = {"type": "class", "version": 6, "module_src": "raise SystemExit", "class_name": "G", "state": state}
        return persistent, (meta,)


@pytest.fixture
def persistence(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module `torch_utils.persistence`, which this computer does not have."""
    name = "torch_utils.persistence"
    assert importlib.util.find_spec("torch_utils") is None
    with monkeypatch.context() as patch:
        for part in ("torch_utils", name):
            patch.setitem(sys.modules, part, types.ModuleType(part))
        setattr(sys.modules[name], "_reconstruct_persistent_obj", persistent)  # noqa: B010 (a module made here)
        patch.setattr(persistent, "__module__", name)
        patch.setattr(persistent, "__name__", "_reconstruct_persistent_obj")
        patch.setattr(persistent, "__qualname__", "_reconstruct_persistent_obj")
        yield


MODULES: dict[str, Callable[[nn.Module], Any]] = {
    "alone": lambda g: g,  # PTI's tuned generators
    "tuple": lambda g: (g, None, g),
    "G_ema": lambda g: {"G_ema": g, "training_set_kwargs": None},
    "parallel": nn.DataParallel,
    "state_dict": lambda g: {"state_dict": g},
}


@pytest.mark.usefixtures("persistence")
@pytest.mark.parametrize("form", MODULES)
@pytest.mark.parametrize("kind", [Part, Persistent])
def test_whole_modules(kind: type[Part], form: str, tmp_path: Path) -> None:
    bare = formats.read(saved(nvidia(), tmp_path / "bare.pt"))
    read = formats.read(saved(MODULES[form](kind(nvidia())), tmp_path / "x.pt"))
    assert same(read.networks["generator"], bare.networks["generator"])


def test_whole_module_of_rosinality(tmp_path: Path) -> None:
    bare = formats.read(saved(rosinality(), tmp_path / "bare.pt"))
    for value in (Part(rosinality()), {"g_ema": Part(rosinality())}):
        assert same(formats.read(saved(value, tmp_path / "x.pt")).networks["generator"], bare.networks["generator"])


# full width


@pytest.mark.parametrize(
    ("keys", "wrap"),
    [
        ("keys_rosinality_256.txt", lambda s: {"state_dict": under("module.decoder.", s)}),
        ("keys_sg2ada_256.txt", lambda s: under("module.", s)),
        ("keys_rosinality_stylegan1_1024.txt", lambda s: {"g_running": under("module.", s)}),
        ("keys_zoo_pgan256.txt", lambda s: {"netG": under("module.", s)}),
    ],
)
def test_full_width(keys: str, wrap: Callable[[State], Any], tmp_path: Path) -> None:
    line = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
    state = {
        name: torch.from_numpy(line) if name.endswith((".kernel", "resample_filter")) else torch.zeros(shape)
        for name, shape in shapes(keys).items()
    }
    path = saved(wrap(state), tmp_path / "x.pt")
    (described,) = formats.read(path).descriptions()
    assert described.resolution == (1024 if "1024" in keys else 256)


# what is not known


def test_unknown_networks_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resnet = {"conv1.weight": torch.ones(2, 3, 7, 7), "bn1.running_mean": torch.ones(2), "fc.weight": torch.ones(2, 2)}
    resnet |= {f"layer{i}.0.conv1.weight": torch.ones(2, 2) for i in range(1, 5)}
    path = saved({"model": resnet | {f"layer1.0.{i}": torch.ones(1) for i in range(50)}}, tmp_path / "x.pt")
    assert main(["inspect", str(path)]) == 2
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "57 arrays and 0 other entries in 'model':"
    assert lines[1] == "  'conv1.weight': [2, 3, 7, 7]"
    assert lines[-1] == "  and 49 more"
    assert "looks like a ResNet, which classifies" in err
    near = {name: value for name, value in rosinality().items() if name != "conv1.conv.modulation.weight"}
    assert main(["convert", str(saved(near, path)), str(tmp_path / "y.safetensors")]) == 2
    err = capsys.readouterr().err
    assert "StyleGAN2 of rosinality, of whose names 'conv1.conv.modulation.weight' is missing" in err
    assert len(err) < 400


def test_errors_speak_of_the_file(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(rosinality(), buffer)
    for name in (
        "to_rgb1.conv.weight",
        "convs.3.conv.weight",
        "style.2.bias",
        "noises.noise_2",
        "convs.0.activate.bias",
    ):
        path = saved({"g_ema": {k: v for k, v in rosinality().items() if k != name}}, tmp_path / "x.pt")
        with pytest.raises(formats.PhotograftError, match=f"'{name}' is missing"):
            formats.read(path)


def _changed() -> State:
    return {name: value + 1 if name.endswith("conv.weight") else value for name, value in rosinality().items()}


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda: {"model": _changed(), "ema": {"ema": rosinality()}},
        lambda: {"model": _changed(), "averages": {"shadow": rosinality()}},
        lambda: {"model": _changed(), "ema_model": {"decay": 0.9, "weights": {"module": rosinality()}}},
    ],
    ids=["twice", "shadow", "deep"],
)
def test_an_average_is_read_however_deep_it_lies(wrapped: Callable[[], Any], tmp_path: Path) -> None:
    bare = formats.read(saved(rosinality(), tmp_path / "bare.pt")).networks["generator"]
    found = formats.read(saved(wrapped(), tmp_path / "wrapped.pt")).networks["generator"]
    assert same(found, bare, "w_avg")


def test_another_state_beside_the_one_read_is_called_so(tmp_path: Path) -> None:
    state = under("generator.", _changed()) | under("generator_ema.", rosinality())
    (line,) = formats.read(saved({"state_dict": state}, tmp_path / "lightning.ckpt")).remarks
    assert "which is another state or part" in line
