"""ONNX files compute what the networks do: in onnxruntime, for every family, for any number of pictures."""

import importlib
import pkgutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import models.generators
from infer.edits.scbn import Region, class_modulations, layer_weights, region_weights, spatial_mix
from models.base import StyleGenerator
from models.encoder import FeatureEncoder, ResNetEncoder
from models.errors import PhotograftError
from models.generators.sngan import ConditionalBatchNorm2d
from models.onnx.graphs import Drawing, Graph, graphs
from models.onnx.writing import TOLERANCE, difference, onnx_bytes
from models.registry import create_generator, list_generators
from models.zoo import Model
from tests.models.test_contract import TINY

for module in pkgutil.iter_modules(models.generators.__path__):
    importlib.import_module(f"models.generators.{module.name}")

Run = Callable[..., NDArray[np.float32]]


@cache
def written(graph: Graph) -> bytes:
    """The graph's file; tracing takes seconds, so each is written once."""
    return onnx_bytes(graph, {})


def session(graph: Graph) -> Run:
    """The graph's file in onnxruntime."""
    loaded = onnxruntime.InferenceSession(written(graph), providers=["CPUExecutionProvider"])
    return lambda **inputs: loaded.run(None, {name: value.numpy() for name, value in inputs.items()})[0]


@cache
def tiny(family: str) -> tuple[Model, list[Graph], list[str]]:
    """A model of a family, conditional where it has such ones; its graphs, and what it has none for.

    Modulations differ by class, and noise is seen.
    """
    name = "conditional" if "conditional" in TINY[family] else next(iter(TINY[family]))
    generator = create_generator(family, **TINY[family][name])
    for norm in generator.modules():
        if isinstance(norm, ConditionalBatchNorm2d):
            nn.init.normal_(norm.gamma, 1.0, 0.5)
            nn.init.normal_(norm.beta, 0.0, 0.5)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
    for key, value in generator.named_parameters():
        if key.endswith("strength"):
            nn.init.constant_(value, 0.1)
    model = Model("tiny", generator.freeze())
    return model, *graphs(model)


def graph_of(family: str, part: str) -> Graph:
    return part_of(tiny(family)[1], part)


def part_of(found: list[Graph], part: str) -> Graph:
    (graph,) = (graph for graph in found if graph.part == part)
    return graph


@pytest.mark.slow
@pytest.mark.parametrize("family", list_generators())
def test_every_family(family: str) -> None:
    model, found, missing = tiny(family)
    generator, parts = model.generator, [graph.part for graph in found]
    if isinstance(generator, StyleGenerator):
        assert parts == ["mapping", "generator", "generator-maps"]
    else:
        assert parts == ["generator", "generator-maps"][: 1 + bool(generator.num_classes)]
    assert missing[-1] == "encoder: the model has none"
    assert len(missing) == 1 + ("generator-maps" not in parts)
    for graph in found:
        assert difference(graph, written(graph)) < TOLERANCE, graph.part


def test_another_class_in_a_region() -> None:
    """As our own edit does it, written independently."""
    generator, run = tiny("sngan")[0].generator, session(graph_of("sngan", "generator-maps"))
    z, label, mask = torch.randn(2, 8), torch.tensor([0, 2]), torch.rand(2, 16, 16)
    region = Region(mask, target=1, strength=0.7)
    expected = generator.synthesize(z, class_modulations(generator, z, label, [region]))
    two = region_weights([mask], [0.7])
    maps = torch.zeros(2, 3, 16, 16)
    maps[[0, 1], label] += two[:, 0]
    maps[:, 1] += two[:, 1]
    found = run(z=z, maps=maps)
    assert np.abs(found - expected.numpy()).max() < 1e-5
    plain = generator(z, label).numpy()
    assert np.abs(found - plain).max() > 1e-2  # the edit is seen


@pytest.mark.slow
def test_parts_of_several_pictures() -> None:
    generator, run = tiny("stylegan2")[0].generator, session(graph_of("stylegan2", "generator-maps"))
    assert isinstance(generator, StyleGenerator)
    for count in (1, 3):  # of any number
        ws = generator.mapping(torch.randn(2 * count, 6), torch.arange(2 * count) % 3).unflatten(0, (2, count))
        maps = torch.rand(2, count, 8, 8).softmax(1)
        weights = layer_weights(maps, generator.modulated_layers)
        mixed = spatial_mix([generator.styles(ws[:, i]) for i in range(count)], weights)
        expected = generator.synthesize(ws[:, 0], mixed).numpy()
        assert np.abs(run(ws=ws, maps=maps) - expected).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder", [FeatureEncoder(6, resolution=32, width=4, hidden=8), ResNetEncoder([4, 4, 8], 6, num_classes=3)]
)
def test_encoders(encoder: FeatureEncoder | ResNetEncoder) -> None:
    model = Model("tiny", tiny("sngan")[0].generator, encoder=encoder.freeze())
    graph = part_of(graphs(model)[0], "encoder")
    run, image, classes = (
        session(graph),
        torch.rand(5, 3, encoder.resolution, encoder.resolution),
        torch.eye(3)[[0, 1, 2, 0, 1]],
    )
    inputs = {"image": image} | ({"classes": classes} if encoder.num_classes else {})
    assert list(inputs) == list(graph.inputs)
    expected = encoder.encode(image, classes).numpy()
    assert np.abs(run(**inputs) - expected).max() < 1e-4


def test_another_answer_is_found() -> None:
    """The comparison can fail: it is between the file and the network that stands beside it."""
    graph = graph_of("sngan", "generator")
    content = written(graph)
    graph = replace(graph, module=deepcopy(graph.module))
    assert difference(graph, content) < 1e-5
    graph.module.generator.to_rgb.bias += 0.01
    assert difference(graph, content) > 1e-3
    graph.module.generator.to_rgb.bias.fill_(torch.nan)
    assert not difference(graph, content) <= TOLERANCE
    with pytest.raises(PhotograftError, match="generator: onnxruntime cannot read it"):
        difference(graph, content[:100])


class Stubborn(Drawing):
    """It looks at values, which no graph can."""

    def forward(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        return z if float(z.sum()) > 0 else -z


def test_what_cannot_be_written(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    known = graph_of("sngan", "generator")
    graph = Graph("generator", Stubborn(tiny("sngan")[0].generator), known.inputs, known.output, known.example)
    with pytest.raises(PhotograftError, match="generator cannot be written as ONNX: ") as caught:
        onnx_bytes(graph, {})
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""  # the compiler's own reports are not for users
    monkeypatch.setattr("models.onnx.writing._LARGEST", 1000)
    with pytest.raises(PhotograftError, match="do not fit into one ONNX file"):
        onnx_bytes(known, {})
