"""Photograft beside the original codes: one thread each, in turns, in one run. docs/experiments/peers.md says how.

python docs/experiments/peers.py --collage CLONE --chainer PYTHON --stylegan2 CLONE --biggan CLONE
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from infer.evaluate.speed import projection, style_generator
from models.device import fast_dtype
from models.discriminators.sn_projection import SNProjectionDiscriminator
from models.generators import stylegan2
from models.generators.biggan import BigGANGenerator
from models.losses import feature_distance, psi
from models.prepared import prepare

CPU = torch.device("cpu")
Generate, Features = Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]
OURS = {"default": fast_dtype(CPU), "float32": torch.float32}


def seconds(f: Callable[[], object]) -> float:
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


class Chainer:
    """The original's projection loop, in a process of its own."""

    def __init__(self, python: str, clone: str) -> None:
        script = os.path.join(os.path.dirname(__file__), "peers_chainer.py")
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        self.process = subprocess.Popen(
            [python, script, clone],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **dict.fromkeys(names, "1")},
        )  # fmt: skip
        if self._line() != "ready":
            sys.exit("the original's process did not start")

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __call__(self) -> float:
        """Seconds of one iteration."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._line())


def channel_base(resolution: int) -> int:
    return 16384 if resolution <= 256 else 32768


def original_synthesis(clone: str, resolution: int) -> Callable[[], object]:
    """w -> image by NVIDIA's code: its plain operations, which are all that it has on a processor."""
    sys.path.insert(0, clone)
    from training.networks import SynthesisNetwork

    torch.manual_seed(0)
    network = SynthesisNetwork(512, resolution, 3, channel_base=channel_base(resolution), channel_max=512)
    network.eval().requires_grad_(False)
    ws = torch.randn(1, network.num_ws, 512)
    return lambda: network(ws, noise_mode="const")


def our_synthesis(resolution: int, dtype: torch.dtype) -> Callable[[], object]:
    """w -> image by ours, of the same widths."""
    g = style_generator(stylegan2.layout(resolution, channel_base(resolution)), dtype=dtype)
    ws = torch.randn(1, g.num_ws, g.w_dim)
    return lambda: g(ws)


BIGGAN = (16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16)  # widths of G and D at 256 px in units of ch
CH, CLASSES = 96, 1000


def original_biggan(clone: str) -> tuple[Generate, Features, int]:
    """z -> image and image -> final features by ajbrock's code, which divides by sigma at every pass."""
    sys.path.insert(0, clone)
    import BigGAN

    torch.manual_seed(0)
    common = {"resolution": 256, "n_classes": CLASSES, "skip_init": True}
    g = BigGAN.Generator(
        G_ch=CH, dim_z=140, G_attn="128", G_shared=True, shared_dim=128, hier=True, no_optim=True, **common
    )
    d = BigGAN.Discriminator(D_ch=CH, D_attn="128", **common)
    g.eval().requires_grad_(False), d.eval().requires_grad_(False)
    label = g.shared(torch.tensor([7]))

    def features(x: Tensor) -> Tensor:
        for blocks in d.blocks:
            for block in blocks:
                x = block(x)
        return x.relu()

    return lambda z: g(z, label), features, 140


def our_biggan(dtype: torch.dtype) -> tuple[Generate, Features, int]:
    """The same by ours, of the same widths."""
    torch.manual_seed(0)
    g = BigGANGenerator([CH * m for m in BIGGAN[0]], 140, CLASSES, 128, attention=[5])
    d = SNProjectionDiscriminator([CH * m for m in BIGGAN[1]], CLASSES, "out", attention=[1])
    g, d = prepare(g, dtype, channels_last=True), prepare(d, dtype, channels_last=True)
    return lambda z: g(z, torch.tensor([7])), lambda x: d.features(x.to(dtype)).float(), 140


def forward_and_iteration(networks: tuple[Generate, Features, int]) -> dict[str, Callable[[], object]]:
    """A picture from z, and one step of projection: the gradient of the loss for z."""
    generate, features, latent_dim = networks
    z = torch.randn(1, latent_dim)
    with torch.no_grad():
        target = psi(features(generate(torch.randn(1, latent_dim))))

    def forward() -> object:
        with torch.no_grad():
            return generate(z)

    def iteration() -> object:
        variable = z.clone().requires_grad_()
        image = generate(variable)
        loss = feature_distance(psi(features(image)), target).sum() + 0.2 * image.square().mean()
        return torch.autograd.grad(loss, variable)

    return {"one picture": forward, "one iteration of projection": iteration}


def table(title: str, original: Callable[[], float], ours: dict[str, Callable[[], object]], repeats: int) -> None:
    """Measure in turns and print medians; ratios are the median of neighbouring measurements'."""
    original()
    for f in ours.values():
        f(), f()
    rounds = [(original(), *(seconds(f) for f in ours.values())) for _ in range(repeats)]
    first, *others = zip(*rounds, strict=True)
    print(f"{title}: original {statistics.median(first):.3f} s")
    for name, times in zip(ours, others, strict=True):
        ratios = sorted(t / o for t, o in zip(times, first, strict=True))
        spread = f"{ratios[0]:.3f} to {ratios[-1]:.3f}"
        print(
            f"  {name}: {statistics.median(times):.3f} s, {statistics.median(ratios):.3f} of it ({spread})", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collage", help="clone of quolc/neural-collage")
    parser.add_argument("--chainer", help="a Python that has Chainer")
    parser.add_argument("--stylegan2", help="clone of NVlabs/stylegan2-ada-pytorch")
    parser.add_argument("--biggan", help="clone of ajbrock/BigGAN-PyTorch")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = {name: f"{name} ({str(dtype).removeprefix('torch.')})" for name, dtype in OURS.items()}
    if arguments.collage:
        ours = {names[name]: projection(dtype=dtype)[1] for name, dtype in OURS.items()}
        chainer = Chainer(arguments.chainer, arguments.collage)
        table("Projection at 256 px, ch 48, one iteration", chainer, ours, arguments.repeats)
    if arguments.stylegan2:
        for resolution in (256, 1024):
            network = original_synthesis(arguments.stylegan2, resolution)
            ours = {names[name]: our_synthesis(resolution, dtype) for name, dtype in OURS.items()}
            title = f"StyleGAN2 at {resolution} px, w to one picture"
            with torch.no_grad():
                table(title, lambda network=network: seconds(network), ours, arguments.repeats)
    if arguments.biggan:
        original = forward_and_iteration(original_biggan(arguments.biggan))
        ours_by_name = {names[name]: forward_and_iteration(our_biggan(dtype)) for name, dtype in OURS.items()}
        for what, theirs in original.items():
            ours = {name: both[what] for name, both in ours_by_name.items()}
            title = f"BigGAN at 256 px, ch {CH}, {what}"
            table(title, lambda theirs=theirs: seconds(theirs), ours, arguments.repeats)


if __name__ == "__main__":
    main()
