"""Everything runs where the networks are: with tensors of CUDA that hold no numbers, and on CUDA where one is there.

Operations on a tensor of another device fail in both, so nothing is left behind.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

from infer.catalog.catalog import build_catalog
from infer.cli.main import main
from infer.editor.editor import Editor
from infer.editor.points import Sample, sample_point
from infer.editor.steps import Blend, ChangeClass, Ground, Step, Transfer, changes, passed
from infer.edits.feature_blending import Stream, blend_regions
from infer.edits.scbn import Region, class_modulations, region_maps
from infer.photo.box import Box
from infer.projection.model import project_pictures
from infer.projection.options import ProjectionOptions
from infer.projection.settling import SettlingTarget, settle, shown
from models.device import fast_dtype, find_device
from models.discriminators.projected import ProjectedDiscriminator
from models.encoder import FeatureEncoder
from models.errors import PhotograftError
from models.prepared import Networks, prepare
from models.samples import Samples, draw
from models.zoo import Model, load_model
from tests.infer.conftest import CAT, ellipse
from tests.infer.tiny_model import CLASSES, LATENTS, RESOLUTION, write_tiny_model
from tests.infer.tiny_styles import write_catalog, write_style_model

CUDA = torch.device("cuda", 0)


class Numbers(TorchDispatchMode):
    """Gives numbers where some are read off tensors that hold none: true, so that checks find all in order, and 0."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            return args[0].dtype == torch.bool or (0.0 if args[0].is_floating_point() else 0)
        return func(*args, **(kwargs or {}))


@contextmanager
def fake() -> Iterator[None]:
    """Networks are prepared as ever, and then are on the device asked for, which need not be there, without numbers."""

    def prepared(
        network: Any, dtype: torch.dtype = torch.float32, last: bool = False, device: torch.device | None = None
    ) -> Any:
        with unset_fake_temporarily():
            made = prepare(network, dtype, last)
        for module in made.modules() if isinstance(made, nn.Module) else ():
            for held in (module._parameters, module._buffers):
                for name, value in held.items():
                    if value is not None:
                        empty = torch.empty_like(value, device=device)
                        held[name] = nn.Parameter(empty, False) if held is module._parameters else empty
        return made

    with pytest.MonkeyPatch.context() as patch, FakeTensorMode(allow_non_fake_inputs=True), Numbers():
        patch.setattr("models.prepared.prepare", prepared)
        for user in ("generators.sngan", "layers.equalized", "encoder"):  # it reads labels, of which there are none
            patch.setattr(f"models.{user}.check_labels", lambda *_: None)
        # going back through the graph wants a real device; on the way there every operation has been seen
        patch.setattr("torch.autograd.grad", lambda outputs, inputs, *rest: (torch.zeros_like(inputs),))
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """Of both kinds, with all that a model can have."""
    folder = tmp_path_factory.mktemp("models")
    zeta = load_model(str(write_tiny_model(folder, "zeta", auxiliary=True)))
    projected = ProjectedDiscriminator(len(CLASSES), RESOLUTION, mixed_channels=4, head_channels=4).freeze()
    torch.nn.init.ones_(projected.outline.last.weight)
    encoder = FeatureEncoder(LATENTS, RESOLUTION, width=8, hidden=16).freeze()
    whole = replace(zeta, projected=projected, encoder=encoder)
    return {"zeta": zeta, "whole": whole, "style": load_model(str(write_style_model(folder)))}


@pytest.mark.parametrize("kind", ["zeta", "whole", "style"])
@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_projection_leaves_no_tensor_behind(models: dict[str, Model], kind: str, preset: str) -> None:
    with fake():
        networks = Networks(
            models[kind], CUDA, torch.bfloat16, True, "projected" if kind == "whole" else "discriminator"
        )
        r = models[kind].generator.resolution
        options = ProjectionOptions(steps=None if preset == "fast" else 1, restarts=1)
        (found,) = project_pictures(networks, torch.zeros(1, 3, r, r), preset=preset, options=options)
        for name, value in vars(found).items():
            assert not isinstance(value, Tensor) or value.device.type == "cpu", name


def test_settling_leaves_no_tensor_behind(models: dict[str, Model]) -> None:
    with fake():
        networks = Networks(models["whole"], CUDA, torch.bfloat16, True, "projected")
        latent, label = torch.zeros(1, LATENTS), torch.tensor([0])
        region = Region(torch.ones(8, 8), 3)
        maps = region_maps(networks.generator, [region])
        wanted = SettlingTarget(torch.ones(1, 64, 64), torch.ones(1, len(CLASSES)) / len(CLASSES))

        def mix(z: Tensor) -> Any:
            return class_modulations(networks.generator, z, label, [region], maps=maps)

        assert settle(networks, latent, wanted, shown(networks.generator, latent, mix), steps=2).device.type == "cpu"
        assert networks.exact.synthesize(latent, mix(latent)).device == CUDA


