"""Batch normalisation whose statistics in training are those of the pictures of all processes; and its folding away.

One process computes as `F.batch_norm`, bit for bit. Several (`torch.distributed` is initialised) share their sums in
one all-reduce per layer, forward and backward, on any device; `torch.nn.SyncBatchNorm` takes CUDA tensors only.
"""

from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def shares_statistics() -> bool:
    """Whether there are other processes whose pictures belong to the batch."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over processes. What is minimised is the sum of their losses, so gradients add up too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        result: Tensor = _SumOverProcesses.apply(gradient)  # differentiable itself
        return result


def shared_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Statistics per channel of the batches [n,C,...] of all processes, whose n may differ.

    Returns:
        mean [C] and biased variance [C], float32 and differentiable, and the number of values per channel, float64 [].
    """
    variance, mean = torch.var_mean(x.float(), dim=[d for d in range(x.ndim) if d != 1], correction=0)
    channels, count = x.shape[1], x.numel() // x.shape[1]
    # a mean far from zero would cancel the digits of the variance in float32
    sums = torch.cat([mean.double(), variance.double() + mean.double().square(), mean.new_ones(1, dtype=torch.float64)])
    sums = _SumOverProcesses.apply(sums * count)
    total = sums[-1].detach()
    mean, square = (sums[:-1] / total).split(channels)
    return mean.float(), (square - mean.square()).clamp_min(0).float(), total


def batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:  # [N,C,...] -> [N,C,...]
    """`F.batch_norm`; in training over the pictures of all processes, which must all call it equally often.

    Args:
        x: [N,C,...]; statistics are computed in float32, the result has its dtype.
        running_mean, running_var: [C]; moved on in place in training, by the unbiased variance.
        weight, bias: [C] or None.
        training, momentum, eps: as in torch.
    """
    if not (training and shares_statistics()):
        return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    mean, variance, count = shared_statistics(x)
    with torch.no_grad():
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
    scale = torch.rsqrt(variance + eps)
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale
    if bias is not None:
        shift = shift + bias
    shape = [1, -1, *[1] * (x.ndim - 2)]
    return torch.addcmul(shift.view(shape), x.float(), scale.view(shape)).to(x.dtype)


class _Shared(nn.modules.batchnorm._BatchNorm):
    """torch's layer with `batch_norm` above; same parameters, buffers and results in one process."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and shares_statistics()):
            return super().forward(x)
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        return batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=True,
            momentum=self.momentum,
            eps=self.eps,
        )


class BatchNorm1d(_Shared, nn.BatchNorm1d):
    """`nn.BatchNorm1d` [N,C], over the pictures of all processes in training."""


class BatchNorm2d(_Shared, nn.BatchNorm2d):
    """`nn.BatchNorm2d` [N,C,H,W], over the pictures of all processes in training."""


def fold_batch_norm(network: nn.Module) -> None:
    """Fold every batch norm that follows a convolution in an `nn.Sequential` into it, in place.

    The network must be in evaluation, where this is exact, and is one pass less over memory per layer.
    """
    for sequence in [m for m in network.modules() if isinstance(m, nn.Sequential)]:
        for (name, conv), (norm_name, norm) in pairwise(list(sequence.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(sequence, name, fuse_conv_bn_eval(conv, norm))
                setattr(sequence, norm_name, nn.Identity())
