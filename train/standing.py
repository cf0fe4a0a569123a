"""Standing statistics: batch norm of an averaged generator, measured with the weights that will be used.

Running statistics follow the weights of the last step over a mixture of sources; averaged weights have activations of
their own. Brock et al. 2019 (BigGAN), appendix B: forward passes in training mode, statistics averaged over them.
"""

import torch
from torch import Tensor, nn

from models.base import Generator
from models.progress import counted

EPSILON = 1e-5  # added to variances and taken off again


@torch.no_grad()
def measure_statistics(generator: Generator, distribution: Tensor, batches: int = 64, batch_size: int = 64) -> None:
    """Set the running statistics of a generator's batch norms from prior samples, in place.

    Args:
        generator: left in evaluation mode and channels_last; one without batch norm stays as it is.
        distribution: [K], shares of the classes; empty for an unconditional generator.
        batches, batch_size: of samples (the same ones at every call).
    """
    running = {
        module: (module.get_buffer("running_mean"), module.get_buffer("running_var"))
        for module in generator.modules()
        if isinstance(getattr(module, "running_mean", None), Tensor)
    }
    sums = {norm: torch.zeros(2, mean.shape[-1], dtype=torch.float64) for norm, (mean, _) in running.items()}

    def add(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float()  # normalising is how the CPU finds both in one fast pass
        mean, deviation = (
            t.double() for t in torch.native_batch_norm(x, None, None, None, None, True, 0.0, EPSILON)[1:]
        )
        variance = (deviation.pow(-2) - EPSILON).clamp_min(0)
        sums[norm] += torch.stack([mean, variance + mean.square()]).cpu()

    hooks = [norm.register_forward_pre_hook(add) for norm in running]
    stream = torch.Generator().manual_seed(0)
    device = next(generator.parameters()).device
    generator.train().to(memory_format=torch.channels_last)
    steps = range(batches if running else 0)
    for _ in counted(steps, "standing statistics", unit="batches"):
        z = generator.sample_latent(batch_size, stream).to(device)
        label = None
        if generator.num_classes:
            label = torch.multinomial(distribution, batch_size, replacement=True, generator=stream).to(device)
        generator(z, label)
    for hook in hooks:
        hook.remove()
    for norm, (running_mean, running_var) in running.items():
        mean, square = sums[norm] / batches
        running_mean.copy_(mean)
        running_var.copy_(square - mean.square())
    generator.eval()
