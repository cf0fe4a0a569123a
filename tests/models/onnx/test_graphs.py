"""ONNX files compute what the networks do: in onnxruntime, for every family, for any number of pictures."""

import importlib
import pkgutil
from collections.abc import Callable

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
from models.generators.sngan import SNGANGenerator
from models.onnx.graphs import Drawing, Graph, graphs
from models.onnx.writing import TOLERANCE, difference, onnx_bytes
from models.registry import create_generator, list_generators
from models.zoo import Model
from tests.infer.tiny_styles import tiny_generator
from tests.models.test_contract import TINY

for module in pkgutil.iter_modules(models.generators.__path__):
    importlib.import_module(f"models.generators.{module.name}")

Run = Callable[..., NDArray[np.float32]]


def session(graph: Graph) -> Run:
    """The graph's file in onnxruntime."""
    loaded = onnxruntime.InferenceSession(onnx_bytes(graph, {}), providers=["CPUExecutionProvider"])
    return lambda **inputs: loaded.run(None, {name: value.numpy() for name, value in inputs.items()})[0]


def graph_of(model: Model, part: str) -> Graph:
    (found,) = (graph for graph in graphs(model)[0] if graph.part == part)
    return found


@pytest.fixture(scope="module")
def sngan() -> Model:
    """With modulations that differ by class."""
    generator = SNGANGenerator([8, 8, 4], latent_dim=6, num_classes=3)
    for norm in generator._norms():
        nn.init.normal_(norm.gamma, 1.0, 0.5)
        nn.init.normal_(norm.beta, 0.0, 0.5)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return Model("tiny", generator.freeze())


@pytest.mark.slow
@pytest.mark.parametrize("family", list_generators())
def test_every_family(family: str) -> None:
    name = "conditional" if "conditional" in TINY[family] else next(iter(TINY[family]))
    generator = create_generator(family, **TINY[family][name]).freeze()
    found, missing = graphs(Model("tiny", generator))
    parts = [graph.part for graph in found]
    if isinstance(generator, StyleGenerator):
        assert parts == ["mapping", "generator", "generator-maps"]
    else:
        assert parts == ["generator", "generator-maps"][: 1 + bool(generator.num_classes)]
    assert missing[-1] == "encoder: the model has none"
    assert len(missing) == 1 + ("generator-maps" not in parts)
    for graph in found:
        assert difference(graph, onnx_bytes(graph, {})) < TOLERANCE, graph.part


def test_another_class_in_a_region(sngan: Model) -> None:
    """As our own edit does it, written independently."""
    generator, run = sngan.generator, session(graph_of(sngan, "generator-maps"))
    z, label, mask = torch.randn(2, 6), torch.tensor([0, 2]), torch.rand(2, 16, 16)
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
def test_parts_of_several_pictures(sngan: Model) -> None:
    generator = tiny_generator("stylegan2")
    run = session(graph_of(Model("style", generator), "generator-maps"))
    for count in (1, 3):  # of any number
        ws = generator.mapping(torch.randn(2 * count, 6), torch.arange(2 * count) % 3).unflatten(0, (2, count))
        maps = torch.rand(2, count, 16, 16).softmax(1)
        weights = layer_weights(maps, generator.modulated_layers)
        mixed = spatial_mix([generator.styles(ws[:, i]) for i in range(count)], weights)
        expected = generator.synthesize(ws[:, 0], mixed).numpy()
        assert np.abs(run(ws=ws, maps=maps) - expected).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder", [FeatureEncoder(6, resolution=32, width=4, hidden=8), ResNetEncoder([4, 4, 8], 6, num_classes=3)]
)
def test_encoders(encoder: FeatureEncoder | ResNetEncoder, sngan: Model) -> None:
    graph = graph_of(Model("tiny", sngan.generator, encoder=encoder.freeze()), "encoder")
    run, image, classes = (
        session(graph),
        torch.rand(5, 3, encoder.resolution, encoder.resolution),
        torch.eye(3)[[0, 1, 2, 0, 1]],
    )
    inputs = {"image": image} | ({"classes": classes} if encoder.num_classes else {})
    assert list(inputs) == list(graph.inputs)
    expected = encoder.encode(image, classes).numpy()
    assert np.abs(run(**inputs) - expected).max() < 1e-4


def test_another_answer_is_found(sngan: Model) -> None:
    """The comparison can fail: it is between the file and the network that stands beside it."""
    graph = graph_of(sngan, "generator")
    content = onnx_bytes(graph, {})
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


def test_what_cannot_be_written(
    sngan: Model, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    known = graph_of(sngan, "generator")
    graph = Graph("generator", Stubborn(sngan.generator), known.inputs, known.output, known.example)
    with pytest.raises(PhotograftError, match="generator cannot be written as ONNX: ") as caught:
        onnx_bytes(graph, {})
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""  # the compiler's own reports are not for users
    monkeypatch.setattr("models.onnx.writing._LARGEST", 1000)
    with pytest.raises(PhotograftError, match="do not fit into one ONNX file"):
        onnx_bytes(known, {})
