"""The judge: distances and hits mean what they say."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from infer.editor.results import ResultFolder
from infer.evaluate import generator as judge
from infer.evaluate.generator_report import write_generator
from infer.evaluate.judging import Probe
from models.errors import PhotograftError
from models.perception.judges import frechet, to_uint8
from models.zoo import load_model
from tests.infer.projection.helpers import exact
from tests.infer.tiny_styles import write_style_model


def quiet(what: str, done: int, total: int) -> None:
    """No progress."""


def test_frechet_distance_of_gaussians_is_the_known_one() -> None:
    random = torch.Generator().manual_seed(0)
    first = torch.randn(20_000, 3, generator=random)
    second = 2 * torch.randn(20_000, 3, generator=random) + torch.tensor([3.0, 0.0, 0.0])
    assert frechet(first, first) == pytest.approx(0, abs=1e-6)
    # |mean difference|^2 + sum (1 - 2)^2 over 3 dimensions
    assert frechet(first, second) == pytest.approx(9 + 3, rel=0.03)


def test_probe_names_real_classes_and_refuses_wrong_ones() -> None:
    random = torch.Generator().manual_seed(1)
    labels = torch.arange(4).repeat(50)
    features = torch.nn.functional.one_hot(labels, 4).float() * 3 + torch.randn(200, 4, generator=random) * 0.3
    probe, groups = Probe(features, labels, 4, steps=300), torch.tensor([0, 0, 1, 1])
    right = probe.hits(features, labels, groups)
    assert right.class_top1 > 0.95
    wrong = probe.hits(features, (labels + 2) % 4, groups)
    assert wrong.class_top1 < 0.05
    assert wrong.group_top1 < 0.05


def test_report_of_a_random_model_is_far_from_the_floor(tiny: Path, pictures: Path, tmp_path: Path) -> None:
    model = load_model(str(tiny))
    report = judge.evaluate_generator(exact(model), pictures, samples=64)
    assert report.frechet["squeezenet"] > 2 * report.floor["squeezenet"]
    assert report.real.class_top1 > report.hits.class_top1
    assert report.real_manifold.recall > report.manifold.recall
    written = write_generator(report, model, ResultFolder(tmp_path))
    assert [path.suffix for path in written] == [".csv", ".md", ".png"]
    text = written[1].read_text()
    assert "flattering" in text
    assert f"{report.frechet['squeezenet']:.1f}" in text
    assert next(iter(model.hashes.values()))[:12] in text


def test_samples_follow_seed_and_distribution(tiny: Path) -> None:
    model = load_model(str(tiny))
    images, labels = judge.draw_samples(exact(model), 40, 3, 1.0, quiet)
    again, _ = judge.draw_samples(exact(model), 40, 3, 1.0, quiet)
    other, _ = judge.draw_samples(exact(model), 40, 4, 1.0, quiet)
    assert images.dtype == torch.uint8
    assert torch.equal(images, again)
    assert not torch.equal(images, other)
    assert set(labels.tolist()) == set(range(4))


def test_truncation_is_of_w_where_there_is_one(tmp_path: Path) -> None:
    networks = exact(load_model(str(write_style_model(tmp_path))))
    for truncation, varied in ((0.0, False), (1.0, True)):
        images, labels = judge.draw_samples(networks, 12, 3, truncation, quiet)
        assert bool((images[labels == labels[0]].float().std(0) > 1).any()) == varied


def test_data_of_other_classes_are_refused(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "train" / "fish").mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(tmp_path / "train" / "fish" / "a.png")
    Image.new("RGB", (32, 32)).save(tmp_path / "train" / "fish" / "b.png")
    with pytest.raises(PhotograftError, match="classes"):
        judge.evaluate_generator(exact(load_model(str(tiny))), tmp_path, samples=4)


def test_pictures_are_rounded() -> None:
    assert to_uint8(torch.tensor([-1.0, 0.0, 1.0, 2.0])).tolist() == [0, 128, 255, 255]


def test_small_pictures_are_judged_too(tiny: Path) -> None:
    images = torch.randint(0, 256, (3, 3, 128, 128), dtype=torch.uint8)
    small = judge.shrunk(images)
    assert small.shape == (3, 3, 64, 64)
    assert float((small.float().mean() - images.float().mean()).abs()) < 1
