"""How long things take: projection in the original's 256 px configuration, on z and on zeta, and by preset; catalogs
and transfers of parts.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from infer.catalog.catalog import Catalog, Settings
from infer.catalog.kmeans import spherical_kmeans
from infer.catalog.part_transfer import PartTransfer, stream_of, transfer_parts
from infer.edits.query_transfer import Query
from infer.projection.model import project_pictures
from infer.projection.presets import PRESETS
from models.auxiliary import AuxiliaryNetworks
from models.device import fast_dtype
from models.discriminators.sn_projection import SN_LAYOUTS, SNProjectionDiscriminator
from models.generators import stylegan2
from models.generators.sngan import SNGANGenerator, layout
from models.generators.stylegan2 import StyleGAN2Generator
from models.prepared import Networks, prepare
from models.projection.adam import Adam
from models.projection.objective import Objective
from models.samples import Samples
from models.zoo import DEFAULT, Model, is_installed, load_model

MAX_FORWARDS = 4.0  # an iteration may cost so many generator forwards
MAX_OVERHEAD = 0.01  # B's share of an iteration, as the paper says
PAPER_AUXILIARY = {"latent_dim": 128, "zeta_dim": 10000, "hidden_a": 1000, "hidden_b": 1000}
CATALOG_ROWS, CATALOG_CHANNELS, CATALOG_CLUSTERS = 200 * 32 * 32, 512, 20
STYLE_CHANNELS = stylegan2.layout(256, 16384)
MAX_EDIT_FORWARDS = 1.2  # a transfer, source and reference at hand, may cost so many generator forwards
LAYOUTS_256 = ("resnet_256", "snresnet_256")


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
    def passed(self) -> bool:
        """Whether the bar is met."""
        return self.forwards <= MAX_FORWARDS


@dataclass(frozen=True)
class Overhead:
    """What zeta costs, medians in seconds for one picture.

    Attributes:
        z, zeta: one iteration on each.
        auxiliary: B forward and backward, and the larger Adam, alone: the difference of the iterations drowns in their
            noise.
    """

    z: float
    zeta: float
    auxiliary: float

    @property
    def share(self) -> float:
        """Of an iteration on z."""
        return self.auxiliary / self.z


def _networks(
    ch: int, layouts: tuple[str, str], num_classes: int, dtype: torch.dtype | None, channels_last: bool, device: str
) -> tuple[SNGANGenerator, SNProjectionDiscriminator]:
    """Random ones of a layout and base width, made ready."""
    torch.manual_seed(0)
    where = torch.device(device)
    g = SNGANGenerator(layout(layouts[0], ch), num_classes=num_classes)
    d = SNProjectionDiscriminator([ch * m for m in SN_LAYOUTS[layouts[1]]], num_classes, hidden="out")
    dtype = dtype or fast_dtype(where)
    return prepare(g, dtype, channels_last, where), prepare(d, dtype, channels_last, where)


def projection(
    *,
    ch: int = 48,
    layouts: tuple[str, str] = LAYOUTS_256,
    num_classes: int = 143,
    dtype: torch.dtype | None = None,
    channels_last: bool = True,
    device: str = "cpu",
) -> tuple[Callable[[], None], Callable[[], None]]:
    """A generator forward and a projection iteration, of random networks of a layout and base width, to be timed.

    Args:
        ch, layouts, num_classes: of generator and discriminator.
        dtype, channels_last, device: see `models.prepared.Networks`; dtype None is the fastest there, the default of
            projection.
    """
    g, d = _networks(ch, layouts, num_classes, dtype, channels_last, device)
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

    return forward, iterate


def measure(*, repeats: int = 7, device: str = "cpu", **networks: Any) -> Timing:
    """Time random networks; generator and iteration take turns, so that load hits both.

    Args:
        repeats: measurements that the medians are of.
        device, networks: see `projection`.
    """
    forwards, iterations = _in_turns(projection(device=device, **networks), repeats, device)
    ratio = statistics.median(i / f for f, i in zip(forwards, iterations, strict=True))
    return Timing(statistics.median(forwards), statistics.median(iterations), ratio)


def measure_overhead(
    auxiliary: AuxiliaryNetworks,
    *,
    ch: int = 48,
    layouts: tuple[str, str] = LAYOUTS_256,
    num_classes: int = 143,
    repeats: int = 7,
    dtype: torch.dtype | None = None,
    channels_last: bool = True,
    device: str = "cpu",
) -> Overhead:
    """Time an iteration on z against one on zeta, in turns; arguments as of `measure`.

    Args:
        auxiliary: A and B; their values do not matter, nor that their z is another model's.
        ch, layouts, num_classes, repeats, dtype, channels_last, device: see `measure`.
    """
    g, d = _networks(ch, layouts, num_classes, dtype, channels_last, device)
    if g.latent_dim != auxiliary.latent_dim:
        g = SNGANGenerator(g.channels, latent_dim=auxiliary.latent_dim, num_classes=num_classes)
        g = prepare(g, dtype or fast_dtype(torch.device(device)), channels_last, torch.device(device))
    b = prepare(auxiliary, device=torch.device(device))
    label, rows = torch.tensor([0], device=device), torch.tensor([0], device=device)
    z = torch.randn(1, g.latent_dim, device=device)
    with torch.no_grad():
        zeta, target = b.to_zeta(z), g(z, label)
    direction = torch.randn_like(z)

    def iterator(objective: Objective, start: torch.Tensor) -> Callable[[], None]:
        variable, adam = start, Adam.start(start)

        def iterate() -> None:
            nonlocal variable
            variable = adam.step(variable, objective.gradient(variable, rows)[1], 0.01)

        return iterate

    alone, adam = zeta, Adam.start(zeta)

    def only_auxiliary() -> None:
        nonlocal alone
        variable = alone.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(b.to_z(variable), variable, direction)
        alone = adam.step(alone, gradient, 0.01)

    on_z = iterator(Objective(g, d, target, label), z)
    on_zeta = iterator(Objective(g, d, target, label, auxiliary=b), zeta)
    times = _in_turns([on_z, on_zeta, only_auxiliary], repeats, device)
    return Overhead(*(statistics.median(each) for each in times))


@dataclass(frozen=True)
class StyleTiming:
    """Medians in seconds.

    Attributes:
        catalog: k-means of random rows.
        image: StyleGAN2, w -> one picture.
        edit: a transfer of a part in it, in forwards z -> picture: the median of the ratios of neighbours.
    """

    catalog: float
    image: float
    edit: float

    @property
    def passed(self) -> bool:
        """Whether the bar of the edit is met."""
        return self.edit <= MAX_EDIT_FORWARDS


def style_generator(
    channels: Sequence[int] = STYLE_CHANNELS, *, dtype: torch.dtype | None = None, device: str = "cpu"
) -> StyleGAN2Generator:
    """A random StyleGAN2, in a dtype or the fastest on a device; channels: at 4, 8, 16, ... px."""
    torch.manual_seed(0)
    where = torch.device(device)
    generator: StyleGAN2Generator = prepare(StyleGAN2Generator(channels), dtype or fast_dtype(where), True, where)
    return generator


def measure_styles(
    *,
    rows: int = CATALOG_ROWS,
    row_channels: int = CATALOG_CHANNELS,
    clusters: int = CATALOG_CLUSTERS,
    channels: Sequence[int] = STYLE_CHANNELS,
    repeats: int = 7,
    device: str = "cpu",
) -> StyleTiming:
    """Time *Editing in Style* on random numbers and a random StyleGAN2.

    Args:
        rows, row_channels, clusters: of k-means with all its restarts.
        channels: of the generator, at 4, 8, 16, ... px.
        repeats: measurements that medians are of, for k-means half as many.
        device: where.
    """
    x = torch.randn(rows, row_channels, generator=torch.Generator().manual_seed(0)).to(device)
    catalogs = _in_turns([partial(spherical_kmeans, x, clusters)], (repeats + 1) // 2, device, warm=False)[0]
    generator = style_generator(channels, device=device)
    names = [(layer.name, layer.channels) for layer in generator.modulated_layers]
    contributions = {name: torch.rand(1, c, device=device) for name, c in names}
    settings = Settings("random", "", names[0][0], 1, 0, 1.0, 0, "bilinear")
    nothing = torch.empty(0)
    catalog = Catalog(settings, nothing, nothing, nothing, contributions, nothing, {"part": (0,)})
    z = torch.randn(2, 1, generator.latent_dim, device=device)
    source, reference = (stream_of(generator, Samples(latent, None)) for latent in z)
    ask = PartTransfer("part", reference, Query())

    @torch.no_grad()
    def forward() -> None:
        generator(generator.mapping(z[0]))

    @torch.no_grad()
    def image() -> None:
        generator(source.latent)

    images, forwards, edits = _in_turns(
        [image, forward, lambda: transfer_parts(generator, catalog, source, [ask])], repeats, device
    )
    ratio = statistics.median(e / f for e, f in zip(edits, forwards, strict=True))
    return StyleTiming(statistics.median(catalogs), statistics.median(images), ratio)


def measure_presets(model: Model, repeats: int = 5, device: str = "auto") -> dict[str, tuple[float, float]]:
    """Seconds per photo of a loaded model by preset, of one photo at a time: (class given, class found).

    Args:
        model: a class-conditional one with a discriminator.
        repeats: of "fast", the median counts; the others, which take long, are measured once.
        device: where.
    """
    r, networks = model.generator.resolution, Networks.of(model, device)
    photo = torch.rand(1, 3, r, r, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = {}
    for preset in PRESETS:
        rounds, warm = (repeats, True) if preset == "fast" else (1, False)
        given, unknown = (
            _in_turns([partial(project_pictures, networks, photo, source, preset=preset)], rounds, device, warm=warm)[0]
            for source in (model.class_names[0], None)
        )
        found[preset] = (statistics.median(given), statistics.median(unknown))
    return found


def _in_turns(
    functions: Sequence[Callable[[], object]], repeats: int, device: str, warm: bool = True
) -> list[list[float]]:
    """Seconds of every function, called in turns after one call each that does not count."""
    if warm:
        for f in functions:
            f()
    rounds = [[_time(f, device) for f in functions] for _ in range(repeats)]
    return [list(times) for times in zip(*rounds, strict=True)]


def _time(f: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    f()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def bench(*, repeats: int = 7, device: str = "cpu", console: Console | None = None) -> dict[str, Timing]:
    """Measure and print tables: precisions, what zeta costs, parts and styles, and the presets of the default model.

    Returns:
        The timings by precision. The first is the default, for which the bars count.
    """
    console = console or Console()
    model = load_model(DEFAULT) if is_installed(DEFAULT) else None
    timings = _bench_precisions(repeats, device, console)
    _bench_overhead(model, repeats, device, console)
    _bench_styles(repeats, device, console)
    if model is not None:
        _bench_presets(model, device, console)
    return timings


def _bench_precisions(repeats: int, device: str, console: Console) -> dict[str, Timing]:
    """The default on the device, float32 in the same layout, exact float32."""
    fast = fast_dtype(torch.device(device))
    variants = {
        f"{str(fast).removeprefix('torch.')} (default)": (fast, True),
        "float32, channels_last": (torch.float32, True),
        "float32, exact": (torch.float32, False),
    }
    table = Table(title=f"Projection at 256 px, ch 48, one picture, {torch.get_num_threads()} threads on {device}")
    for column in ("networks", "G forward", "iteration", "in G forwards", "bar"):
        table.add_column(column, justify="left" if column == "networks" else "right")
    timings = {}
    for name, (dtype, channels_last) in variants.items():
        t = measure(repeats=repeats, dtype=dtype, channels_last=channels_last, device=device)
        table.add_row(
            name,
            f"{t.forward:.3f} s",
            f"{t.iteration:.3f} s",
            f"{t.forwards:.2f} (at most {MAX_FORWARDS:g})",
            "met" if t.passed else "missed",
        )
        timings[name] = t
    console.print(table)
    return timings


def _bench_overhead(model: Model | None, repeats: int, device: str, console: Console) -> None:
    """B of the paper's sizes, and of the model's where it has one."""
    networks = {"the paper's": AuxiliaryNetworks(**PAPER_AUXILIARY)}
    if model is not None and model.auxiliary is not None:
        networks[f"of {model.stem}"] = model.auxiliary
    table = Table(title="zeta at 256 px, ch 48, one picture, as by default")
    for column in ("A and B", "sizes", "iteration on z", "on zeta", "B alone", "share of B"):
        table.add_column(column, justify="left" if column == "A and B" else "right")
    for name, network in networks.items():
        t = measure_overhead(network, repeats=repeats, device=device)
        c = network.config
        sizes = "-".join(str(c[k]) for k in ("latent_dim", "hidden_a", "zeta_dim", "hidden_b", "latent_dim"))
        share = f"{t.share:.2%} (paper: below {MAX_OVERHEAD:.0%})"
        table.add_row(name, sizes, f"{t.z:.3f} s", f"{t.zeta:.3f} s", f"{t.auxiliary * 1e3:.1f} ms", share)
    console.print(table)


def _bench_styles(repeats: int, device: str, console: Console) -> None:
    """The catalog of 200 samples, StyleGAN2 at 256 px, and a transfer in it."""
    t = measure_styles(repeats=repeats, device=device)
    table = Table(title=f"Parts and styles, {torch.get_num_threads()} threads on {device}")
    for column in ("what", "measured", "bar"):
        table.add_column(column, justify="left" if column == "what" else "right")
    what = f"catalog: {CATALOG_ROWS:,} x {CATALOG_CHANNELS}, {CATALOG_CLUSTERS} clusters"
    table.add_row(what, f"{t.catalog:.2f} s", "")
    table.add_row("StyleGAN2 at 256 px, w to one picture", f"{t.image:.3f} s", "")
    met = f"at most {MAX_EDIT_FORWARDS:g}: {'met' if t.passed else 'missed'}"
    table.add_row("transfer of a part there, in forwards of G", f"{t.edit:.2f}", met)
    console.print(table)


def _bench_presets(model: Model, device: str, console: Console) -> None:
    table = Table(title=f"Projection of one photo with {model.stem}, {torch.get_num_threads()} threads")
    for column in ("preset", "updates", "class given", "class found"):
        table.add_column(column, justify="left" if column == "preset" else "right")
    for name, (given, found) in measure_presets(model, device=device).items():
        table.add_row(name, str(PRESETS[name].steps), f"{given:.3f} s", f"{found:.3f} s")
    console.print(table)
