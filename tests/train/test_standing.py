"""Standing statistics: those of the samples, whatever the running ones were."""

import torch

from models.generators.sngan import ConditionalBatchNorm2d, SNGANGenerator
from train.standing import measure_statistics


def test_evaluation_then_normalises_as_a_large_batch_would() -> None:
    torch.manual_seed(0)
    generator = SNGANGenerator([16, 8, 4, 4], 6, 3).eval()
    for module in generator.modules():
        if isinstance(module, ConditionalBatchNorm2d):
            torch.nn.init.normal_(module.gamma, 1.0, 0.5)
            module.running_mean.fill_(5.0)  # wrong ones
    shares = torch.tensor([0.2, 0.3, 0.5])
    measure_statistics(generator, shares, batches=8, batch_size=64)
    assert not generator.training
    z, y = torch.randn(2000, 6), torch.multinomial(shares, 2000, replacement=True)
    with torch.no_grad():
        ours = generator(z, y)
        generator.train()
        large = generator(z, y)  # its batch's own statistics
    assert float((ours - large).square().mean()) < 1e-2 * float(large.var())


def test_it_does_not_depend_on_the_global_stream() -> None:
    generator = SNGANGenerator([8, 8, 4], 6, 0).eval()
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        measure_statistics(generator, torch.zeros(0), batches=2, batch_size=4)
        found.append({k: v.clone() for k, v in generator.state_dict().items()})
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0] if "num_batches" not in key)


def test_they_are_those_of_the_samples() -> None:
    torch.manual_seed(0)
    generator = SNGANGenerator([8, 8, 4], 6, 0).eval()
    seen: list[torch.Tensor] = []
    hook = generator.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].double()))
    measure_statistics(generator, torch.zeros(0), batches=3, batch_size=16)
    hook.remove()
    x = torch.cat(seen)
    assert len(x) == 48
    variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(generator.norm.running_mean.double(), mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(generator.norm.running_var.double(), variance, rtol=1e-4, atol=1e-6)
