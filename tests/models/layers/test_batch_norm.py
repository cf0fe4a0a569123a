"""Batch norm folded into the convolutions before it."""

import torch
from torch import Tensor, nn

from models.layers.batch_norm import fold_batch_norm
from models.perception.features import MobileNetV2


def with_random_statistics(network: nn.Module) -> nn.Module:
    """Fresh batch norms are (nearly) the identity: give them something to do."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            state = module.state_dict()
            state["running_mean"].uniform_(-0.5, 0.5)
            state["running_var"].uniform_(0.5, 1.5)
    return network.eval()


def batch_norms(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def test_folding_changes_no_value() -> None:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(6, 6, 3, groups=3), nn.BatchNorm2d(6))
    network = with_random_statistics(nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), inner))
    x: Tensor = torch.randn(2, 3, 9, 9)
    before = network(x)
    fold_batch_norm(network)
    assert not batch_norms(network)
    assert torch.allclose(network(x), before, atol=1e-5)


@torch.no_grad()
def test_a_norm_without_a_convolution_before_it_stays() -> None:
    torch.manual_seed(0)
    network = with_random_statistics(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)))
    x = torch.randn(2, 3, 4, 4)
    before = network(x)
    fold_batch_norm(network)
    assert len(batch_norms(network)) == 1
    assert torch.equal(network(x), before)


@torch.no_grad()
def test_mobilenet_folds_with_the_padding_of_its_source() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 64, 64)
    plain = with_random_statistics(MobileNetV2(tensorflow=False))
    before = plain(x)[1]
    assert torch.allclose(plain.fold()(x)[1], before, rtol=1e-3, atol=1e-4)
    assert not batch_norms(plain)
    theirs = MobileNetV2(tensorflow=True).eval().fold()
    first = theirs.features[0][0]
    padded = nn.functional.pad(x, (0, 1, 0, 1))  # TensorFlow's SAME pads an even side at its end only
    assert torch.allclose(first(x), nn.functional.conv2d(padded, first.weight, first.bias, stride=2), atol=1e-6)
    assert first(x).shape[2:] == (32, 32)
