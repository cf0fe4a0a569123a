"""Samples of style generators are drawn to the mean w, those of others to z = 0."""

import torch

from models.generators.sngan import SNGANGenerator
from models.generators.stylegan2 import StyleGAN2Generator
from models.samples import truncated


def test_truncation_shrinks_what_the_family_shrinks() -> None:
    torch.manual_seed(0)
    z = torch.randn(3, 6)
    sngan = SNGANGenerator([8, 4, 4], 6, 2)
    assert torch.equal(truncated(sngan, z, torch.zeros(3, dtype=torch.int64), 0.5), 0.5 * z)
    style = StyleGAN2Generator([8, 4], latent_dim=6, mapping=[5, 5])
    torch.nn.init.normal_(style.w_avg)
    whole, half, none = (truncated(style, z, None, t) for t in (1.0, 0.5, 0.0))
    assert whole.shape == (3, style.num_ws, 5)
    torch.testing.assert_close(half, (whole + none) / 2)
    torch.testing.assert_close(none, style.w_mean.expand_as(none))
    assert not torch.allclose(whole[0], whole[1])