@pytest.mark.parametrize("kind", ["zeta", "style"])
def test_edits_of_samples_leave_no_tensor_behind(models: dict[str, Model], kind: str) -> None:
    with fake():
        model = Networks(models[kind], CUDA).on_device
        one, other = (draw(model, 1, seed=seed) for seed in (0, 1))
        streams = [Stream(s.latent, model.generator.modulations(s.latent, s.label)) for s in (one, other)]
        image = blend_regions(model.generator, streams[0], streams[1:], [torch.ones(4, 4)])
        assert image.device == CUDA
        made = build_catalog(model, clusters=2, samples=2)
        assert {t.device for t in (made.centres, made.maps, *made.contributions.values())} == {CUDA}


@pytest.mark.parametrize("kind", ["zeta", "style"])
def test_steps_leave_no_tensor_behind(models: dict[str, Model], kind: str) -> None:
    """Samples are drawn on the device, projections come from the CPU: both go through one pass."""
    with fake():
        model = Networks(models[kind], CUDA).on_device
        r, sample = model.generator.resolution, sample_point(model, Sample(3))
        projected = replace(sample, samples=Samples(torch.zeros(1, model.generator.latent_dim), torch.tensor([1])))
        steps: list[Step] = [Blend(sample, "box"), Blend(projected, "box")]
        catalog = None
        if kind == "zeta":  # of w it is read whether its z is known, which tensors without numbers do not say
            steps.append(ChangeClass("lion"))
        else:
            catalog = replace(build_catalog(model, clusters=2, samples=2), names={"eyes": (0,)})
            steps += [Transfer(sample, "eyes", "global"), Transfer(projected, "eyes", "global")]
        ground = Ground(model, model.generator, catalog)
        for source in (sample, projected):
            assert source.samples.latent.device.type == "cpu"
            done = passed(changes(steps, [torch.ones(r, r)] * len(steps), ground), ground, source.samples)
            assert done.image().device == CUDA


def whole_way(model: Model, device: str) -> Editor:
    editor = Editor(model, ellipse, device=device).set_photo(CAT, Box(120, 30, 160, 160))
    editor.project(steps=4, options=ProjectionOptions(tuning=2)).edit("lion", settle=2)
    return editor


@pytest.mark.gpu
def test_the_whole_way_on_cuda(models: dict[str, Model]) -> None:
    here, there = (whole_way(models["whole"], device) for device in ("cpu", "cuda"))
    assert there.networks.generator.device.type == "cuda"
    assert there.projection is not None
    assert there.projection.latent.device.type == "cpu"
    assert there.class_name == here.class_name
    difference = there.edits[0].pixels.astype(float) - here.edits[0].pixels
    assert abs(difference).mean() < 8


@pytest.mark.gpu
def test_steps_on_cuda(models: dict[str, Model], tmp_path: Path) -> None:
    """A photo's projection with parts of samples, and a sample with the photo's, are as on the processor."""
    path = tmp_path / "style.catalog.safetensors"
    made = build_catalog(models["style"], clusters=2, samples=8)
    write_catalog(replace(made, names={"all": (0, 1)}), path)
    pictures = {}
    for device in ("cpu", "cuda"):
        photo, sample = (Editor(models["style"], ellipse, device=device).set_catalog(path) for _ in range(2))
        photo.set_photo(CAT, Box(120, 30, 160, 160)).project("lion", preset="fast")
        sample.set_sample(Sample(4))
        steps = [Blend(Sample(3), "box"), Blend(Sample(5), part="all"), Transfer(Sample(6), "all", "global")]
        edits = [photo.edit(steps), sample.edit([ChangeClass("lion", "box"), Transfer(photo, "all"), *steps])]
        pictures[device] = [edit.pixels.astype(float) for edit in edits]
    for here, there in zip(*pictures.values(), strict=True):
        assert abs(here - there).mean() < 1


def test_a_device_that_is_not_there_is_one_line(
    cat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert find_device("auto") == find_device("cpu") == torch.device("cpu")
    for command in (
        ["edit", str(cat), "--to", "lion"],
        ["project", str(cat)],
        ["demo"],
        ["blend", "--mask", "box"],
        ["transfer", "--part", "eyes"],
        ["sample"],
        ["catalog", "build"],
        ["evaluate", "generator", "--data", str(tmp_path)],
        ["bench"],
    ):
        assert main([*command, "--device", "cuda"]) == 2
        err = capsys.readouterr().err
        assert "device cuda is not there: choose auto or cpu" in " ".join(err.split())
        assert err.count("error:") == 1
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == torch.device("cuda")
    with pytest.raises(PhotograftError, match="unknown device 'tpu'"):
        find_device("tpu")


def test_the_form_is_chosen_by_the_device(models: dict[str, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    for has_bfloat16, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("models.processor.computes_bfloat16", lambda has=has_bfloat16: has)
        networks = Networks.of(models["zeta"], "cpu")
        assert networks.generator.to_rgb.weight.dtype == networks.psi.linear.weight.dtype == dtype  # type: ignore[union-attr,attr-defined]
        assert networks.exact.to_rgb.weight.dtype == networks.encoder.linear.weight.dtype == torch.float32  # type: ignore[union-attr]
    assert fast_dtype(torch.device("cuda")) == torch.bfloat16
    assert fast_dtype(torch.device("mps")) == torch.float32
