"""Codes that fill the prior: the change of basis is exact, and the term pulls dimensions apart."""

import pytest
import torch
from torch import Tensor, nn

from models.encoder import FeatureEncoder
from models.errors import PhotograftError
from models.generators.sngan import SNGANGenerator
from train.gan.codes import correlation_penalty, whiten, widen

SIDE = 32


@pytest.fixture(scope="module")
def pictures() -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    coarse = torch.randn(96, 3, 4, 4, generator=random)
    smooth = nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear").tanh()
    return list(smooth.split(32))


def test_whitening_keeps_pictures_and_makes_codes_white(pictures: list[Tensor]) -> None:
    torch.manual_seed(0)
    encoder = FeatureEncoder(latent_dim=6, resolution=SIDE, width=8, hidden=16)
    generator = SNGANGenerator([8, 8, 4, 4], 6, 2).eval()
    with torch.no_grad():
        for _ in range(20):  # running statistics of some pictures
            encoder.train()(pictures[0])
        encoder.eval()
        before = torch.cat([encoder(x) for x in pictures])
        label = torch.zeros(len(before), dtype=torch.int64)
        shown = generator(before, label)
    assert float((torch.cov(before.T) - torch.eye(6)).abs().max()) > 0.2  # it has something to do
    first = generator.get_submodule("linear")
    assert isinstance(first, nn.Linear)
    whiten(encoder, first, pictures, floor=1e-9)
    encoder.eval()
    with torch.no_grad():
        after = torch.cat([encoder(x) for x in pictures])
        torch.testing.assert_close(after.mean(0), torch.zeros(6), rtol=0, atol=1e-3)
        torch.testing.assert_close(torch.cov(after.T), torch.eye(6), rtol=0, atol=1e-2)
        torch.testing.assert_close(generator(after, label), shown, rtol=1e-3, atol=1e-3)


def test_penalty_falls_to_zero_as_dimensions_come_apart() -> None:
    random = torch.Generator().manual_seed(1)
    mixing = nn.Parameter(torch.tensor([[1.0, 0.9], [0.0, 0.4]]))
    optimizer, covariance = torch.optim.Adam([mixing], 1e-2), torch.eye(2)
    values = []
    for _ in range(600):
        codes = torch.randn(16, 2, generator=random) @ mixing
        codes = codes / (mixing.square().sum(0).sqrt())  # unit variance, as the encoder's standardisation has it
        optimizer.zero_grad()
        penalty = correlation_penalty(codes, covariance)
        penalty.backward()
        optimizer.step()
        values.append(penalty.item())
    unit = mixing.detach() / mixing.detach().square().sum(0).sqrt()
    assert abs(float(unit[:, 0] @ unit[:, 1])) < 0.3  # 0.91 at first; Adam's steps go on
    assert max(values) > 0.03
    assert sum(values[-50:]) / 50 < max(values) / 4


def test_penalty_is_of_the_running_covariance() -> None:
    codes, covariance = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.zeros(2, 2)
    penalty = correlation_penalty(codes, covariance, momentum=0.5)
    assert torch.equal(covariance, torch.full((2, 2), 0.5))
    assert float(penalty) == pytest.approx((0.5**2 + 0.5**2) / 2 / 2)


def test_widening_keeps_pictures_of_codes_and_moves_samples_outwards(pictures: list[Tensor]) -> None:
    torch.manual_seed(0)
    encoder = FeatureEncoder(latent_dim=6, resolution=SIDE, width=8, hidden=16).eval()
    generator = SNGANGenerator([8, 8, 4, 4], 6, 2).eval()
    label = torch.zeros(len(pictures[0]), dtype=torch.int64)
    z = torch.randn(len(label), 6)
    with torch.no_grad():
        code, farther = encoder(pictures[0]), generator(1.5 * z, label)
        shown = generator(code, label)
        for network in (encoder, generator):
            widen(network, 1.5)
        torch.testing.assert_close(encoder(pictures[0]), code / 1.5, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(generator(encoder(pictures[0]), label), shown, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(generator(z, label), farther, rtol=1e-4, atol=1e-5)
    with pytest.raises(PhotograftError, match="--spread"):
        widen(nn.Linear(2, 2), 1.5)
