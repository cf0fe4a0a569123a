"""How long projection takes: one iteration beside one generator forward, in the original's 256 px configuration."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

from infer.projection_step import Adam, Objective, prepare
from models.discriminators import SN_LAYOUTS, SNProjectionDiscriminator
from models.generators.sngan import SNGANGenerator, layout

MAX_FORWARDS = 4.0  # an iteration may cost so many generator forwards
ORIGINAL_SECONDS = (4.75, 5.4)  # of an iteration of the original code on two cores: fastest, median
MAX_SHARE = 0.2  # of the original's


@dataclass(frozen=True)
class Timing:
    """Medians in seconds for one picture.

    Attributes:
        forward: one generator forward without gradients.
        iteration: one projection iteration: forward, features, backward to z, Adam.
        forwards: iteration / forward, the median of the ratios of neighbouring measurements.
    """

    forward: float
    iteration: float
    forwards: float

    @property
    def share(self) -> float:
        """Of the original's iteration (its fastest)."""
        return self.iteration / ORIGINAL_SECONDS[0]

    @property
    def passed(self) -> bool:
        """Whether both bars are met."""
        return self.forwards <= MAX_FORWARDS and self.share <= MAX_SHARE


def measure(
    *,
    ch: int = 48,
    layouts: tuple[str, str] = ("resnet_256", "snresnet_256"),
    num_classes: int = 143,
    repeats: int = 7,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    device: str = "cpu",
) -> Timing:
    """Time random networks of a layout and base width; generator and iteration take turns, so that load hits both.

    Args:
        ch, layouts, num_classes: of generator and discriminator.
        repeats: measurements that the medians are of.
        dtype, channels_last, device: see `infer.projection.project`.
    """
    torch.manual_seed(0)
    g: SNGANGenerator = prepare(SNGANGenerator(layout(layouts[0], ch), num_classes=num_classes), dtype, channels_last)
    channels = [ch * m for m in SN_LAYOUTS[layouts[1]]]
    d = prepare(SNProjectionDiscriminator(channels, num_classes, hidden="out"), dtype, channels_last)
    g, d = g.to(device), d.to(device)
    label, rows = torch.tensor([0], device=device), torch.tensor([0], device=device)
    z = torch.randn(1, g.latent_dim, device=device)
    with torch.no_grad():
        objective = Objective(g, d, g(torch.randn_like(z), label), label)
    adam = Adam.start(z)

    def forward() -> None:
        with torch.no_grad():
            g(z, label)

    def iterate() -> None:
        nonlocal z
        z = adam.step(z, objective.gradient(z, rows)[1], 0.075)

    forward()
    iterate()
    pairs = [(_time(forward, device), _time(iterate, device)) for _ in range(repeats)]
    forwards, iterations = zip(*pairs, strict=True)
    ratio = statistics.median(i / f for f, i in pairs)
    return Timing(statistics.median(forwards), statistics.median(iterations), ratio)


def _time(f: Callable[[], None], device: str) -> float:
    start = time.perf_counter()
    f()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def bench(*, repeats: int = 7, device: str = "cpu", console: Console | None = None) -> dict[str, Timing]:
    """Measure and print a table: exact float32, float32 in channels_last order, bfloat16 in channels_last order.

    Returns:
        The timings by name of the variant. The first is the default, for which the bars count.
    """
    variants = {
        "float32 (default)": (torch.float32, False),
        "float32, channels_last": (torch.float32, True),
        "bfloat16, channels_last": (torch.bfloat16, True),
    }
    table = Table(title=f"Projection at 256 px, ch 48, one picture, {torch.get_num_threads()} threads on {device}")
    for column in ("networks", "G forward", "iteration", "in G forwards", "of the original's", "bars"):
        table.add_column(column, justify="left" if column == "networks" else "right")
    timings = {}
    for name, (dtype, channels_last) in variants.items():
        t = measure(repeats=repeats, dtype=dtype, channels_last=channels_last, device=device)
        low, high = (t.iteration / seconds for seconds in ORIGINAL_SECONDS[::-1])
        table.add_row(
            name,
            f"{t.forward:.3f} s",
            f"{t.iteration:.3f} s",
            f"{t.forwards:.2f} (at most {MAX_FORWARDS:g})",
            f"{low:.2f}-{high:.2f} (at most {MAX_SHARE:g})",
            "met" if t.passed else "missed",
        )
        timings[name] = t
    (console or Console()).print(table)
    return timings
