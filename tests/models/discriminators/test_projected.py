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


def test_psi_is_of_frozen_features_and_not_of_the_heads() -> None:
    network = ProjectedDiscriminator(2, 64, mixed_channels=4, head_channels=4)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = network.features(x)
        stages = network.project(x).stages
        assert before.shape == (2, sum(stage[0].numel() for stage in stages))
        first = stages[0].flatten(1)
        assert torch.allclose(before[:, : first.shape[1]], first / first.norm(dim=1, keepdim=True), atol=1e-5)
        assert torch.allclose(before.norm(dim=1), torch.full((2,), len(stages) ** 0.5), atol=1e-4)
        for parameter in network.heads_.parameters():
            parameter.add_(1.0)
        assert torch.equal(network.features(x), before)
