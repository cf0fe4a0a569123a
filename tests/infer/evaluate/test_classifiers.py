"""A classifier with an index map: hits are counted in its own classes, and bad maps are named."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from infer.evaluate.classifiers import Classifier, load_classifier
from models.errors import PhotograftError
from models.zoo import Model, load_model


class ByBrightness(nn.Module):
    """Class 0..9 by how bright a picture is."""

    def forward(self, x: Tensor) -> Tensor:
        level = x.mean(dim=(1, 2, 3)) * 10
        return -(torch.arange(10.0) + 0.5 - level[:, None]).abs()


def quiet(what: str, done: int, total: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load_model(str(tiny))


def test_hits_are_of_mapped_classes() -> None:
    levels = torch.tensor([0.05, 0.15, 0.95, 0.5])
    images = (levels[:, None, None, None] * 255).round().to(torch.uint8).expand(4, 3, 32, 32)
    classifier = Classifier("brightness", ByBrightness(), [[0, 1], [7], [9], []])
    labels, groups = torch.tensor([0, 0, 1, 3]), torch.tensor([0, 1, 1, 1])
    hits = classifier.hits(images, labels, groups, quiet, "")
    assert hits.class_top1 == pytest.approx(2 / 3)  # the third is class 9; the fourth is not mapped
    assert hits.class_top5 == 1.0  # 7 is among the five next to 9
    assert hits.group_top1 == 1.0


def write_map(folder: Path, text: str) -> Path:
    path = folder / "map.yaml"
    path.write_text(text)
    return path


def test_maps_that_do_not_fit_are_named(model: Model, tmp_path: Path) -> None:
    for text, said in (
        ("unicorn: [3]", "unicorn"),
        ("lion: 291", "no index map"),
        ("- lion", "no index map"),
        ("lion: [", "is not YAML"),
    ):
        with pytest.raises(PhotograftError, match=said):
            load_classifier("mobilenet_v2", write_map(tmp_path, text), model)
    with pytest.raises(PhotograftError, match="index map not found"):
        load_classifier("mobilenet_v2", tmp_path / "none.yaml", model)


def test_unknown_classifiers_are_named(model: Model, tmp_path: Path) -> None:
    path = write_map(tmp_path, "lion: [291]")
    with pytest.raises(PhotograftError, match="mobilenet_v9"):
        load_classifier("mobilenet_v9", path, model)
    with pytest.raises(PhotograftError, match="not found"):
        load_classifier(str(tmp_path / "none.safetensors"), path, model)


def test_the_map_of_the_embedded_model_fits_it() -> None:
    from configs import __file__ as configs

    embedded = load_model()
    path = Path(configs or "configs/x").parent / "infer" / "heads_imagenet.yaml"
    with pytest.raises(PhotograftError, match="mobilenet_v9"):  # the map is read first
        load_classifier("mobilenet_v9", path, embedded)
