"""What makes trainings fast on a CPU gives the numbers of what it replaces; and what measures them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from typer.testing import CliRunner

from infer.cli import models as cli_models
from infer.cli.main import app
from models.discriminators.projected import Projected
from models.errors import PhotograftError
from models.layers.resampling import _UpsampledLearning, upsampled_conv, upsampling
from models.perception.features import _SameConv2d
from tests.train.tiny import write_folders, write_model
from train import bench
from train.clock import Clock
from train.gan.diversity import descriptors, shortfall


def test_padding_in_the_kernel_gives_the_same_bits() -> None:
    torch.manual_seed(0)
    conv = _SameConv2d(24, 24, 3, 2, groups=24).bfloat16().requires_grad_(False)
    x = torch.randn(4, 24, 16, 12).bfloat16().to(memory_format=torch.channels_last).requires_grad_()
    y = conv(x)
    expected = F.conv2d(F.pad(x, (0, 1, 0, 1)), conv.weight, conv.bias, stride=2, groups=24)
    assert torch.equal(y, expected)
    towards = torch.randn_like(y)
    ours, theirs = (torch.autograd.grad(out, x, towards)[0] for out in (y, expected))
    assert float((ours - theirs).abs().max()) <= 2**-7 * float(theirs.abs().max())  # a rounding or two of bfloat16


def upsampled(autocast: bool) -> tuple[Tensor, ...]:
    """A layer's result and gradients of 5 pictures, with a weight that learns."""
    torch.manual_seed(0)
    x = torch.randn(5, 6, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
    weight, bias = torch.randn(4, 6, 3, 3, requires_grad=True), torch.randn(4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = upsampled_conv(x, weight, bias)
    gradients = torch.autograd.grad(
        (y.float() * torch.linspace(-1, 1, y.numel()).view(y.shape)).sum(), (x, weight, bias)
    )
    return y, *gradients


def test_upsampled_convolution_learns_as_before() -> None:
    for ours, exact in zip(upsampled(True), upsampled(False), strict=True):
        assert float((ours.float() - exact).detach().abs().max()) <= 0.02 * float(exact.abs().max())
    y = upsampled(True)[0]
    assert y.grad_fn is not None
    assert "UpsampledLearning" in str(y.grad_fn)
    assert "UpsampledLearning" not in str(upsampled(False)[0].grad_fn)  # edits stay what they are, to the bit


def test_gradients_of_the_upsampled_convolution_are_exact_and_differentiable() -> None:
    torch.manual_seed(0)
    x, bias = torch.randn(1, 2, 3, 3).double().requires_grad_(), torch.randn(2).double().requires_grad_()
    kernel = upsampling(torch.randn(2, 2, 3, 3).double()).contiguous().requires_grad_()
    assert torch.autograd.gradcheck(_UpsampledLearning.apply, (x, kernel, bias))
    assert torch.autograd.gradgradcheck(_UpsampledLearning.apply, (x, kernel, bias))


def test_rows_of_descriptors_are_descriptors_of_rows() -> None:
    torch.manual_seed(0)
    seen = Projected([torch.randn(6, 4, 8, 8, requires_grad=True)], torch.randn(6, 3))
    pair, scatter = torch.tensor([[0, 3], [1, 4]]), [torch.ones(8), torch.ones(3)]
    described = descriptors(seen)
    ours = shortfall(*([d.index_select(0, pair[:, i]) for d in described] for i in (0, 1)), scatter, 9.0)
    theirs = shortfall(descriptors(seen[pair[:, 0]]), descriptors(seen[pair[:, 1]]), scatter, 9.0)
    assert torch.equal(ours, theirs)
    assert float(ours) > 0
    for first, second in zip(*(torch.autograd.grad(v, seen.stages) for v in (ours, theirs)), strict=True):
        torch.testing.assert_close(first, second)


FAULTS = """
import resource, torch
from train.memory import keep_freed_memory
torch.set_num_threads(1)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(16 << 20, dtype=torch.uint8).sum()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
print(keep_freed_memory())
faults()
print(faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_freed_memory_is_kept(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], cwd=root, check=True, capture_output=True, text=True)
    given_back, can, kept = done.stdout.split()
    if can == "False":
        pytest.skip("another C library")
    assert int(kept) < 0.1 * int(given_back)


def test_seconds_belong_to_the_innermost_part() -> None:
    times = iter(range(100))
    clock = Clock(lambda: float(next(times)))

    class Work:
        def outer(self) -> str:
            return self.inner(2)

        def inner(self, n: int) -> str:
            return "done" * n

    clock.wrap(Work, "outer", "outer")
    clock.wrap(Work, "inner", lambda _, n: f"inner {n}")
    assert Work().outer() == "donedone"
    assert clock.seconds == {"outer": 2.0, "inner 2": 1.0}
    clock.restore()
    Work().outer()
    assert clock.seconds == {"outer": 2.0, "inner 2": 1.0}


def test_bench_tells_where_a_step_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_model(tmp_path)
    small = ("--model.init_args.network.config.resolution=32", "--data.init_args.resolution=32")
    options = (f"--generator={model}", *small, "--data.init_args.batch_size=4")
    monkeypatch.setitem(bench.TRAININGS, "encoder_heads128", options)
    said: list[str] = []
    bench.bench(write_folders(tmp_path / "data"), ["encoder_heads128"], 0.0, said.append, lambda _: None)
    assert said[0].startswith("encoder_heads128: ")
    assert "pictures a second on cpu" in said[0]
    parts = {line[2:30].strip(): float(line.split()[-2]) for line in said[1:]}
    assert {"generator", "backward", "frozen features", "optimisers", "moving average", bench.REST} <= set(parts)
    assert 99.0 < sum(parts.values()) < 101.0
    with pytest.raises(PhotograftError, match="unknown training 'stylegan9': choose from sngan_heads128, "):
        bench.bench(None, ["stylegan9"], 0.0, said.append, said.append)


def test_infer_bench_starts_the_training_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[bytes]:
        started.append(command[1:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(cli_models.subprocess, "run", run)
    assert CliRunner().invoke(app, ["bench", "--training", "--data", str(tmp_path)]).exit_code == 0
    assert started == [["-m", "train.cli", "bench", "--data", str(tmp_path)]]
    refused = CliRunner().invoke(app, ["bench", "--data", str(tmp_path)])
    assert isinstance(refused.exception, PhotograftError)
