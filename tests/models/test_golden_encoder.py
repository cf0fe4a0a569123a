"""ResNet encoders against the original: z, the values before the PReLU, features of every block."""

import pytest
import torch
from torch import Tensor

from models.encoder import ResNetEncoder
from tests.collage_fixtures import LATENT, Fixture, names, network


@pytest.mark.parametrize("name", names("enc_"))
def test_encoder(name: str) -> None:
    encoder: ResNetEncoder = network(name, "encoder")
    features: dict[str, Tensor] = {}
    for link, module in {
        "conv1": encoder.conv,
        "pre": encoder.linear,
        **{f"block{i}": block for i, block in enumerate(encoder.blocks, start=2)},
    }.items():
        module.register_forward_hook(lambda _m, _i, out, link=link: features.update({link: out}))
    with Fixture(name) as fixture, torch.no_grad():
        z = encoder(fixture.get("x"), fixture.get("y"))
        fixture.check("z", z, **LATENT)
        fixture.check("pre_prelu", features["pre"], **LATENT)
        for key in fixture.keys("feat_"):
            fixture.check(key, features[key.split("_")[1]], rtol=1e-4, atol=5e-5)
