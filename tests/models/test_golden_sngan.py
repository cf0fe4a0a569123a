"""SNGAN generators against the original: images, features, display conversion, class interpolation."""

import pytest
import torch
from torch import Tensor

from models.base import Layer
from models.generators.sngan import SNGANGenerator
from tests.collage_fixtures import IMAGE, Fixture, names, network


@pytest.mark.parametrize("name", names("gen_"))
def test_generator(name: str, subtests: pytest.Subtests) -> None:
    generator: SNGANGenerator = network(name, "generator")
    features: dict[str, Tensor] = {}

    def tap(layer: Layer, x: Tensor) -> Tensor:
        features[layer.name] = x
        return x

    with Fixture(name) as fixture, torch.no_grad():
        z = fixture.get("z")
        y = fixture.get("y") if "y" in fixture else None
        image = generator(z, y)
        fixture.check("image_item0", image, **IMAGE)
        fixture.check_if_held(subtests, "image_stride4", image, **IMAGE)
        tapped = generator(z, y, tap)
        assert torch.allclose(tapped, image, atol=1e-5)
        for key in fixture.keys("feat_"):
            link = key.split("_")[1]
            layer = "linear" if link == "l1" else f"blocks.{int(link.removeprefix('block')) - 2}"
            fixture.check(key, features[layer], rtol=1e-4, atol=5e-5)
        for key in fixture.keys("image_uint8"):
            fixture.check_uint8(key, image)
        if "interp_y" in fixture:
            classes, shares = fixture.get("interp_y"), fixture.get("interp_weights")  # [N,K]
            weights = torch.zeros(len(z), generator.num_classes).scatter_add_(1, classes, shares)
            interpolated = generator(z[:1].expand_as(z), weights)  # recorded with the first z for all
            fixture.check("interp_image_stride4", interpolated, **IMAGE)
