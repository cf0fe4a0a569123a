"""The projected discriminator."""

import pytest
import torch

from models.discriminators.projected import ProjectedDiscriminator
from models.errors import PhotograftError
from models.layers.resampling import resize


def test_small_pictures_are_enlarged_for_the_features() -> None:
    large = ProjectedDiscriminator(2, 64, mixed_channels=4, head_channels=4)
    small = ProjectedDiscriminator(2, 32, mixed_channels=4, head_channels=4, sees=64)
    small.load_state_dict(large.state_dict())
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    enlarged, label = resize(x, 64), torch.tensor([0, 1])
    with torch.no_grad():
        assert torch.allclose(small(x, label), large(enlarged, label), atol=1e-5)
        assert torch.allclose(small.class_logits(x), large.classify(large.project(enlarged)), atol=1e-5)
    assert ProjectedDiscriminator(**large.config).config["sees"] == 64


@pytest.mark.parametrize("resolution", [1, 16, 31])
def test_too_small_to_be_seen(resolution: int) -> None:
    with pytest.raises(PhotograftError, match="greater than or equal to 32"):
        ProjectedDiscriminator(2, resolution)
